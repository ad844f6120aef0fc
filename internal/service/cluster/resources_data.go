package cluster

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// resourcesData is the data source ray_cluster_resources.
type resourcesData struct{ fw.DataSource }

func newResourcesData() datasource.DataSource {
	return &resourcesData{fw.DataSource{TypeName: "cluster_resources"}}
}

type resourcesDataModel struct {
	Cluster      types.Object                `tfsdk:"cluster"`
	IncludeUsage types.Bool                  `tfsdk:"include_usage"`
	Source       types.String                `tfsdk:"source"`
	AliveNodes   int64                       `tfsdk:"alive_nodes"`
	Total        map[string]float64          `tfsdk:"total"`
	Available    map[string]float64          `tfsdk:"available"`
	Accelerators map[string]acceleratorModel `tfsdk:"accelerators"`
}

type acceleratorModel struct {
	Nodes     int64         `tfsdk:"nodes"`
	Total     float64       `tfsdk:"total"`
	Available types.Float64 `tfsdk:"available"`
}

// Schema is that of ray_cluster_resources.
func (d *resourcesData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Adds up the logical resources of the alive nodes of a Ray cluster, draining nodes left out. Names are Ray's own: `CPU`, `GPU`, `memory` and `object_store_memory` (bytes), custom ones; the resources named after single nodes (`node:...`) are left out.",
		Attributes: map[string]schema.Attribute{
			"cluster": fw.ClusterDataAttribute(),
			"include_usage": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether to ask what is available too, which changes from plan to plan. Default: `false`.",
			},
			"source": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Who told: `gcs`, or `http` where the GCS can't be reached.",
			},
			"alive_nodes": schema.Int64Attribute{
				Computed:            true,
				MarkdownDescription: "How many nodes are counted, the head included.",
			},
			"total": schema.MapAttribute{
				Computed: true, ElementType: types.Float64Type,
				MarkdownDescription: "Resources in total, by name.",
			},
			"available": schema.MapAttribute{
				Computed: true, ElementType: types.Float64Type,
				MarkdownDescription: "Resources that are not taken, by name. Null without `include_usage`. Over HTTP memory is rounded. This value changes from plan to plan.",
			},
			"accelerators": schema.MapNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The same by type of accelerator, as Ray names it in `accelerator_type:...`, for example `H100`.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"nodes":     schema.Int64Attribute{Computed: true, MarkdownDescription: "How many nodes have it."},
					"total":     schema.Float64Attribute{Computed: true, MarkdownDescription: "How many accelerators they have: `GPU`, else another accelerator resource that Ray knows (`TPU`, `neuron_cores`, `HPU`, `NPU`)."},
					"available": schema.Float64Attribute{Computed: true, MarkdownDescription: "How many of them are not taken. Null without `include_usage`."},
				}},
			},
		},
	}
}

// Read asks the cluster.
func (d *resourcesData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m resourcesDataModel
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, pathCluster, &m.Cluster)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, pathIncludeUsage, &m.IncludeUsage)...)
	if resp.Diagnostics.HasError() {
		return
	}
	c := d.Cluster(ctx, m.Cluster, &resp.Diagnostics)
	if c == nil {
		return
	}
	nodes, source, err := c.Nodes(ctx)
	if err == nil && m.IncludeUsage.ValueBool() && source == conn.SourceHTTP {
		nodes, err = withUsage(ctx, c, nodes)
	}
	if err != nil {
		unreadableData(c, err, &resp.Diagnostics)
		return
	}
	m.Source = types.StringValue(source)
	m.add(nodes)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// withUsage adds what HTTP shows of usage.
func withUsage(ctx context.Context, c *conn.Cluster, nodes []ray.Node) ([]ray.Node, error) {
	d, err := c.Dashboard(ctx)
	if err != nil {
		return nil, err
	}
	usage, err := d.Usage(ctx)
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		nodes[i].Available = usage[nodes[i].NodeID]
	}
	return nodes, nil
}

// acceleratorResources are those that Ray's accelerator managers give, in the
// order in which a node's is looked for (ray/_private/accelerators).
var acceleratorResources = [...]string{"GPU", "TPU", "neuron_cores", "HPU", "NPU", "RBLN"}

func (m *resourcesDataModel) add(nodes []ray.Node) {
	usage := m.IncludeUsage.ValueBool()
	m.Total, m.Accelerators = map[string]float64{}, map[string]acceleratorModel{}
	if usage {
		m.Available = map[string]float64{}
	}
	for _, n := range nodes {
		if !n.Alive() {
			continue
		}
		m.AliveNodes++
		for name, v := range n.Total {
			if strings.HasPrefix(name, ray.ResourceNodeNamePrefix) {
				continue
			}
			m.Total[name] += v
			if usage {
				m.Available[name] += n.Available[name]
			}
			if kind, ok := strings.CutPrefix(name, ray.AcceleratorTypePrefix); ok {
				m.addAccelerator(kind, n, usage)
			}
		}
	}
}

func (m *resourcesDataModel) addAccelerator(kind string, n ray.Node, usage bool) {
	a := m.Accelerators[kind]
	a.Nodes++
	for _, name := range acceleratorResources {
		if total, ok := n.Total[name]; ok {
			a.Total += total
			if usage {
				a.Available = types.Float64Value(a.Available.ValueFloat64() + n.Available[name])
			}
			break
		}
	}
	m.Accelerators[kind] = a
}
