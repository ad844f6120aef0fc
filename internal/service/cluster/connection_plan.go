package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// ModifyPlan keeps every value known that no apply would change, and shows a
// replaced cluster as a change.
func (r *connection) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.Pool() == nil {
		return
	}
	var plan connectionModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	plan.setCluster(ctx, &resp.Diagnostics)
	if req.State.Raw.IsNull() {
		r.checkCreate(ctx, &plan, &resp.Diagnostics)
	} else {
		var state connectionModel
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
		if resp.Diagnostics.HasError() {
			return
		}
		r.planUpdate(ctx, &plan, &state, &resp.Diagnostics)
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

// checkCreate says what a create would meet. A cluster that can't be reached is
// no finding: this apply may make it.
func (r *connection) checkCreate(ctx context.Context, plan *connectionModel, diags *diag.Diagnostics) {
	if r.Pool().PlanChecks() == conn.PlanChecksOff || !plan.addressesKnown() {
		return
	}
	c, err := r.Pool().Cluster(plan.Target())
	if err != nil {
		if !r.Pool().Unknown() {
			fw.AddError(diags, plan.where(), "The connection has no cluster", err)
		}
		return
	}
	if c.NeedsSession() {
		return // three seconds and a driver process: one in the create is enough
	}
	info, err := c.Info(ctx)
	switch {
	case ray.IsUnreachable(err), ray.IsKind(err, ray.KindCanceled):
	case err != nil:
		fw.AddFinding(diags, r.Pool(), at(plan, err), fmt.Sprintf("The cluster %s can't be used", plan.label(r.Pool())), fw.Detail(err))
	default:
		if why := mismatch(plan.RequiredRayVersion.ValueString(), info.RayVersion); why != "" {
			fw.AddFinding(diags, r.Pool(), path.Root("required_ray_version"), fmt.Sprintf("The cluster %s runs another Ray", plan.label(r.Pool())), fw.Sentence(why)+" The apply will fail unless one of them changes.")
		}
	}
}

// planUpdate pins all that state knows, since core has made every computed value
// unknown where one argument changed, and then plans what is to change.
func (r *connection) planUpdate(ctx context.Context, plan, state *connectionModel, diags *diag.Diagnostics) {
	plan.ID, plan.ClusterID, plan.ObservedClusterID = state.ID, state.ClusterID, state.ObservedClusterID
	plan.facts = state.facts
	plan.Ready, plan.Reasons = state.Ready, state.Reasons
	label := plan.label(r.Pool())

	switch {
	case !plan.sameAddresses(state):
		r.planMove(ctx, plan, state, diags)
	case state.replaced():
		plan.ClusterID = state.ObservedClusterID
		diags.AddAttributeWarning(path.Root("cluster_id"), fmt.Sprintf("The cluster %s was replaced", label),
			fmt.Sprintf("Cluster %s was recorded, and cluster %s answers there now: it was restarted without Redis, or made anew. What ran on the old one is gone. The apply records the new cluster; resources with replace_triggered_by on cluster_id follow.",
				state.ClusterID.ValueString(), state.ObservedClusterID.ValueString()))
	}
	if !state.Ready.ValueBool() && !state.Ready.IsNull() {
		var reasons []string
		diags.Append(state.Reasons.ElementsAs(ctx, &reasons, false)...)
		if plan.Watch.ValueBool() {
			diags.AddAttributeWarning(path.Root("ready_when"), fmt.Sprintf("The cluster %s is no longer ready", label),
				fmt.Sprintf("What is missing: %s. The apply waits for it.", orNone(strings.Join(reasons, "; "))))
		}
		plan.setReady(ctx, nil, diags)
	}
	if why := mismatch(plan.RequiredRayVersion.ValueString(), plan.RayVersion.ValueString()); why != "" && !plan.RequiredRayVersion.IsUnknown() && !plan.RayVersion.IsNull() && !plan.RayVersion.IsUnknown() {
		// Never an error: the plan may change nothing, and a destroy plans too.
		diags.AddAttributeWarning(path.Root("required_ray_version"), fmt.Sprintf("The cluster %s runs another Ray", label), fw.Sentence(why)+" An apply that updates this connection will fail.")
	}
}

// planMove plans new addresses. Where the cluster behind them answers, its id is
// known now, and nobody follows a change of address that leads to the same
// cluster; else all is left open.
func (r *connection) planMove(ctx context.Context, plan, state *connectionModel, diags *diag.Diagnostics) {
	open := func() {
		plan.ClusterID, plan.ObservedClusterID = types.StringUnknown(), types.StringUnknown()
		u := types.StringUnknown()
		plan.facts = facts{u, u, u, u, u, u, u, u, u}
	}
	if !plan.addressesKnown() || r.Pool().Unknown() {
		open()
		return
	}
	c, err := r.Pool().Cluster(plan.Target())
	if err != nil {
		fw.AddError(diags, plan.where(), "The connection has no cluster", err)
		return
	}
	if r.Pool().PlanChecks() == conn.PlanChecksOff || c.NeedsSession() {
		open() // a Ray Client session is for the apply
		return
	}
	s, err := observe(ctx, c)
	if err != nil {
		open()
		fw.AddWarning(diags, at(plan, err), fmt.Sprintf("The cluster %s can't be read yet", plan.label(r.Pool())), err)
		return
	}
	plan.ClusterID, plan.ObservedClusterID = s.clusterID, s.clusterID
	plan.facts = s.facts
	if !s.clusterID.Equal(state.ClusterID) {
		diags.AddAttributeWarning(path.Root("cluster_id"), fmt.Sprintf("The cluster %s is another one", plan.label(r.Pool())),
			fmt.Sprintf("Cluster %s was recorded, and the new address leads to cluster %s. Resources with replace_triggered_by on cluster_id follow.", orNone(state.ClusterID.ValueString()), orNone(s.clusterID.ValueString())))
	}
}
