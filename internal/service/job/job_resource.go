package job

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

var (
	_ resource.ResourceWithConfigure      = (*jobResource)(nil)
	_ resource.ResourceWithValidateConfig = (*jobResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*jobResource)(nil)
	_ resource.ResourceWithIdentity       = (*jobResource)(nil)
	_ resource.ResourceWithImportState    = (*jobResource)(nil)
	_ resource.ResourceWithMoveState      = (*jobResource)(nil)
)

type jobResource struct{ fw.Resource }

func newJobResource() resource.Resource { return &jobResource{} }

func (r *jobResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_job"
	// The retry of an update that waits on is another submission.
	resp.ResourceBehavior.MutableIdentity = true
}

// cluster is the one that m's configuration or state names; nil where it is not
// known yet or can't be, which diags then says.
func (r *jobResource) cluster(ctx context.Context, m *jobModel, diags *diag.Diagnostics) *conn.Cluster {
	pool := r.Pool()
	if pool == nil {
		return nil
	}
	target, known, d := fw.TargetOf(ctx, m.Cluster)
	diags.Append(d...)
	if !known || d.HasError() {
		return nil
	}
	cluster, err := pool.Cluster(target)
	if errors.As(err, new(*conn.UnknownError)) {
		return nil
	}
	if err != nil {
		fw.AddError(diags, path.Root("cluster"), fmt.Sprintf("Job %s has no cluster", m.label()), err)
		return nil
	}
	if dashboard, _, recorded := strings.Cut(m.URL.ValueString(), jobPage); recorded {
		cluster.Hint(dashboard, m.ClusterID.ValueString())
	}
	return cluster
}

// knownCluster is cluster where an apply needs it: then everything is known.
func (r *jobResource) knownCluster(ctx context.Context, m *jobModel, diags *diag.Diagnostics) *conn.Cluster {
	cluster := r.cluster(ctx, m, diags)
	if cluster == nil && !diags.HasError() {
		diags.AddError(fmt.Sprintf("Job %s has no cluster", m.label()), "The cluster's address, or the provider's configuration, is still not known in apply. Nothing was done.")
	}
	return cluster
}

// writable refuses every change where the provider is read-only.
func (r *jobResource) writable(summary string, diags *diag.Diagnostics) bool {
	if r.Pool().ReadOnly() {
		diags.AddError(summary, "The provider is configured with read_only = true, so it changes nothing on a cluster. Apply with a configuration that may write.")
		return false
	}
	return true
}

// Create submits the job, or takes over the run that is there, and waits.
func (r *jobResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m, config jobModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	recheckHidden(ctx, &config, &resp.Diagnostics)
	m.takeHidden(&config)
	ctx = config.quietly(ctx)
	defer config.mask(ctx, &resp.Diagnostics)
	cluster := r.knownCluster(ctx, &m, &resp.Diagnostics)
	summary := fmt.Sprintf("Job %s was not submitted", m.label())
	if resp.Diagnostics.HasError() || cluster == nil || !r.writable(summary, &resp.Diagnostics) {
		return
	}
	request, uri := r.request(ctx, &m, config.SubmissionID.ValueString(), &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	if err := r.supports(ctx, cluster, &m); err != nil {
		fw.AddError(&resp.Diagnostics, path.Empty(), summary, err)
		return
	}
	limit, d := m.Timeouts.Create(ctx, 0)
	resp.Diagnostics.Append(d...)
	request.Queued, request.QueueTimeout = r.queued(ctx, &m), limit
	log := r.openLog(ctx, cluster, &m, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	defer func() { log.close(&resp.Diagnostics) }()
	engine := cluster.Engine()
	run, err := engine.Submit(ctx, request)
	if err != nil {
		r.addSubmitError(&m, run, err, &resp.Diagnostics)
		return
	}
	tflog.Info(ctx, "Ray has the job", map[string]any{"submission_id": run.ID, "adopted": run.Adopted, "attempt": run.Attempt})
	if run.Adopted {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Job %s was taken over", m.label()),
			fmt.Sprintf("Submission %s with the same owner, name and inputs was there, %s; nothing was submitted.", run.ID, run.Job.Status)+ownerAdvice(r.Pool()))
	}
	secretsOf(cluster).note(run.ID, m.secrets(ctx))
	m.fromRun(ctx, run, request.Metadata, uri, &resp.Diagnostics)
	carriedOut(cluster, m.claimID(ctx))
	m.URL = page(ctx, cluster)(run.ID)
	earlier := make([]attemptModel, 0, len(run.Earlier))
	for _, job := range run.Earlier {
		earlier = append(earlier, attemptOf(job))
	}
	m.setAttempts(ctx, earlier, &resp.Diagnostics)
	w := retrying{
		waiting: waiting{resource: r, engine: engine, model: &m, run: run, create: true, log: log},
		policy:  m.retry(ctx, &resp.Diagnostics),
		request: func(*diag.Diagnostics) (jobs.Request, string, bool) { return request, uri, true },
		url:     page(ctx, cluster),
	}
	outcome := w.wait(ctx, limit, func(ctx context.Context, diags *diag.Diagnostics) outcome { return w.waiting.wait(ctx, limit, diags) }, &resp.Diagnostics)
	if outcome == forget {
		return
	}
	w.deliver(ctx, outcome, &resp.Diagnostics)
	m.settle()
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, keyVersion, []byte(`{}`))...)
	mark(ctx, resp.Private, keyWaiting, false, &resp.Diagnostics)
	if outcome == waitOn {
		w.markWaiting(ctx, resp.Private, &resp.Diagnostics)
	}
	identify(ctx, resp.Identity, &m, &resp.Diagnostics)
}

// identify sets the identity of a job that has none yet; one that was recorded
// never changes.
func identify(ctx context.Context, identity *tfsdk.ResourceIdentity, m *jobModel, diags *diag.Diagnostics) {
	if identity != nil && identity.Raw.IsFullyNull() {
		diags.Append(identity.Set(ctx, jobIdentity{m.SubmissionID, m.ClusterID})...)
	}
}

// request makes the submission of a planned job, with its packages.
func (r *jobResource) request(ctx context.Context, m *jobModel, ownID string, diags *diag.Diagnostics) (jobs.Request, string) {
	metadata := map[string]string{}
	maps.Copy(metadata, r.Pool().DefaultMetadata())
	maps.Copy(metadata, stringMap(ctx, m.Metadata, diags))
	request := jobs.Request{Owner: r.Pool().Owner(), KeepFailed: m.keepFailed(), Metadata: metadata, TellAttempt: m.told(), CheckpointPath: m.CheckpointPath.ValueString()}
	if !r.packages(ctx, m, &request, diags) {
		return request, ""
	}
	m.readRequirements(diags)
	if diags.HasError() {
		return request, ""
	}
	request.Inputs = m.inputs(ctx, ownID, diags)
	request.Hidden = m.hidden(ctx, diags)
	digest, err := request.Digest()
	if err != nil {
		fw.AddError(diags, path.Empty(), "The job's inputs have no digest", err)
	}
	m.InputsDigest = types.StringValue(digest)
	m.Owner = textOrNull(request.Owner)
	if !m.localDir() {
		return request, ""
	}
	return request, request.WorkingDirURI
}

// fromRun takes over what a submission decided.
func (m *jobModel) fromRun(ctx context.Context, run jobs.Run, metadata map[string]string, packageURI string, diags *diag.Diagnostics) {
	m.SubmissionID = types.StringValue(run.ID)
	m.Attempt = types.Int64Value(int64(run.Attempt))
	m.ClusterID = textOrNull(run.ClusterID)
	m.PackageURI = textOrNull(packageURI)
	all, d := types.MapValueFrom(ctx, types.StringType, run.Stamp.Mark(metadata))
	diags.Append(d...)
	m.MetadataAll = all
}

// Read refreshes a job that is not over. What is over stays as it was: it never
// changes again, and that Ray forgot it is no drift.
func (r *jobResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m jobModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	imported := m.Status.IsNull()
	if !imported {
		identify(ctx, resp.Identity, &m, &resp.Diagnostics)
		r.note(ctx, &m)
	}
	if m.terminal() {
		r.observe(ctx, &m, resp.Private, &resp.Diagnostics)
		return
	}
	cluster := r.readCluster(ctx, &m, &resp.Diagnostics)
	if cluster == nil {
		return
	}
	engine := cluster.Engine()
	job, err := engine.Lookup(ctx, m.SubmissionID.ValueString())
	switch {
	case err == nil && imported:
		r.readImported(ctx, cluster, &m, job, &resp.Diagnostics)
		if resp.Identity != nil && !resp.Diagnostics.HasError() {
			resp.Diagnostics.Append(resp.Identity.Set(ctx, jobIdentity{m.SubmissionID, m.ClusterID})...)
		}
	case err == nil && m.carriedBy(ctx, job):
		r.readRunning(ctx, engine, &m, job, &resp.Diagnostics)
	case err == nil || ray.IsKind(err, ray.KindNotFound):
		if imported {
			resp.Diagnostics.AddError(fmt.Sprintf("There is no job %s to take over", m.label()),
				fmt.Sprintf("The cluster at %s has no submission of that id. Jobs are imported by submission id, which `ray job list` shows; drivers that were not submitted can't be.", cluster.Address()))
			return
		}
		if status := r.lostStatus(ctx, engine, &m, &resp.Diagnostics); status != "" {
			m.Status = types.StringValue(status)
		}
	case imported:
		fw.AddError(&resp.Diagnostics, path.Empty(), fmt.Sprintf("Job %s could not be refreshed", m.label()), err)
	default:
		r.unreadable(&m, err, &resp.Diagnostics)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// readRunning records a job that is there. One whose node is gone is looked after
// first: Ray may not have noticed.
func (r *jobResource) readRunning(ctx context.Context, engine *jobs.Engine, m *jobModel, job ray.Job, diags *diag.Diagnostics) {
	now, gone, err := engine.Reconcile(ctx, job)
	if err != nil {
		r.unreadable(m, err, diags)
		return
	}
	m.fromJob(ctx, now, diags)
	if gone {
		diags.AddWarning(fmt.Sprintf("The node of job %s is gone", m.label()), nodeGone(now))
	}
}

// unreadable reports a cluster that could not be asked; the state stays as it is.
func (r *jobResource) unreadable(m *jobModel, err error, diags *diag.Diagnostics) {
	r.AddRefreshError(diags, "Job "+m.label(), err)
}

// readCluster is the cluster to refresh from. One that the configuration no longer
// names is no error: this plan may just give the job its new one.
func (r *jobResource) readCluster(ctx context.Context, m *jobModel, diags *diag.Diagnostics) *conn.Cluster {
	var found diag.Diagnostics
	cluster := r.cluster(ctx, m, &found)
	if found.HasError() && !m.Status.IsNull() {
		for _, d := range found {
			diags.AddWarning(fmt.Sprintf("Job %s was not refreshed", m.label()), d.Detail())
		}
		return nil
	}
	diags.Append(found...)
	return cluster
}

// lostStatus tells a deleted record from a replaced cluster; it is empty, with a
// diagnostic, where the cluster can't be asked.
func (r *jobResource) lostStatus(ctx context.Context, engine *jobs.Engine, m *jobModel, diags *diag.Diagnostics) string {
	same, err := engine.SameCluster(ctx, m.ClusterID.ValueString())
	if err != nil {
		r.unreadable(m, err, diags)
		return ""
	}
	return lost(same)
}

// lost is the status of a job that is not there: on the same cluster its record
// was deleted.
func lost(same bool) string {
	if same {
		return statusMissing
	}
	return statusClusterReplaced
}

// Update changes what never replaces a job: nothing of it reaches Ray, but a wait
// may go on, or begin.
func (r *jobResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, config, state jobModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	recheckHidden(ctx, &config, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	m.takeHidden(&config)
	ctx = config.quietly(ctx)
	defer config.mask(ctx, &resp.Diagnostics)
	wasWaiting := marked(ctx, req.Private, keyWaiting, &resp.Diagnostics)
	waits := m.Status.IsUnknown()
	planned := m
	m.pinUnknown(&state)
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, keyVersion, []byte(`{}`))...)
	mark(ctx, resp.Private, keyImported, false, &resp.Diagnostics)
	if m.IgnoreFailure.ValueBool() {
		mark(ctx, resp.Private, keyFailed, false, &resp.Diagnostics)
	}
	identify(ctx, resp.Identity, &state, &resp.Diagnostics)
	defer func() {
		m.settle()
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}()
	if !waits {
		return
	}
	m.readRequirements(new(diag.Diagnostics)) // for the passwords that no message may show
	cluster := r.knownCluster(ctx, &planned, &resp.Diagnostics)
	if cluster == nil {
		return
	}
	engine := cluster.Engine()
	stamp := state.stamp(ctx)
	w := retrying{
		waiting: waiting{resource: r, engine: engine, model: &m, run: jobs.Run{ID: state.SubmissionID.ValueString(), Attempt: stamp.Attempt, Stamp: stamp, ClusterID: state.ClusterID.ValueString()}},
		policy:  m.retry(ctx, &resp.Diagnostics),
		request: func(diags *diag.Diagnostics) (jobs.Request, string, bool) {
			return r.nextRequest(ctx, &m, &state, diags)
		},
		url: page(ctx, cluster),
	}
	w.run.RunningSince = runningSince(ctx, req.Private, &resp.Diagnostics)
	if _, generated := state.base(ctx); !generated {
		w.policy.MaxAttempts = 1 // somebody else's job, or an id of the user's own
	}
	failureMatters := state.IgnoreFailure.ValueBool() && !m.IgnoreFailure.ValueBool()
	if !wasWaiting && m.goal() <= state.goal() && !failureMatters {
		w.lookOnly = true // another address of the cluster: see that the job is there
		w.policy.MaxAttempts = 1
	}
	if planned.URL.IsUnknown() {
		if url := w.url(state.SubmissionID.ValueString()); !url.IsNull() {
			m.URL = url
		}
	}
	if !w.lookOnly {
		w.log = r.openLog(ctx, cluster, &m, &resp.Diagnostics)
		if resp.Diagnostics.HasError() {
			return
		}
		defer func() { w.log.close(&resp.Diagnostics) }()
	}
	limit, d := m.Timeouts.Update(ctx, 0)
	resp.Diagnostics.Append(d...)
	first := func(ctx context.Context, diags *diag.Diagnostics) outcome {
		if state.terminal() { // no look can change what is over, and Ray may have forgotten it
			w.lookBack(ctx)
			return w.over(ctx, state.job(ctx), diags)
		}
		return w.waiting.wait(ctx, limit, diags)
	}
	out := w.wait(ctx, limit, first, &resp.Diagnostics)
	w.deliver(ctx, out, &resp.Diagnostics)
	if resp.Identity != nil && !m.SubmissionID.Equal(state.SubmissionID) { // another attempt is the job now
		resp.Diagnostics.Append(resp.Identity.Set(ctx, jobIdentity{m.SubmissionID, m.ClusterID})...)
	}
	switch out {
	case keep:
		mark(ctx, resp.Private, keyWaiting, false, &resp.Diagnostics)
	case failed:
		mark(ctx, resp.Private, keyWaiting, false, &resp.Diagnostics)
		mark(ctx, resp.Private, keyFailed, true, &resp.Diagnostics)
	case waitOn, forget:
		w.markWaiting(ctx, resp.Private, &resp.Diagnostics)
	}
}

// pinUnknown takes what is still unknown from o.
func (m *jobModel) pinUnknown(o *jobModel) {
	if m.Status.IsUnknown() {
		m.Status, m.JobID, m.ErrorType, m.SubmittedAt = o.Status, o.JobID, o.ErrorType, o.SubmittedAt
		m.EndedAt, m.DriverNodeID, m.DriverExitCode = o.EndedAt, o.DriverNodeID, o.DriverExitCode
		m.Attempts, m.Result = o.Attempts, o.Result
	}
	if m.SubmissionID.IsUnknown() {
		m.SubmissionID, m.Attempt = o.SubmissionID, o.Attempt
		m.PackageURI, m.MetadataAll = o.PackageURI, o.MetadataAll
	}
	if m.URL.IsUnknown() {
		m.URL = o.URL
	}
}

// page makes the dashboard's page of a submission; null where the dashboard can't
// be reached.
func page(ctx context.Context, cluster *conn.Cluster) func(id string) types.String {
	return func(id string) types.String {
		api, err := cluster.Dashboard(ctx)
		if err != nil {
			return types.StringNull()
		}
		return jobURL(api.URL(), id)
	}
}

// Delete does what on_destroy says. Another cluster's job is never touched.
func (r *jobResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m jobModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	cluster := r.knownCluster(ctx, &m, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	engine := cluster.Engine()
	id := m.SubmissionID.ValueString()
	if m.onDestroy() == destroyAbandon {
		// Unreachable is fine: nothing is asked of the cluster but its name.
		if err := engine.Release(ctx, m.ref(ctx)); err != nil {
			tflog.Info(ctx, "the cluster could not be asked for its id", map[string]any{"error": err.Error()})
		}
		return
	}
	summary := fmt.Sprintf("Job %s was not destroyed", m.label())
	if !r.writable(summary, &resp.Diagnostics) {
		return
	}
	ending, err := engine.End(ctx, m.ref(ctx), m.onDestroy() == destroyDelete, m.stopTimeout())
	var goesOn *jobs.StopTimeoutError
	switch {
	case errors.As(err, &goesOn):
		resp.Diagnostics.AddAttributeError(path.Root("stop_timeout"), summary,
			fw.Detail(err)+" Destroy again, raise stop_timeout, or set on_destroy = \"abandon\" (and apply) to leave the job alone.")
	case err != nil:
		r.AddDestroyError(ctx, &resp.Diagnostics, summary, err)
	case ending == jobs.NotOurs:
		resp.Diagnostics.AddWarning(fmt.Sprintf("Job %s is not on this cluster any more", m.label()),
			fmt.Sprintf("Submission %s belonged to cluster %s; what answers at %s now is another cluster, or another job under that id. Nothing was stopped or deleted.", id, orUnknown(m.ClusterID.ValueString()), cluster.Address()))
	case ending == jobs.OwnedHere:
		resp.Diagnostics.AddWarning(fmt.Sprintf("Job %s was taken over by its replacement and did not run again", m.label()),
			fmt.Sprintf("A new resource of this apply took submission %s over before this one let it go, as with create_before_destroy and unchanged inputs. The job was left as it is. To run it again, change triggers.", id))
	case m.onDestroy() == destroyDelete:
		for _, ref := range m.earlierRefs(ctx) {
			if _, err := engine.End(ctx, ref, true, m.stopTimeout()); err != nil {
				r.AddDestroyError(ctx, &resp.Diagnostics, fmt.Sprintf("An earlier attempt of job %s was not deleted", m.label()), err)
			}
		}
	}
}

func orUnknown(s string) string {
	if s == "" {
		return "(unknown)"
	}
	return s
}
