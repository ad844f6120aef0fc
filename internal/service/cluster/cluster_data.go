package cluster

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

// clusterData is the data source ray_cluster.
type clusterData struct{ fw.DataSource }

func newClusterData() datasource.DataSource {
	return &clusterData{fw.DataSource{TypeName: "cluster"}}
}

type clusterDataModel struct {
	Cluster   types.Object `tfsdk:"cluster"`
	ClusterID types.String `tfsdk:"cluster_id"`
	facts
}

// Schema is that of ray_cluster.
func (d *clusterData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := map[string]schema.Attribute{
		"cluster": fw.ClusterDataAttribute(),
		"cluster_id": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Id of the cluster, 56 hex digits. It survives a restart of the head with Redis and changes with every other. Null on Ray before 2.31 over HTTP.",
		},
	}
	for name, description := range factDescriptions() {
		attributes[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Says who a Ray cluster is and what it runs.",
		Attributes:          attributes,
	}
}

// Read asks the cluster.
func (d *clusterData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m clusterDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	c := d.Cluster(ctx, m.Cluster, &resp.Diagnostics)
	if c == nil || resp.Diagnostics.HasError() {
		return
	}
	s, err := observe(ctx, c)
	if err != nil {
		unreadableData(c, err, &resp.Diagnostics)
		return
	}
	m.ClusterID, m.facts = s.clusterID, s.facts
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// unreadableData is the error of a data source whose cluster can't be asked.
func unreadableData(c *conn.Cluster, err error, diags *diag.Diagnostics) {
	fw.AddError(diags, path.Empty(), "The cluster "+c.Address()+" (from "+c.AddressSource()+") can't be read", err)
}
