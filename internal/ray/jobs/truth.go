package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// doubtful reports whether a record says FAILED on hearsay. Ray's agent writes
// that when it can't reach the job's supervisor, be it that the supervisor died,
// that one RPC failed or that the head was replaced (Ray 2.60, job_manager.py,
// _monitor_job_internal); the entrypoint may go on. Where the entrypoint itself
// failed, the supervisor has written its exit code.
func doubtful(j ray.Job) bool {
	return j.Status == ray.JobFailed && j.DriverExitCode == nil && !ghost(j)
}

// truth reads a record with what is known of how Ray writes it. Of a job that was
// called FAILED although it went on, this was seen on Ray 2.60:
//
//   - its supervisor is alive until the entrypoint ends, and can be told to stop it;
//   - an entrypoint that then fails gets its exit code into the record;
//   - one that then succeeds, or is stopped, stays FAILED, and the message tells that
//     the supervisor's own verdict was refused.
//
// So a job whose supervisor lives is RUNNING, and the supervisor's verdict counts.
func (e *Engine) truth(ctx context.Context, api *dashboard.Client, job ray.Job) (ray.Job, error) {
	if !doubtful(job) {
		return job, nil
	}
	if _, ok := refusedVerdict(job); ok {
		return overruled(job), nil
	}
	alive, err := api.SupervisorAlive(ctx, job.SubmissionID)
	switch {
	case ray.IsKind(err, ray.KindNotFound, ray.KindUnsupported, ray.KindProtocol, ray.KindForbidden):
		return job, nil // there is no state API on this way to Ray: its record is all there is
	case err != nil:
		return job, err
	case !alive:
		// It may have ended since the record was read.
		job, err := api.Job(ctx, job.SubmissionID)
		return overruled(job), err
	}
	job.Message = fmt.Sprintf("Ray's record says FAILED (%s), but the job's supervisor is alive.", job.ErrorType)
	job.Status, job.ErrorType, job.EndTime = ray.JobRunning, "", time.Time{}
	return job, nil
}

// overruled is a job that was called FAILED, with its supervisor's own verdict where
// the record tells it.
func overruled(job ray.Job) ray.Job {
	verdict, ok := refusedVerdict(job)
	if !ok || !doubtful(job) {
		return job
	}
	job.Status, job.ErrorType = verdict, ""
	job.Message = fmt.Sprintf("Ray had recorded FAILED while the entrypoint went on; it then ended as %s.", verdict)
	if verdict == ray.JobSucceeded {
		job.DriverExitCode = new(int)
	}
	return job
}

// refusedVerdict reads the supervisor's verdict out of the error that the refusal
// gave it (put_status of dashboard/modules/job/common.py; recorded as
// raytest/testdata/ray-2.60.0/job-overruled.txt).
func refusedVerdict(j ray.Job) (ray.JobStatus, bool) {
	const text = "Attempted to change job status from a terminal state: FAILED -> "
	_, verdict, ok := strings.Cut(j.Message, text)
	status := ray.JobStatus(strings.TrimSpace(verdict))
	return status, ok && status.Terminal()
}

// dead reports whether nothing of a job that is over can run any more, as far as
// Ray can tell.
func (e *Engine) dead(ctx context.Context, job ray.Job) (bool, error) {
	if !doubtful(job) {
		return job.Status.Terminal(), nil
	}
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return false, err
	}
	alive, err := api.SupervisorAlive(ctx, job.SubmissionID)
	return err == nil && !alive, err
}
