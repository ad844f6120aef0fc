package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
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

func rerunAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"rerun_on": schema.SetAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "What a plan finds of the job and answers by running it again: `FAILED`, `STOPPED`, `SUCCEEDED` (every apply runs it again), " +
				"`MISSING` (Ray has no record of it any more) and `CLUSTER_REPLACED` (another cluster is in the place of the one that took it), the last two, where set, also of a job that was over. " +
				"The plan says why. None by default; `FAILED`, `MISSING` and `CLUSTER_REPLACED` where `wait_for` is `RUNNING`, since such a job should be running (without `FAILED` where `ignore_failure` is set). " +
				"`[]` is none. Not with `submission_id`. Never replaces the job by itself.",
			Validators: []validator.Set{setvalidator.ValueStringsAre(stringvalidator.OneOf(
				string(ray.JobFailed), string(ray.JobStopped), string(ray.JobSucceeded), statusMissing, statusClusterReplaced))},
		},
	}
}

// rerunOn are the statuses that make a plan run the job again.
func (m *jobModel) rerunOn(ctx context.Context) []string {
	switch {
	case m.RerunOn.IsUnknown():
		return nil
	case !m.RerunOn.IsNull():
		var out []string
		m.RerunOn.ElementsAs(ctx, &out, false)
		return out
	case m.goal() != jobs.Running || m.chosenID(ctx):
		return nil
	case m.IgnoreFailure.ValueBool():
		return []string{statusMissing, statusClusterReplaced}
	}
	return []string{string(ray.JobFailed), statusMissing, statusClusterReplaced}
}

func validateRerun(m *jobModel, diags *diag.Diagnostics) {
	if !m.SubmissionID.IsNull() && len(m.RerunOn.Elements()) > 0 {
		diags.AddAttributeError(path.Root("rerun_on"), "rerun_on can't be combined with submission_id",
			"Each run needs a submission id of its own, and a job whose id you choose has only that one. Set name instead of submission_id.")
	}
}

// observation is what a refresh saw of a job that is over, whose recorded outcome
// stays: it reaches the plan in the private state.
type observation struct {
	Status string `json:"status"`
}

// observe notes whether a job that is over is still there, where rerun_on asks. The
// default does not: a service that ended by itself is no longer expected to be there.
func (r *jobResource) observe(ctx context.Context, m *jobModel, private privateWriter, diags *diag.Diagnostics) {
	var wanted []string
	if !m.RerunOn.IsNull() {
		wanted = m.rerunOn(ctx)
	}
	if !slices.Contains(wanted, statusMissing) && !slices.Contains(wanted, statusClusterReplaced) {
		mark(ctx, private, keyObserved, false, diags)
		return
	}
	cluster := r.readCluster(ctx, m, diags)
	if cluster == nil {
		return
	}
	engine := cluster.Engine()
	seen := observation{}
	job, err := engine.Lookup(ctx, m.SubmissionID.ValueString())
	switch {
	case err == nil && m.carriedBy(ctx, job):
	case err == nil || ray.IsKind(err, ray.KindNotFound):
		if seen.Status = r.lostStatus(ctx, engine, m, diags); seen.Status == "" {
			return
		}
	default:
		r.unreadable(m, err, diags)
		return
	}
	text, err := json.Marshal(seen)
	if err != nil {
		fw.AddError(diags, path.Empty(), "What was seen of the job can't be kept", err)
		return
	}
	diags.Append(private.SetKey(ctx, keyObserved, text)...)
}

// observed is what the refresh of this plan saw: the recorded status, unless a job
// that was over is gone.
func observed(ctx context.Context, state *jobModel, private privateReader, diags *diag.Diagnostics) string {
	text, d := private.GetKey(ctx, keyObserved)
	diags.Append(d...)
	var seen observation
	if json.Unmarshal(text, &seen) == nil && seen.Status != "" && state.terminal() {
		return seen.Status
	}
	return state.Status.ValueString()
}

// planRerun plans the replacement that rerun_on asks for, and says why; false where
// it asks for none.
func (r *jobResource) planRerun(ctx context.Context, plan, state *jobModel, private privateReader, diags *diag.Diagnostics) bool {
	seen := observed(ctx, state, private, diags)
	if !slices.Contains(plan.rerunOn(ctx), seen) {
		return false
	}
	plan.unsettle()
	plan.SubmissionID = types.StringUnknown()
	id := state.SubmissionID.ValueString()
	var why string
	switch seen {
	case statusMissing:
		why = fmt.Sprintf("The cluster has no record of %s any more (last seen %s).", id, state.Status.ValueString())
	case statusClusterReplaced:
		why = fmt.Sprintf("%s was submitted to cluster %s, and another cluster answers now (last seen %s).", id, orUnknown(state.ClusterID.ValueString()), state.Status.ValueString())
	case string(ray.JobSucceeded):
		why = fmt.Sprintf("%s SUCCEEDED, and rerun_on has SUCCEEDED: every apply runs it again.", id)
	default:
		job := state.job(ctx)
		why = fmt.Sprintf("%s %s.", id, ended(job))
		if at := state.EndedAt.ValueString(); at != "" {
			why = fmt.Sprintf("%s %s at %s.", id, ended(job), at)
		}
	}
	diags.AddAttributeWarning(path.Root("rerun_on"), fmt.Sprintf("Job %s will run again: %s", plan.label(), seen), why)
	return true
}
