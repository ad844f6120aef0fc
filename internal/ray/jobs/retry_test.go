package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

func TestRetry_wants(t *testing.T) {
	t.Parallel()
	r := jobs.Retry{ErrorTypes: jobs.InfrastructureErrors(), ExitCodes: []int{137, -9}}
	for name, c := range map[string]struct {
		job  ray.Job
		want bool
	}{
		"dead supervisor":        {ray.Job{Status: ray.JobFailed, ErrorType: "JOB_SUPERVISOR_ACTOR_DIED"}, true},
		"exit code of the list":  {ray.Job{Status: ray.JobFailed, ErrorType: "JOB_ENTRYPOINT_COMMAND_ERROR", DriverExitCode: new(137)}, true},
		"exit code before 2.51":  {ray.Job{Status: ray.JobFailed, DriverExitCode: new(-9)}, true},
		"another exit code":      {ray.Job{Status: ray.JobFailed, ErrorType: "JOB_ENTRYPOINT_COMMAND_ERROR", DriverExitCode: new(1)}, false},
		"failure before 2.51":    {ray.Job{Status: ray.JobFailed}, false},
		"runtime_env":            {ray.Job{Status: ray.JobFailed, ErrorType: "RUNTIME_ENV_SETUP_FAILURE"}, false},
		"stopped by a person":    {ray.Job{Status: ray.JobStopped}, false},
		"stopped with exit code": {ray.Job{Status: ray.JobStopped, DriverExitCode: new(137)}, false},
		"succeeded":              {ray.Job{Status: ray.JobSucceeded, DriverExitCode: new(0)}, false},
	} {
		if got := r.Wants(c.job); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
}

func TestRetry_backoffDoublesWithJitterUpToItsMaximum(t *testing.T) {
	t.Parallel()
	r := jobs.Retry{MinBackoff: time.Second, MaxBackoff: 6 * time.Second}
	varies := map[time.Duration]bool{}
	for range 200 {
		for n, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 6 * time.Second, 6 * time.Second} {
			got := r.Backoff(n + 1)
			if got < want || got > min(want*3/2, r.MaxBackoff) {
				t.Fatalf("pause %d is %s, want %s to %s", n+1, got, want, min(want*3/2, r.MaxBackoff))
			}
			varies[got] = true
		}
	}
	if len(varies) < 50 {
		t.Errorf("only %d different pauses in 1000", len(varies))
	}
}

// retrying is a run that failed, and its end.
func retrying(t *testing.T, e *jobs.Engine, fake *raytest.Fake, r jobs.Request, o raytest.Outcome) (jobs.Run, ray.Job) {
	t.Helper()
	run := mustSubmit(t, e, r)
	fake.Finish(run.ID, o)
	return run, requireWait(t, e, run, jobs.Succeeded, jobs.Ended)
}

func TestAgain_submitsTheNextAttemptOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*raytest.Fake){
		"nothing is in the way": func(*raytest.Fake) {},
		"the answer is lost":    func(f *raytest.Fake) { f.Fail(raytest.Match{Route: "POST /api/jobs/"}, raytest.LoseAnswer()) },
		"a proxy gives up": func(f *raytest.Fake) {
			f.Fail(raytest.Match{Route: "POST /api/jobs/"}, raytest.ProxyPageAfter(504))
		},
		"the cluster is away at first": func(f *raytest.Fake) {
			f.Fail(raytest.Match{Route: "GET /cluster_id", Times: 2}, raytest.ProxyPage(503))
		},
		"the state API is away at first": func(f *raytest.Fake) {
			f.Fail(raytest.Match{Route: "GET /api/v0/actors", Times: 2}, raytest.ProxyPage(503))
		},
		"the record of the last attempt was deleted": func(f *raytest.Fake) { f.Forget(f.Jobs()[0].SubmissionID) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t)
			e := newEngine(t, fake)
			r := request("sleep 3600")
			r.TellAttempt, r.CheckpointPath = true, "s3://bucket/run"
			run, job := retrying(t, e, fake, r, raytest.SupervisorDied())
			fault(fake)
			next, err := e.Again(t.Context(), r, run, job, time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if next.ID != run.ID+"-2" || next.Attempt != 2 {
				t.Errorf("the next attempt is %+v, want %s-2", next, run.ID)
			}
			requireRuns(t, fake, "sleep 3600", 2)
			all := fake.Jobs()
			if env := string(all[len(all)-1].RuntimeEnv); !strings.Contains(env, `"TF_RAY_ATTEMPT": "2"`) || !strings.Contains(env, `"TF_RAY_CHECKPOINT_PATH": "s3://bucket/run"`) {
				t.Errorf("the job is told %s", env)
			}
		})
	}
}

// A killed apply leaves attempts behind: the next one goes on by the rule.
func TestSubmit_goesOnAfterAnotherProcessesRetries(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	e := newEngine(t, fake)
	run, job := retrying(t, e, fake, request("sleep 3600"), raytest.SupervisorDied())
	second, err := e.Again(t.Context(), request("sleep 3600"), run, job, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustSubmit(t, newEngine(t, fake), request("sleep 3600")); !got.Adopted || got.ID != second.ID || len(got.Earlier) != 1 || got.Earlier[0].SubmissionID != run.ID {
		t.Errorf("another process got %+v, want %s taken over, and %s before it", got, second.ID, run.ID)
	}
	fake.Finish(second.ID, raytest.SupervisorDied())
	if got := mustSubmit(t, newEngine(t, fake), request("sleep 3600")); got.ID != run.ID+"-3" || len(got.Earlier) != 2 {
		t.Errorf("a third process got %+v, want %s-3 after two attempts", got, run.ID)
	}
	requireRuns(t, fake, "sleep 3600", 3)
}

func TestAgain_isGivenUp(t *testing.T) {
	t.Parallel()
	t.Run("by its caller while it pauses", func(t *testing.T) {
		t.Parallel()
		fake := newFake(t)
		e := newEngine(t, fake)
		run, job := retrying(t, e, fake, request("sleep 3600"), raytest.Failed(3))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := e.Again(ctx, request("sleep 3600"), run, job, time.Hour); !ray.IsKind(err, ray.KindCanceled) {
			t.Errorf("got %v, want it canceled", err)
		}
		requireRuns(t, fake, "sleep 3600", 1)
	})
	t.Run("where the cluster was replaced", func(t *testing.T) {
		t.Parallel()
		fake := newFake(t)
		e := newEngine(t, fake)
		run, job := retrying(t, e, fake, request("sleep 3600"), raytest.Failed(3))
		fake.Restart(false)
		if _, err := e.Again(t.Context(), request("sleep 3600"), run, job, 0); !errors.Is(err, jobs.ErrReplaced) {
			t.Errorf("got %v, want %v", err, jobs.ErrReplaced)
		}
		requireRuns(t, fake, "sleep 3600", 1)
	})
	t.Run("where nobody can tell that the last attempt is dead", func(t *testing.T) {
		t.Parallel()
		fake := newFake(t)
		e := newEngine(t, fake)
		fake.Fail(raytest.Match{Route: "GET /api/v0/actors", Times: -1}, raytest.ProxyPage(404))
		run, job := retrying(t, e, fake, request("sleep 3600"), raytest.SupervisorDied())
		if _, err := e.Again(t.Context(), request("sleep 3600"), run, job, 0); !errors.Is(err, jobs.ErrAlive) {
			t.Errorf("got %v, want %v", err, jobs.ErrAlive)
		}
		requireRuns(t, fake, "sleep 3600", 1)
	})
}

// What Ray calls FAILED although its supervisor lives goes on: it is waited for,
// taken over and stopped like a running job, never joined by another attempt.
func TestMisjudgedJob(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*raytest.Fake, *jobs.Engine, jobs.Run) {
		fake := newFake(t)
		e := newEngine(t, fake)
		run := mustSubmit(t, e, request("sleep 3600"))
		if !fake.Misjudge(run.ID) || fake.Jobs()[0].Status != ray.JobFailed {
			t.Fatalf("not misjudged: %+v", fake.Jobs())
		}
		return fake, e, run
	}
	for name, c := range map[string]struct {
		outcome raytest.Outcome
		verdict jobs.Verdict
		status  ray.JobStatus
	}{
		"succeeds after all": {raytest.Succeeded(), jobs.Reached, ray.JobSucceeded},
		"fails after all":    {raytest.Failed(3), jobs.Ended, ray.JobFailed},
		"is stopped":         {raytest.Outcome{Status: ray.JobStopped}, jobs.Ended, ray.JobStopped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, e, run := start(t)
			if job, err := e.Get(t.Context(), run.ID); err != nil || job.Status != ray.JobRunning || !job.EndTime.IsZero() {
				t.Errorf("while it goes on: %+v, %v; want RUNNING", job, err)
			}
			done := make(chan ray.Job)
			go func() {
				job, verdict, err := e.Wait(t.Context(), run, jobs.Succeeded, nil)
				if verdict != c.verdict || err != nil {
					t.Errorf("verdict %d, %v; want %d", verdict, err, c.verdict)
				}
				done <- job
			}()
			if got := mustSubmit(t, newEngine(t, fake), request("sleep 3600")); got.ID != run.ID || !got.Adopted {
				t.Errorf("another process got %+v, want the run taken over", got)
			}
			select {
			case job := <-done:
				t.Fatalf("the wait ended while the job went on: %+v", job)
			case <-time.After(300 * time.Millisecond):
			}
			fake.Finish(run.ID, c.outcome)
			if job := <-done; job.Status != c.status {
				t.Errorf("it ended %s (%s), want %s", job.Status, job.Message, c.status)
			}
			requireRuns(t, fake, "sleep 3600", 1)
		})
	}
	t.Run("is stopped before its record is deleted", func(t *testing.T) {
		t.Parallel()
		fake, _, run := start(t)
		ending, err := newEngine(t, fake).End(t.Context(), jobs.Ref{ID: run.ID, ClusterID: run.ClusterID, Stamp: run.Stamp}, true, 5*time.Second)
		if err != nil || ending != jobs.EndedNow || len(fake.Jobs()) != 0 {
			t.Errorf("ending %d, %v; left %+v", ending, err, fake.Jobs())
		}
		if n := fake.Requests()["POST /api/jobs/{id}/stop"]; n != 1 {
			t.Errorf("%d requests to stop it, want 1", n)
		}
	})
}
