package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Goal is the status that a wait is for.
type Goal int

// Goals. Each later one is satisfied by fewer statuses.
const (
	// Submitted is reached at once, by any status.
	Submitted Goal = iota
	// Running is reached by RUNNING and by SUCCEEDED.
	Running
	// Succeeded is reached by SUCCEEDED.
	Succeeded
)

// Reached reports whether a job of status s satisfies the goal.
func (g Goal) Reached(s ray.JobStatus) bool {
	switch g {
	case Submitted:
		return s != ""
	case Running:
		return s == ray.JobRunning || s == ray.JobSucceeded
	}
	return s == ray.JobSucceeded
}

// Verdict is how a wait ended.
type Verdict int

// Verdicts.
const (
	// Reached is the goal.
	Reached Verdict = iota
	// Ended is a job that is over without reaching the goal: FAILED or STOPPED.
	Ended
	// Missing is a job whose record is gone while the cluster is the same.
	Missing
	// Replaced is another cluster, or another's job, in the job's place.
	Replaced
	// Interrupted is a caller that gave up; the job goes on.
	Interrupted
	// Deadline is ErrDeadline as the cause of the context's end; the job goes on.
	Deadline
	// LostContact is a cluster that could not be asked for longer than
	// MaxUnreachable, or refuses the credential; the job may go on.
	LostContact
	// NodeGone is a job whose driver's node is not alive, and which Ray still calls
	// RUNNING: nothing of it runs any more.
	NodeGone
	// NotStarted is a job that was PENDING for longer than Limits.Start, and Overrun one
	// that was RUNNING for longer than Limits.Execution. It was stopped; where the error
	// is not nil, that did not succeed, and it may go on.
	NotStarted
	Overrun
)

// Limits are the times that a wait gives a job; zero is no limit.
type Limits struct {
	// Start is how long it may be PENDING while it is waited for.
	Start time.Duration
	// Execution is how long it may be RUNNING, counted from Run.RunningSince or from
	// when the wait sees it RUNNING first: Ray does not write that down.
	Execution time.Duration
	// Stop is how long a job over its limit is given to stop.
	Stop time.Duration
}

// ErrDeadline is the cause to end a Wait's context with when its time is up.
var ErrDeadline = errors.New("the time to wait is up")

// Progress is told of each look at a job; err is set while the cluster can't be
// asked.
type Progress func(job ray.Job, elapsed time.Duration, err error)

// Wait looks at the run until it reaches goal, is over or lost. The job is the
// last one seen; err says why for LostContact.
func (e *Engine) Wait(ctx context.Context, run Run, goal Goal, progress Progress) (ray.Job, Verdict, error) {
	return e.WaitWithin(ctx, run, goal, Limits{}, progress)
}

// WaitWithin is Wait for a job that is stopped when it takes longer than the limits.
func (e *Engine) WaitWithin(ctx context.Context, run Run, goal Goal, limits Limits, progress Progress) (ray.Job, Verdict, error) {
	w := wait{engine: e, run: run, goal: goal, limits: limits, start: time.Now(), last: run.Job, running: run.RunningSince}
	looks := make(chan sight, 1)
	job, err := e.Get(ctx, run.ID)
	next := sight{job, err, true}
	stop := func() {}
	defer func() { stop() }()
	for first := true; ; first = false {
		v, done, err := w.look(ctx, next, progress)
		if done {
			if w.last.Status.Terminal() || v == Missing || v == Replaced {
				e.passed(run.ID)
			}
			return w.last, v, err
		}
		if first {
			stop = e.poll.watch(ctx, run.ID, w.start, func(s sight) {
				select {
				case <-looks: // an older look that nobody took
				default:
				}
				looks <- s // which has room: nobody else sends
			})
		}
		select {
		case next = <-looks:
		case <-ctx.Done():
			return w.last, stopped(ctx), nil
		}
	}
}

// wait is one wait for one run.
type wait struct {
	engine *Engine
	run    Run
	goal   Goal
	limits Limits
	start  time.Time
	last   ray.Job
	// running is when the job was seen RUNNING first, lost since when it can't be seen.
	running, lost time.Time
	unborn        unborn
	// nodeSeen is when the driver's node was last known to be alive; zero asks for a
	// look: at the start, and when the cluster comes back.
	nodeSeen time.Time
}

// look takes in one look; done is false where the wait goes on.
func (w *wait) look(ctx context.Context, s sight, progress Progress) (v Verdict, done bool, err error) {
	job, err := s.job, s.err
	if !s.sure && (err == nil && w.decides(job) || ray.IsKind(err, ray.KindNotFound)) {
		job, err = w.engine.Get(ctx, w.run.ID)
	}
	if err == nil {
		if !w.lost.IsZero() {
			w.nodeSeen, w.unborn.rest = time.Time{}, false
		}
		w.last, w.lost = job, time.Time{}
		if w.running.IsZero() && job.Status == ray.JobRunning {
			w.running = time.Now()
		}
		if v, done := w.verdict(job); done {
			return v, true, nil
		}
		if v, done := w.stale(ctx, job); done {
			return v, true, nil
		}
		w.lookAfter(ctx)
	}
	if progress != nil && ctx.Err() == nil {
		progress(w.last, time.Since(w.start), err)
	}
	if v, done := w.unseen(ctx, err); done {
		return v, true, err
	}
	if v, over := w.overLimit(); over && err == nil {
		v, err = w.stop(ctx, v)
		return v, true, err
	}
	return 0, false, nil
}

// stale looks from time to time whether the node of a RUNNING job is alive, and has
// Ray look after a job whose node is not.
func (w *wait) stale(ctx context.Context, job ray.Job) (v Verdict, done bool) {
	if job.Status != ray.JobRunning || time.Since(w.nodeSeen) < w.engine.staleAfter {
		return 0, false
	}
	// On an error the next look says what is wrong.
	now, gone, err := w.engine.Reconcile(ctx, job)
	if err == nil && gone {
		return NodeGone, true
	}
	if err == nil {
		w.nodeSeen, w.last = time.Now(), now
	}
	return w.verdict(w.last)
}

// decides reports whether a job's row is a verdict, which rests on the Jobs API alone: a
// record of the GCS may be stale, and one that says FAILED may be wrong.
func (w *wait) decides(job ray.Job) bool {
	_, done := w.verdict(job)
	return done
}

func (w *wait) verdict(job ray.Job) (v Verdict, done bool) {
	switch {
	case w.run.Stamp.Digest != "" && !Ours(job, w.run.Stamp):
		return Replaced, true
	case w.goal.Reached(job.Status):
		return Reached, true
	}
	return Ended, job.Status.Terminal()
}

func (w *wait) overLimit() (v Verdict, over bool) {
	switch w.last.Status {
	case ray.JobPending:
		return NotStarted, w.limits.Start > 0 && time.Since(w.start) >= w.limits.Start
	case ray.JobRunning:
		return Overrun, w.limits.Execution > 0 && time.Since(w.running) >= w.limits.Execution
	}
	return 0, false
}

// stop ends a job that is over its limit.
func (w *wait) stop(ctx context.Context, v Verdict) (Verdict, error) {
	job, err := w.engine.Stop(ctx, w.run, w.limits.Stop)
	switch {
	case errors.Is(err, ErrReplaced):
		return Replaced, nil
	case ray.IsKind(err, ray.KindNotFound):
		return Missing, nil
	case err != nil:
		return v, err
	}
	w.last = job
	if w.goal.Reached(job.Status) { // it was faster
		return Reached, nil
	}
	return v, nil
}

// unseen decides what a failed look means; done is false where the wait goes on.
func (w *wait) unseen(ctx context.Context, err error) (v Verdict, done bool) {
	switch {
	case err == nil:
		return 0, false
	case ctx.Err() != nil:
		return stopped(ctx), true
	case ray.IsKind(err, ray.KindNotFound):
		if same, err := w.engine.SameCluster(ctx, w.run.ClusterID); err == nil {
			if !same {
				return Replaced, true
			}
			return Missing, true
		}
	case ray.IsKind(err, ray.KindUnauthenticated, ray.KindForbidden):
		return LostContact, true
	}
	if w.lost.IsZero() {
		w.lost = time.Now()
	}
	return LostContact, time.Since(w.lost) > w.engine.o.MaxUnreachable
}

func stopped(ctx context.Context) Verdict {
	if errors.Is(context.Cause(ctx), ErrDeadline) {
		return Deadline
	}
	return Interrupted
}
