package autoscaling

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// statusData is the data source ray_autoscaler_status.
type statusData struct{ fw.DataSource }

func newStatusData() datasource.DataSource {
	return &statusData{fw.DataSource{TypeName: "autoscaler_status"}}
}

type statusModel struct {
	Cluster          types.Object               `tfsdk:"cluster"`
	Autoscaler       string                     `tfsdk:"autoscaler"`
	Nodes            map[string]nodeCountsModel `tfsdk:"nodes"`
	PendingLaunches  []pendingLaunchModel       `tfsdk:"pending_launches"`
	FailedLaunches   []failedLaunchModel        `tfsdk:"failed_launches"`
	PendingDemand    []demandModel              `tfsdk:"pending_demand"`
	InfeasibleDemand []demandModel              `tfsdk:"infeasible_demand"`
	Floor            []bundleModel              `tfsdk:"floor"`
	FloorInfeasible  types.Bool                 `tfsdk:"floor_infeasible"`
	FloorContested   bool                       `tfsdk:"floor_contested"`
	NodeFloors       []nodeFloorStatus          `tfsdk:"node_floors"`
}

type nodeCountsModel struct {
	Alive    int64 `tfsdk:"alive"`
	Idle     int64 `tfsdk:"idle"`
	Draining int64 `tfsdk:"draining"`
	Dead     int64 `tfsdk:"dead"`
}

type pendingLaunchModel struct {
	NodeType     string       `tfsdk:"node_type"`
	InstanceType types.String `tfsdk:"instance_type"`
	InstanceID   types.String `tfsdk:"instance_id"`
	Count        int64        `tfsdk:"count"`
	Detail       types.String `tfsdk:"detail"`
	RequestedAt  types.String `tfsdk:"requested_at"`
}

type failedLaunchModel struct {
	NodeType     string       `tfsdk:"node_type"`
	InstanceType types.String `tfsdk:"instance_type"`
	Reason       types.String `tfsdk:"reason"`
	Count        int64        `tfsdk:"count"`
	LastFailedAt types.String `tfsdk:"last_failed_at"`
}

type bundleModel struct {
	Resources      map[string]float64  `tfsdk:"resources"`
	LabelSelectors []ray.LabelSelector `tfsdk:"label_selectors"`
	Count          int64               `tfsdk:"count"`
}

type demandModel struct {
	bundleModel
	Strategy types.String `tfsdk:"strategy"`
}

// nodeFloorStatus is one group of a node_floor.
type nodeFloorStatus struct {
	Owner         types.String      `tfsdk:"owner"`
	Policy        string            `tfsdk:"policy"`
	Group         string            `tfsdk:"group"`
	Ours          bool              `tfsdk:"ours"`
	Resource      types.String      `tfsdk:"resource"`
	LabelSelector map[string]string `tfsdk:"label_selector"`
	Count         int64             `tfsdk:"count"`
	Held          int64             `tfsdk:"held"`
	Reason        types.String      `tfsdk:"reason"`
}

// Schema is that of ray_autoscaler_status.
func (d *statusData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Says what the autoscaler of a Ray cluster is asked for and what it does about it, as of its last round, which it makes every 5 seconds by default. The values change from plan to plan: use them for outputs and checks rather than for what resources are made of.\n\n" +
			"Only the GCS (port 6379) knows. Where Terraform can reach nothing but the dashboard this data source is an error; `ray_nodes` lists the nodes there.",
		Attributes: map[string]schema.Attribute{
			"cluster": fw.ClusterDataAttribute(),
			"autoscaler": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Which autoscaler can add nodes: `v1`, `v2`, `none`, or `unknown` in the first minute of a head, before it has reported.",
			},
			"nodes": schema.MapNestedAttribute{
				Computed:            true,
				MarkdownDescription: "Nodes by node type, which is the worker group under KubeRay. Nodes that no autoscaler started are under the empty name.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"alive":    schema.Int64Attribute{Computed: true, MarkdownDescription: "How many are alive and take work."},
					"idle":     schema.Int64Attribute{Computed: true, MarkdownDescription: "How many of these do nothing now."},
					"draining": schema.Int64Attribute{Computed: true, MarkdownDescription: "How many end their work and take no more."},
					"dead":     schema.Int64Attribute{Computed: true, MarkdownDescription: "How many have ended, as far back as Ray remembers."},
				}},
			},
			"pending_launches": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "Nodes that the autoscaler has asked for and that are not there yet.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"node_type":     text("Node type."),
					"instance_type": text("The cloud's name of the machine. Null where the autoscaler does not tell."),
					"instance_id":   text("Id of the machine at the cloud, once there is one."),
					"count":         schema.Int64Attribute{Computed: true, MarkdownDescription: "How many nodes."},
					"detail":        text("How far it is. Null where the autoscaler does not tell."),
					"requested_at":  text("When it was asked for, RFC 3339. Null on autoscaler v1."),
				}},
			},
			"failed_launches": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "Nodes that could not be added, by node type and reason, as far back as the autoscaler remembers.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"node_type":      text("Node type."),
					"instance_type":  text("The cloud's name of the machine. Null where the autoscaler does not tell."),
					"reason":         text("The cloud's or Ray's words. Null where it gave none, which is often."),
					"count":          schema.Int64Attribute{Computed: true, MarkdownDescription: "How many nodes."},
					"last_failed_at": text("When it failed last, RFC 3339."),
				}},
			},
			"pending_demand": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "Tasks, actors and placement groups that wait for a place, by shape.",
				NestedObject:        schema.NestedAttributeObject{Attributes: demandAttributes()},
			},
			"infeasible_demand": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "What of `pending_demand` no node type can hold, so that it waits for ever. Null on autoscaler v1, which does not tell.",
				NestedObject:        schema.NestedAttributeObject{Attributes: demandAttributes()},
			},
			"floor": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The cluster-wide resource request: what the cluster must be able to hold, busy or not. There is one per cluster and Ray keeps no owner: `ray.autoscaler.sdk.request_resources`, Ray Data, Ray Train and a `resource_floor` replace each other's. Whether it is that of a `ray_autoscaling_policy`, the policy's `enforced` tells.",
				NestedObject:        schema.NestedAttributeObject{Attributes: bundleAttributes()},
			},
			"floor_infeasible": schema.BoolAttribute{
				Computed:            true,
				MarkdownDescription: "Whether the cluster can't grow to hold all of `floor`: autoscaler v2 then enforces nothing of it. Null on autoscaler v1, which enforces what fits and does not tell.",
			},
			"floor_contested": schema.BoolAttribute{
				Computed:            true,
				MarkdownDescription: "Whether the actor of Ray Data and Ray Train lives that replaces `floor` every 20 seconds by what their jobs need.",
			},
			"node_floors": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "What each `node_floor` of a `ray_autoscaling_policy` holds, whoever owns it, by owner, policy and group. Where a change of the policy is under way, or was cut off, a group is there twice. Null where the dashboard, which knows them, can't be reached.",
				NestedObject:        schema.NestedAttributeObject{Attributes: nodeFloorStatusAttributes()},
			},
		},
	}
}

func text(description string) schema.Attribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: description}
}

func bundleAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"resources": schema.MapAttribute{
			Computed: true, ElementType: types.Float64Type,
			MarkdownDescription: "Resources by Ray's own names, memory in bytes, all to be found on one node.",
		},
		"label_selectors": schema.ListAttribute{
			Computed: true, ElementType: types.MapType{ElemType: types.StringType},
			MarkdownDescription: "Which nodes will do, by label, in Ray's syntax: `value`, `!value`, `in(a,b)` or `!in(a,b)`. More than one are alternatives; none is any node.",
		},
		"count": schema.Int64Attribute{Computed: true, MarkdownDescription: "How many times."},
	}
}

func demandAttributes() map[string]schema.Attribute {
	attributes := bundleAttributes()
	attributes["strategy"] = text("Strategy of the placement group whose bundles these are, such as `STRICT_SPREAD`. Null for tasks and actors.")
	return attributes
}

func nodeFloorStatusAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"owner":    text("The `owner` of the provider that made it. Null where it was not set."),
		"policy":   text("Name of the policy."),
		"group":    text("Name of the group."),
		"ours":     schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the owner is that of this provider's configuration."},
		"resource": text("Marker resource by which the nodes are told. Null where they are told by labels."),
		"label_selector": schema.MapAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Labels by which the nodes are told. Null where they are told by a resource.",
		},
		"count":  schema.Int64Attribute{Computed: true, MarkdownDescription: "How many nodes it is to hold."},
		"held":   schema.Int64Attribute{Computed: true, MarkdownDescription: "How many it holds."},
		"reason": text("Why it does not hold all. Null where it does."),
	}
}

// Read asks the cluster.
func (d *statusData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var cluster types.Object
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("cluster"), &cluster)...)
	c := d.Cluster(ctx, cluster, &resp.Diagnostics)
	if c == nil || resp.Diagnostics.HasError() {
		return
	}
	scaling, err := c.Scaling(ctx)
	if err != nil {
		resp.Diagnostics.AddError("The autoscaler of "+c.Address()+" (from "+c.AddressSource()+") can't be read",
			fw.Detail(err)+"\n\nOnly the GCS (port 6379) knows what an autoscaler does. Where it listens on an address that the dashboard does not tell, write it as cluster.gcs_address. Over the dashboard alone there is ray_nodes.")
		return
	}
	nodes, _, err := c.Nodes(ctx)
	if err != nil {
		fw.AddError(&resp.Diagnostics, path.Empty(), "The nodes of "+c.Address()+" can't be listed", err)
		return
	}
	contested, floors, err := d.floors(ctx, c)
	if err != nil {
		fw.AddError(&resp.Diagnostics, path.Empty(), "The floors of "+c.Address()+" can't be listed", err)
		return
	}
	m := statusModel{
		Cluster: cluster, Autoscaler: scaling.Autoscaler, Nodes: countByType(nodes),
		PendingLaunches: pendingLaunches(scaling.Launches.Pending), FailedLaunches: failedLaunches(scaling.Launches.Failed),
		PendingDemand: demandModels(scaling.Waiting), Floor: bundleModels(scaling.Floor), FloorContested: contested, NodeFloors: floors,
	}
	if scaling.Autoscaler != conn.AutoscalerV1 {
		m.InfeasibleDemand = demandModels(scaling.InfeasibleDemand)
		m.FloorInfeasible = types.BoolValue(scaling.Infeasible())
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// floors are what the GCS does not tell of floors: whether somebody contests the
// cluster-wide request, and the placement groups of policies.
func (d *statusData) floors(ctx context.Context, c *conn.Cluster) (contested bool, held []nodeFloorStatus, err error) {
	g, err := c.GCS(ctx)
	if err != nil {
		return false, nil, err
	}
	if contested, err = g.Coordinated(ctx); err != nil {
		return false, nil, err
	}
	api, err := c.Dashboard(ctx)
	if ray.IsUnreachable(err) || ray.IsKind(err, ray.KindNotFound) {
		return contested, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	groups, err := api.PlacementGroups(ctx)
	return contested, nodeFloors(groups, d.Pool().Owner()), err
}

// nodeFloors are the placement groups that policies made.
func nodeFloors(groups []ray.PlacementGroup, owner string) []nodeFloorStatus {
	out := []nodeFloorStatus{}
	for _, p := range groups {
		of, policy, name, ok := ofPolicy(p.Name)
		if !ok || len(p.Bundles) == 0 {
			continue
		}
		s := nodeFloorStatus{
			Owner: textOrNull(of), Policy: policy, Group: name, Ours: of == owner,
			Count: int64(len(p.Bundles)), Held: int64(p.Placed()),
		}
		if b := p.Bundles[0]; len(b.LabelSelector) > 0 {
			s.LabelSelector = b.LabelSelector
		} else if names := b.Resources.Names(); len(names) > 0 {
			s.Resource = types.StringValue(names[0])
		}
		if p.State != ray.PlacementCreated {
			s.Reason = types.StringValue(shortfall(name, p))
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b nodeFloorStatus) int {
		return cmp.Or(cmp.Compare(a.Owner.ValueString(), b.Owner.ValueString()), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Group, b.Group))
	})
	return out
}

func countByType(nodes []ray.Node) map[string]nodeCountsModel {
	out := map[string]nodeCountsModel{}
	for _, n := range nodes {
		counts := out[n.NodeType]
		switch n.State {
		case ray.NodeDead:
			counts.Dead++
		case ray.NodeDraining:
			counts.Draining++
		case ray.NodeIdle:
			counts.Alive++
			counts.Idle++
		default:
			counts.Alive++
		}
		out[n.NodeType] = counts
	}
	return out
}

func pendingLaunches(launches []conn.Launch) []pendingLaunchModel {
	out := []pendingLaunchModel{}
	for _, l := range launches {
		out = append(out, pendingLaunchModel{
			NodeType: l.NodeType, InstanceType: textOrNull(l.InstanceType), InstanceID: textOrNull(l.Instance),
			Count: int64(l.Count), Detail: textOrNull(l.Detail), RequestedAt: moment(l.RequestedAt),
		})
	}
	return out
}

// failedLaunches adds up what failed alike: an autoscaler tries again and again,
// and remembers each time. The last to fail comes first.
func failedLaunches(launches []conn.Launch) []failedLaunchModel {
	alike := map[conn.Launch]conn.Launch{}
	for _, l := range launches {
		key := conn.Launch{NodeType: l.NodeType, InstanceType: l.InstanceType, Detail: l.Detail}
		sum := alike[key]
		sum.Count += l.Count
		if l.FailedAt.After(sum.FailedAt) {
			sum.FailedAt = l.FailedAt
		}
		alike[key] = sum
	}
	out := []failedLaunchModel{}
	for _, key := range slices.SortedFunc(maps.Keys(alike), func(a, b conn.Launch) int {
		return cmp.Or(alike[b].FailedAt.Compare(alike[a].FailedAt), cmp.Compare(a.NodeType, b.NodeType), cmp.Compare(a.Detail, b.Detail))
	}) {
		out = append(out, failedLaunchModel{
			NodeType: key.NodeType, InstanceType: textOrNull(key.InstanceType), Reason: textOrNull(key.Detail),
			Count: int64(alike[key].Count), LastFailedAt: moment(alike[key].FailedAt),
		})
	}
	return out
}

func demandModels(demands []conn.Demand) []demandModel {
	out := []demandModel{}
	for _, d := range demands {
		out = append(out, demandModel{bundleModelOf(d.Bundle), textOrNull(d.Strategy)})
	}
	return out
}

func bundleModels(bundles []ray.Bundle) []bundleModel {
	out := []bundleModel{}
	for _, b := range bundles {
		out = append(out, bundleModelOf(b))
	}
	return out
}

func bundleModelOf(b ray.Bundle) bundleModel {
	return bundleModel{
		Resources: b.Resources, Count: int64(b.Count),
		LabelSelectors: append([]ray.LabelSelector{}, b.Selectors...),
	}
}
