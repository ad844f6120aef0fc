package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
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

// startWaits submits n jobs and waits for them. It returns when each has been looked at
// some times.
func startWaits(t *testing.T, fake *raytest.Fake, e *jobs.Engine, n int) *waits {
	t.Helper()
	w := &waits{t: t, fake: fake, ended: map[string]time.Time{}, noticed: map[string]time.Duration{}, verdict: map[string]jobs.Verdict{}}
	for i := range n {
		r := request("sleep 3600")
		r.Name = fmt.Sprintf("job%d", i)
		w.runs = append(w.runs, mustSubmit(t, e, r))
	}
	looks := make([]atomic.Int64, n)
	for i, run := range w.runs {
		w.all.Go(func() {
			_, v, _ := e.Wait(t.Context(), run, jobs.Succeeded, func(ray.Job, time.Duration, error) { looks[i].Add(1) })
			w.mu.Lock()
			defer w.mu.Unlock()
			w.verdict[run.ID] = v
			w.noticed[run.ID] = time.Since(w.ended[run.ID])
		})
	}
	for i := range looks {
		until(t, func() bool { return looks[i].Load() >= 4 })
	}
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

// until waits until done, and fails after a minute.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); pause(t, 5*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited a minute for nothing")
		}
	}
}

// requireLooks waits for k looks, as count tells them, and fails if they came more often
// than every half a second, as is due after five. It returns what else the fake's head
// was asked meanwhile.
func requireLooks(t *testing.T, fake *raytest.Fake, k int, count func() int) map[string]int {
	t.Helper()
	start := time.Now()
	before := count()
	until(t, func() bool { return count() >= before+k })
	// The first may come at once, and the second was due when the first came late.
	if took, least := time.Since(start), time.Duration(k-2)*500*time.Millisecond; took < least {
		t.Errorf("%d looks came within %s, want at least %s", k, took, least)
	}
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
	e := newEngineWith(t, fake, func(context.Context) (*gcs.Client, error) { return client, nil })
	e.SetGCSPatience(time.Minute) // one that is slow is for others to test
	return e, server
}

// noticedWithin is half a second, and much more for a machine that runs other tests too:
// `make bench` measures it.
const noticedWithin = 5 * time.Second

func TestPoll_oneJobByGETs(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	e, server := served(t, fake)
	w := startWaits(t, fake, e, 1)
	pause(t, 5*time.Second) // it is no new job any more
	before := server.Calls("")
	fake.ResetRequests()
	if n := requireLooks(t, fake, 6, func() int { return fake.Requests()[getJob] }); n[listJobs] != 0 {
		t.Errorf("requests: %v, want only GETs of the job", n)
	}
	if n := server.Calls("") - before; n != 0 {
		t.Errorf("the GCS was asked %d times for one job", n)
	}
	w.end(0, raytest.Succeeded())
	w.requireAll(jobs.Reached)
	if m := w.median(); m > noticedWithin {
		t.Errorf("the end was noticed after %s", m)
	}
	fake.ResetRequests()
	pause(t, 500*time.Millisecond)
	if n := fake.Requests(); len(n) != 0 {
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
		pause(t, 5*time.Second)
		fake.ResetRequests()
		if n := requireLooks(t, fake, 6, func() int { return server.Calls(multiGet) }); n[getJob]+n[listJobs] != 0 {
			t.Errorf("requests to the dashboard: %v, want none for jobs", n)
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
		w := startWaits(t, fake, newEngine(t, fake), many)
		pause(t, 5*time.Second)
		fake.ResetRequests()
		if n := requireLooks(t, fake, 6, func() int { return fake.Requests()[listJobs] }); n[getJob] != 0 {
			t.Errorf("requests: %v, want only lists", n)
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
	before := fake.Requests()[listJobs]
	w := startWaits(t, fake, e, 20)
	until(t, func() bool { return fake.Requests()[listJobs] > before }) // it tells how long it is
	fake.ResetRequests()
	until(t, func() bool { return fake.Requests()[getJob] >= 5*20 })
	if n := fake.Requests(); n[listJobs] != 0 {
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
	until(t, func() bool { return server.Calls(multiGet) > 0 })
	before := fake.Requests()[listJobs]
	server.Stop()
	until(t, func() bool { return fake.Requests()[listJobs] > before })
	w.end(0, raytest.Succeeded())
	w.requireAll(jobs.Reached)
}

func TestPoll_contactLostAndFoundAgain(t *testing.T) {
	t.Parallel()
	for name, many := range map[string]int{"one job": 1, "by GETs": 3, "by lists": 40} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t)
			w := startWaits(t, fake, newEngine(t, fake), many)
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
	until(t, func() bool { return server.Calls(multiGet) > 2 })
	w.mu.Lock()
	early := len(w.verdict)
	w.mu.Unlock()
	if early != 0 {
		t.Errorf("%d verdicts on jobs that run", early)
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
			start := time.Now()
			run := mustSubmit(t, e, request("sleep 3600"))
			if c.since > 0 {
				run.RunningSince = time.Now().Add(-c.since)
			}
			c.limits.Stop = 10 * time.Second
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
