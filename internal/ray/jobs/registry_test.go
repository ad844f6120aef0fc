package jobs_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

func TestRegistry_aDeleteNeverTakesWhatACreateOwns(t *testing.T) {
	t.Parallel()
	const a, b = "a-0123456789", "b-0123456789"
	var r jobs.Registry
	own := func(id string, released int, want jobs.Ownership) {
		t.Helper()
		if got := r.Own("c", id, id, released); got != want {
			t.Errorf("own %s: %d, want %d", id, got, want)
		}
	}
	own(a, 0, jobs.Owned)
	own(a, 0, jobs.OwnedByAnother)
	if r.Release("c", a) || r.End("c", a) {
		t.Error("an owned id must not be released")
	}
	if !r.Release("c", b) || !r.End("c", b+"-3") || !r.Release("other", b+"-9") {
		t.Error("an id that nobody owns can be released")
	}
	if got := r.Released("c", b); got != 3 {
		t.Errorf("highest released attempt %d, want 3", got)
	}
	if got := r.Released("c", a); got != 0 {
		t.Errorf("released attempt of an owned id %d, want 0", got)
	}
	own(b, 1, jobs.Outdated)
	own(b, 3, jobs.Owned)
	r.Disown("c", a)
	r.End("c", a)
	own(a, 1, jobs.Outdated)
	r.Release("c", a)
	own(a, 1, jobs.Owned)
}

// held keeps back the first answer about a job until it is let go.
type held struct {
	id             string
	reached, letGo chan struct{}
	seen           atomic.Bool
}

func (h *held) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/"+h.id) && h.seen.CompareAndSwap(false, true) {
		close(h.reached)
		<-h.letGo
	}
	return resp, err
}

// A create that has looked at a job, and not yet taken it, does not take it from a
// destroy that begins to end it meanwhile.
func TestSubmit_doesNotAdoptWhatADestroyEnds(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{"an id by the inputs": "", "an id of the user": "nightly"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t)
			r := request("sleep infinity")
			r.SubmissionID = id
			first := mustSubmit(t, newEngine(t, fake), r)

			h := &held{id: first.ID, reached: make(chan struct{}), letGo: make(chan struct{})}
			client, err := dashboard.New(dashboard.Options{URL: fake.URL(), HTTP: &http.Client{Transport: h}})
			if err != nil {
				t.Fatal(err)
			}
			e := jobs.New(jobs.Options{
				Address: fake.URL(), Registry: new(jobs.Registry), MaxUnreachable: time.Minute,
				Dashboard: func(context.Context) (*dashboard.Client, error) { return client, nil },
			})
			e.SetSettled(0)
			runs := make(chan jobs.Run, 1)
			go func() {
				run, err := e.Submit(t.Context(), r)
				if err != nil {
					t.Error(err)
				}
				runs <- run
			}()
			<-h.reached
			ref := jobs.Ref{ID: first.ID, ClusterID: first.ClusterID, Stamp: first.Stamp}
			if ending, err := e.End(t.Context(), ref, true, time.Minute); err != nil || ending != jobs.EndedNow {
				t.Errorf("end: %v, %v", ending, err)
			}
			close(h.letGo)
			run := <-runs
			if run.Adopted {
				t.Errorf("it took over %+v", run.Job)
			}
			requireWait(t, e, run, jobs.Running, jobs.Reached)
			requireRuns(t, fake, "sleep infinity", 2)
			for _, job := range fake.Jobs() {
				if job.Status != ray.JobRunning {
					t.Errorf("job %s is %s", job.SubmissionID, job.Status)
				}
			}
		})
	}
}
