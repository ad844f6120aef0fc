package jobs_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const postJob = "POST /api/jobs/"

// What was cut off, in any way, is found again: the entrypoint runs once and there
// is one job.
func TestSubmit_runsOnceWhateverIsCutOff(t *testing.T) {
	t.Parallel()
	const entrypoint = "sleep 3600"
	for name, c := range map[string]struct {
		match raytest.Match
		fault raytest.Fault
	}{
		"answer lost":                    {raytest.Match{Route: postJob}, raytest.LoseAnswer()},
		"answer lost three times":        {raytest.Match{Route: postJob, Times: 3}, raytest.LoseAnswer()},
		"half an answer":                 {raytest.Match{Route: postJob}, raytest.HalfAnswer()},
		"proxy gave up after the effect": {raytest.Match{Route: postJob}, raytest.ProxyPageAfter(504)},
		"proxy had no backend":           {raytest.Match{Route: postJob}, raytest.ProxyPage(502)},
		"connection reset":               {raytest.Match{Route: postJob}, raytest.Reset()},
		"no agent yet":                   {raytest.Match{Route: postJob}, raytest.NoAgent()},
		"slow head":                      {raytest.Match{Route: postJob}, raytest.Slow(700 * time.Millisecond)},
		"look-up fails once":             {raytest.Match{Route: "GET /api/jobs/"}, raytest.Reset()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t)
			fake.Fail(c.match, c.fault)
			run, err := newEngine(t, fake).Submit(t.Context(), request(entrypoint))
			if err != nil {
				// Given up: the next process goes on.
				run = mustSubmit(t, newEngine(t, fake), request(entrypoint))
			}
			requireRuns(t, fake, entrypoint, 1)
			if all := fake.Jobs(); len(all) != 1 || all[0].SubmissionID != run.ID {
				t.Errorf("jobs %+v, want only %s", all, run.ID)
			}
			if n := fake.OverlappingSubmits(); n != 0 {
				t.Errorf("%d overlapping POSTs of one id, want none", n)
			}
		})
	}
}

// A frozen agent runs the job after the client has given up: the id is the same in
// the next attempt, so Ray refuses the second.
func TestSubmit_aJobThatStartsLateRunsOnce(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	frozen := fake.Fail(raytest.Match{Route: postJob}, raytest.FreezeAgent())
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-frozen.Hit()
		cancel() // kill -9, or Ctrl-C, while the POST hangs
	}()
	if _, err := newEngine(t, fake).Submit(ctx, request("sleep 3600")); !ray.OutcomeUnknown(err) {
		t.Fatalf("submit: %v, want an error that leaves the outcome open", err)
	}
	second := make(chan jobs.Run)
	go func() {
		run, err := newEngine(t, fake).Submit(t.Context(), request("sleep 3600"))
		if err != nil {
			t.Errorf("second process: %v", err)
		}
		second <- run
	}()
	frozen.Thaw()
	run := <-second
	requireRuns(t, fake, "sleep 3600", 1)
	if all := fake.Jobs(); len(all) != 1 || all[0].SubmissionID != run.ID {
		t.Errorf("jobs %+v, want only %s", all, run.ID)
	}
}

func TestSubmit_processesThatRaceShareOneRun(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	var wait sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		process := newEngine(t, fake)
		wait.Go(func() {
			run, err := process.Submit(t.Context(), request("sleep 3600"))
			if err != nil {
				t.Errorf("process %d: %v", i, err)
			}
			ids[i] = run.ID
		})
	}
	wait.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("ids %v, want one", ids)
			break
		}
	}
	requireRuns(t, fake, "sleep 3600", 1)
}

func TestSubmit_givenUpBeforeThePostRunsNothing(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	slow := fake.Fail(raytest.Match{Route: "GET /api/jobs/"}, raytest.Slow(300*time.Millisecond))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-slow.Hit()
		cancel()
	}()
	_, err := newEngine(t, fake).Submit(ctx, request("sleep 3600"))
	if !ray.IsKind(err, ray.KindCanceled) || ray.OutcomeUnknown(err) {
		t.Errorf("submit: %v, want canceled with nothing sent", err)
	}
	if got := fake.Requests()[postJob]; got != 0 {
		t.Errorf("%d POSTs after the cancel, want none", got)
	}
}

func TestEnd_survivesALostAnswer(t *testing.T) {
	t.Parallel()
	for name, route := range map[string]string{"stop": "POST /api/jobs/{id}/stop", "delete": "DELETE /api/jobs/{id}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t)
			run := mustSubmit(t, newEngine(t, fake), request("sleep 3600"))
			hit := fake.Fail(raytest.Match{Route: route}, raytest.LoseAnswer())
			ref := jobs.Ref{ID: run.ID, ClusterID: run.ClusterID, Stamp: run.Stamp}
			if _, err := newEngine(t, fake).End(t.Context(), ref, true, 10*time.Second); err != nil {
				// The destroy failed with an error; the next one finishes it.
				if _, err := newEngine(t, fake).End(t.Context(), ref, true, 10*time.Second); err != nil {
					t.Fatal(err)
				}
			}
			if hit.Hits() != 1 || len(fake.Jobs()) != 0 {
				t.Errorf("fault hit %d times, jobs left %+v", hit.Hits(), fake.Jobs())
			}
		})
	}
}
