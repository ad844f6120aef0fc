package jobs_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// A head that came back with its Redis calls the jobs that died with it RUNNING.
func TestStaleRunning(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*raytest.Fake, jobs.Run) {
		t.Helper()
		fake := newFake(t)
		run := mustSubmit(t, newEngine(t, fake), request("sleep 3600"))
		fake.Restart(true)
		if s := fake.Jobs()[0].Status; s != ray.JobRunning {
			t.Fatalf("after the restart the job is %s, want RUNNING", s)
		}
		return fake, run
	}
	t.Run("ends a wait of the next process", func(t *testing.T) {
		t.Parallel()
		fake, run := start(t)
		job := requireWait(t, newEngine(t, fake), run, jobs.Succeeded, jobs.Ended)
		if job.Status != ray.JobFailed || job.ErrorType != "JOB_SUPERVISOR_ACTOR_START_FAILURE" {
			t.Errorf("it ended as %+v", job)
		}
	})
	t.Run("ends a wait that lost the cluster meanwhile", func(t *testing.T) {
		t.Parallel()
		fake := newFake(t)
		e := newEngine(t, fake)
		e.SetStaleAfter(200 * time.Millisecond)
		run := mustSubmit(t, e, request("sleep 3600"))
		timer := time.AfterFunc(300*time.Millisecond, func() {
			fake.Down()
			fake.Restart(true)
			time.Sleep(300 * time.Millisecond)
			if err := fake.Up(); err != nil {
				t.Error(err)
			}
		})
		defer timer.Stop()
		requireWait(t, e, run, jobs.Succeeded, jobs.Ended)
	})
	t.Run("is not taken over", func(t *testing.T) {
		t.Parallel()
		fake, run := start(t)
		next := mustSubmit(t, newEngine(t, fake), request("sleep 3600"))
		if next.Adopted || next.ID != run.ID+"-2" {
			t.Errorf("the next process got %+v, want %s-2 submitted", next, run.ID)
		}
		requireRuns(t, fake, "sleep 3600", 2)
	})
	t.Run("where Ray does not look", func(t *testing.T) {
		t.Parallel()
		fake, run := start(t)
		fake.Fail(raytest.Match{Route: "GET /api/jobs/{id}/logs", Times: -1}, raytest.AnswerWith(500, "text/plain", "Cannot connect to host 10.0.0.1:52365"))
		requireWait(t, newEngine(t, fake), run, jobs.Succeeded, jobs.NodeGone)
	})
	t.Run("is never stopped for it", func(t *testing.T) {
		t.Parallel()
		fake, _ := start(t)
		if _, _, err := newEngine(t, fake).Reconcile(t.Context(), fake.Jobs()[0]); err != nil {
			t.Fatal(err)
		}
		if n := fake.Requests()["POST /api/jobs/{id}/stop"]; n != 0 || fake.Jobs()[0].Status != ray.JobFailed {
			t.Errorf("%d stops; the job is %+v", n, fake.Jobs()[0])
		}
	})
}

// A head that came back with its Redis calls the jobs PENDING whose supervisors died
// with it before they began.
func TestStalePending(t *testing.T) {
	t.Parallel()
	const stale = 100 * time.Millisecond
	waiting := func() jobs.Request {
		r := request("true")
		r.Resources = ray.Resources{"nowhere": 1}
		return r
	}
	t.Run("ends once Ray gives it up", func(t *testing.T) {
		t.Parallel()
		fake := newFake(t, raytest.WithStartTimeout(2*time.Second))
		run := mustSubmit(t, newEngine(t, fake), waiting())
		time.Sleep(5 * time.Millisecond) // Ray tells whole ones
		fake.Restart(true)
		var said atomic.Bool
		e := newEngine(t, fake)
		e.SetStaleAfter(stale)
		job, verdict, err := e.Wait(t.Context(), run, jobs.Succeeded, func(job ray.Job, _ time.Duration, _ error) {
			if strings.Contains(job.Message, "nothing of it will run") {
				said.Store(true)
			}
		})
		if verdict != jobs.Ended || job.ErrorType != "JOB_SUPERVISOR_ACTOR_START_TIMEOUT" || err != nil {
			t.Errorf("verdict %d, %+v, %v", verdict, job, err)
		}
		if n := fake.Requests()["POST /api/jobs/{id}/stop"]; n != 1 || !said.Load() {
			t.Errorf("%d stops, said %t; want one stop, and that it was told why", n, said.Load())
		}
		requireRuns(t, fake, "true", 0)
	})
	t.Run("is not stopped where it may begin", func(t *testing.T) {
		t.Parallel()
		fake := newFake(t)
		e := newEngine(t, fake)
		e.SetStaleAfter(stale)
		run := mustSubmit(t, e, waiting())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		looks := 0 // that came after the one at the nodes
		_, verdict, err := e.Wait(ctx, run, jobs.Succeeded, func(ray.Job, time.Duration, error) {
			if fake.Requests()["GET /api/v0/nodes"] > 0 {
				looks++
			}
			if looks > 5 {
				cancel()
			}
		})
		if verdict != jobs.Interrupted || err != nil {
			t.Errorf("verdict %d, %v", verdict, err)
		}
		if r := fake.Requests(); r["POST /api/jobs/{id}/stop"] != 0 || r["GET /api/v0/actors"] != 0 || r["GET /api/v0/nodes"] != 1 {
			t.Errorf("requests %v, want one look at the nodes and no stop", r)
		}
	})
}

// A job whose driver is on a node that lives goes on, whatever became of the head.
func TestReconcile_leavesALivingJobAlone(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	e := newEngine(t, fake)
	mustSubmit(t, e, request("sleep 3600"))
	job := fake.Jobs()[0]
	now, gone, err := e.Reconcile(t.Context(), job)
	if gone || err != nil || now.Status != ray.JobRunning || fake.Requests()["GET /api/jobs/{id}/logs"] != 0 {
		t.Errorf("%+v, gone %t, %v, requests %v", now, gone, err, fake.Requests())
	}
	// Where the nodes can't be listed there is no sign that it died.
	fake.Fail(raytest.Match{Route: "GET /api/v0/nodes", Times: -1}, raytest.ProxyPage(404))
	if _, gone, err = newEngine(t, fake).Reconcile(t.Context(), job); gone || err != nil {
		t.Errorf("without a list of nodes: gone %t, %v", gone, err)
	}
}

// A list of nodes that is a moment old does not know a node that joined since.
func TestReconcile_knowsANodeThatJustJoined(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	e := newEngine(t, fake)
	mustSubmit(t, e, request("sleep 3600"))
	job := fake.Jobs()[0]
	if _, _, err := e.Reconcile(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	job.DriverNodeID = fake.AddNode(ray.Node{Name: "new"})
	if _, gone, err := e.Reconcile(t.Context(), job); gone || err != nil || fake.Requests()["GET /api/jobs/{id}/logs"] != 0 {
		t.Errorf("gone %t, %v, requests %v", gone, err, fake.Requests())
	}
}
