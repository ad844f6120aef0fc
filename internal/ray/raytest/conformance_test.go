package raytest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestFakeConforms(t *testing.T) {
	t.Parallel()
	f := NewFake(WithMonitorLag(time.Second))
	t.Cleanup(f.Close)
	Conformance(t, Target{URL: f.URL(), Own: true, Settle: 1200 * time.Millisecond, Misjudge: func(t *testing.T, id string) {
		if !f.Misjudge(id) {
			t.Errorf("%s was not misjudged", id)
		}
	}})
	if f.OverlappingSubmits() != 0 {
		t.Errorf("%d submits overlapped", f.OverlappingSubmits())
	}
}

// TestRealRayConforms runs where RAYTEST_DASHBOARD_URL names the dashboard of a
// head that is there for tests, RAYTEST_TOKEN its token if it has one, and
// RAYTEST_DASHBOARD_OWN says that nobody else uses it.
func TestRealRayConforms(t *testing.T) {
	url := os.Getenv("RAYTEST_DASHBOARD_URL")
	if url == "" {
		t.Skip("RAYTEST_DASHBOARD_URL is not set; the make target that starts a head sets it")
	}
	target := Target{URL: url, HTTP: &http.Client{Transport: bearer(os.Getenv("RAYTEST_TOKEN"))}, Own: os.Getenv("RAYTEST_DASHBOARD_OWN") != ""}
	if gcs, venv := os.Getenv("RAYTEST_GCS_ADDRESS"), os.Getenv("RAY_VENV"); gcs != "" && venv != "" {
		target.Misjudge = func(t *testing.T, id string) {
			out, err := exec.CommandContext(t.Context(), filepath.Join(venv, "bin", "python"), "-c", misjudge, gcs, id).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
	Conformance(t, target)
}

// misjudge does what the agent does in job_manager.py, _monitor_job_internal, where
// asking the supervisor failed; but for the ray.kill that follows there.
const misjudge = `
import asyncio, sys
from ray._raylet import GcsClient
from ray.dashboard.modules.job.common import JobInfoStorageClient
from ray.job_submission import JobErrorType, JobStatus
records = JobInfoStorageClient(GcsClient(address=sys.argv[1]), None)
asyncio.run(records.put_status(sys.argv[2], JobStatus.FAILED, message="Unexpected error occurred: ",
    error_type=JobErrorType.JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE))
`
