package jobs_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

func newFake(t *testing.T, opts ...raytest.Option) *raytest.Fake {
	t.Helper()
	fake := raytest.NewFake(opts...)
	t.Cleanup(fake.Close)
	return fake
}

// newEngine is a new process: a registry that knows nothing.
func newEngine(t *testing.T, fake *raytest.Fake) *jobs.Engine {
	t.Helper()
	return newEngineWith(t, fake, nil)
}

func newEngineWith(t *testing.T, fake *raytest.Fake, reach func(context.Context) (*gcs.Client, error)) *jobs.Engine {
	t.Helper()
	return newImpatientEngine(t, fake, reach, 5*time.Second, 30*time.Second)
}

// newImpatientEngine gives each request and a lost cluster so long.
func newImpatientEngine(t *testing.T, fake *raytest.Fake, reach func(context.Context) (*gcs.Client, error), request, lost time.Duration) *jobs.Engine {
	t.Helper()
	client, err := dashboard.New(dashboard.Options{URL: fake.URL(), RequestTimeout: request})
	if err != nil {
		t.Fatal(err)
	}
	e := jobs.New(jobs.Options{
		Address:        fake.URL(),
		Dashboard:      func(context.Context) (*dashboard.Client, error) { return client, nil },
		GCS:            reach,
		Registry:       new(jobs.Registry),
		MaxUnreachable: lost,
	})
	e.SetSettled(0)
	return e
}

func request(entrypoint string) jobs.Request {
	return jobs.Request{Inputs: jobs.Inputs{Name: "job", Entrypoint: entrypoint}, Owner: "owner"}
}

func mustSubmit(t *testing.T, e *jobs.Engine, r jobs.Request) jobs.Run {
	t.Helper()
	run, err := e.Submit(t.Context(), r)
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	return run
}

func requireRuns(t *testing.T, fake *raytest.Fake, entrypoint string, want int) {
	t.Helper()
	if got := fake.EntrypointExecutions(entrypoint); got != want {
		t.Errorf("entrypoint %q ran %d times, want %d", entrypoint, got, want)
	}
}

// soon is far less than what a call that is given up would have waited for, and more
// than a busy machine adds.
const soon = 15 * time.Second

func requireWait(t *testing.T, e *jobs.Engine, run jobs.Run, goal jobs.Goal, want jobs.Verdict) ray.Job {
	t.Helper()
	job, got, err := e.Wait(t.Context(), run, goal, nil)
	if got != want {
		t.Fatalf("verdict %d (%s, %v), want %d", got, job.Status, err, want)
	}
	return job
}

func TestSubmit_aSecondProcessTakesTheRunOver(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	first := mustSubmit(t, newEngine(t, fake), request("true"))
	requireWait(t, newEngine(t, fake), first, jobs.Succeeded, jobs.Reached)
	second := mustSubmit(t, newEngine(t, fake), request("true"))
	if !second.Adopted || second.ID != first.ID || second.Job.Status != ray.JobSucceeded {
		t.Errorf("second submit got %+v, want %s taken over", second, first.ID)
	}
	requireRuns(t, fake, "true", 1)
}

func TestSubmit_whatEndedBadlyRunsAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		outcome    raytest.Outcome
		keepFailed bool
		wantID     string
	}{
		"FAILED":               {raytest.Failed(3), false, "-2"},
		"FAILED but kept":      {raytest.Failed(3), true, ""},
		"STOPPED":              {raytest.Outcome{Status: ray.JobStopped}, false, "-2"},
		"STOPPED is not kept":  {raytest.Outcome{Status: ray.JobStopped}, true, "-2"},
		"SUCCEEDED":            {raytest.Succeeded(), false, ""},
		"SUCCEEDED also kept ": {raytest.Succeeded(), true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t, raytest.WithHeldJobs())
			r := request("sleep 3600")
			r.KeepFailed = c.keepFailed
			first := mustSubmit(t, newEngine(t, fake), r)
			fake.Start(first.ID)
			fake.Finish(first.ID, c.outcome)
			second := mustSubmit(t, newEngine(t, fake), r)
			if second.ID != first.ID+c.wantID {
				t.Errorf("second submission %s, want %s%s", second.ID, first.ID, c.wantID)
			}
			if second.Adopted != (c.wantID == "") {
				t.Errorf("adopted %t", second.Adopted)
			}
		})
	}
}

// The first attempt's record may be deleted while the second lives: the sequence
// goes on behind the highest.
func TestSubmit_countsTheHighestAttempt(t *testing.T) {
	t.Parallel()
	fake := newFake(t, raytest.WithHeldJobs())
	first := mustSubmit(t, newEngine(t, fake), request("sleep 3600"))
	fake.Start(first.ID)
	fake.Finish(first.ID, raytest.Failed(1))
	second := mustSubmit(t, newEngine(t, fake), request("sleep 3600"))
	fake.Forget(first.ID)
	third := mustSubmit(t, newEngine(t, fake), request("sleep 3600"))
	if !third.Adopted || third.ID != second.ID || third.Attempt != 2 {
		t.Errorf("third submit got %s (adopted %t), want %s taken over", third.ID, third.Adopted, second.ID)
	}
}

func TestSubmit_afterAReleaseInThisProcessRunsAgain(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]bool{"deleted": true, "kept": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t)
			old := mustSubmit(t, newEngine(t, fake), request("true"))
			requireWait(t, newEngine(t, fake), old, jobs.Succeeded, jobs.Reached)
			for want := 2; want <= 4; want++ { // -replace, three times
				process := newEngine(t, fake)
				ref := jobs.Ref{ID: old.ID, ClusterID: old.ClusterID, Stamp: old.Stamp}
				if _, err := process.End(t.Context(), ref, remove, time.Second); err != nil {
					t.Fatal(err)
				}
				old = mustSubmit(t, process, request("true"))
				if old.Adopted || old.Attempt != want {
					t.Errorf("replacement is attempt %d (adopted %t), want a new attempt %d", old.Attempt, old.Adopted, want)
				}
				requireWait(t, process, old, jobs.Succeeded, jobs.Reached)
			}
			requireRuns(t, fake, "true", 4)
		})
	}
}

func TestSubmit_oneIDIsOwnedOncePerProcess(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	process := newEngine(t, fake)
	run := mustSubmit(t, process, request("sleep 60"))
	_, err := process.Submit(t.Context(), request("sleep 60"))
	var claimed *jobs.ClaimedError
	if !errors.As(err, &claimed) || claimed.ID != run.ID {
		t.Errorf("second claim: %v, want a ClaimedError for %s", err, run.ID)
	}
	if ending, err := process.End(t.Context(), jobs.Ref{ID: run.ID, Stamp: run.Stamp}, true, time.Second); err != nil || ending != jobs.OwnedHere {
		t.Errorf("delete of what this process submitted: %v, %v; want it left alone", ending, err)
	}
	requireRuns(t, fake, "sleep 60", 1)
}

func TestSubmit_anotherOwnersJobIsNotOurs(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	first := mustSubmit(t, newEngine(t, fake), request("true"))
	other := request("true")
	other.Owner = "somebody else"
	second := mustSubmit(t, newEngine(t, fake), other)
	if second.Adopted || second.ID == first.ID {
		t.Errorf("another owner's submit got %+v, want a job of its own", second)
	}
	requireRuns(t, fake, "true", 2)
}

func TestSubmit_aForeignJobUnderTheIDIsNamed(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	r := request("true")
	digest, err := r.Digest()
	if err != nil {
		t.Fatal(err)
	}
	id := jobs.BaseID(r.Owner, r.Name, digest)
	client, err := dashboard.New(dashboard.Options{URL: fake.URL()})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Submit(t.Context(), ray.Submission{SubmissionID: id, Entrypoint: "echo theirs"}); err != nil {
		t.Fatal(err)
	}
	_, err = newEngine(t, fake).Submit(t.Context(), r)
	var foreign *jobs.ForeignError
	if !errors.As(err, &foreign) || foreign.Job.Entrypoint != "echo theirs" {
		t.Errorf("submit: %v, want a ForeignError that shows their entrypoint", err)
	}
	requireRuns(t, fake, "true", 0)
}

func TestSubmit_anOwnIDIsRunAgainOnlyWhereItEndedBadly(t *testing.T) {
	t.Parallel()
	fake := newFake(t, raytest.WithHeldJobs())
	r := jobs.Request{Inputs: jobs.Inputs{SubmissionID: "mine", Entrypoint: "sleep 3600"}, Owner: "owner"}
	first := mustSubmit(t, newEngine(t, fake), r)
	if again := mustSubmit(t, newEngine(t, fake), r); first.ID != "mine" || !again.Adopted {
		t.Errorf("a live job under an own id: %+v, want it taken over", again)
	}
	fake.Start("mine")
	fake.Finish("mine", raytest.Failed(1))
	if again := mustSubmit(t, newEngine(t, fake), r); again.ID != "mine" || again.Adopted {
		t.Errorf("a FAILED job under an own id: %+v, want it submitted again", again)
	}
	fake.Start("mine")
	fake.Finish("mine", raytest.Succeeded())
	changed := r
	changed.Entrypoint = "sleep 3601"
	_, err := newEngine(t, fake).Submit(t.Context(), changed)
	if !errors.As(err, new(*jobs.ForeignError)) {
		t.Errorf("other inputs under an own id that SUCCEEDED: %v, want a ForeignError", err)
	}
}

func TestWait_verdicts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		happens func(*raytest.Fake, string)
		goal    jobs.Goal
		want    jobs.Verdict
	}{
		"reached":               {func(f *raytest.Fake, id string) { f.Start(id); f.Finish(id, raytest.Succeeded()) }, jobs.Succeeded, jobs.Reached},
		"running is enough":     {func(f *raytest.Fake, id string) { f.Start(id) }, jobs.Running, jobs.Reached},
		"running then over":     {func(f *raytest.Fake, id string) { f.Finish(id, raytest.Succeeded()) }, jobs.Running, jobs.Reached},
		"failed":                {func(f *raytest.Fake, id string) { f.Start(id); f.Finish(id, raytest.Failed(3)) }, jobs.Succeeded, jobs.Ended},
		"failed while starting": {func(f *raytest.Fake, id string) { f.Finish(id, raytest.Failed(3)) }, jobs.Running, jobs.Ended},
		"record deleted":        {func(f *raytest.Fake, id string) { f.Forget(id) }, jobs.Succeeded, jobs.Missing},
		"cluster replaced":      {func(f *raytest.Fake, _ string) { f.Restart(false) }, jobs.Succeeded, jobs.Replaced},
		"away for a moment":     {func(f *raytest.Fake, id string) { f.Down(); f.Start(id); f.Finish(id, raytest.Succeeded()); _ = f.Up() }, jobs.Succeeded, jobs.Reached},
		"away for ever":         {func(f *raytest.Fake, _ string) { f.Down() }, jobs.Succeeded, jobs.LostContact},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t, raytest.WithHeldJobs())
			e := newEngine(t, fake)
			if c.want == jobs.LostContact {
				e = newImpatientEngine(t, fake, nil, 5*time.Second, time.Second)
			}
			run := mustSubmit(t, e, request("sleep 3600"))
			timer := time.AfterFunc(150*time.Millisecond, func() { c.happens(fake, run.ID) })
			defer timer.Stop()
			requireWait(t, e, run, c.goal, c.want)
		})
	}
}

func TestWait_tellsADeadlineFromAnInterrupt(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	e := newEngine(t, fake)
	run := mustSubmit(t, e, request("sleep 60"))
	late, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, jobs.ErrDeadline)
	defer cancel()
	if _, v, _ := e.Wait(late, run, jobs.Succeeded, nil); v != jobs.Deadline {
		t.Errorf("verdict %d, want Deadline", v)
	}
	stopped, stop := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, stop)
	start := time.Now()
	if _, v, _ := e.Wait(stopped, run, jobs.Succeeded, nil); v != jobs.Interrupted {
		t.Errorf("verdict %d, want Interrupted", v)
	}
	if waited := time.Since(start); waited > soon {
		t.Errorf("returned %s after the interrupt", waited)
	}
}

func TestEnd_neverTouchesAnotherClustersJob(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	run := mustSubmit(t, newEngine(t, fake), request("sleep 60"))
	ref := jobs.Ref{ID: run.ID, ClusterID: run.ClusterID, Stamp: run.Stamp}
	fake.Restart(false)
	theirs := mustSubmit(t, newEngine(t, fake), request("sleep 60"))
	if theirs.ID != run.ID {
		t.Fatalf("the new cluster's job is %s, want the same id", theirs.ID)
	}
	if ending, err := newEngine(t, fake).End(t.Context(), ref, true, time.Second); err != nil || ending != jobs.NotOurs {
		t.Errorf("end: %v, %v; want NotOurs", ending, err)
	}
	if got := fake.Executions(run.ID); got == 0 || len(fake.Jobs()) != 1 || fake.Jobs()[0].Status.Terminal() {
		t.Errorf("the other cluster's job was touched: %+v", fake.Jobs())
	}
}

func TestEnd_stopsWaitsAndDeletes(t *testing.T) {
	t.Parallel()
	fake := newFake(t, raytest.WithStopDelay(300*time.Millisecond))
	run := mustSubmit(t, newEngine(t, fake), request("sleep 60"))
	ref := jobs.Ref{ID: run.ID, ClusterID: run.ClusterID, Stamp: run.Stamp}
	if ending, err := newEngine(t, fake).End(t.Context(), ref, true, 5*time.Second); err != nil || ending != jobs.EndedNow {
		t.Fatalf("end: %v, %v", ending, err)
	}
	if left := fake.Jobs(); len(left) != 0 {
		t.Errorf("jobs left: %+v", left)
	}
	if ending, err := newEngine(t, fake).End(t.Context(), ref, true, time.Second); err != nil || ending != jobs.EndedBefore {
		t.Errorf("second end: %v, %v; want EndedBefore", ending, err)
	}
}

// The list of a cluster's jobs was read before an attempt ended that the look at it
// finds over.
func TestDecide_anAttemptThatJustEndedIsAnEarlierOne(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	run := mustSubmit(t, newEngine(t, fake), request("sleep 60"))
	look := fake.Fail(raytest.Match{Route: "GET /api/jobs/{id}"}, raytest.FreezeAgent())
	go func() {
		<-look.Hit()
		fake.Finish(run.ID, raytest.SupervisorDied())
		look.Thaw()
	}()
	d, err := newEngine(t, fake).Decide(t.Context(), request("sleep 60"), false)
	if err != nil {
		t.Fatal(err)
	}
	if d.Attempt != 2 || d.Failed == nil || len(d.Earlier) != 1 || d.Earlier[0].Status != ray.JobFailed {
		t.Errorf("decision %+v, want attempt 2 after attempt 1, which FAILED", d)
	}
}

// The agent that watched a job whose record somebody deleted right after its end
// would fail the next job under its id.
func TestEnd_waitsUntilADeletedJobHasSettled(t *testing.T) {
	t.Parallel()
	const lag = 400 * time.Millisecond
	fake := newFake(t, raytest.WithMonitorLag(lag))
	first := mustSubmit(t, newEngine(t, fake), request("true"))
	requireWait(t, newEngine(t, fake), first, jobs.Succeeded, jobs.Reached)
	ref := jobs.Ref{ID: first.ID, ClusterID: first.ClusterID, Stamp: first.Stamp, EndTime: time.Now()}
	fake.Forget(first.ID)
	e := newEngine(t, fake)
	e.SetSettled(lag + 200*time.Millisecond)
	if ending, err := e.End(t.Context(), ref, true, time.Second); err != nil || ending != jobs.EndedBefore {
		t.Fatalf("end: %v, %v; want EndedBefore", ending, err)
	}
	again := mustSubmit(t, newEngine(t, fake), request("true"))
	if again.ID != first.ID {
		t.Fatalf("the next job is %s, want %s again", again.ID, first.ID)
	}
	requireWait(t, newEngine(t, fake), again, jobs.Succeeded, jobs.Reached)
	time.Sleep(2 * lag) // a ghost would come meanwhile
	if job := fake.Jobs()[0]; job.Status != ray.JobSucceeded {
		t.Errorf("the next job is %s: %s", job.Status, job.Message)
	}
}

// A ghost is what Ray leaves of a job that was deleted right after its end. It has
// no stamp, but under an id that only these inputs have it is nobody else's job.
func TestSubmit_aGhostIsNoForeignJob(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]jobs.Request{
		"generated id": request("true"),
		"own id":       {Inputs: jobs.Inputs{SubmissionID: "mine", Entrypoint: "true"}, Owner: "owner"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const lag = time.Second
			clock := raytest.NewClock()
			fake := newFake(t, raytest.WithMonitorLag(lag), raytest.WithClock(clock.Now))
			first := mustSubmit(t, newEngine(t, fake), r)
			requireWait(t, newEngine(t, fake), first, jobs.Succeeded, jobs.Reached)
			client, err := dashboard.New(dashboard.Options{URL: fake.URL()})
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Delete(t.Context(), first.ID); err != nil {
				t.Fatal(err)
			}
			clock.Advance(lag)
			if all := fake.Jobs(); len(all) != 1 || all[0].Entrypoint != "Entrypoint not found." {
				t.Fatalf("jobs %+v, want a ghost", all)
			}
			if _, err := newEngine(t, fake).Get(t.Context(), first.ID); !ray.IsKind(err, ray.KindNotFound) {
				t.Errorf("get of a ghost: %v, want not found", err)
			}
			second := mustSubmit(t, newEngine(t, fake), r)
			if second.Adopted {
				t.Errorf("a ghost was taken over: %+v", second)
			}
			requireWait(t, newEngine(t, fake), second, jobs.Succeeded, jobs.Reached)
		})
	}
}

func TestEnd_deletesOnlyOnceTheRecordStaysAway(t *testing.T) {
	t.Parallel()
	fake := newFake(t, raytest.WithMonitorLag(500*time.Millisecond))
	run := mustSubmit(t, newEngine(t, fake), request("sleep 3600"))
	process := newEngine(t, fake)
	process.SetSettled(700 * time.Millisecond)
	if _, err := process.End(t.Context(), jobs.Ref{ID: run.ID, Stamp: run.Stamp}, true, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if all := fake.Jobs(); len(all) != 0 {
		t.Errorf("jobs %+v, want none", all)
	}
}

func TestEnd_deletesOnlyOnceTheRecordStaysAway_alsoWhereTheHeadsClockIsAhead(t *testing.T) {
	t.Parallel()
	ahead := func() time.Time { return time.Now().Add(time.Hour) }
	fake := newFake(t, raytest.WithClock(ahead))
	run := mustSubmit(t, newEngine(t, fake), request("true"))
	process := newEngine(t, fake)
	process.SetSettled(300 * time.Millisecond)
	start := time.Now()
	if _, err := process.End(t.Context(), jobs.Ref{ID: run.ID, Stamp: run.Stamp}, true, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(start); waited < 300*time.Millisecond {
		t.Errorf("the record was deleted after %s", waited)
	}
}

func TestSubmit_recordsTheClusterThatTookTheJob(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	fake.Fail(raytest.Match{Route: postJob}, raytest.NoAgent())
	look := fake.Fail(raytest.Match{Route: hasPackage, Skip: 1}, raytest.FreezeAgent()) // before the second try
	go func() {
		<-look.Hit()
		fake.Restart(false) // the head is replaced between two tries
		look.Thaw()
	}()
	e := newEngine(t, fake)
	run := mustSubmit(t, e, packed(request("true")))
	if same, err := e.SameCluster(t.Context(), run.ClusterID); err != nil || !same {
		t.Errorf("the run is recorded on cluster %s, which is not the one that has it (%v)", run.ClusterID, err)
	}
}

// withGCS is an engine that reaches a GCS of the fake's jobs.
func withGCS(t *testing.T, fake *raytest.Fake) *jobs.Engine {
	t.Helper()
	server, err := raytest.StartFakeGCS(raytest.GCSState{
		Refresh: func(s *raytest.GCSState) { s.Jobs = fake.Jobs() },
		Kill:    func(id string) { fake.Finish(id, raytest.SupervisorDied()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	client, err := gcs.New(gcs.Options{Address: server.Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return newEngineWith(t, fake, func(context.Context) (*gcs.Client, error) { return client, nil })
}

func TestEnd_aJobThatWaitsForResources(t *testing.T) {
	t.Parallel()
	r := request("true")
	r.Resources = ray.Resources{"nowhere": 1}

	fake := newFake(t)
	e := withGCS(t, fake)
	run := mustSubmit(t, e, r)
	if ending, err := withGCS(t, fake).End(t.Context(), jobs.Ref{ID: run.ID, Stamp: run.Stamp}, true, 5*time.Second); ending != jobs.EndedNow || err != nil {
		t.Errorf("with the GCS: %d, %v", ending, err)
	}
	if left := fake.Jobs(); len(left) != 0 {
		t.Errorf("with the GCS %v is left", left)
	}
	requireRuns(t, fake, "true", 0)

	run = mustSubmit(t, newEngine(t, fake), r)
	_, err := newEngine(t, fake).End(t.Context(), jobs.Ref{ID: run.ID, Stamp: run.Stamp}, true, 1500*time.Millisecond)
	if goesOn, ok := errors.AsType[*jobs.StopTimeoutError](err); !ok || goesOn.Status != ray.JobPending {
		t.Errorf("without a GCS: %v, want a StopTimeoutError", err)
	}
	if left := fake.Jobs(); len(left) != 1 {
		t.Errorf("without a GCS Ray has %v, want the job", left)
	}
}
