package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// enter counts a job among the active ones of its cluster: those that this process
// submitted or took over, and that are not known to be over. Where limit, unless it is
// zero, are active already, it does not, and returns these and a channel that is closed
// when one of them is over.
func (r *Registry) enter(cluster, id string, limit int) (others []string, freed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := registryKey{cluster, id}
	for a := range r.active {
		if a.cluster == cluster && a != k {
			others = append(others, a.id)
		}
	}
	if limit > 0 && len(others) >= limit {
		if r.freed == nil {
			r.freed = make(chan struct{})
		}
		slices.Sort(others)
		return others, r.freed
	}
	if r.active == nil {
		r.active = map[registryKey]struct{}{}
	}
	r.active[k] = struct{}{}
	return nil, nil
}

// leave counts a job as over.
func (r *Registry) leave(cluster, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := registryKey{cluster, id}
	if _, ok := r.active[k]; !ok {
		return
	}
	delete(r.active, k)
	if r.freed != nil {
		close(r.freed)
		r.freed = nil
	}
}

// QueueTimeoutError is a job whose turn did not come.
type QueueTimeoutError struct {
	ID string
	// Active is how many jobs went on, After how long it was waited.
	Active int
	After  time.Duration
}

// Error says how many jobs are before it.
func (e *QueueTimeoutError) Error() string {
	return fmt.Sprintf("job %s waited %s for its turn, and %d jobs are still active", e.ID, e.After, e.Active)
}

// queueReport is how often one who waits for his turn is told so.
const queueReport = 30 * time.Second

// queue is one job's wait for its turn.
type queue struct {
	engine  *Engine
	key, id string
	request Request
	start   time.Time
	// seen is when one of the active jobs was looked at last.
	seen time.Time
}

// takePlace waits until there are fewer active jobs than allowed, and counts the job
// among them.
func (e *Engine) takePlace(ctx context.Context, r Request, key, id string) error {
	if r.Uncounted {
		return nil
	}
	now := time.Now()
	q := queue{engine: e, key: key, id: id, request: r, start: now, seen: now}
	for {
		others, freed := e.o.Registry.enter(key, id, e.o.MaxActive)
		if freed == nil {
			return nil
		}
		waited := time.Since(q.start)
		if limit := r.QueueTimeout; limit > 0 && waited >= limit {
			return &QueueTimeoutError{ID: id, Active: len(others), After: limit}
		}
		if r.Queued != nil {
			r.Queued(waited, len(others))
		}
		if err := q.wait(ctx, others, freed); err != nil {
			return err
		}
	}
}

// wait returns when a job is over, or it is time for a report. It looks at the active
// jobs itself: with wait_for = SUBMITTED nobody else does.
func (q *queue) wait(ctx context.Context, others []string, freed <-chan struct{}) error {
	type look struct {
		id string
		sight
	}
	looks := make(chan look, len(others))
	for _, id := range others {
		stop := q.engine.poll.watch(ctx, id, time.Time{}, func(s sight) {
			select {
			case looks <- look{id, s}:
			default: // it is looked at again
			}
		})
		defer stop()
	}
	pause := queueReport
	if limit := q.request.QueueTimeout; limit > 0 {
		pause = min(pause, max(limit-time.Since(q.start), 0))
	}
	report := time.NewTimer(pause)
	defer report.Stop()
	for {
		select {
		case <-ctx.Done():
			return q.engine.canceled(ctx, "submit job "+q.id)
		case <-freed:
			return nil
		case <-report.C:
			return nil
		case l := <-looks:
			if over, err := q.over(ctx, l.id, l.sight); over || err != nil {
				return err
			}
		}
	}
}

// over reports whether a job that was looked at is over. Its error is a cluster that
// can't be asked for longer than a wait survives.
func (q *queue) over(ctx context.Context, id string, s sight) (bool, error) {
	job, err := s.job, s.err
	if !s.sure && (job.Status.Terminal() || ray.IsKind(err, ray.KindNotFound)) {
		job, err = q.engine.Get(ctx, id)
	}
	if err == nil && job.Status.Terminal() || ray.IsKind(err, ray.KindNotFound) {
		q.engine.o.Registry.leave(q.key, id)
		return true, nil
	}
	if err == nil {
		q.seen = time.Now()
	}
	if time.Since(q.seen) <= q.engine.o.MaxUnreachable {
		return false, nil
	}
	return false, err
}

// passed counts a job as over.
func (e *Engine) passed(id string) {
	e.mu.Lock()
	key := e.clusterK
	e.mu.Unlock()
	e.o.Registry.leave(key, id)
}
