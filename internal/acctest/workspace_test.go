//go:build unix

package acctest_test

import (
	"path/filepath"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
)

// The main promise through the real CLI: an interrupted apply leaves the job
// running and takes it up again. The job, on this machine, waits for a file, and so
// is not over before the test lets it be.
func TestAccInterruptedApplyWaitsOn(t *testing.T) {
	t.Parallel()
	ray := acctest.Shared(t)
	w := acctest.NewWorkspace(t)
	goOn := filepath.Join(w.Dir, "go")
	w.Write("main.tf", acctest.RequiredProviders+`
provider "ray" {
  address = "`+ray.DashboardURL+`"
  owner   = "TestAccInterruptedApplyWaitsOn"
}

resource "ray_job" "slow" {
  name       = "interrupted"
  entrypoint = "until [ -e '`+goOn+`' ]; do sleep 0.2; done"
}
`)
	apply := w.Start("apply", "-auto-approve", "-input=false")
	apply.WaitFor("ray_job.slow: Still creating")
	apply.Interrupt()
	r := apply.Wait()
	if r.ExitCode != 1 || !r.Contains("the job was left running") {
		t.Fatalf("interrupted apply: exit code %d\n%s", r.ExitCode, r.Output)
	}
	id, _ := w.Attributes("ray_job.slow")["submission_id"].(string)
	// A busy head may not have started it yet.
	if got := jobStatus(t, ray, id); got != "RUNNING" && got != "PENDING" {
		t.Errorf("job %s after Ctrl-C: got %q, want it left as it was, RUNNING or PENDING", id, got)
	}
	if r := w.Plan(); r.ExitCode != 2 || !r.Contains("0 to add, 1 to change, 0 to destroy") {
		t.Errorf("plan after Ctrl-C: exit code %d\n%s", r.ExitCode, r.Output)
	}
	w.Write(filepath.Base(goOn), "")
	w.Apply()
	if got := w.Attributes("ray_job.slow")["status"]; got != "SUCCEEDED" {
		t.Errorf("status: got %v, want SUCCEEDED", got)
	}
	if got := w.Attributes("ray_job.slow")["submission_id"]; got != id {
		t.Errorf("the job ran again: %v after %s", got, id)
	}
	w.PlanNothing()
	w.Destroy()
}
