package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// newLimited is a process that may have so many active jobs.
func newLimited(t *testing.T, fake *raytest.Fake, limit int) *jobs.Engine {
	t.Helper()
	client, err := dashboard.New(dashboard.Options{URL: fake.URL()})
	if err != nil {
		t.Fatal(err)
	}
	return jobs.New(jobs.Options{
		Address:        fake.URL(),
		Dashboard:      func(context.Context) (*dashboard.Client, error) { return client, nil },
		Registry:       new(jobs.Registry),
		MaxUnreachable: time.Second,
		MaxActive:      limit,
	})
}

func named(i int, entrypoint string) jobs.Request {
	r := request(entrypoint)
	r.Name = fmt.Sprintf("job%d", i)
	return r
}

func active(fake *raytest.Fake) int {
	n := 0
	for _, j := range fake.Jobs() {
		if !j.Status.Terminal() {
			n++
		}
	}
	return n
}

func TestMaxActive_isNeverExceeded(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]bool{"waited for": true, "only submitted": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const limit, all = 3, 12
			fake := newFake(t)
			e := newLimited(t, fake, limit)
			most, queued := 0, 0
			var mu sync.Mutex
			var submits sync.WaitGroup
			for i := range all {
				submits.Go(func() {
					r := named(i, "sleep 0.3")
					r.Queued = func(_ time.Duration, n int) {
						mu.Lock()
						defer mu.Unlock()
						queued++
						if n != limit {
							t.Errorf("job %d waits for %d others, want %d", i, n, limit)
						}
					}
					run := mustSubmit(t, e, r)
					mu.Lock()
					most = max(most, active(fake))
					mu.Unlock()
					if wait {
						requireWait(t, e, run, jobs.Succeeded, jobs.Reached)
					}
				})
			}
			submits.Wait()
			if most > limit || queued == 0 {
				t.Errorf("%d jobs were active at once, want at most %d; %d waits for a turn", most, limit, queued)
			}
			requireRuns(t, fake, "sleep 0.3", all)
		})
	}
}

func TestMaxActive_whatIsTakenOverCountsAndDoesNotWait(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	const entrypoint = "sleep 3600"
	for i := range 2 {
		mustSubmit(t, newEngine(t, fake), named(i, entrypoint))
	}
	e := newLimited(t, fake, 1)
	for i := range 2 {
		if run := mustSubmit(t, e, named(i, entrypoint)); !run.Adopted {
			t.Errorf("job %d was not taken over", i)
		}
	}
	r := named(2, entrypoint)
	r.QueueTimeout = 300 * time.Millisecond
	_, err := e.Submit(t.Context(), r)
	if late, ok := errors.AsType[*jobs.QueueTimeoutError](err); !ok || late.Active != 2 {
		t.Errorf("submit behind two jobs: %v, want a QueueTimeoutError", err)
	}
	// One that was refused is nobody's, and may come again.
	for _, j := range fake.Jobs() {
		fake.Finish(j.SubmissionID, raytest.Succeeded())
	}
	r.QueueTimeout = 0
	mustSubmit(t, e, r)
	requireRuns(t, fake, entrypoint, 3)
}

func TestMaxActive_givenUpWhileInTheQueueRunsNothing(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	e := newLimited(t, fake, 1)
	mustSubmit(t, e, named(0, "sleep 3600"))
	ctx, cancel := context.WithCancel(t.Context())
	r := named(1, "echo second")
	r.Queued = func(time.Duration, int) { cancel() }
	start := time.Now()
	if _, err := e.Submit(ctx, r); !ray.IsKind(err, ray.KindCanceled) || ray.OutcomeUnknown(err) {
		t.Errorf("submit: %v, want canceled with nothing sent", err)
	}
	if took := time.Since(start); took > soon {
		t.Errorf("returned after %s", took)
	}
	requireRuns(t, fake, "echo second", 0)
}

func TestMaxActive_aQueueOutlivesItsClusterNoLongerThanAWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		happens func(*raytest.Fake)
		runs    bool
	}{
		"away for ever":    {func(f *raytest.Fake) { f.Down() }, false},
		"record deleted":   {func(f *raytest.Fake) { f.Forget(f.Jobs()[0].SubmissionID) }, true},
		"cluster replaced": {func(f *raytest.Fake) { f.Restart(false) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t)
			e := newLimited(t, fake, 1)
			mustSubmit(t, e, named(0, "sleep 3600"))
			r := named(1, "echo second")
			var once sync.Once
			r.Queued = func(time.Duration, int) { once.Do(func() { c.happens(fake) }) }
			_, err := e.Submit(t.Context(), r)
			if (err == nil) != c.runs || ray.OutcomeUnknown(err) {
				t.Errorf("submit: %v, want success: %t", err, c.runs)
			}
			if c.runs {
				requireRuns(t, fake, "echo second", 1)
			}
		})
	}
}
