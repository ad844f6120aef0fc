package job_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

func TestAccJobWait_oneOfManyFailsAndRunsAgain(t *testing.T) {
	t.Parallel()
	const n = 8
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+fmt.Sprintf(`
resource "ray_job" "shard" {
  for_each    = toset([for i in range(%d) : "s${i}"])
  name        = each.key
  entrypoint  = "echo ${each.key} of $RUN; [ ${each.key} != s5 ] || [ -e %s/ready ] || exit 3"
  runtime_env = { env_vars = { RUN = "planted-secret" } }
  wait_for    = "SUBMITTED"
}

resource "ray_job_wait" "all" {
  jobs = [for job in ray_job.shard : job.submission_id]
}

resource "ray_job" "merge" {
  depends_on = [ray_job_wait.all]
  name       = "merge"
  entrypoint = "true"
}
`, n, w.Dir))
	r := w.Run("apply", "-auto-approve")
	if r.ExitCode != 1 || !r.Contains("Too few jobs succeeded") || !r.Contains("7 of 8 jobs succeeded") || !regexp.MustCompile(`s5-[0-9a-f]{10} FAILED with exit code 3`).MatchString(r.Output) || !r.Contains("s5 of (sensitive value)") {
		t.Fatalf("exit code %d\n%s", r.ExitCode, r.Output)
	}
	if all := rayJobs(t); len(all) != n {
		t.Errorf("Ray has %d jobs, want %d and no merge", len(all), n)
	}
	w.Write("ready", "")
	w.Apply(`-replace=ray_job.shard["s5"]`)
	w.PlanNothing()
	if got, _ := w.Attributes("ray_job_wait.all")["succeeded"].([]any); len(got) != n {
		t.Errorf("succeeded: %v", got)
	}
	for id, j := range rayJobs(t) {
		if j.Status != ray.JobSucceeded {
			t.Errorf("%s is %s", id, j.Status)
		}
	}
	w.Destroy()
	requireNoJobs(t)
}
