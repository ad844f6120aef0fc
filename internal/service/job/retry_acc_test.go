package job_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// supervisorPID asks Ray for the process that runs a submission's entrypoint.
func supervisorPID(t *testing.T, id string) int {
	t.Helper()
	url := acctest.Shared(t).DashboardURL + "/api/v0/actors?filter_keys=name&filter_predicates=%3D&filter_values=_ray_internal_job_actor_" + id
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing is written
	var v struct {
		Data struct {
			Result struct {
				Result []struct {
					PID   int    `json:"pid"`
					State string `json:"state"`
				} `json:"result"`
			} `json:"result"`
		} `json:"data"`
	}
	err = json.NewDecoder(resp.Body).Decode(&v)
	for _, actor := range v.Data.Result.Result { // an id that was used before has had others
		if actor.State == "ALIVE" {
			return actor.PID
		}
	}
	t.Fatalf("supervisors of %s: %+v, %v", id, v, err)
	return 0
}

// Ray loses a job's supervisor: the first time while an apply waits for it, the
// second time while an update waits on.
func TestAccJob_runsAgainAfterItsSupervisorDied(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
resource "ray_job" "a" {
  name       = "retried"
  entrypoint = "if [ $TF_RAY_ATTEMPT -lt 3 ]; then sleep 300; fi; echo attempt $TF_RAY_ATTEMPT of $TF_RAY_CHECKPOINT_PATH"
  retry      = { min_backoff = "1s" }

  checkpoint_path = "/ckpt"
}

output "ids" {
  value = ray_job.a.attempts[*].submission_id
}
`)
	kill := func() {
		waitRunning(t)
		for id, j := range rayJobs(t) {
			if j.Status == ray.JobRunning {
				if err := syscall.Kill(supervisorPID(t, id), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	first := w.Start("apply", "-auto-approve")
	kill()
	waitJobs(t, 2)
	waitRunning(t)
	first.Interrupt()
	if r := first.Wait(); r.ExitCode != 1 || !r.Contains("was interrupted; the job was left running") {
		t.Fatalf("exit code %d\n%s", r.ExitCode, r.Output)
	}
	if p := w.Plan(); !p.Contains("submission_id") || !p.Contains("goes on") {
		t.Errorf("the plan after Ctrl-C:\n%s", p.Output)
	}
	second := w.Start("apply", "-auto-approve")
	kill()
	if r := second.Wait(); r.ExitCode != 0 || !r.Contains("ran 2 times") || !r.Contains("JOB_SUPERVISOR_ACTOR_DIED") {
		t.Fatalf("exit code %d\n%s", r.ExitCode, r.Output)
	}
	a := w.Attributes("ray_job.a")
	if fmt.Sprint(a["attempt"]) != "3" || a["status"] != "SUCCEEDED" || !strings.HasSuffix(fmt.Sprint(a["submission_id"]), "-3") {
		t.Errorf("state %v", a)
	}
	if ids, _ := w.Output("ids").([]any); len(ids) != 3 {
		t.Errorf("attempts %v, want three", ids)
	}
	w.PlanNothing()
	w.Destroy()
	requireNoJobs(t)
}

// waitJobs waits until Ray has n jobs of this test.
func waitJobs(t *testing.T, n int) {
	t.Helper()
	waitAtMost(t, time.Minute, func() bool { return len(rayJobs(t)) == n })
}

// waitAtMost is waitFor for what a real Ray needs.
func waitAtMost(t *testing.T, d time.Duration, done func() bool) {
	t.Helper()
	deadline := time.After(d)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("waited %s for nothing", d)
		case <-tick.C:
		}
	}
}
