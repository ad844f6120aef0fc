package autoscaling

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

var (
	_ resource.ResourceWithConfigure      = (*policy)(nil)
	_ resource.ResourceWithValidateConfig = (*policy)(nil)
	_ resource.ResourceWithModifyPlan     = (*policy)(nil)
)

// policy is ray_autoscaling_policy.
type policy struct{ fw.Resource }

func newPolicy() resource.Resource {
	return &policy{fw.Resource{TypeName: "autoscaling_policy"}}
}

// Defaults of timeouts.
const (
	defaultWait   = 10 * time.Minute
	defaultDelete = 5 * time.Minute
)

// leaveLate is how long an update that was interrupted may take to leave the cluster that
// the policy was on before.
const leaveLate = 10 * time.Second

// keyVersion of the private state is always there: an object without it is new.
const keyVersion = "v"

// keySeen of the private state is what a remembering backend saw last.
const keySeen = "seen"

// cluster is the one that m names; nil where it is not known yet or can't be, which
// diags then says.
func (r *policy) cluster(ctx context.Context, m *policyModel, diags *diag.Diagnostics) *conn.Cluster {
	target, known, d := fw.TargetOf(ctx, m.Cluster)
	if k, ok := m.kind(); ok && k.target != nil && r.Pool() != nil && !d.HasError() {
		target, known = k.target(ctx, m, r.Pool(), target, known, &d)
	}
	diags.Append(d...)
	if r.Pool() == nil || !known || d.HasError() {
		return nil
	}
	cluster, err := r.Pool().Cluster(target)
	if errors.As(err, new(*conn.UnknownError)) {
		return nil
	}
	if err != nil {
		fw.AddError(diags, path.Root("cluster"), fmt.Sprintf("Policy %s has no cluster", m.Name.ValueString()), err)
		return nil
	}
	return cluster
}

// begin is what each change of a cluster begins with: nil, with an error in diags,
// where it may not or can't go on.
func (r *policy) begin(ctx context.Context, m *policyModel, summary string, diags *diag.Diagnostics) *conn.Cluster {
	cluster := r.cluster(ctx, m, diags)
	switch {
	case diags.HasError():
		return nil
	case cluster == nil:
		diags.AddError(summary, "The cluster's address, or the provider's configuration, is still not known in apply. Nothing was done.")
		return nil
	case r.Pool().ReadOnly():
		diags.AddError(summary, "The provider is configured with read_only = true, so it changes nothing on a cluster. Apply with a configuration that may write.")
		return nil
	}
	return cluster
}

// Create makes the floor and waits until it is enforced, or takes over what is there.
func (r *policy) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m policyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	limit, d := m.Timeouts.Create(ctx, defaultWait)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	summary := fmt.Sprintf("Policy %s is not enforced", m.Name.ValueString())
	cluster := r.begin(ctx, &m, summary, &resp.Diagnostics)
	if cluster == nil {
		return
	}
	m.Owner = textOrNull(r.Pool().Owner())
	b, err := r.apply(ctx, cluster, &m, nil, nil, limit, &resp.Diagnostics)
	if b == nil || (err != nil && !b.made()) {
		fw.AddError(&resp.Diagnostics, path.Empty(), summary, err)
		return // nothing was made
	}
	var unenforced *unenforcedError
	switch {
	case err == nil && b.tookOver() != "":
		resp.Diagnostics.AddWarning(fmt.Sprintf("Policy %s was taken over", m.Name.ValueString()), b.tookOver()+r.ownerAdvice())
	case errors.As(err, &unenforced) && unenforced.interrupted:
		// An error would taint what merely was not waited for.
		resp.Diagnostics.AddWarning(fmt.Sprintf("The wait for policy %s was interrupted", m.Name.ValueString()),
			fw.Sentence(err.Error())+" "+stays(b)+" The next plan looks again, and the next apply waits on where it is needed.")
	case err != nil:
		r.addError(&resp.Diagnostics, b, summary, err, limit, stays(b)+" Terraform calls the policy tainted: the next apply makes it anew, a destroy removes it, and terraform untaint keeps it, so that the next apply waits on.")
	}
	m.found(ctx, reasonsOf(err), &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, keyVersion, []byte(`{}`))...)
	resp.Diagnostics.Append(keepSeen(ctx, resp.Private, b)...)
}

// stays says what becomes of a policy that is not enforced.
func stays(b backend) string {
	if _, ok := b.(remembering); ok {
		return "What was written stays."
	}
	return "The floor stays on the cluster as far as it was made, and goes on asking for nodes."
}

// keepSeen keeps what the backend saw of the cluster for the apply of the next plan.
func keepSeen(ctx context.Context, private interface {
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}, b backend) diag.Diagnostics {
	if k, ok := b.(remembering); ok {
		return private.SetKey(ctx, keySeen, k.seen())
	}
	return nil
}

// apply enforces the policy on the cluster, whose id it records. Of an update state is
// what stands in the state, and seen what the plan was decided against. The backend is
// nil where nothing was tried.
func (r *policy) apply(ctx context.Context, cluster *conn.Cluster, m, state *policyModel, seen []byte, limit time.Duration, diags *diag.Diagnostics) (backend, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, jobs.ErrDeadline)
	defer cancel()
	k, ok := m.kind()
	if !ok {
		return nil, fmt.Errorf("the policy has no backend: set %s", backends())
	}
	id, err := r.clusterID(ctx, k, cluster)
	if err != nil {
		return nil, err
	}
	m.ClusterID, m.Previous = textOrNull(id), types.StringNull()
	if state != nil {
		m.Previous = state.Previous
	}
	b := k.backend(ctx, m, r.Pool(), cluster, id, diags)
	if past, ok := b.(remembering); ok {
		if state != nil {
			past.since(ctx, state, seen, diags)
		}
		defer func() { m.Previous = past.previous() }()
	}
	if err := b.supported(ctx); err != nil {
		return nil, err
	}
	if b.key() == "" {
		return b, b.enforce(ctx)
	}
	unlock, err := claimsOf(cluster).lock(ctx, b.key())
	if err != nil {
		return nil, err
	}
	defer unlock()
	claimsOf(cluster).take(b.key())
	err = b.enforce(ctx)
	if state == nil && !b.made() {
		claimsOf(cluster).letGo(b.key()) // so that a destroy beside this takes its own back
	}
	return b, err
}

// clusterID asks who the cluster is that a backend of kind k is on.
func (r *policy) clusterID(ctx context.Context, k kind, cluster *conn.Cluster) (string, error) {
	if k.clusterID != nil {
		return k.clusterID(ctx, r.Pool(), cluster)
	}
	return clusterID(ctx, cluster)
}

// reasonsOf is what is missing after enforce ended with err.
func reasonsOf(err error) []string {
	var unenforced *unenforcedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unenforced) && len(unenforced.reasons) > 0:
		return unenforced.reasons
	}
	return []string{err.Error()}
}

// addError says why a floor is not enforced, and what becomes of it.
func (r *policy) addError(diags *diag.Diagnostics, b backend, summary string, err error, limit time.Duration, next string) {
	var unenforced *unenforcedError
	switch {
	case errors.As(err, &unenforced) && unenforced.interrupted:
		diags.AddError(summary, "The wait was interrupted; "+err.Error()+". "+next)
	case errors.As(err, &unenforced):
		diags.AddAttributeError(b.at(), fmt.Sprintf("%s after %s", summary, limit),
			fw.Sentence(err.Error())+"\n\n"+next+" "+b.advice())
	default:
		diags.AddError(summary, fw.Detail(err)+"\n\n"+next)
	}
}

// ownerAdvice is for who takes over without an owner.
func (r *policy) ownerAdvice() string {
	if r.Pool().Owner() != "" {
		return ""
	}
	return " The provider has no owner, so a policy of the same name in another configuration would be taken over alike: set owner in the provider's configuration."
}

// Read looks whether the floor still holds. The recorded cluster_id stays: a replaced
// cluster is for the plan to show.
func (r *policy) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m policyModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	name := m.Name.ValueString()
	var found diag.Diagnostics
	cluster := r.cluster(ctx, &m, &found)
	if found.HasError() {
		// This plan may just give the policy another cluster.
		for _, d := range found {
			resp.Diagnostics.AddWarning(fmt.Sprintf("Policy %s was not refreshed", name), d.Detail())
		}
	}
	k, ok := m.kind()
	if cluster == nil || !ok {
		return
	}
	b := k.backend(ctx, &m, r.Pool(), cluster, m.ClusterID.ValueString(), &resp.Diagnostics)
	id, reasons, err := b.drift(ctx)
	switch {
	case err != nil:
		r.AddRefreshError(&resp.Diagnostics, "Policy "+name, err)
		return
	case replaced(&m, id):
		m.found(ctx, []string{fmt.Sprintf("the cluster was replaced: %s was recorded, %s answers now", m.ClusterID.ValueString(), id)}, &resp.Diagnostics)
	default:
		m.found(ctx, reasons, &resp.Diagnostics)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	resp.Diagnostics.Append(keepSeen(ctx, resp.Private, b)...)
}

// replaced reports whether another cluster answers than the one of the last apply.
func replaced(m *policyModel, id string) bool {
	return id != "" && !m.ClusterID.IsNull() && m.ClusterID.ValueString() != id
}

// Update enforces what the plan changed, or what the refresh found missing.
func (r *policy) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state policyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	limit, d := plan.Timeouts.Update(ctx, defaultWait)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	if !plan.Enforced.IsUnknown() { // timeouts alone
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		return
	}
	summary := fmt.Sprintf("Policy %s is not enforced", plan.Name.ValueString())
	cluster := r.begin(ctx, &plan, summary, &resp.Diagnostics)
	if cluster == nil {
		return
	}
	planned := plan.ClusterID
	if !planned.IsUnknown() {
		k, _ := plan.kind()
		id, err := r.clusterID(ctx, k, cluster)
		if err == nil && replaced(&plan, id) {
			err = &ray.Error{Kind: ray.KindWrongCluster, Op: "change policy " + plan.Name.ValueString(), Address: cluster.Address(), Message: fmt.Sprintf("the plan was made for cluster %s, and cluster %s answers now; plan and apply again", planned.ValueString(), id)}
		}
		if err != nil {
			fw.AddError(&resp.Diagnostics, path.Empty(), summary, err)
			return
		}
	}
	seen, d := req.Private.GetKey(ctx, keySeen)
	resp.Diagnostics.Append(d...)
	b, err := r.apply(ctx, cluster, &plan, &state, seen, limit, &resp.Diagnostics)
	if b != nil && (err == nil || b.made()) {
		resp.Diagnostics.Append(keepSeen(ctx, resp.Private, b)...)
	}
	if err != nil {
		k, _ := plan.kind()
		written, next := b != nil && b.made(), "What was held before is still held where it was there."
		switch {
		case k.previous != nil && written:
			next = stays(b)
		case k.previous != nil:
			next = "Nothing is changed."
		}
		r.addError(&resp.Diagnostics, b, summary, err, limit, next+" The next apply goes on.")
		if !k.recorded || !written {
			return // the state tells of what is still there
		}
	}
	plan.found(ctx, reasonsOf(err), &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	if r.moved(ctx, cluster, &state) && replaced(&state, plan.ClusterID.ValueString()) {
		r.leave(ctx, &state, &resp.Diagnostics)
	}
}

// moved reports whether the policy of the state was not where cluster is.
func (r *policy) moved(ctx context.Context, cluster *conn.Cluster, state *policyModel) bool {
	var unsaid diag.Diagnostics // of the state's address, which the plan may just replace
	return r.cluster(ctx, state, &unsaid) != cluster
}

// leave removes the policy from the cluster that it was on before, which no state will
// tell of any more: an interrupt does not stop that at once.
func (r *policy) leave(ctx context.Context, m *policyModel, diags *diag.Diagnostics) {
	if ctx.Err() != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLate)
		defer cancel()
		ctx = late
	}
	var found diag.Diagnostics
	r.remove(ctx, m, &found)
	diags.Append(found.Warnings()...)
	for _, d := range found.Errors() {
		diags.AddWarning(fmt.Sprintf("Policy %s may still be on its former cluster", m.Name.ValueString()), d.Summary()+": "+d.Detail())
	}
}

// Delete lets the nodes go.
func (r *policy) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m policyModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	limit, d := m.Timeouts.Delete(ctx, defaultDelete)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, jobs.ErrDeadline)
	defer cancel()
	r.remove(ctx, &m, &resp.Diagnostics)
}

// remove takes the policy back where the cluster is the one that it was on.
func (r *policy) remove(ctx context.Context, m *policyModel, diags *diag.Diagnostics) {
	name := m.Name.ValueString()
	summary := fmt.Sprintf("Policy %s was not removed", name)
	k, ok := m.kind()
	if !ok {
		return // the state tells of nothing
	}
	if k.keeps != nil && k.keeps(ctx, m, diags) {
		return
	}
	cluster := r.begin(ctx, m, summary, diags)
	if cluster == nil {
		return
	}
	id, err := r.clusterID(ctx, k, cluster)
	if k.clusterID != nil && ray.IsKind(err, ray.KindNotFound, ray.KindUnsupported) {
		diags.AddWarning(fmt.Sprintf("What policy %s changed is gone", name), fw.Sentence(err.Error())+" There is nothing left to put back.")
		return
	}
	if err != nil {
		r.AddDestroyError(ctx, diags, summary, err)
		return
	}
	if replaced(m, id) {
		diags.AddWarning(fmt.Sprintf("Policy %s is not on this cluster any more", name),
			fmt.Sprintf("It was enforced on cluster %s, and cluster %s answers at %s now. Nothing was removed there.", m.ClusterID.ValueString(), id, cluster.Address()))
		return
	}
	b := k.backend(ctx, m, r.Pool(), cluster, id, diags)
	if b.key() != "" {
		unlock, err := claimsOf(cluster).lock(ctx, b.key())
		if err == nil {
			defer unlock()
		}
		switch taken := claimsOf(cluster).isTaken(b.key()); {
		case taken: // or being taken: the destroy of a later apply would not know of that
			diags.AddWarning(fmt.Sprintf("Policy %s was taken over by its replacement", name),
				"Another resource of this apply manages the same on the cluster, as after a rename without a moved block or with create_before_destroy. What it holds was left as it is.")
			return
		case err != nil:
			fw.AddError(diags, path.Empty(), summary, err)
			return
		}
	}
	left, err := b.release(ctx)
	if err != nil {
		r.AddDestroyError(ctx, diags, summary, err)
	}
	if left != "" {
		diags.AddWarning(fmt.Sprintf("Policy %s left something as it is", name), left)
	}
}
