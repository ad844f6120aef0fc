package cluster

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// nodesData is the data source ray_nodes.
type nodesData struct{ fw.DataSource }

func newNodesData() datasource.DataSource {
	return &nodesData{fw.DataSource{TypeName: "nodes"}}
}

type nodesDataModel struct {
	Cluster      types.Object      `tfsdk:"cluster"`
	States       []string          `tfsdk:"states"`
	Labels       map[string]string `tfsdk:"labels"`
	NodeType     types.String      `tfsdk:"node_type"`
	IncludeUsage types.Bool        `tfsdk:"include_usage"`
	Source       types.String      `tfsdk:"source"`
	Nodes        []nodeModel       `tfsdk:"nodes"`
}

type nodeModel struct {
	NodeID       types.String       `tfsdk:"node_id"`
	Name         types.String       `tfsdk:"name"`
	IP           types.String       `tfsdk:"ip"`
	Hostname     types.String       `tfsdk:"hostname"`
	Head         bool               `tfsdk:"head"`
	State        string             `tfsdk:"state"`
	Idle         types.Bool         `tfsdk:"idle"`
	Available    map[string]float64 `tfsdk:"available"`
	NodeType     types.String       `tfsdk:"node_type"`
	InstanceID   types.String       `tfsdk:"instance_id"`
	DeathReason  types.String       `tfsdk:"death_reason"`
	DeathMessage types.String       `tfsdk:"death_message"`
	Labels       map[string]string  `tfsdk:"labels"`
	Resources    map[string]float64 `tfsdk:"resources"`
	StartedAt    types.String       `tfsdk:"started_at"`
	EndedAt      types.String       `tfsdk:"ended_at"`
}

var nodeStates = []string{string(ray.NodeAlive), string(ray.NodeDraining), string(ray.NodeDead)}

// Schema is that of ray_nodes.
func (d *nodesData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Lists the nodes of a Ray cluster. On an autoscaling cluster the list changes from plan to plan: use it for outputs and checks rather than for what other resources are made of.",
		Attributes: map[string]schema.Attribute{
			"cluster": fw.ClusterDataAttribute(),
			"states": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "States to list: `ALIVE`, `DRAINING`, `DEAD`. Only the GCS tells draining nodes apart. Default: all but `DEAD`.",
				Validators:          []validator.Set{setvalidator.ValueStringsAre(stringvalidator.OneOf(nodeStates...))},
			},
			"labels": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Labels that a node must have, for example `{ \"ray.io/accelerator-type\" = \"H100\" }`.",
			},
			"node_type": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Node type of the autoscaler, which is the worker group under KubeRay. Only the GCS knows it; over HTTP the label `ray.io/node-group` is compared.",
			},
			"include_usage": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether to read `idle` and `available` of each node, which change with every plan. Only the GCS knows them. Default `false`.",
			},
			"source": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Who told: `gcs`, or `http` where the GCS can't be reached.",
			},
			"nodes": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The nodes: the head first, then by id.",
				NestedObject:        schema.NestedAttributeObject{Attributes: nodeAttributes()},
			},
		},
	}
}

func nodeAttributes() map[string]schema.Attribute {
	str := func(d string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: d}
	}
	return map[string]schema.Attribute{
		"node_id":       str("Id of the node, 56 hex digits."),
		"name":          str("Name of the node; its IP address unless one was given."),
		"ip":            str("IP address of the node."),
		"hostname":      str("Host name of the node. Null over HTTP."),
		"head":          schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it is the head node."},
		"state":         str("`ALIVE`, `DRAINING` or `DEAD`; over HTTP only `ALIVE` and `DEAD`. A killed node reads as alive for about 14 seconds."),
		"idle":          schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the node does nothing now. Null without `include_usage` and over HTTP."},
		"available":     schema.MapAttribute{Computed: true, ElementType: types.Float64Type, MarkdownDescription: "What is free of `resources` now. Null without `include_usage` and over HTTP."},
		"node_type":     str("Node type of the autoscaler. Null over HTTP and without an autoscaler."),
		"instance_id":   str("Id of the machine at the cloud. Null over HTTP and without an autoscaler."),
		"death_reason":  str("Why a dead node ended: `EXPECTED_TERMINATION`, `AUTOSCALER_DRAIN_IDLE` and `AUTOSCALER_DRAIN_PREEMPTED` are ordinary, `UNEXPECTED_TERMINATION` is a crash."),
		"death_message": str("Ray's words about the end."),
		"labels":        schema.MapAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Labels of the node."},
		"resources":     schema.MapAttribute{Computed: true, ElementType: types.Float64Type, MarkdownDescription: "Logical resources in total, by Ray's own names; memory in bytes."},
		"started_at":    str("When the node joined, RFC 3339."),
		"ended_at":      str("When the node ended, RFC 3339."),
	}
}

// Read asks the cluster.
func (d *nodesData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m nodesDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	c := d.Cluster(ctx, m.Cluster, &resp.Diagnostics)
	if c == nil {
		return
	}
	nodes, source, err := c.Nodes(ctx)
	if err != nil {
		unreadableData(c, err, &resp.Diagnostics)
		return
	}
	m.Source = types.StringValue(source)
	m.Nodes = []nodeModel{}
	for _, n := range inOrder(nodes) {
		if m.wants(n) {
			m.Nodes = append(m.Nodes, modelOf(n, m.IncludeUsage.ValueBool() && source == conn.SourceGCS))
		}
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (m *nodesDataModel) wants(n ray.Node) bool {
	switch {
	case m.States == nil && n.State == ray.NodeDead:
		return false
	case m.States != nil && !slices.Contains(m.States, state(n)):
		return false
	case !hasLabels(n, m.Labels):
		return false
	}
	t := m.NodeType.ValueString()
	return t == "" || n.NodeType == t || (n.NodeType == "" && n.Labels[ray.LabelNodeGroup] == t)
}

// inOrder is the head first, then by id: the order of Ray is none.
func inOrder(nodes []ray.Node) []ray.Node {
	out := slices.Clone(nodes)
	slices.SortFunc(out, func(a, b ray.Node) int {
		if a.Head != b.Head {
			if a.Head {
				return -1
			}
			return 1
		}
		return strings.Compare(a.NodeID, b.NodeID)
	})
	return out
}

// state is the node's state without its usage: a node that is idle in one plan and
// busy in the next has not changed.
func state(n ray.Node) string {
	if n.State == ray.NodeIdle {
		return string(ray.NodeAlive)
	}
	return string(n.State)
}

func modelOf(n ray.Node, usage bool) nodeModel {
	m := nodeModel{
		NodeID: text(n.NodeID), Name: text(n.Name), IP: text(n.IP), Hostname: text(n.Hostname),
		Head: n.Head, State: state(n), NodeType: text(n.NodeType), InstanceID: text(n.InstanceID),
		DeathReason: text(n.DeathReason), DeathMessage: text(n.DeathMessage),
		Labels: orEmpty(n.Labels), Resources: orEmpty(map[string]float64(n.Total)),
		StartedAt: moment(n.StartedAt), EndedAt: moment(n.EndedAt),
	}
	if usage && n.State != ray.NodeDead {
		m.Idle, m.Available = types.BoolValue(n.State == ray.NodeIdle), orEmpty(map[string]float64(n.Available))
	}
	return m
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}
