package jobs_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const (
	postJob    = "POST /api/jobs/"
	hasPackage = "GET /api/packages/gcs/{id}"
)

// packed is r with a package, which is looked for before each POST.
func packed(r jobs.Request) jobs.Request {
	r.Packages = []jobs.Package{{URI: "gcs://_ray_pkg_0123456789abcdef.zip", Size: 1, Write: func(_ context.Context, w io.Writer) error {
		_, err := w.Write([]byte("x"))
		return err
	}}}
	return r
}

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
		"look-up fails once":             {raytest.Match{Route: "GET /api/jobs/"}, raytest.Reset()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t)
			fake.Fail(c.match, c.fault)
			submitOnce(t, fake, newEngine(t, fake), request(entrypoint))
		})
	}
	// The client's time is up before the POST takes effect, and the next one comes after it.
	t.Run("slow head", func(t *testing.T) {
		t.Parallel()
		fake := newFake(t)
		slow := fake.Fail(raytest.Match{Route: postJob}, raytest.FreezeAgent())
		go func() {
			<-slow.Hit()
			again := fake.Fail(raytest.Match{Route: hasPackage}, raytest.FreezeAgent())
			<-again.Hit()
			slow.Thaw()
			again.Thaw()
		}()
		submitOnce(t, fake, newImpatientEngine(t, fake, nil, 500*time.Millisecond, 30*time.Second), packed(request(entrypoint)))
		if slow.Hits() != 1 {
			t.Errorf("%d POSTs were slow, want one", slow.Hits())
		}
	})
}

// submitOnce submits r, by the next process where e gives up, and fails unless it ran
// once.
func submitOnce(t *testing.T, fake *raytest.Fake, e *jobs.Engine, r jobs.Request) {
	t.Helper()
	run, err := e.Submit(t.Context(), r)
	if err != nil {
		run = mustSubmit(t, newEngine(t, fake), r)
	}
	requireRuns(t, fake, r.Entrypoint, 1)
	if all := fake.Jobs(); len(all) != 1 || all[0].SubmissionID != run.ID {
		t.Errorf("jobs %+v, want only %s", all, run.ID)
	}
	if n := fake.OverlappingSubmits(); n != 0 {
		t.Errorf("%d overlapping POSTs of one id, want none", n)
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
	look := fake.Fail(raytest.Match{Route: "GET /api/jobs/"}, raytest.FreezeAgent())
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-look.Hit()
		cancel()
		look.Thaw()
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
