package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// facts are what a cluster tells of itself. Attributes that can't be had from
// here are null.
type facts struct {
	SessionName           types.String `tfsdk:"session_name"`
	StartedAt             types.String `tfsdk:"started_at"`
	RayVersion            types.String `tfsdk:"ray_version"`
	PythonVersion         types.String `tfsdk:"python_version"`
	AuthenticationMode    types.String `tfsdk:"authentication_mode"`
	Autoscaler            types.String `tfsdk:"autoscaler"`
	HeadNodeID            types.String `tfsdk:"head_node_id"`
	DashboardURLEffective types.String `tfsdk:"dashboard_url_effective"`
	GCSAddressEffective   types.String `tfsdk:"gcs_address_effective"`
}

// seen is one look at a cluster.
type seen struct {
	facts
	clusterID types.String
	nodes     []ray.Node
	source    string
}

// observe looks at a cluster anew.
func observe(ctx context.Context, c *conn.Cluster) (seen, error) {
	info, err := c.InfoNow(ctx)
	if err != nil {
		return seen{}, err
	}
	nodes, source, err := c.Nodes(ctx)
	if err != nil {
		return seen{}, err
	}
	s := seen{
		clusterID: text(info.ClusterID),
		nodes:     nodes,
		source:    source,
		facts: facts{
			SessionName:         text(info.SessionName),
			StartedAt:           moment(info.StartedAt),
			RayVersion:          text(info.RayVersion),
			PythonVersion:       text(info.PythonVersion),
			AuthenticationMode:  text(info.AuthenticationMode),
			Autoscaler:          types.StringValue(c.Autoscaler(ctx)),
			GCSAddressEffective: text(c.GCSKnown()),
		},
	}
	for _, n := range nodes {
		if n.Head && n.Alive() {
			s.HeadNodeID = text(n.NodeID)
		}
	}
	if d, err := c.Dashboard(ctx); err == nil {
		s.DashboardURLEffective = text(d.URL())
	}
	return s, nil
}

// keep carries over from an earlier look at the same cluster what can't be had
// from here now: which port can be reached is no property of the cluster.
func (f *facts) keep(old facts) {
	if f.Autoscaler.ValueString() == conn.AutoscalerUnknown && !old.Autoscaler.IsNull() {
		f.Autoscaler = old.Autoscaler
	}
	for _, v := range []struct{ now, old *types.String }{
		{&f.GCSAddressEffective, &old.GCSAddressEffective},
		{&f.DashboardURLEffective, &old.DashboardURLEffective},
		{&f.StartedAt, &old.StartedAt},
		{&f.PythonVersion, &old.PythonVersion},
		{&f.SessionName, &old.SessionName},
		{&f.HeadNodeID, &old.HeadNodeID},
	} {
		if v.now.IsNull() {
			*v.now = *v.old
		}
	}
}

// text is null for "": absent has one form.
func text(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

func moment(t time.Time) types.String {
	if t.IsZero() {
		return types.StringNull()
	}
	return types.StringValue(t.UTC().Format(time.RFC3339))
}
