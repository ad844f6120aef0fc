package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/float64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

var (
	pathCluster      = path.Root("cluster")
	pathIncludeUsage = path.Root("include_usage")
)

// healthData is the data source ray_cluster_health.
type healthData struct{ fw.DataSource }

func newHealthData() datasource.DataSource {
	return &healthData{fw.DataSource{TypeName: "cluster_health"}}
}

type healthDataModel struct {
	Cluster           types.Object       `tfsdk:"cluster"`
	MinNodes          types.Int64        `tfsdk:"min_nodes"`
	RequiredResources map[string]float64 `tfsdk:"required_resources"`
	UnexpectedDeaths  types.Object       `tfsdk:"unexpected_deaths"`
	Healthy           bool               `tfsdk:"healthy"`
	Reasons           []string           `tfsdk:"reasons"`
	AliveNodes        int64              `tfsdk:"alive_nodes"`
	Source            types.String       `tfsdk:"source"`
}

type deathsModel struct {
	Max    types.Int64 `tfsdk:"max"`
	Within fw.Duration `tfsdk:"within"`
}

const defaultWithin = time.Hour

// Schema is that of ray_cluster_health.
func (d *healthData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Says whether a Ray cluster is healthy, and if not, why: for `check` blocks and preconditions. A cluster that can't be reached is not healthy; a refused credential is an error.",
		Attributes: map[string]schema.Attribute{
			"cluster": fw.ClusterDataAttribute(),
			"min_nodes": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "How many nodes must be alive, the head included. Without it the head must be.",
				Validators:          []validator.Int64{int64validator.AtLeast(1)},
			},
			"required_resources": schema.MapAttribute{
				Optional: true, ElementType: types.Float64Type,
				MarkdownDescription: "Logical resources that the alive nodes must have in total, by Ray's own names; memory in bytes.",
				Validators:          []validator.Map{mapvalidator.ValueFloat64sAre(float64validator.AtLeast(0))},
			},
			"unexpected_deaths": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "How many nodes may have died unexpectedly of late. Nodes that were scaled down, drained or stopped do not count. Without it dead nodes are not looked at.",
				Attributes: map[string]schema.Attribute{
					"max": schema.Int64Attribute{
						Optional:            true,
						MarkdownDescription: "How many are accepted. Default: `0`.",
						Validators:          []validator.Int64{int64validator.AtLeast(0)},
					},
					"within": schema.StringAttribute{
						Optional: true, CustomType: fw.DurationType{},
						MarkdownDescription: "How far to look back, as in `\"30m\"`; the GCS keeps dead nodes for long. Default: `1h`.",
					},
				},
			},
			"healthy": schema.BoolAttribute{
				Computed:            true,
				MarkdownDescription: "Whether nothing speaks against it. This value changes from plan to plan.",
			},
			"reasons": schema.ListAttribute{
				Computed: true, ElementType: types.StringType,
				MarkdownDescription: "What speaks against it; empty where it is healthy.",
			},
			"alive_nodes": schema.Int64Attribute{
				Computed:            true,
				MarkdownDescription: "How many nodes are alive, the head included and draining ones left out.",
			},
			"source": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Who told: `gcs`, or `http` where the GCS can't be reached. Null where nobody answered.",
			},
		},
	}
}

// Read asks the cluster.
func (d *healthData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m healthDataModel
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, pathCluster, &m.Cluster)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("min_nodes"), &m.MinNodes)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("required_resources"), &m.RequiredResources)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("unexpected_deaths"), &m.UnexpectedDeaths)...)
	if resp.Diagnostics.HasError() {
		return
	}
	c := d.Cluster(ctx, m.Cluster, &resp.Diagnostics)
	if c == nil {
		return
	}
	m.Reasons = []string{}
	nodes, source, err := c.Nodes(ctx)
	switch {
	case ray.IsUnreachable(err):
		m.Reasons = append(m.Reasons, fmt.Sprintf("the cluster can't be reached: %v", err))
	case err != nil:
		unreadableData(c, err, &resp.Diagnostics)
		return
	default:
		m.Source = types.StringValue(source)
		m.judge(ctx, nodes, time.Now(), resp)
	}
	m.Healthy = len(m.Reasons) == 0
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (m *healthDataModel) judge(ctx context.Context, nodes []ray.Node, now time.Time, resp *datasource.ReadResponse) {
	for _, n := range nodes {
		if n.Alive() {
			m.AliveNodes++
		}
	}
	w := want{nodes: m.MinNodes.ValueInt64(), resources: m.RequiredResources}
	m.Reasons = append(m.Reasons, w.missing(nodes)...)
	if m.UnexpectedDeaths.IsNull() {
		return
	}
	var limit deathsModel
	resp.Diagnostics.Append(m.UnexpectedDeaths.As(ctx, &limit, basetypes.ObjectAsOptions{})...)
	within := limit.Within.Or(defaultWithin)
	if why := deaths(nodes, limit.Max.ValueInt64(), within, now); why != "" {
		m.Reasons = append(m.Reasons, why)
	}
}

// deaths says that more than most nodes died unexpectedly within d, or "".
func deaths(nodes []ray.Node, most int64, within time.Duration, now time.Time) string {
	count, last := int64(0), ray.Node{}
	for _, n := range nodes {
		if n.State != ray.NodeDead || n.DeathReason != ray.DeathUnexpected || now.Sub(n.EndedAt) > within {
			continue
		}
		count++
		if n.EndedAt.After(last.EndedAt) {
			last = n
		}
	}
	if count <= most {
		return ""
	}
	return fmt.Sprintf("%d nodes died unexpectedly within %s (at most %d are accepted); the last was %s at %s: %s",
		count, within, most, last.Name, last.EndedAt.UTC().Format(time.RFC3339), last.DeathMessage)
}
