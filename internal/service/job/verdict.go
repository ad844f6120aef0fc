package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// outcome is what the state is to hold after a wait.
type outcome int

const (
	// keep: the wanted status, or a failure that does not matter.
	keep outcome = iota
	// failed: the job is over or lost without success; the diagnostics hold an error.
	failed
	// waitOn: the wait was interrupted; the next apply goes on.
	waitOn
	// forget: the job goes on but could not be waited for; the diagnostics hold an
	// error. A Create returns no state, for it would be tainted, and a running job
	// run again.
	forget
)

// waiting is one wait for one job.
type waiting struct {
	resource *jobResource
	engine   *jobs.Engine
	model    *jobModel
	run      jobs.Run
	// create is set in Create, where an outcome may be returned without state.
	create bool
	// lookOnly takes the job as it is found.
	lookOnly bool
	// final is set where the job was stopped from here: it is not run again by this apply.
	final bool
	// pendingMessage is what Ray said last while the job was PENDING.
	pendingMessage string
	log            *logFile
	// last is the job as it was last seen.
	last ray.Job
}

func (w *waiting) wait(ctx context.Context, limit time.Duration, diags *diag.Diagnostics) outcome {
	goal := w.model.goal()
	if w.lookOnly {
		goal = jobs.Submitted
	}
	waitCtx := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		waitCtx, cancel = context.WithTimeoutCause(ctx, limit, jobs.ErrDeadline)
		defer cancel()
	}
	endCopy := w.log.follow(ctx, w.run.ID)
	job, verdict, err := w.engine.WaitWithin(waitCtx, w.run, goal, w.model.limits(), w.progress(ctx))
	endCopy()
	w.log.finish(ctx, job)
	w.last = job
	if job.Status != "" {
		w.model.fromJob(ctx, job, diags)
	} else if w.create {
		w.model.Status = types.StringValue(string(ray.JobPending))
	}
	if w.lookOnly && (verdict == jobs.Missing || verdict == jobs.Replaced) {
		return w.notThere(verdict, diags)
	}
	switch verdict {
	case jobs.Reached:
		return keep
	case jobs.Ended:
		return w.ended(ctx, job, diags)
	case jobs.Missing:
		return w.missing(diags)
	case jobs.Replaced:
		return w.replaced(diags)
	case jobs.NotStarted, jobs.Overrun:
		return w.overLimit(ctx, verdict, job, err, diags)
	case jobs.NodeGone:
		diags.AddError(fmt.Sprintf("The node of job %s is gone", w.model.label()), nodeGone(job)+" The next apply runs it again.")
		return failed
	case jobs.Interrupted:
		return w.interrupted(ctx, diags)
	}
	return w.stillRunning(verdict, limit, err, diags)
}

// nodeGone tells of a RUNNING job whose node is not alive.
func nodeGone(job ray.Job) string {
	return fmt.Sprintf("Submission %s ran on node %s, which is not alive any more, and nothing of it runs. Ray still calls it RUNNING: a head that came back with its Redis notices only when the next job is submitted to it.", job.SubmissionID, job.DriverNodeID)
}

// lookBack takes what a job that is over has left, as far as Ray has not forgotten it.
func (w *waiting) lookBack(ctx context.Context) {
	if job, err := w.engine.Get(ctx, w.run.ID); err == nil {
		w.last = job
		w.log.finish(ctx, job)
	}
}

// notThere is a job that is not on the cluster that the configuration names now:
// a change of cluster alone is no failure, and replaces nothing.
func (w *waiting) notThere(verdict jobs.Verdict, diags *diag.Diagnostics) outcome {
	w.model.Status = types.StringValue(lost(verdict == jobs.Missing))
	diags.AddWarning(fmt.Sprintf("Job %s is not on the cluster that it now names", w.model.label()),
		fmt.Sprintf("Submission %s was on cluster %s. Its status is now %s; nothing is run again by itself: use -replace or change triggers.", w.run.ID, orUnknown(w.run.ClusterID), w.model.Status.ValueString()))
	return keep
}

// over is the verdict on a job that is over.
func (w *waiting) over(ctx context.Context, job ray.Job, diags *diag.Diagnostics) outcome {
	if w.model.goal().Reached(job.Status) {
		return keep
	}
	return w.ended(ctx, job, diags)
}

// ended is the verdict on a job that is FAILED or STOPPED.
func (w *waiting) ended(ctx context.Context, job ray.Job, diags *diag.Diagnostics) outcome {
	if w.model.IgnoreFailure.ValueBool() {
		return keep
	}
	summary := fmt.Sprintf("Job %s %s", w.model.label(), ended(job))
	diags.AddError(summary, w.account(ctx, job))
	return failed
}

func ended(job ray.Job) string {
	if job.Status == ray.JobStopped {
		return "was STOPPED"
	}
	if job.DriverExitCode != nil {
		return fmt.Sprintf("FAILED with exit code %d", *job.DriverExitCode)
	}
	return "FAILED"
}

// account tells how a job ended: Ray's words, and what the run wrote last.
func (w *waiting) account(ctx context.Context, job ray.Job) string {
	var b strings.Builder
	secrets := w.model.secrets(ctx)
	fmt.Fprintf(&b, "Submission %s, entrypoint %q", job.SubmissionID, jobs.Mask(job.Entrypoint, secrets))
	if !job.EndTime.IsZero() && !job.StartTime.IsZero() {
		fmt.Fprintf(&b, ", ended %s after %s", stamp(job.EndTime), job.EndTime.Sub(job.StartTime).Round(time.Millisecond))
	}
	b.WriteString(".\n")
	if job.ErrorType != "" {
		fmt.Fprintf(&b, "Error type: %s\n", job.ErrorType)
	}
	tail, err := w.engine.Tail(ctx, w.run.ID, w.model.logLines(), secrets)
	// For an entrypoint that failed, Ray's message repeats the log below.
	message, _, _ := strings.Cut(firstLine(job.Message), ", last available logs")
	if message != "" {
		fmt.Fprintf(&b, "Ray says: %s\n", jobs.Mask(message, secrets))
	}
	switch {
	case err != nil:
		fmt.Fprintf(&b, "Its log could not be read: %v\n", err)
	case strings.TrimSpace(tail) == "" && w.model.logLines() > 0:
		b.WriteString("This run wrote nothing to its log.\n")
	case tail != "":
		fmt.Fprintf(&b, "The last lines of its log:\n\n%s\n\n", indent(tail))
	}
	b.WriteString("The next apply runs it again. Set ignore_failure = true if this outcome is fine, or log_lines for more of the log.")
	return b.String()
}

// stillRunning is the verdict where the wait must end although the job goes on.
func (w *waiting) stillRunning(verdict jobs.Verdict, limit time.Duration, err error, diags *diag.Diagnostics) outcome {
	next := w.next()
	if verdict == jobs.Deadline {
		diags.AddAttributeError(path.Root("timeouts"), fmt.Sprintf("Job %s is not over after %s", w.model.label(), limit),
			fmt.Sprintf("Submission %s is %s and goes on. %s", w.run.ID, w.model.Status.ValueString(), next))
		return forget
	}
	fw.AddError(diags, path.Empty(), fmt.Sprintf("Lost contact while waiting for job %s", w.model.label()),
		fmt.Errorf("submission %s was %s when it was last seen and may go on. %s: %w", w.run.ID, w.model.Status.ValueString(), next, err))
	return forget
}

// next says what becomes of a job that goes on without being waited for.
func (w *waiting) next() string {
	if w.create {
		return fmt.Sprintf("It is not in the state. Apply again to take it back and wait on; a destroy in between does not see it. To stop it: ray job stop %s", w.run.ID)
	}
	return "The next apply waits on."
}

// addSubmitError reports a submission that did not go through.
func (r *jobResource) addSubmitError(m *jobModel, run jobs.Run, err error, diags *diag.Diagnostics) {
	var foreign *jobs.ForeignError
	var claimed *jobs.ClaimedError
	var queue *jobs.QueueTimeoutError
	switch {
	case errors.As(err, &foreign):
		at := path.Root("name")
		if m.Name.IsNull() {
			at = path.Root("submission_id")
		}
		diags.AddAttributeError(at, fmt.Sprintf("The id of job %s is taken", m.label()), foreignDetail(foreign))
	case errors.As(err, &claimed):
		diags.AddAttributeError(path.Root("name"), fmt.Sprintf("Two resources claim job %s", m.label()),
			fmt.Sprintf("Submission %q was already submitted or taken over by another resource of this apply. Give each its own name, or different triggers.", claimed.ID))
	case errors.As(err, &queue):
		diags.AddAttributeError(path.Root("timeouts"), fmt.Sprintf("Job %s was not submitted; nothing ran", m.label()),
			fmt.Sprintf("Its turn did not come within %s: %d jobs of this apply are active on the cluster, and the provider's max_active_jobs is %d. Apply again, raise one of the two, or let jobs end.", queue.After, queue.Active, r.Pool().MaxActiveJobs()))
	case ray.OutcomeUnknown(err):
		fw.AddError(diags, path.Empty(), fmt.Sprintf("It is not known whether job %s was submitted", m.label()),
			fmt.Errorf("the answer to the submission was lost and the cluster could not be asked, so submission %s may run. Apply again: it is taken over where it is there, and submitted where it is not. To stop it: ray job stop %s: %w", run.ID, run.ID, err))
	default:
		fw.AddError(diags, path.Empty(), fmt.Sprintf("Job %s was not submitted; nothing ran", m.label()), err)
	}
}

// queued logs that the job waits for its turn.
func (r *jobResource) queued(ctx context.Context, m *jobModel) func(time.Duration, int) {
	return func(waited time.Duration, active int) {
		tflog.Info(ctx, fmt.Sprintf("job %s waits for its turn: %d jobs of this apply are active, and max_active_jobs is %d", m.label(), active, r.Pool().MaxActiveJobs()),
			map[string]any{"waited": waited.Round(time.Second).String()})
	}
}

// report is how often a log says that a wait goes on.
const report = 30 * time.Second

// progress follows the job, and logs each new status and, every half minute, that the
// wait goes on.
func (w *waiting) progress(ctx context.Context) jobs.Progress {
	var last ray.JobStatus
	var since, said time.Duration // since when it has that status, when it was logged
	lost := false
	return func(job ray.Job, elapsed time.Duration, err error) {
		switch {
		case job.Status == ray.JobPending:
			w.pendingMessage = job.Message
		case job.Status == ray.JobRunning && w.run.RunningSince.IsZero():
			w.run.RunningSince = time.Now()
		}
		if job.Status == last && (err != nil) == lost && elapsed-said < report {
			return
		}
		if job.Status != last {
			since = elapsed
		}
		last, lost, said = job.Status, err != nil, elapsed
		fields := map[string]any{"submission_id": w.run.ID, "status": string(job.Status), "waited": elapsed.Round(time.Second).String()}
		text := fmt.Sprintf("job %s is %s", w.model.label(), job.Status)
		if held := elapsed - since; held >= time.Second {
			text += fmt.Sprintf(" for %s", held.Round(time.Second))
		}
		if message := firstLine(job.Message); job.Status == ray.JobPending && message != "" {
			text += ": " + jobs.Mask(message, w.model.secrets(ctx))
		}
		if err != nil {
			text = fmt.Sprintf("job %s can't be looked at, %s when it was last seen", w.model.label(), orUnknown(string(job.Status)))
			fields["unreachable"] = err.Error()
		}
		tflog.Info(ctx, text, fields)
	}
}

func firstLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = strings.TrimSpace(s[:i])
	}
	return s
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(s, "\n", "\n  ")
}
