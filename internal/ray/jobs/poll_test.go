package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const (
	getJob   = "GET /api/jobs/{id}"
	listJobs = "GET /api/jobs/"
	stopJob  = "POST /api/jobs/{id}/stop"
	multiGet = "InternalKVMultiGet"
)

// waits is a number of jobs that run and are waited for by one process.
type waits struct {
	t    *testing.T
	fake *raytest.Fake
	runs []jobs.Run
	all  sync.WaitGroup

	mu      sync.Mutex
	ended   map[string]time.Time // by the test
	noticed map[string]time.Duration
	verdict map[string]jobs.Verdict
}

// startWaits submits n jobs and waits for them. It returns when all have been looked
// at for a while.
func startWaits(t *testing.T, fake *raytest.Fake, e *jobs.Engine, n int) *waits {
	t.Helper()
	w := &waits{t: t, fake: fake, ended: map[string]time.Time{}, noticed: map[string]time.Duration{}, verdict: map[string]jobs.Verdict{}}
	for i := range n {
		r := request("sleep 3600")
		r.Name = fmt.Sprintf("job%d", i)
		w.runs = append(w.runs, mustSubmit(t, e, r))
	}
	for _, run := range w.runs {
		w.all.Go(func() {
			_, v, _ := e.Wait(t.Context(), run, jobs.Succeeded, nil)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.verdict[run.ID] = v
			w.noticed[run.ID] = time.Since(w.ended[run.ID])
		})
	}
	pause(t, 1200*time.Millisecond)
	return w
}

// end ends all jobs, one after another within d.
func (w *waits) end(d time.Duration, o raytest.Outcome) {
	w.t.Helper()
	for _, run := range w.runs {
		pause(w.t, d/time.Duration(len(w.runs)))
		w.mu.Lock()
		w.ended[run.ID] = time.Now()
		w.mu.Unlock()
		if !w.fake.Finish(run.ID, o) {
			w.t.Errorf("job %s was over already", run.ID)
		}
	}
	w.all.Wait()
}

// median is how long after its end half of the jobs were seen to be over.
func (w *waits) median() time.Duration {
	var all []time.Duration
	for _, d := range w.noticed {
		all = append(all, d)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (w *waits) requireAll(want jobs.Verdict) {
	w.t.Helper()
	for _, run := range w.runs {
		if got := w.verdict[run.ID]; got != want {
			w.t.Errorf("verdict on %s is %d, want %d", run.ID, got, want)
		}
	}
}

// pause lets real time pass, which the poller goes by.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// requests is what the fake's head was asked in d.
func requests(t *testing.T, fake *raytest.Fake, d time.Duration) map[string]int {
	t.Helper()
	fake.ResetRequests()
	pause(t, d)
	return fake.Requests()
}

// served is an engine that reaches the fake's GCS.
func served(t *testing.T, fake *raytest.Fake) (*jobs.Engine, *raytest.FakeGCS) {
	t.Helper()
	server, err := fake.ServeGCS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	client, err := gcs.New(gcs.Options{Address: server.Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return newPatientEngine(t, fake, func(context.Context) (*gcs.Client, error) { return client, nil }, 5*time.Second), server
}

// noticedWithin is half a second, and three times as much again for a machine that runs
// other tests too: `make bench` measures it.
const noticedWithin = 2 * time.Second

func TestPoll_oneJobByGETs(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	e, server := served(t, fake)
	w := startWaits(t, fake, e, 1)
	pause(t, 4*time.Second) // it is no new job any more
	before := server.Calls("")
	if n := requests(t, fake, 3*time.Second); n[getJob] < 4 || n[getJob] > 8 || n[listJobs] != 0 {
		t.Errorf("requests in 3s: %v, want about 6 GETs of the job", n)
	}
	if n := server.Calls("") - before; n != 0 {
		t.Errorf("the GCS was asked %d times for one job", n)
	}
	w.end(0, raytest.Succeeded())
	w.requireAll(jobs.Reached)
	if m := w.median(); m > noticedWithin {
		t.Errorf("the end was noticed after %s", m)
	}
	if n := requests(t, fake, 500*time.Millisecond); len(n) != 0 {
		t.Errorf("requests while nobody waits: %v", n)
	}
}

// It counts requests and measures time, so it runs alone.
func TestPoll_manyJobsShareTheirLooks(t *testing.T) {
	const many = 200
	t.Run("by the GCS", func(t *testing.T) {
		fake := newFake(t)
		e, server := served(t, fake)
		w := startWaits(t, fake, e, many)
		pause(t, 4*time.Second)
		before := server.Calls(multiGet)
		if n := requests(t, fake, 3*time.Second); n[getJob]+n[listJobs] != 0 {
			t.Errorf("requests to the dashboard in 3s: %v, want none for jobs", n)
		}
		if n := server.Calls(multiGet) - before; n < 2 || n > 12 {
			t.Errorf("%d calls of the GCS in 3s for %d jobs, want about 6", n, many)
		}
		fake.ResetRequests()
		w.end(2*time.Second, raytest.Failed(1))
		w.requireAll(jobs.Ended)
		if n := fake.Requests(); n[getJob] != many || n[listJobs] != 0 {
			t.Errorf("requests for the verdicts: %v, want one GET for each", n)
		}
		if m := w.median(); m > noticedWithin {
			t.Errorf("half of the ends were noticed after %s", m)
		}
	})
	t.Run("by lists", func(t *testing.T) {
		fake := newFake(t)
		w := startWaits(t, fake, newPatientEngine(t, fake, nil, 5*time.Second), many)
		pause(t, 4*time.Second)
		if n := requests(t, fake, 3*time.Second); n[listJobs] < 2 || n[listJobs] > 12 || n[getJob] != 0 {
			t.Errorf("requests in 3s: %v, want about 6 lists", n)
		}
		w.end(2*time.Second, raytest.Succeeded())
		w.requireAll(jobs.Reached)
		if m := w.median(); m > noticedWithin {
			t.Errorf("half of the ends were noticed after %s", m)
		}
	})
}

// A list of very many records costs a head more than a GET for each job.
func TestPoll_aHandfulAmongManyRecordsByGETs(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	e := newEngine(t, fake)
	for i := range 200 {
		r := request("true")
		r.Name = fmt.Sprintf("old%d", i)
		mustSubmit(t, e, r)
	}
	w := startWaits(t, fake, e, 20)
	if n := requests(t, fake, 2*time.Second); n[listJobs] != 0 || n[getJob] < 20 {
		t.Errorf("requests for 20 of 220 jobs: %v, want only GETs", n)
	}
	w.end(0, raytest.Succeeded())
	w.requireAll(jobs.Reached)
}

func TestPoll_outlivesItsGCS(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	e, server := served(t, fake)
	w := startWaits(t, fake, e, 30)
	if server.Calls(multiGet) == 0 {
		t.Fatal("the GCS was not asked for 30 jobs")
	}
	server.Stop()
	if n := requests(t, fake, 2*time.Second); n[listJobs] == 0 {
		t.Errorf("requests without the GCS: %v, want lists", n)
	}
	w.end(0, raytest.Succeeded())
	w.requireAll(jobs.Reached)
}

func TestPoll_contactLostAndFoundAgain(t *testing.T) {
	t.Parallel()
	for name, many := range map[string]int{"one job": 1, "by GETs": 3, "by lists": 40} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t)
			w := startWaits(t, fake, newPatientEngine(t, fake, nil, 5*time.Second), many)
			fake.Down()
			pause(t, 1500*time.Millisecond)
			if err := fake.Up(); err != nil {
				t.Fatal(err)
			}
			w.end(0, raytest.Succeeded())
			w.requireAll(jobs.Reached)
		})
	}
}

func TestPoll_aReplacedClusterIsToldToAll(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	e, _ := served(t, fake)
	w := startWaits(t, fake, e, 30)
	fake.Restart(false)
	w.all.Wait()
	w.requireAll(jobs.Replaced)
}

// A record in the GCS may be stale or wrong: no verdict rests on it.
func TestPoll_verdictsRestOnTheJobsAPI(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	server, err := raytest.StartFakeGCS(raytest.GCSState{Refresh: func(s *raytest.GCSState) {
		s.Jobs = fake.Jobs()
		for i := range s.Jobs {
			s.Jobs[i].Status = ray.JobFailed
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	client, err := gcs.New(gcs.Options{Address: server.Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	e := newEngineWith(t, fake, func(context.Context) (*gcs.Client, error) { return client, nil })
	w := startWaits(t, fake, e, 2)
	w.mu.Lock()
	early := len(w.verdict)
	w.mu.Unlock()
	if early != 0 || server.Calls(multiGet) == 0 {
		t.Errorf("%d verdicts on jobs that run, %d calls of the GCS", early, server.Calls(multiGet))
	}
	w.end(0, raytest.Succeeded())
	w.requireAll(jobs.Reached)
}

func TestWaitWithin_stopsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	for name, c := range map[string]struct {
		opts   []raytest.Option
		limits jobs.Limits
		since  time.Duration // it has been RUNNING already, as an earlier wait saw
		goal   jobs.Goal
		want   jobs.Verdict
		status ray.JobStatus
		least  time.Duration
	}{
		"never starts":          {[]raytest.Option{raytest.WithHeldJobs()}, jobs.Limits{Start: limit}, 0, jobs.Running, jobs.NotStarted, ray.JobFailed, limit},
		"runs too long":         {nil, jobs.Limits{Execution: limit}, 0, jobs.Succeeded, jobs.Overrun, ray.JobStopped, limit},
		"ran before this wait":  {nil, jobs.Limits{Execution: time.Hour}, 2 * time.Hour, jobs.Succeeded, jobs.Overrun, ray.JobStopped, 0},
		"waits long, then runs": {[]raytest.Option{raytest.WithStartDelay(2 * limit)}, jobs.Limits{Execution: limit}, 0, jobs.Succeeded, jobs.Overrun, ray.JobStopped, 3 * limit},
		"started in time":       {nil, jobs.Limits{Start: limit}, 0, jobs.Running, jobs.Reached, ray.JobRunning, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t, c.opts...)
			e := withGCS(t, fake)
			run := mustSubmit(t, e, request("sleep 3600"))
			if c.since > 0 {
				run.RunningSince = time.Now().Add(-c.since)
			}
			c.limits.Stop = 10 * time.Second
			start := time.Now()
			job, v, err := e.WaitWithin(t.Context(), run, c.goal, c.limits, nil)
			if v != c.want || err != nil || job.Status != c.status {
				t.Errorf("verdict %d on a job that is %s (%v), want %d, %s", v, job.Status, err, c.want, c.status)
			}
			if took := time.Since(start); took < c.least {
				t.Errorf("given up after %s, want at least %s", took, c.least)
			}
		})
	}
}

func TestWaitWithin_aJobThatEndsBeforeItIsStoppedCounts(t *testing.T) {
	t.Parallel()
	fake := newFake(t, raytest.WithStopDelay(time.Hour))
	e := newEngine(t, fake)
	run := mustSubmit(t, e, request("sleep 3600"))
	asked := fake.Fail(raytest.Match{Route: stopJob}, raytest.Slow(0))
	go func() {
		<-asked.Hit()
		fake.Finish(run.ID, raytest.Succeeded())
	}()
	job, v, err := e.WaitWithin(t.Context(), run, jobs.Succeeded, jobs.Limits{Execution: 200 * time.Millisecond, Stop: 10 * time.Second}, nil)
	if v != jobs.Reached || err != nil || job.Status != ray.JobSucceeded {
		t.Errorf("verdict %d on a job that is %s (%v), want Reached", v, job.Status, err)
	}
}

func TestWaitWithin_saysWhereTheStopDidNotSucceed(t *testing.T) {
	t.Parallel()
	fake := newFake(t, raytest.WithStopDelay(time.Hour))
	e := newEngine(t, fake)
	run := mustSubmit(t, e, request("sleep 3600"))
	limits := jobs.Limits{Execution: 100 * time.Millisecond, Stop: 300 * time.Millisecond}
	job, v, err := e.WaitWithin(t.Context(), run, jobs.Succeeded, limits, nil)
	if v != jobs.Overrun || !errors.As(err, new(*jobs.StopTimeoutError)) || job.Status != ray.JobRunning {
		t.Errorf("verdict %d on a job that is %s, error %v; want Overrun, RUNNING, a StopTimeoutError", v, job.Status, err)
	}
}
