package job_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

func TestAccJob_limitsStopTheJobOnTheCluster(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	main := header(t, acctest.Shared(t).DashboardURL)
	w.Write("main.tf", main+`
resource "ray_job" "stuck" {
  name                 = "stuck"
  entrypoint           = "true"
  entrypoint_resources = { nowhere = 1 }
  start_timeout        = "3s"
}

resource "ray_job" "long" {
  name              = "long"
  entrypoint        = "echo began; sleep 600"
  execution_timeout = "3s"
}
`)
	r := w.Run("apply", "-auto-approve")
	for _, want := range []string{
		`Job "stuck" did not start after 3s and was stopped`, "It may be waiting for resources", "No node can hold the entrypoint",
		`Job "long" was still RUNNING after 3s and was stopped`, "began",
	} {
		if !r.Contains(want) {
			t.Errorf("the apply does not say %q:\n%s", want, r.Output)
		}
	}
	if r.ExitCode != 1 {
		t.Errorf("exit code %d", r.ExitCode)
	}
	mine := rayJobs(t)
	for _, j := range mine {
		if !j.Status.Terminal() {
			t.Errorf("job %s is %s on the cluster", j.SubmissionID, j.Status)
		}
	}
	if len(mine) != 2 {
		t.Errorf("Ray has %v, want two jobs", mine)
	}
	w.Destroy()
	requireNoJobs(t)
}

func TestAccJob_interruptStops(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	main := header(t, acctest.Shared(t).DashboardURL)
	job := `
resource "ray_job" "a" {
  name         = "stopped"
  entrypoint   = "sleep 600"
  on_interrupt = "stop"
`
	w.Write("main.tf", main+job+"}\n")
	// A Terraform that is killed asks for nothing.
	apply := w.Start("apply", "-auto-approve")
	waitRunning(t)
	apply.Kill()
	apply.Wait()
	pause(t, 2*time.Second)
	for _, j := range rayJobs(t) {
		if j.Status != ray.JobRunning {
			t.Errorf("after kill -9 of Terraform the job is %s", j.Status)
		}
	}
	w.Setenv("TF_LOG_PROVIDER", "INFO")
	apply = w.Start("apply", "-auto-approve", "-lock=false")
	apply.WaitFor("Ray has the job: ") // it has taken the job over
	w.Setenv("TF_LOG_PROVIDER", "")
	start := time.Now()
	apply.Interrupt()
	r := apply.Wait()
	if took := time.Since(start); took > soon {
		t.Errorf("Terraform returned %s after Ctrl-C", took)
	}
	if r.ExitCode != 1 || !r.Contains("was interrupted while it waited for job") {
		t.Errorf("exit code %d\n%s", r.ExitCode, r.Output)
	}
	deadline := time.Now().Add(20 * time.Second)
	for stopped := false; !stopped; pause(t, 100*time.Millisecond) {
		for _, j := range rayJobs(t) {
			stopped = j.Status == ray.JobStopped
		}
		if time.Now().After(deadline) {
			t.Fatalf("Ray has %v, want the job STOPPED", rayJobs(t))
		}
	}
	// The next apply runs it again, whether or not the interrupted one saw it stop.
	w.Write("main.tf", main+job+"  wait_for     = \"RUNNING\"\n}\n")
	w.Apply("-lock=false")
	if got := w.Attributes("ray_job.a"); fmt.Sprint(got["attempt"]) != "2" || got["status"] != "RUNNING" {
		t.Errorf("the next apply has attempt %v, %v", got["attempt"], got["status"])
	}
	w.Destroy("-lock=false")
	requireNoJobs(t)
}
