package jobs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
)

// Options is what an Engine works with.
type Options struct {
	// Address is the cluster's address for messages, without credentials.
	Address string
	// Dashboard gives the client of the Jobs API.
	Dashboard func(ctx context.Context) (*dashboard.Client, error)
	// GCS gives the GCS client, or an error where it can't be reached. Nil is
	// never reachable. It only makes look-ups faster.
	GCS func(ctx context.Context) (*gcs.Client, error)
	// Registry is the process's.
	Registry *Registry
	// MaxUnreachable is how long a wait survives losing the cluster.
	MaxUnreachable time.Duration
	// MaxActive is how many jobs of this process may be active on the cluster, so that
	// the next one waits for its turn; zero is no limit.
	MaxActive int
}

// Engine submits, watches and ends the jobs of one cluster. It is safe for
// concurrent use, and all users of a cluster in a process share one.
type Engine struct {
	o Options
	// slots bounds the look-ups in flight: a head answers 8 at a time as fast as 64.
	slots chan struct{}
	// nodesLock is held by whoever uses nodes, the last list of them.
	nodesLock chan struct{}
	nodes     nodes
	// copies bounds the logs that are read for copies at the same time.
	copies chan struct{}
	// listing is held by the one caller that lists the cluster's jobs.
	listing chan struct{}
	// poll looks at the jobs that are waited for.
	poll poller
	// settled, staleAfter and gcsPatience are the constants, but for tests.
	settled, staleAfter, gcsPatience time.Duration

	mu       sync.Mutex
	list     map[string]ray.Job       // the last list of stamped jobs by id, or nil
	singles  int                      // jobs that Lookup asked for one by one
	clusterK string                   // the registry's key, once known
	packages map[string]chan struct{} // locks of packages by URI
}

// New makes an Engine. It does not dial.
func New(o Options) *Engine {
	if o.MaxUnreachable <= 0 {
		o.MaxUnreachable = 10 * time.Minute
	}
	e := &Engine{o: o, slots: make(chan struct{}, 8), copies: make(chan struct{}, 4), listing: make(chan struct{}, 1), nodesLock: make(chan struct{}, 1), settled: settled, staleAfter: staleAfter, gcsPatience: gcsPatience}
	e.poll.engine = e
	return e
}

// key is the cluster's name in the registry: its id, or its address where Ray is
// too old to tell.
func (e *Engine) key(ctx context.Context) (string, error) {
	e.mu.Lock()
	k := e.clusterK
	e.mu.Unlock()
	if k != "" {
		return k, nil
	}
	id, err := e.clusterID(ctx)
	if err != nil {
		return "", err
	}
	if id == "" {
		id = e.o.Address
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.clusterK == "" {
		e.clusterK = id
	}
	return e.clusterK, nil
}

// clusterID asks the cluster for its id, anew at each call: a replaced cluster
// shows only so. It is empty, without an error, on Ray before 2.31.
func (e *Engine) clusterID(ctx context.Context) (string, error) {
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return "", err
	}
	id, err := api.ClusterID(ctx)
	if ray.IsKind(err, ray.KindUnsupported) {
		return "", nil
	}
	return id, err
}

// ghost reports a record that stands for nothing. A job deleted within about two
// seconds of its end comes back: the agent, which looks at the job's supervisor
// once a second, finds it dead and no record, and writes one without metadata
// (Ray 2.60, job/common.py, put_status).
func ghost(j ray.Job) bool {
	return j.Entrypoint == "Entrypoint not found." && len(j.Metadata) == 0 && j.Status.Terminal()
}

// Get asks for one job (GET /api/jobs/{id}). A ghost is KindNotFound: the job's
// record was deleted.
func (e *Engine) Get(ctx context.Context, id string) (ray.Job, error) {
	job, err := e.record(ctx, id)
	if err == nil && ghost(job) {
		return ray.Job{}, &ray.Error{Kind: ray.KindNotFound, Op: "read job " + id, Address: e.o.Address, Message: "its record was deleted"}
	}
	return job, err
}

// getLate is Get that has half a second more where ctx ends, or has ended.
func (e *Engine) getLate(ctx context.Context, id string) (ray.Job, error) {
	look, cancel := ray.WithGrace(ctx, 500*time.Millisecond)
	defer cancel()
	return e.Get(look, id)
}

// record is Get with ghosts.
func (e *Engine) record(ctx context.Context, id string) (ray.Job, error) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
		return ray.Job{}, e.canceled(ctx, "read job "+id)
	}
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return ray.Job{}, err
	}
	job, err := api.Job(ctx, id)
	if err != nil {
		return ray.Job{}, err
	}
	return e.truth(ctx, api, job)
}

// Lookup is Get for a refresh of many jobs: from the 17th job on, one list serves
// them all. What it returns may be as old as this process's first list.
func (e *Engine) Lookup(ctx context.Context, id string) (ray.Job, error) {
	e.mu.Lock()
	e.singles++
	many := e.singles > 16
	e.mu.Unlock()
	if many && stamped(id) {
		list, err := e.stampedJobs(ctx, false)
		if err != nil {
			return ray.Job{}, err
		}
		if job, ok := list[id]; ok && !ghost(job) && !doubtful(job) {
			return job, nil
		}
	}
	return e.Get(ctx, id)
}

// stampedJobs lists the jobs whose id has the form of ours. One list is shared by
// all callers of a process; fresh asks anew.
func (e *Engine) stampedJobs(ctx context.Context, fresh bool) (map[string]ray.Job, error) {
	select {
	case e.listing <- struct{}{}:
		defer func() { <-e.listing }()
	case <-ctx.Done():
		return nil, e.canceled(ctx, "list the jobs")
	}
	e.mu.Lock()
	list := e.list
	e.mu.Unlock()
	if list != nil && !fresh {
		return list, nil
	}
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := api.ListJobs(ctx, stamped)
	if err != nil {
		return nil, err
	}
	list = make(map[string]ray.Job, len(rows))
	for _, j := range rows {
		list[j.SubmissionID] = j
	}
	e.mu.Lock()
	e.list = list
	e.mu.Unlock()
	return list, nil
}

// attempts finds the server's jobs of base's sequence: by the GCS where it can be
// reached, else by the shared list. Asking id by id would be unsound: the first
// may be deleted while the second lives.
func (e *Engine) attempts(ctx context.Context, base string, fresh bool) (map[int]ray.Job, error) {
	out := map[int]ray.Job{}
	if rows, ok := e.attemptsByGCS(ctx, base); ok {
		for _, j := range rows {
			if n, ok := attemptOf(base, j.SubmissionID); ok {
				out[n] = j
			}
		}
		return out, nil
	}
	list, err := e.stampedJobs(ctx, fresh)
	if err != nil {
		return nil, err
	}
	for id, j := range list {
		if n, ok := attemptOf(base, id); ok {
			out[n] = j
		}
	}
	return out, nil
}

func (e *Engine) attemptsByGCS(ctx context.Context, base string) ([]ray.Job, bool) {
	if e.o.GCS == nil {
		return nil, false
	}
	client, err := e.o.GCS(ctx)
	if err != nil {
		return nil, false
	}
	rows, err := client.JobRecords(ctx, base, func(id string) bool {
		_, ok := attemptOf(base, id)
		return ok
	})
	return rows, err == nil
}

func (e *Engine) canceled(ctx context.Context, op string) error {
	return &ray.Error{Kind: ray.KindCanceled, Op: op, Address: e.o.Address, Message: "given up before it was sent", Err: context.Cause(ctx)}
}

// sleep waits for d, or less where ctx ends; it reports whether d passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ForeignError is a job under an id that this configuration needs, with another
// stamp or none.
type ForeignError struct {
	ID  string
	Job ray.Job
	// Reason says what differs, as a clause.
	Reason string
}

// Error names the job and what differs.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("submission id %q is taken by another job (%s, entrypoint %q): %s", e.ID, e.Job.Status, shorten(e.Job.Entrypoint, 120), e.Reason)
}

// ClaimedError is a second resource of this process that would take the same job.
type ClaimedError struct{ ID string }

// Error names the id.
func (e *ClaimedError) Error() string {
	return fmt.Sprintf("submission id %q is already managed by another resource of this apply", e.ID)
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "..."
}
