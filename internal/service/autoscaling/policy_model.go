package autoscaling

import (
	"context"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
)

// policyModel is ray_autoscaling_policy. What stands in states is permanent: owner,
// name and node_floor name the placement groups, and cluster_id says whose they are.
type policyModel struct {
	Name            types.String   `tfsdk:"name"`
	Cluster         types.Object   `tfsdk:"cluster"`
	NodeFloor       types.Object   `tfsdk:"node_floor"`
	ResourceFloor   types.Object   `tfsdk:"resource_floor"`
	WorkerGroups    types.Object   `tfsdk:"worker_groups"`
	ServeDeployment types.Object   `tfsdk:"serve_deployment"`
	Timeouts        timeouts.Value `tfsdk:"timeouts"`
	Owner           types.String   `tfsdk:"owner"`
	ClusterID       types.String   `tfsdk:"cluster_id"`
	Enforced        types.Bool     `tfsdk:"enforced"`
	Reasons         types.List     `tfsdk:"reasons"`
	// Previous is what a backend that changes what others made found there.
	Previous types.String `tfsdk:"previous"`
}

type nodeFloorModel struct {
	Groups types.Map `tfsdk:"groups"`
}

type groupModel struct {
	Count         types.Int64  `tfsdk:"count"`
	MaxCount      types.Int64  `tfsdk:"max_count"` // always null
	Resource      types.String `tfsdk:"resource"`
	LabelSelector types.Map    `tfsdk:"label_selector"`
}

// groupModels are the groups as written; known is false where one is not yet.
func (m *policyModel) groupModels(ctx context.Context, diags *diag.Diagnostics) (groups map[string]groupModel, known bool) {
	if m.NodeFloor.IsUnknown() || m.NodeFloor.IsNull() {
		return nil, !m.NodeFloor.IsUnknown()
	}
	var floor nodeFloorModel
	diags.Append(m.NodeFloor.As(ctx, &floor, basetypes.ObjectAsOptions{})...)
	if floor.Groups.IsUnknown() || floor.Groups.IsNull() {
		return nil, !floor.Groups.IsUnknown()
	}
	elements := map[string]types.Object{}
	diags.Append(floor.Groups.ElementsAs(ctx, &elements, false)...)
	groups, known = map[string]groupModel{}, true
	for name, o := range elements {
		if o.IsUnknown() || o.IsNull() {
			known = false
			continue
		}
		var g groupModel
		diags.Append(o.As(ctx, &g, basetypes.ObjectAsOptions{})...)
		groups[name] = g
	}
	return groups, known
}

// groups are those of a node floor; known is false where something of them is not
// known yet.
func (m *policyModel) groups(ctx context.Context, diags *diag.Diagnostics) (out []group, known bool) {
	models, known := m.groupModels(ctx, diags)
	for name, g := range models {
		switch {
		case g.Count.IsUnknown() || g.Resource.IsUnknown() || g.LabelSelector.IsUnknown():
			known = false
		case !g.Resource.IsNull():
			out = append(out, resourceGroup(name, g.Count.ValueInt64(), g.Resource.ValueString()))
		default:
			selector := map[string]types.String{}
			diags.Append(g.LabelSelector.ElementsAs(ctx, &selector, false)...)
			plain := map[string]string{}
			for key, v := range selector {
				known = known && !v.IsUnknown()
				plain[key] = v.ValueString()
			}
			out = append(out, labelGroup(name, g.Count.ValueInt64(), plain))
		}
	}
	return byName(out), known
}

// floor is the policy's floor on a cluster.
func (m *policyModel) floor(ctx context.Context, pool *conn.Pool, cluster *conn.Cluster, diags *diag.Diagnostics) *floor {
	groups, _ := m.groups(ctx, diags)
	return &floor{
		cluster: cluster, owner: m.Owner.ValueString(), policy: m.Name.ValueString(), groups: groups,
		metadata: pool.DefaultMetadata(), patience: pool.MaxUnreachable(),
	}
}

// found records how the floor is.
func (m *policyModel) found(ctx context.Context, reasons []string, diags *diag.Diagnostics) {
	m.Enforced = types.BoolValue(len(reasons) == 0)
	list, d := types.ListValueFrom(ctx, types.StringType, slices.Concat([]string{}, reasons))
	diags.Append(d...)
	m.Reasons = list
}

// open plans what only the apply learns.
func (m *policyModel) open() {
	m.Enforced, m.Reasons = types.BoolUnknown(), types.ListUnknown(types.StringType)
	if k, ok := m.kind(); ok && k.previous != nil {
		m.Previous = types.StringUnknown()
	}
}
