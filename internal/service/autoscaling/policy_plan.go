package autoscaling

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// labelsSince is the first Ray whose autoscaler v2 starts nodes for the label
// selectors of placement groups.
var labelsSince = ray.Version{2, 51, 0}

// ModifyPlan keeps what no apply would change, shows a floor that does not hold as a
// change, and says what an apply would meet.
func (r *policy) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.Pool() == nil {
		return
	}
	var plan policyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if req.State.Raw.IsNull() {
		marker, d := req.Private.GetKey(ctx, keyVersion)
		resp.Diagnostics.Append(d...)
		r.planCreate(ctx, &plan, len(marker) > 0, &resp.Diagnostics)
		return
	}
	var state policyModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if kind, _ := plan.sameBackend(ctx, &state, &resp.Diagnostics); !kind {
		// The old backend holds what it holds until the policy is destroyed.
		for _, k := range kinds() {
			resp.RequiresReplace = append(resp.RequiresReplace, path.Root(k.attribute))
		}
	}
	r.planUpdate(ctx, &plan, &state, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

// planCreate says what a create would meet; again is set for the second half of a
// replacement.
func (r *policy) planCreate(ctx context.Context, plan *policyModel, again bool, diags *diag.Diagnostics) {
	cluster := r.cluster(ctx, plan, diags)
	if cluster == nil || plan.Name.IsUnknown() {
		return
	}
	plan.Owner = textOrNull(r.Pool().Owner())
	if !again && claimsOf(cluster).create(claimKey(plan.Owner.ValueString(), plan.Name.ValueString())) {
		diags.AddAttributeError(path.Root("name"), fmt.Sprintf("Two resources are policy %s", plan.Name.ValueString()),
			"Another resource of this plan has the same owner and name on this cluster, so that both would manage the same. Give each its own name."+wayOut)
		return
	}
	k, ok := plan.kind()
	if !ok || k.object(plan).IsUnknown() {
		return
	}
	for _, c := range k.claimed(ctx, plan, cluster, diags) {
		if !again && claimsOf(cluster).create(c.key) {
			diags.AddAttributeError(c.at, c.summary, c.detail+wayOut)
			return
		}
	}
	k.check(ctx, r, cluster, plan, again, diags)
}

// wayOut is for errors that a plan of a destroy meets too.
const wayOut = " (If this stands in the way of a destroy: terraform destroy -refresh=false.)"

// claimed is what the policy claims beside its name.
func (k kind) claimed(ctx context.Context, m *policyModel, cluster *conn.Cluster, diags *diag.Diagnostics) []claim {
	if k.claims == nil {
		return nil
	}
	return k.claims(ctx, m, cluster, diags)
}

// planUpdate pins what state knows, since core has made every computed value unknown
// where one argument changed, and opens what the apply will find.
func (r *policy) planUpdate(ctx context.Context, plan, state *policyModel, diags *diag.Diagnostics) {
	plan.Owner, plan.ClusterID, plan.Enforced, plan.Reasons, plan.Previous = state.Owner, state.ClusterID, state.Enforced, state.Reasons, state.Previous
	name := state.Name.ValueString()
	cluster := r.cluster(ctx, plan, diags)
	if cluster != nil && claimsOf(cluster).other(claimKey(state.Owner.ValueString(), name)) {
		// An error would stand in the way of a destroy; the resource to be created gets one.
		diags.AddAttributeWarning(path.Root("name"), fmt.Sprintf("Two resources are policy %s", name), "Another resource of this plan has the same owner and name on this cluster. Give each its own name.")
	}
	moved := r.moved(ctx, cluster, state)
	if moved || !plan.Cluster.Equal(state.Cluster) {
		plan.open()
		plan.ClusterID = types.StringUnknown()
	}
	if cluster != nil {
		claimUpdate(ctx, plan, state, cluster, moved, diags)
	}
	if own, same := plan.sameBackend(ctx, state, diags); !same {
		plan.open()
		if k, ok := plan.kind(); ok && cluster != nil && !k.object(plan).IsUnknown() {
			k.check(ctx, r, cluster, plan, own, diags)
		}
	}
	if !state.Enforced.ValueBool() {
		plan.open()
		plan.ClusterID = types.StringUnknown()
		var reasons []string
		diags.Append(state.Reasons.ElementsAs(ctx, &reasons, false)...)
		diags.AddAttributeWarning(path.Root("enforced"), fmt.Sprintf("Policy %s does not hold", name),
			fmt.Sprintf("What is missing: %s. The apply enforces it again.", strings.Join(reasons, "; ")))
	}
	if k, ok := plan.kind(); ok && k.previous != nil && plan.Previous.IsUnknown() && !plan.ClusterID.IsUnknown() && !k.object(plan).IsUnknown() {
		plan.Previous = k.previous(ctx, plan, state, diags)
	}
}

// claimUpdate claims what the planned policy has beside its name: what it had before like
// one that the state has, and what is new to it like one to be created.
func claimUpdate(ctx context.Context, plan, state *policyModel, cluster *conn.Cluster, moved bool, diags *diag.Diagnostics) {
	k, ok := plan.kind()
	if !ok || k.object(plan).IsUnknown() {
		return
	}
	had := map[string]bool{}
	if before, ok := state.kind(); ok && !moved {
		for _, c := range before.claimed(ctx, state, cluster, diags) {
			had[c.key] = true
		}
	}
	for _, c := range k.claimed(ctx, plan, cluster, diags) {
		switch {
		case had[c.key]:
			if claimsOf(cluster).other(c.key) {
				diags.AddAttributeWarning(c.at, c.summary, c.detail)
			}
		case claimsOf(cluster).create(c.key):
			diags.AddAttributeError(c.at, c.summary, c.detail+wayOut)
		}
	}
}

// checkFloor says what an apply of the planned floor would meet on the cluster as it is;
// nothing where that can't be said: then the cluster may come with this apply.
func checkFloor(ctx context.Context, r *policy, cluster *conn.Cluster, plan *policyModel, own bool, diags *diag.Diagnostics) {
	_, known := plan.groups(ctx, diags)
	if r.Pool().PlanChecks() == conn.PlanChecksOff || cluster.NeedsSession() || !known {
		return
	}
	nodes, _, err := cluster.Nodes(ctx)
	if err != nil {
		return
	}
	f := plan.floor(ctx, r.Pool(), cluster, diags)
	f.checkNodes(ctx, r, nodes, diags)
	if own {
		return
	}
	_, groups, err := observe(ctx, cluster)
	if err != nil {
		return // the create will say what is wrong, if it still is
	}
	if s := f.sort(groups); len(s.own) > 0 {
		diags.AddWarning(fmt.Sprintf("Policy %s is on the cluster already", f.policy),
			fmt.Sprintf("Placement groups of this owner and name are there: %s. Those of the planned floor are taken over, unless this apply destroys them first, and the others removed.", strings.Join(s.own, ", "))+r.ownerAdvice())
	}
}

// checkNodes says what the floor is to nodes and autoscaler as they are.
func (f *floor) checkNodes(ctx context.Context, r *policy, nodes []ray.Node, diags *diag.Diagnostics) {
	at := path.Root("node_floor")
	if err := f.supported(ctx); err != nil {
		fw.AddFinding(diags, r.Pool(), at, fmt.Sprintf("Policy %s needs a newer Ray", f.policy), fw.Detail(err))
	}
	autoscaler := f.cluster.Autoscaler(ctx)
	if autoscaler == conn.AutoscalerNone {
		fw.AddFinding(diags, r.Pool(), at, fmt.Sprintf("Policy %s is for a cluster without autoscaler", f.policy),
			fmt.Sprintf("The cluster at %s has none, so that nothing starts nodes for the floor. The apply waits for nodes that others add, and is done at once where enough are there.", f.cluster.Address()))
		return
	}
	seen := seenNodes(nodes)
	for _, g := range f.groups {
		in := at.AtName("groups").AtMapKey(g.name)
		selector := g.bundle.LabelSelector
		switch {
		case len(selector) > 0 && autoscaler == conn.AutoscalerV1:
			fw.AddFinding(diags, r.Pool(), in.AtName("label_selector"), fmt.Sprintf("Group %s of policy %s is told by labels", g.name, f.policy),
				"The cluster runs autoscaler v1, which does not know the labels of its node types: it may start other nodes than the selector needs. Use resource, or autoscaler v2.")
		case len(selector) > 0:
			r.checkLabels(seen, selector, in.AtName("label_selector"), diags)
		default:
			r.checkResources(seen, g.bundle.Resources, func(string) path.Path { return in.AtName("resource") }, diags)
		}
	}
}

// supported is an error of KindUnsupported where the cluster's Ray is too old.
func (f *floor) supported(ctx context.Context) error {
	if !slices.ContainsFunc(f.groups, func(g group) bool { return len(g.bundle.LabelSelector) > 0 }) {
		return nil
	}
	return f.cluster.Require(ctx, "label_selector of a node_floor", labelsSince)
}
