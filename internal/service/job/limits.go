package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// Values of on_interrupt.
const (
	interruptLeave = "leave"
	interruptStop  = "stop"
)

// interruptPatience is how long an interrupted wait gives a job to stop: with what is
// asked before, it is less than the two seconds that an interrupt may take. A real head
// took 1.5 s.
const interruptPatience = 1500 * time.Millisecond

func limitAttributes() map[string]schema.Attribute {
	limit := func(d string) schema.StringAttribute {
		return schema.StringAttribute{
			Optional: true, CustomType: fw.DurationType{}, MarkdownDescription: d,
			Validators: []validator.String{fw.PositiveDuration{}},
		}
	}
	return map[string]schema.Attribute{
		"start_timeout": limit("How long an apply waits for the job to start, as in `\"10m\"`: a job that is still PENDING then is stopped, and the error says what it waited for. " +
			"No limit by default; Ray itself gives a job up that waited 15 minutes for resources. Not with `wait_for = \"SUBMITTED\"`. Never replaces the job."),
		"execution_timeout": limit("How long the job may be RUNNING, as in `\"12h\"`: one that takes longer is stopped on the cluster, and the apply fails. " +
			"It is counted from when an apply saw the job RUNNING, also over an interrupted wait, and enforced while an apply waits; nothing on the cluster does it. No limit by default. Needs `wait_for = \"SUCCEEDED\"`. Never replaces the job."),
		"stop_timeout": schema.StringAttribute{
			Optional: true, CustomType: fw.DurationType{},
			MarkdownDescription: "How long a job that was asked to stop (by a destroy, a replacement, `start_timeout` or `execution_timeout`) is waited for, as in `\"30s\"`. Ray kills what ignores SIGTERM for 3 seconds. Default `1m`. Never replaces the job.",
		},
		"on_interrupt": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "What an interrupted apply (Ctrl-C) does to the job that it waits for: `leave` (default) leaves it running, and the next plan shows an update that waits on; " +
				"`stop` stops it, and the next apply runs it again. A CLI that is killed, or that is interrupted twice, stops nothing. Never replaces the job.",
			Validators: []validator.String{stringvalidator.OneOf(interruptLeave, interruptStop)},
		},
	}
}

// validateLimits refuses limits that no apply would be there to enforce.
func validateLimits(m *jobModel, diags *diag.Diagnostics) {
	if m.WaitFor.IsUnknown() {
		return
	}
	if !m.StartTimeout.IsNull() && m.goal() == jobs.Submitted {
		diags.AddAttributeError(path.Root("start_timeout"), "start_timeout needs a wait",
			"With wait_for = \"SUBMITTED\" no apply is there to see whether the job starts. Set wait_for to RUNNING or SUCCEEDED, or leave start_timeout out.")
	}
	if !m.ExecutionTimeout.IsNull() && m.goal() != jobs.Succeeded {
		diags.AddAttributeError(path.Root("execution_timeout"), "execution_timeout needs wait_for = \"SUCCEEDED\"",
			fmt.Sprintf("With wait_for = %q no apply is there to stop the job when it takes too long. Set wait_for to SUCCEEDED, or let the entrypoint limit itself, as with `timeout 12h python train.py`.", m.WaitFor.ValueString()))
	}
}

func (m *jobModel) limits() jobs.Limits {
	return jobs.Limits{Start: m.StartTimeout.Or(0), Execution: m.ExecutionTimeout.Or(0), Stop: m.stopTimeout()}
}

// overLimit is the verdict on a job that took too long. cause is why it could not be
// stopped, or nil: then it is over.
func (w *waiting) overLimit(ctx context.Context, verdict jobs.Verdict, job ray.Job, cause error, diags *diag.Diagnostics) outcome {
	w.final = true
	at, limit, did := path.Root("start_timeout"), w.model.StartTimeout, "did not start"
	if verdict == jobs.Overrun {
		at, limit, did = path.Root("execution_timeout"), w.model.ExecutionTimeout, "was still RUNNING"
	}
	text := fmt.Sprintf("Job %s %s after %s", w.model.label(), did, limit.ValueString())
	var reason string
	if verdict == jobs.NotStarted {
		reason = w.whyPending(ctx)
	}
	if cause != nil {
		w.notStopped(at, text, reason, cause, diags)
		return forget
	}
	if w.model.IgnoreFailure.ValueBool() {
		diags.AddWarning(text+" and was stopped", reason+"ignore_failure is set, so this outcome is kept.")
		return keep
	}
	diags.AddAttributeError(at, text+" and was stopped", reason+w.account(ctx, job))
	return failed
}

// notStopped reports a job that was asked to stop and may go on.
func (w *waiting) notStopped(at path.Path, text, reason string, cause error, diags *diag.Diagnostics) {
	diags.AddAttributeError(at, text+", and it did not stop in time",
		fmt.Sprintf("%sSubmission %s was to be stopped, and may go on: %s %s", reason, w.run.ID, fw.Detail(cause), w.next()))
}

// whyPending tells what a job that does not start waits for, as sentences: Ray's own
// words, and whether any node could hold it.
func (w *waiting) whyPending(ctx context.Context) string {
	var b strings.Builder
	if message := firstLine(w.pendingMessage); message != "" {
		fmt.Fprintf(&b, "While it was PENDING Ray said: %s\n", jobs.Mask(message, w.model.secrets(ctx)))
	}
	var d diag.Diagnostics
	cluster := w.resource.cluster(ctx, w.model, &d)
	if cluster == nil {
		return b.String()
	}
	if short := shortage(ctx, cluster, w.model.inputs(ctx, "", &d)); short != "" {
		fmt.Fprintf(&b, "No node can hold the entrypoint: it %s\n", short)
	}
	return b.String()
}

// interrupted is the verdict on a job whose wait was cut off.
func (w *waiting) interrupted(ctx context.Context, diags *diag.Diagnostics) outcome {
	if w.model.OnInterrupt.ValueString() != interruptStop || w.lookOnly || !fw.StopAsked(ctx) {
		diags.AddWarning(fmt.Sprintf("The wait for job %s was interrupted; the job was left running", w.model.label()),
			fmt.Sprintf("Submission %s was %s when it was last seen, and is NOT complete whatever Terraform prints above. The next apply waits on. To stop the job: ray job stop %s", w.run.ID, w.model.Status.ValueString(), w.run.ID))
		return waitOn
	}
	w.final = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), interruptPatience+200*time.Millisecond)
	defer cancel()
	text := fmt.Sprintf("The apply was interrupted while it waited for job %s", w.model.label())
	job, err := w.engine.Stop(ctx, w.run, min(w.model.stopTimeout(), interruptPatience))
	switch {
	case errors.Is(err, jobs.ErrReplaced):
		return w.replaced(diags)
	case ray.IsKind(err, ray.KindNotFound):
		return w.missing(diags)
	case err != nil:
		w.notStopped(path.Root("on_interrupt"), text, "", err, diags)
		return forget
	}
	w.model.fromJob(ctx, job, diags)
	w.log.finish(ctx, job)
	w.last = job
	if job.Status != ray.JobStopped {
		return w.over(ctx, job, diags) // it was faster
	}
	diags.AddAttributeError(path.Root("on_interrupt"), text+"; the job was stopped",
		fmt.Sprintf("Submission %s is STOPPED, as on_interrupt = \"stop\" asks for. The next apply runs the job again.", w.run.ID))
	return failed
}

// interruption is what the marker keyWaiting holds.
type interruption struct {
	// RunningSince is when the job was seen RUNNING first.
	RunningSince *time.Time `json:"running_since,omitempty"`
}

// markWaiting sets the marker of a wait that was cut off, for runningSince.
func (w *waiting) markWaiting(ctx context.Context, p privateWriter, diags *diag.Diagnostics) {
	var i interruption
	if since := w.run.RunningSince; !since.IsZero() {
		i.RunningSince = &since
	}
	value, err := json.Marshal(i)
	if err != nil {
		value = []byte(`{}`) // which is as good a marker
	}
	diags.Append(p.SetKey(ctx, keyWaiting, value)...)
}

// runningSince is when an earlier apply saw the job RUNNING first; zero where none did.
func runningSince(ctx context.Context, p privateReader, diags *diag.Diagnostics) time.Time {
	value, d := p.GetKey(ctx, keyWaiting)
	diags.Append(d...)
	var i interruption
	if len(value) == 0 || json.Unmarshal(value, &i) != nil || i.RunningSince == nil {
		return time.Time{}
	}
	return *i.RunningSince
}

// missing is the verdict on a job whose record went away.
func (w *waiting) missing(diags *diag.Diagnostics) outcome {
	w.model.Status = types.StringValue(statusMissing)
	diags.AddError(fmt.Sprintf("Ray lost job %s", w.model.label()),
		fmt.Sprintf("The record of submission %s went away while the job was waited for: it was deleted, or, on Ray before 2.31, the head was restarted without Redis. Whether the entrypoint finished is not known. The next apply runs it again.", w.run.ID))
	return failed
}

// replaced is the verdict on a job whose cluster is another one now.
func (w *waiting) replaced(diags *diag.Diagnostics) outcome {
	w.model.Status = types.StringValue(statusClusterReplaced)
	diags.AddError(fmt.Sprintf("The cluster of job %s was replaced", w.model.label()),
		fmt.Sprintf("Submission %s was on cluster %s; another cluster, or another job under that id, answers now. The next apply runs the job there.", w.run.ID, orUnknown(w.run.ClusterID)))
	return failed
}
