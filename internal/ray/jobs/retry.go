package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// ErrorTypes returns Ray's error types of a job that FAILED: JobErrorType of
// dashboard/modules/job/common.py, since Ray 2.51.
func ErrorTypes() []string {
	return append(InfrastructureErrors(), "RUNTIME_ENV_SETUP_FAILURE", "JOB_ENTRYPOINT_COMMAND_START_ERROR", "JOB_ENTRYPOINT_COMMAND_ERROR")
}

// InfrastructureErrors returns the error types that blame the cluster and not the
// job. A runtime_env that can't be set up is not among them: most often a
// requirement is wrong.
func InfrastructureErrors() []string {
	return []string{
		"JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "JOB_SUPERVISOR_ACTOR_START_FAILURE", "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE",
		"JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE", "JOB_SUPERVISOR_ACTOR_DIED",
	}
}

// Retry says which failures are worth another attempt.
type Retry struct {
	// MaxAttempts counts the first.
	MaxAttempts int
	// ErrorTypes are Ray's; ExitCodes are the entrypoint's.
	ErrorTypes []string
	ExitCodes  []int
	// The pause before an attempt doubles from MinBackoff to MaxBackoff.
	MinBackoff, MaxBackoff time.Duration
}

// Wants reports whether a job that ended so is to run again. A job that somebody
// stopped never is.
func (r Retry) Wants(job ray.Job) bool {
	if job.Status != ray.JobFailed {
		return false
	}
	return job.ErrorType != "" && slices.Contains(r.ErrorTypes, job.ErrorType) ||
		job.DriverExitCode != nil && slices.Contains(r.ExitCodes, *job.DriverExitCode)
}

// Backoff is the pause after the n-th attempt, counted from 1: up to half of it is
// left to chance, so that jobs which failed together do not come back together.
func (r Retry) Backoff(n int) time.Duration {
	pause := r.MinBackoff
	for ; n > 1 && pause < r.MaxBackoff; n-- {
		pause *= 2
	}
	pause = min(pause, r.MaxBackoff)
	return min(pause+time.Duration(rand.Float64()*float64(pause)/2), max(r.MaxBackoff, r.MinBackoff))
}

// Errors of Again, beside those of Submit.
var (
	// ErrAlive is a job that may still run.
	ErrAlive = errors.New("it can't be told whether the last attempt still runs")
	// ErrReplaced is another cluster in the last attempt's place.
	ErrReplaced = errors.New("another cluster answers now")
)

// reaped is how long after the death of a job's supervisor its entrypoint is
// killed at the latest: by a shell that looks once a second (Ray 2.60,
// job_supervisor.py, _exec_entrypoint).
const reaped = 1500 * time.Millisecond

// Again submits the attempt after run, of which job is the end, once pause has
// passed and nothing of run can still run. Like Submit, it adopts a later attempt
// that is there. It survives a cluster that can't be reached as long as a wait does.
func (e *Engine) Again(ctx context.Context, r Request, run Run, job ray.Job, pause time.Duration) (Run, error) {
	if doubtful(job) {
		pause = max(pause, reaped)
	}
	if !sleep(ctx, pause) {
		return Run{}, e.canceled(ctx, "submit the next attempt of job "+run.ID)
	}
	r.After, r.KeepFailed = run.Attempt, false
	for start := time.Now(); ; {
		next, err := e.again(ctx, r, run, job)
		if err == nil || errors.Is(err, ErrAlive) || ray.OutcomeUnknown(err) || !ray.IsUnreachable(err) || time.Since(start) > e.o.MaxUnreachable || !sleep(ctx, time.Second) {
			return next, err
		}
	}
}

func (e *Engine) again(ctx context.Context, r Request, run Run, job ray.Job) (Run, error) {
	same, err := e.SameCluster(ctx, run.ClusterID)
	if err != nil {
		return Run{}, err
	}
	if !same {
		return Run{}, ErrReplaced
	}
	dead, err := e.dead(ctx, job)
	switch {
	case ray.IsKind(err, ray.KindProtocol):
		return Run{}, fmt.Errorf("%w: %w", ErrAlive, err) // that does not pass
	case err != nil:
		return Run{}, err
	case !dead:
		return Run{}, ErrAlive
	}
	return e.Submit(ctx, r)
}
