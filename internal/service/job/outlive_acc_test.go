package job_test

import (
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// restarted is a head that is killed and comes back while an apply waits for a job.
func restarted(t *testing.T, w *acctest.Workspace, redis *raytest.Redis) *acctest.Result {
	t.Helper()
	head, err := raytest.StartHead(t.Context(), raytest.HeadOptions{Redis: redis})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := head.Stop(); err != nil {
			t.Error(err)
		}
	})
	w.Write("main.tf", header(t, head.DashboardURL)+`
variable "seconds" { default = 600 }
resource "ray_job" "a" {
  name       = "outlives"
  entrypoint = "sleep ${var.seconds}"
}
`)
	apply := w.Start("apply", "-auto-approve")
	waitRunningOn(t, head.DashboardURL)
	if err := head.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := head.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r := apply.Wait()
	t.Logf("the apply ended %s after the restart", time.Since(start).Round(time.Millisecond))
	if r.ExitCode != 1 {
		t.Errorf("exit code %d\n%s", r.ExitCode, r.Output)
	}
	return r
}

func TestSlowAccJob_headRestartsWithRedis(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	redis, err := raytest.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := redis.Close(); err != nil {
			t.Error(err)
		}
	})
	r := restarted(t, w, redis)
	if !r.Contains("FAILED") || !r.Contains("JOB_SUPERVISOR_ACTOR_START_FAILURE") {
		t.Errorf("the apply says\n%s", r.Output)
	}
	w.Apply("-var=seconds=1")
	w.PlanNothing("-var=seconds=1")
	w.Destroy() // while the head is there
}

func TestSlowAccJob_headRestartsWithoutRedis(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	r := restarted(t, w, nil)
	if !r.Contains("The cluster of job \"outlives\" was replaced") {
		t.Errorf("the apply says\n%s", r.Output)
	}
	w.Apply("-var=seconds=1")
	w.PlanNothing("-var=seconds=1")
	w.Destroy() // while the head is there
}
