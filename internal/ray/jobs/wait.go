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
)

// ErrDeadline is the cause to end a Wait's context with when its time is up.
var ErrDeadline = errors.New("the time to wait is up")

// Progress is told of each look at a job; err is set while the cluster can't be
// asked.
type Progress func(job ray.Job, elapsed time.Duration, err error)

// Wait looks at the run until it reaches goal, is over or lost. The job is the
// last one seen; err says why for LostContact.
func (e *Engine) Wait(ctx context.Context, run Run, goal Goal, progress Progress) (ray.Job, Verdict, error) {
	start := time.Now()
	last := run.Job
	var lostSince time.Time
	for {
		job, err := e.Get(ctx, run.ID)
		if err == nil {
			last, lostSince = job, time.Time{}
			if run.Stamp.Digest != "" && !Ours(job, run.Stamp) {
				return last, Replaced, nil
			}
			if goal.Reached(job.Status) {
				return last, Reached, nil
			}
			if job.Status.Terminal() {
				return last, Ended, nil
			}
		}
		if progress != nil && ctx.Err() == nil {
			progress(last, time.Since(start), err)
		}
		if v, done := e.lost(ctx, run, err, &lostSince); done {
			return last, v, err
		}
		if !sleep(ctx, interval(time.Since(start))) {
			return last, stopped(ctx), nil
		}
	}
}

// lost decides what a failed look means; done is false where the wait goes on.
func (e *Engine) lost(ctx context.Context, run Run, err error, since *time.Time) (v Verdict, done bool) {
	switch {
	case err == nil:
		return 0, false
	case ctx.Err() != nil:
		return stopped(ctx), true
	case ray.IsKind(err, ray.KindNotFound):
		if id, idErr := e.clusterID(ctx); idErr == nil {
			if id != "" && run.ClusterID != "" && id != run.ClusterID {
				return Replaced, true
			}
			return Missing, true
		}
	case ray.IsKind(err, ray.KindUnauthenticated, ray.KindForbidden):
		return LostContact, true
	}
	if since.IsZero() {
		*since = time.Now()
	}
	return LostContact, time.Since(*since) > e.o.MaxUnreachable
}

func stopped(ctx context.Context) Verdict {
	if errors.Is(context.Cause(ctx), ErrDeadline) {
		return Deadline
	}
	return Interrupted
}

// interval is the pause between two looks: a tenth of the time waited, so that a
// short job's end is seen within 0.1 s and a long one's within a second.
func interval(waited time.Duration) time.Duration {
	return min(max(waited/10, 100*time.Millisecond), time.Second)
}
