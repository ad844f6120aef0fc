package cluster

import (
	"cmp"
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

const defaultWait = 10 * time.Minute

type connectionModel struct {
	ID types.String `tfsdk:"id"`
	fw.ClusterModel
	RequiredRayVersion types.String   `tfsdk:"required_ray_version"`
	ReadyWhen          types.Object   `tfsdk:"ready_when"`
	Watch              types.Bool     `tfsdk:"watch"`
	Timeouts           timeouts.Value `tfsdk:"timeouts"`
	Cluster            types.Object   `tfsdk:"cluster"`
	ClusterID          types.String   `tfsdk:"cluster_id"`
	ObservedClusterID  types.String   `tfsdk:"observed_cluster_id"`
	Ready              types.Bool     `tfsdk:"ready"`
	Reasons            types.List     `tfsdk:"reasons"`
	facts
}

type readyModel struct {
	Nodes      types.Int64 `tfsdk:"nodes"`
	Resources  types.Map   `tfsdk:"resources"`
	NodeLabels types.Map   `tfsdk:"node_labels"`
}

// addresses are the arguments that say where the cluster is.
func (m *connectionModel) addresses() []attr.Value {
	return []attr.Value{m.KubeRay, m.Address, m.DashboardURL, m.GCSAddress, m.ClientAddress}
}

func (m *connectionModel) addressesKnown() bool {
	for _, a := range m.addresses() {
		if !fw.FullyKnown(a) {
			return false
		}
	}
	return true
}

func (m *connectionModel) sameAddresses(o *connectionModel) bool {
	others := o.addresses()
	for i, a := range m.addresses() {
		if !a.Equal(others[i]) {
			return false
		}
	}
	return true
}

// setCluster makes the cluster output what is written, and nothing else.
func (m *connectionModel) setCluster(ctx context.Context, diags *diag.Diagnostics) {
	if !m.addressesKnown() {
		m.Cluster = types.ObjectUnknown(fw.ClusterAttrTypes())
		return
	}
	var more diag.Diagnostics
	m.Cluster, more = fw.ClusterObject(ctx, m.Target())
	diags.Append(more...)
}

// readyWhen is what ready_when asks for; ok is false where it is null.
func (m *connectionModel) readyWhen(ctx context.Context, diags *diag.Diagnostics) (w want, ok bool) {
	if m.ReadyWhen.IsNull() || m.ReadyWhen.IsUnknown() {
		return want{}, false
	}
	var r readyModel
	diags.Append(m.ReadyWhen.As(ctx, &r, basetypes.ObjectAsOptions{})...)
	w.nodes = r.Nodes.ValueInt64()
	if !r.Resources.IsNull() && !r.Resources.IsUnknown() {
		diags.Append(r.Resources.ElementsAs(ctx, &w.resources, false)...)
	}
	if !r.NodeLabels.IsNull() && !r.NodeLabels.IsUnknown() {
		diags.Append(r.NodeLabels.ElementsAs(ctx, &w.labels, false)...)
	}
	return w, true
}

// record takes a look at the cluster into the model, but for cluster_id.
func (m *connectionModel) record(s seen) {
	same := m.ObservedClusterID.Equal(s.clusterID)
	old := m.facts
	m.ObservedClusterID, m.facts = s.clusterID, s.facts
	if same {
		m.keep(old)
	}
}

func (m *connectionModel) setReady(ctx context.Context, reasons []string, diags *diag.Diagnostics) {
	m.Ready = types.BoolValue(len(reasons) == 0)
	if reasons == nil {
		reasons = []string{}
	}
	list, more := types.ListValueFrom(ctx, types.StringType, reasons)
	diags.Append(more...)
	m.Reasons = list
}

// replaced reports whether the last refresh saw another cluster than the one that
// is recorded.
func (m *connectionModel) replaced() bool {
	return !m.ClusterID.IsNull() && !m.ObservedClusterID.IsNull() && !m.ClusterID.Equal(m.ObservedClusterID)
}

// where is the argument that says where the cluster is, or could say it.
func (m *connectionModel) where() path.Path {
	if !m.KubeRay.IsNull() {
		return path.Root("kuberay")
	}
	return path.Root("address")
}

// label is how messages call the connection.
func (m *connectionModel) label(pool *conn.Pool) string {
	t := m.Target()
	if (t.KubeRay != conn.KubeRay{}) {
		return t.KubeRay.String()
	}
	if first := cmp.Or(t.Address, t.DashboardURL, t.GCSAddress, t.ClientAddress); first != "" {
		return first
	}
	if own, source := pool.OwnAddress(); own != "" {
		return own + " (from " + source + ")"
	}
	return "without an address"
}
