package job

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// ModifyPlan decides whether a job is replaced, plans what is known already, and
// says what an apply would meet on the cluster.
func (r *jobResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var state *jobModel
	if !req.State.Raw.IsNull() {
		state = new(jobModel)
		resp.Diagnostics.Append(req.State.Get(ctx, state)...)
	}
	if req.Plan.Raw.IsNull() {
		if state != nil {
			r.claim(ctx, state, state.claimID(ctx), claimDestroy, &resp.Diagnostics)
		}
		return
	}
	var plan, config jobModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx = config.quietly(ctx)
	defer config.mask(ctx, &resp.Diagnostics)
	if state == nil {
		again := marked(ctx, req.Private, keyVersion, &resp.Diagnostics)
		r.planCreate(ctx, &plan, &config, again, resp)
	} else {
		r.planUpdate(ctx, &plan, &config, state, req, resp)
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

// planCreate plans a new submission. again is set for the second half of a
// replacement, which core plans as a create with the old object's private data.
func (r *jobResource) planCreate(ctx context.Context, plan, config *jobModel, again bool, resp *resource.ModifyPlanResponse) {
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, keyVersion, []byte(`{}`))...)
	r.planHashes(ctx, plan, nil, &resp.Diagnostics)
	r.planRequirements(plan, nil, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	pool := r.Pool()
	if pool == nil {
		return
	}
	if _, unknown := pool.UnknownArgument("owner"); unknown {
		return
	}
	plan.Owner = textOrNull(pool.Owner())
	r.planLogs(ctx, plan, &resp.Diagnostics)
	if !plan.inputsKnown(ctx) || config.SubmissionID.IsUnknown() {
		return
	}
	in := plan.inputs(ctx, config.SubmissionID.ValueString(), &resp.Diagnostics)
	digest, err := in.Digest()
	if err != nil {
		fw.AddError(&resp.Diagnostics, path.Empty(), "The job's inputs have no digest", err)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	plan.InputsDigest = types.StringValue(digest)
	base := config.SubmissionID.ValueString()
	if base == "" {
		base = jobs.BaseID(pool.Owner(), in.Name, digest)
	}
	kind := claimCreate
	if again {
		kind = claimRecreate
	}
	r.claim(ctx, plan, base, kind, &resp.Diagnostics)
	r.checkCluster(ctx, plan, in, again, &resp.Diagnostics)
}

// newID reports whether a replaced job leaves the recorded id: with the same inputs
// (-replace, a failed wait) its next run is an attempt of the same sequence.
func (r *jobResource) newID(ctx context.Context, plan, config, state *jobModel) bool {
	if !config.SubmissionID.IsNull() {
		return !config.SubmissionID.Equal(state.SubmissionID)
	}
	if !plan.inputsKnown(ctx) {
		return true
	}
	digest, err := plan.inputs(ctx, "", new(diag.Diagnostics)).Digest()
	return err != nil || jobs.BaseID(r.Pool().Owner(), plan.Name.ValueString(), digest) != state.claimID(ctx)
}

// planUpdate plans for a job that was submitted: a replacement, a wait to go on
// with, or a change of what never replaces.
func (r *jobResource) planUpdate(ctx context.Context, plan, config, state *jobModel, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	plan.pin(state)
	if !config.SubmissionID.IsNull() {
		plan.SubmissionID = config.SubmissionID
	}
	r.planHashes(ctx, plan, state, &resp.Diagnostics)
	r.planRequirements(plan, state, &resp.Diagnostics)
	imported := marked(ctx, req.Private, keyImported, &resp.Diagnostics)
	replace := r.replacements(ctx, plan, config, state, imported, &resp.Diagnostics)
	switch {
	case imported && len(replace) == 0:
		replace = r.planImported(ctx, plan, config, state, &resp.Diagnostics)
	case imported:
		resp.Diagnostics.AddAttributeWarning(replace[0], fmt.Sprintf("Job %s was submitted with other inputs", plan.label()),
			fmt.Sprintf("Ray's record of the imported submission %s does not match this configuration: its entrypoint or runtime_env differs. It will be replaced: first on_destroy is carried out on it, then the job is submitted anew.", state.SubmissionID.ValueString()))
	}
	if marked(ctx, req.Private, keyFailed, &resp.Diagnostics) && !plan.IgnoreFailure.ValueBool() && len(replace) == 0 {
		plan.unsettle()
		replace = append(replace, path.Root("status"))
		resp.Diagnostics.AddWarning(fmt.Sprintf("Job %s did not succeed and will run again", plan.label()),
			fmt.Sprintf("The last apply found %s %s, as its error said. It is replaced, as a job that failed in its first apply would be. Set ignore_failure = true to keep it as it is.", state.SubmissionID.ValueString(), state.Status.ValueString()))
	}
	if len(replace) == 0 && r.planRerun(ctx, plan, state, req.Private, &resp.Diagnostics) {
		replace = append(replace, path.Root("status"))
	}
	kind := claimUpdate
	if len(replace) > 0 && r.newID(ctx, plan, config, state) {
		kind = claimDestroy
	}
	r.claim(ctx, state, state.claimID(ctx), kind, &resp.Diagnostics)
	if len(replace) > 0 {
		resp.RequiresReplace = append(resp.RequiresReplace, replace...)
		r.checkReplacement(ctx, plan, config, &resp.Diagnostics)
		return
	}
	switch {
	case marked(ctx, req.Private, keyWaiting, &resp.Diagnostics):
		plan.unsettleRun()
		resp.Diagnostics.AddWarning(fmt.Sprintf("The wait for job %s goes on", plan.label()),
			fmt.Sprintf("An earlier apply was interrupted while it waited for %s, last seen %s. This apply waits on and delivers the verdict.", state.SubmissionID.ValueString(), state.Status.ValueString()))
	case !config.WaitFor.IsUnknown() && plan.goal() > state.goal() && !plan.goal().Reached(ray.JobStatus(state.Status.ValueString())) && !plan.IgnoreFailure.ValueBool():
		plan.unsettleRun()
	case state.IgnoreFailure.ValueBool() && !plan.IgnoreFailure.ValueBool() && !plan.IgnoreFailure.IsUnknown() && plan.goal() != jobs.Submitted && state.terminal() && !plan.goal().Reached(ray.JobStatus(state.Status.ValueString())):
		plan.unsettleRun() // a failure that mattered to nobody matters now
	case !plan.Cluster.Equal(state.Cluster) && !state.terminal():
		plan.unsettle()
		plan.URL = types.StringUnknown()
	}
	if plan.Status.IsUnknown() && plan.Cluster.Equal(state.Cluster) {
		r.planLogs(ctx, plan, &resp.Diagnostics)
	}
	r.warnLost(state, &resp.Diagnostics)
}

// warnLost says what a refresh found that no plan of this job will mend.
func (r *jobResource) warnLost(state *jobModel, diags *diag.Diagnostics) {
	switch state.Status.ValueString() {
	case statusMissing:
		diags.AddWarning(fmt.Sprintf("Ray has no record of job %s", state.label()),
			fmt.Sprintf("%s was not over when it was last seen, and the cluster does not know it any more: its record was deleted, or, on Ray before 2.31, the head was restarted without Redis. Nothing is run again by itself: use -replace or change triggers.", state.SubmissionID.ValueString()))
	case statusClusterReplaced:
		diags.AddWarning(fmt.Sprintf("Job %s was on a cluster that was replaced", state.label()),
			fmt.Sprintf("%s was submitted to cluster %s; another cluster answers now. Nothing is run again by itself: use -replace or change triggers.", state.SubmissionID.ValueString(), state.ClusterID.ValueString()))
	}
}

// input is one attribute that replaces the job where its meaning changes.
type input struct {
	at   path.Path
	same bool
}

// replacements compares plan and state attribute by attribute and returns the
// paths of the inputs that differ. An unknown value may differ.
func (r *jobResource) replacements(ctx context.Context, plan, config, state *jobModel, imported bool, diags *diag.Diagnostics) []path.Path {
	entrypoint := path.Root("entrypoint")
	if !plan.Command.IsNull() {
		entrypoint = path.Root("command")
	}
	env := path.Root("runtime_env")
	switch {
	case !plan.RuntimeEnv.Equal(state.RuntimeEnv):
	case !plan.RequirementsHash.Equal(state.RequirementsHash):
		env = path.Root("requirements_hash")
	default:
		env = path.Root("runtime_env_json")
	}
	wanted, recorded := plan.runtimeEnv(ctx, diags), state.runtimeEnv(ctx, diags)
	if imported { // nor does it compare what was packaged
		delete(wanted, "py_modules")
		recorded = withoutHidden(recorded, config.hidden(ctx, diags))
	}
	// An import without a stamp knows only these two.
	inputs := []input{
		{entrypoint, allKnown(ctx, plan.Entrypoint, plan.Command) && plan.entrypoint(ctx, diags) == state.entrypoint(ctx, diags)},
		{env, allKnown(ctx, plan.RuntimeEnv, plan.RuntimeEnvJSON) && sameEnv(plan, state, wanted, recorded)},
	}
	if imported && !state.InputsDigest.IsNull() && r.digestMatches(ctx, plan, config, state, diags) {
		return nil
	}
	if !imported {
		dir, same := path.Root("working_dir"), plan.WorkingDir.Equal(state.WorkingDir)
		if plan.localDir() && state.localDir() {
			dir, same = path.Root("working_dir_hash"), plan.WorkingDirHash.Equal(state.WorkingDirHash)
		}
		inputs = append(inputs,
			input{path.Root("name"), plan.Name.Equal(state.Name)},
			input{path.Root("submission_id"), sameOwnID(ctx, config, state)},
			input{dir, same},
			input{path.Root("py_modules_hashes"), sameList(plan.PyModuleHashes, state.PyModuleHashes)},
			input{path.Root("entrypoint_num_cpus"), plan.NumCPUs.Equal(state.NumCPUs)},
			input{path.Root("entrypoint_num_gpus"), plan.NumGPUs.Equal(state.NumGPUs)},
			input{path.Root("entrypoint_memory"), plan.Memory.Equal(state.Memory)},
			input{path.Root("entrypoint_resources"), sameMap(plan.Resources, state.Resources)},
			input{path.Root("entrypoint_label_selector"), sameMap(plan.LabelSelector, state.LabelSelector)},
			input{path.Root("env_vars_wo_version"), plan.EnvVarsWOVersion.Equal(state.EnvVarsWOVersion)},
			input{path.Root("runtime_env_json_wo_version"), plan.RuntimeEnvJSONWOVersion.Equal(state.RuntimeEnvJSONWOVersion)},
			input{path.Root("triggers"), sameMap(plan.Triggers, state.Triggers)},
		)
	}
	var out []path.Path
	for _, in := range inputs {
		if !in.same {
			out = append(out, in.at)
		}
	}
	if config.SubmissionID.IsNull() && len(out) > 0 {
		plan.SubmissionID = types.StringUnknown()
	}
	return out
}

// planImported fills in what an import could not know. Where the job's stamp says
// that the configuration's inputs are others, it is replaced.
func (r *jobResource) planImported(ctx context.Context, plan, config, state *jobModel, diags *diag.Diagnostics) []path.Path {
	if !plan.inputsKnown(ctx) || config.SubmissionID.IsUnknown() {
		return nil
	}
	if !state.InputsDigest.IsNull() && !r.digestMatches(ctx, plan, config, state, diags) {
		plan.InputsDigest = types.StringUnknown()
		diags.AddWarning(fmt.Sprintf("Job %s was submitted with other inputs", plan.label()),
			"The stamp on the imported job does not match this configuration: its name, working_dir, entrypoint requirements or triggers differ. It will be replaced.")
		return []path.Path{path.Root("inputs_digest")}
	}
	if !state.InputsDigest.IsNull() {
		return nil
	}
	digest, err := plan.inputs(ctx, config.SubmissionID.ValueString(), diags).Digest()
	if err != nil {
		fw.AddError(diags, path.Empty(), "The job's inputs have no digest", err)
		return nil
	}
	plan.InputsDigest = types.StringValue(digest)
	return nil
}

func (r *jobResource) digestMatches(ctx context.Context, plan, config, state *jobModel, diags *diag.Diagnostics) bool {
	if !plan.inputsKnown(ctx) || config.SubmissionID.IsUnknown() {
		return false
	}
	digest, err := plan.inputs(ctx, config.SubmissionID.ValueString(), diags).Digest()
	return err == nil && digest == state.InputsDigest.ValueString()
}

// sameOwnID: the id is an input only where the user chose it.
func sameOwnID(ctx context.Context, config, state *jobModel) bool {
	if !config.SubmissionID.IsNull() {
		return config.SubmissionID.Equal(state.SubmissionID)
	}
	return !state.chosenID(ctx)
}

// sameList: null and empty are one.
func sameList(a, b types.List) bool {
	return !a.IsUnknown() && !b.IsUnknown() && slices.EqualFunc(a.Elements(), b.Elements(), attr.Value.Equal)
}

// sameMap compares the members that are not null.
func sameMap(a, b types.Map) bool {
	if a.IsUnknown() || b.IsUnknown() {
		return false
	}
	return maps.EqualFunc(present(a), present(b), attr.Value.Equal)
}

func present(m types.Map) map[string]attr.Value {
	out := map[string]attr.Value{}
	for k, v := range m.Elements() {
		if !v.IsNull() {
			out[k] = v
		}
	}
	return out
}

func allKnown(ctx context.Context, values ...attr.Value) bool {
	for _, v := range values {
		if !fullyKnown(ctx, v) {
			return false
		}
	}
	return true
}
