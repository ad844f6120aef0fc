package job

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

const (
	defaultMaxAttempts = 3
	defaultMinBackoff  = 10 * time.Second
	defaultMaxBackoff  = 5 * time.Minute
)

type retryModel struct {
	MaxAttempts types.Int64 `tfsdk:"max_attempts"`
	ErrorTypes  types.Set   `tfsdk:"error_types"`
	ExitCodes   types.Set   `tfsdk:"exit_codes"`
	MinBackoff  fw.Duration `tfsdk:"min_backoff"`
	MaxBackoff  fw.Duration `tfsdk:"max_backoff"`
}

func retryAttributes() map[string]schema.Attribute {
	backoff := func(d string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, CustomType: fw.DurationType{}, MarkdownDescription: d}
	}
	return map[string]schema.Attribute{
		"retry": schema.SingleNestedAttribute{
			Optional: true,
			MarkdownDescription: "Has a job that FAILED run again within the same apply, as the next attempt with an id of its own, once the last one is known to be dead. " +
				"`{}` retries failures of the cluster, up to 3 attempts. A job that was STOPPED is never retried. Not with `submission_id` or `wait_for = \"SUBMITTED\"`. Never replaces the job.",
			Attributes: map[string]schema.Attribute{
				"max_attempts": schema.Int64Attribute{
					Optional:            true,
					MarkdownDescription: "How often one apply runs the job, the first attempt included. Default 3.",
					Validators:          []validator.Int64{int64validator.Between(1, 1000)},
				},
				"error_types": schema.SetAttribute{
					Optional: true, ElementType: types.StringType,
					MarkdownDescription: "Ray's error types that are retried. Default are those that blame the cluster: `" + strings.Join(jobs.InfrastructureErrors(), "`, `") + "`. " +
						"Ray before 2.51 tells no error type: there only `exit_codes` have an effect.",
					Validators: []validator.Set{setvalidator.NoNullValues(), setvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
				},
				"exit_codes": schema.SetAttribute{
					Optional: true, ElementType: types.Int64Type,
					MarkdownDescription: "Exit codes of the entrypoint that are retried, beside `error_types`. A process that was killed has the negative number of the signal, as in -9, and 137 where its shell lived on. None by default.",
					Validators:          []validator.Set{setvalidator.NoNullValues(), setvalidator.ValueInt64sAre(int64validator.Between(-255, 255), int64validator.NoneOf(0))},
				},
				"min_backoff": backoff("Pause before the second attempt, as in `\"30s\"`. It doubles with each attempt, and up to half of it is added at random. Default `10s`."),
				"max_backoff": backoff("Longest pause. Default `5m`."),
			},
		},
		"checkpoint_path": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Path or URI that the job may keep its checkpoints under: it finds it in the environment variable `TF_RAY_CHECKPOINT_PATH`, and the number of its run in `TF_RAY_ATTEMPT` (which is set with `retry` too). " +
				"The provider does not look into it. Never replaces the job: a change is for the next attempt.",
			Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		},
	}
}

// retries reports whether the configuration asks for retries; also where it is not
// known yet.
func (m *jobModel) retries() bool { return !m.Retry.IsNull() && m.goal() != jobs.Submitted }

// retry is the configured policy.
func (m *jobModel) retry(ctx context.Context, diags *diag.Diagnostics) jobs.Retry {
	if !m.retries() {
		return jobs.Retry{MaxAttempts: 1}
	}
	var in retryModel
	diags.Append(m.Retry.As(ctx, &in, basetypes.ObjectAsOptions{})...)
	out := jobs.Retry{
		MaxAttempts: defaultMaxAttempts, ErrorTypes: jobs.InfrastructureErrors(),
		MinBackoff: in.MinBackoff.Or(defaultMinBackoff), MaxBackoff: in.MaxBackoff.Or(defaultMaxBackoff),
	}
	if in.MaxBackoff.IsNull() {
		out.MaxBackoff = max(out.MaxBackoff, out.MinBackoff)
	}
	out.MinBackoff = min(out.MinBackoff, out.MaxBackoff)
	if !in.MaxAttempts.IsNull() {
		out.MaxAttempts = int(in.MaxAttempts.ValueInt64())
	}
	if !in.ErrorTypes.IsNull() {
		out.ErrorTypes = nil
		diags.Append(in.ErrorTypes.ElementsAs(ctx, &out.ErrorTypes, false)...)
	}
	if !in.ExitCodes.IsNull() {
		diags.Append(in.ExitCodes.ElementsAs(ctx, &out.ExitCodes, false)...)
	}
	return out
}

// told reports whether the job is told the number of its run.
func (m *jobModel) told() bool { return m.retries() || !m.CheckpointPath.IsNull() }

func validateRetry(ctx context.Context, m *jobModel, diags *diag.Diagnostics) {
	at := path.Root("retry")
	if m.Retry.IsNull() || m.Retry.IsUnknown() {
		return
	}
	if !m.SubmissionID.IsNull() {
		diags.AddAttributeError(at, "retry can't be combined with submission_id",
			"Each attempt needs a submission id of its own, and a job whose id you choose has only that one. Set name instead of submission_id.")
	}
	if m.goal() == jobs.Submitted && !m.WaitFor.IsUnknown() {
		diags.AddAttributeError(at, "retry needs a wait",
			"With wait_for = \"SUBMITTED\" nobody looks how the job ends, so it is never retried. Set wait_for to RUNNING or SUCCEEDED, or leave retry out.")
	}
	var in retryModel
	if d := m.Retry.As(ctx, &in, basetypes.ObjectAsOptions{}); d.HasError() {
		diags.Append(d...)
		return
	}
	least, okLeast := in.MinBackoff.ValueDuration()
	most, okMost := in.MaxBackoff.ValueDuration()
	if okLeast && okMost && least > most {
		diags.AddAttributeError(at.AtName("min_backoff"), "min_backoff is longer than max_backoff", fmt.Sprintf("%s is longer than %s.", in.MinBackoff.ValueString(), in.MaxBackoff.ValueString()))
	}
	if !fullyKnown(ctx, in.ErrorTypes) || !fullyKnown(ctx, in.ExitCodes) {
		return
	}
	policy := m.retry(ctx, diags)
	if len(policy.ErrorTypes) == 0 && len(policy.ExitCodes) == 0 && m.retries() {
		diags.AddAttributeError(at.AtName("error_types"), "retry retries nothing", "error_types and exit_codes are both empty. Leave error_types out for failures of the cluster, or leave retry out.")
	}
	for _, name := range policy.ErrorTypes {
		if !slices.Contains(jobs.ErrorTypes(), name) {
			diags.AddAttributeWarning(at.AtName("error_types"), fmt.Sprintf("Ray has no error type %q", name),
				fmt.Sprintf("Ray 2.60 has %s. Unless a later Ray knows it, nothing is retried for it.", strings.Join(jobs.ErrorTypes(), ", ")))
		}
	}
}

// validateReserved refuses environment variables that the provider sets.
func validateReserved(names []string, at path.Path, diags *diag.Diagnostics) {
	for _, name := range slices.Sorted(slices.Values(names)) {
		if strings.HasPrefix(name, jobs.EnvPrefix) {
			diags.AddAttributeError(at, fmt.Sprintf("Environment variable %q is the provider's", name),
				fmt.Sprintf("Names that begin with %s are reserved: the job is told the number of its run and its checkpoint_path in them.", jobs.EnvPrefix))
		}
	}
}

// retrying is a wait for a job that may be run again meanwhile.
type retrying struct {
	waiting
	policy jobs.Retry
	// request makes the submission of a further attempt, with its package's URI;
	// false, and a diagnostic, where it can't.
	request func(diags *diag.Diagnostics) (jobs.Request, string, bool)
	// url makes the dashboard's page of a submission.
	url func(id string) types.String
}

// wait is waiting.wait for as many attempts as the policy allows. first is the
// outcome of a wait for the run that is there.
func (w *retrying) wait(ctx context.Context, limit time.Duration, first func(context.Context, *diag.Diagnostics) outcome, diags *diag.Diagnostics) outcome {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, jobs.ErrDeadline)
		defer cancel()
	}
	var said diag.Diagnostics
	out := first(ctx, &said)
	for n := 1; ; n++ {
		job := w.model.job(ctx)
		if out != keep && out != failed || w.final || !w.policy.Wants(job) || w.model.goal().Reached(job.Status) || n >= w.policy.MaxAttempts {
			w.tell(ctx, n, said, diags)
			if out == keep && n > 1 {
				diags.AddWarning(fmt.Sprintf("Job %s ran %d times", w.model.label(), n), w.model.attemptList(ctx))
			}
			return out
		}
		if gone, ended := w.again(ctx, n, job, &said); ended {
			w.tell(ctx, n, said, diags)
			return gone
		}
		said = nil
		out = w.waiting.wait(ctx, limit, &said)
	}
}

// again submits the next attempt. ended is set where there is none, with the
// outcome.
func (w *retrying) again(ctx context.Context, n int, job ray.Job, said *diag.Diagnostics) (out outcome, ended bool) {
	pause := w.policy.Backoff(n)
	tflog.Warn(ctx, "the Ray job failed and will be run again", map[string]any{
		"submission_id": job.SubmissionID, "error_type": job.ErrorType, "attempt": n, "max_attempts": w.policy.MaxAttempts, "pause": pause.Round(time.Millisecond).String(),
	})
	var why diag.Diagnostics // said holds the error of the last attempt already
	request, uri, ok := w.request(&why)
	if !ok {
		said.Append(why...)
		return failed, true
	}
	run, err := w.engine.Again(ctx, request, w.run, job, pause)
	switch {
	case err == nil:
		tflog.Info(ctx, "Ray has the next attempt", map[string]any{"submission_id": run.ID, "adopted": run.Adopted, "attempt": run.Attempt})
		w.run = run
		w.model.fromRun(ctx, run, request.Metadata, uri, said)
		w.model.URL = w.url(run.ID)
		if !run.Adopted {
			run.Job = ray.Job{SubmissionID: run.ID, Status: ray.JobPending}
		}
		w.model.fromJob(ctx, run.Job, said)
		return keep, false
	case ctx.Err() != nil && !ray.OutcomeUnknown(err):
		said.AddError(fmt.Sprintf("Job %s was not run again", w.model.label()), "The apply was interrupted, or its time was up, before the next attempt was submitted; nothing of the job runs. The next apply runs it again.")
		return failed, true
	case errors.Is(err, jobs.ErrReplaced):
		w.model.Status = types.StringValue(statusClusterReplaced)
		said.AddError(fmt.Sprintf("The cluster of job %s was replaced", w.model.label()),
			fmt.Sprintf("Submission %s failed on cluster %s; another cluster answers now, so it was not retried. The next apply runs the job there.", w.run.ID, orUnknown(w.run.ClusterID)))
		return failed, true
	case errors.Is(err, jobs.ErrAlive):
		said.AddError(fmt.Sprintf("Job %s was not run again", w.model.label()),
			fmt.Sprintf("Ray calls submission %s FAILED, but whether its entrypoint still runs could not be found out, and two attempts must not run at once: %v. To stop it: ray job stop %s", w.run.ID, err, w.run.ID))
		return failed, true
	case ray.OutcomeUnknown(err):
		w.resource.addSubmitError(w.model, run, err, said)
		return forget, true
	}
	w.resource.addSubmitError(w.model, run, err, said)
	return failed, true
}

// tell passes on what was said of the last attempt, with the list of all of
// them behind each error.
func (w *retrying) tell(ctx context.Context, n int, said diag.Diagnostics, diags *diag.Diagnostics) {
	for _, d := range said {
		if n == 1 || d.Severity() != diag.SeverityError {
			diags.Append(d)
			continue
		}
		var more diag.Diagnostic = diag.NewErrorDiagnostic(d.Summary(), d.Detail()+"\n\n"+w.model.attemptList(ctx))
		if at, ok := d.(diag.DiagnosticWithPath); ok {
			more = diag.WithPath(at.Path(), more)
		}
		diags.Append(more)
	}
}

// nextRequest makes the submission of a further attempt of the recorded job. m is
// what an update plans.
func (r *jobResource) nextRequest(ctx context.Context, m, state *jobModel, diags *diag.Diagnostics) (jobs.Request, string, bool) {
	planned := *m
	request, uri := r.request(ctx, &planned, "", diags)
	if diags.HasError() {
		return request, "", false
	}
	recorded := state.stamp(ctx)
	request.Owner = recorded.Owner
	if digest, err := request.Digest(); err != nil || digest != recorded.Digest {
		diags.AddError(fmt.Sprintf("Job %s was not run again", m.label()), "The recorded job has other inputs than this configuration. The next apply replaces it.")
		return request, "", false
	}
	return request, uri, true
}

// envNames are the names of the variables in an env_vars object.
func envNames(v any) []string {
	vars, _ := v.(map[string]any)
	return slices.Collect(maps.Keys(vars))
}
