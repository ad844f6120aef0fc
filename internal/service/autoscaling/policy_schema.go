package autoscaling

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

var (
	policyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$`)
	groupName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
	// labelKey and labelValue are those of Ray's label_utils.py, with Kubernetes' limits.
	labelKey   = regexp.MustCompile(`^([A-Za-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^!?(in)?\(` + label + `(, ?` + label + `)*\)$|^!?` + label + `$`)
)

const label = `[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?`

// Schema is that of ray_autoscaling_policy.
func (r *policy) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Says how a Ray cluster may scale, and holds it to that. A policy has exactly one backend, which is how it is enforced:\n\n" +
			"* `node_floor`: how few nodes of a kind there may be. The one for most clusters with an autoscaler.\n" +
			"* `resource_floor`: what the cluster as a whole must be able to hold.\n" +
			"* `worker_groups`: bounds, idle timeouts and upscaling mode of a RayCluster of KubeRay.\n" +
			"* `serve_deployment`: the autoscaling of one deployment of Ray Serve.\n\n" +
			"The apply is done when the policy is true: of a floor, when the nodes are alive and held. A refresh looks again, and a policy that does not hold any more, because a node died, somebody changed it, or the head was replaced, is a planned change with the reason as a warning. The destroy of a floor lets the nodes go, and the autoscaler removes them when they are idle.\n\n" +
			"A policy needs no import: a create takes over what is there. A change from one backend to the other replaces the policy.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Name of the policy, unique per provider `owner` and cluster. A change replaces the policy.",
				Validators:          []validator.String{stringvalidator.RegexMatches(policyName, "must begin with a letter or digit and have at most 96 of A-Z a-z 0-9 _ . -")},
				PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"cluster":          fw.ClusterAttribute(),
			"node_floor":       nodeFloorAttribute(),
			"resource_floor":   resourceFloorAttribute(),
			"worker_groups":    workerGroupsAttribute(),
			"serve_deployment": serveDeploymentAttribute(),
			"timeouts": fw.Timeouts(ctx, timeouts.Opts{
				Create: true, CreateDescription: "How long a create waits for the nodes. Default: `10m`.",
				Update: true, UpdateDescription: "How long an update waits for the nodes. Default: `10m`.",
				Delete: true, DeleteDescription: "How long a destroy may take. Default: `5m`.",
			}),
			"owner": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "The provider's `owner` as of the create. It is part of the names on the cluster and never changes; null where it was not set.",
			},
			"cluster_id": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Id of the cluster on which the policy was enforced last; of `worker_groups` the uid of the RayCluster. Null on Ray before 2.31.",
			},
			"enforced": schema.BoolAttribute{
				Computed:            true,
				MarkdownDescription: "Whether the policy held when the last apply ended or the last refresh looked. Where it is `false`, the next apply enforces it again, and waits on where a wait was cut off.",
			},
			"reasons": schema.ListAttribute{
				Computed: true, ElementType: types.StringType,
				MarkdownDescription: "What is missing where `enforced` is `false`.",
			},
			"previous": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "What the policy found where it changes what others made, as JSON: what `on_destroy = \"restore\"` puts back. Where Terraform never knew of a write, since the apply was killed, what the next one finds is what that had written; and of a field that goes from one policy to another in one apply it may be what the first had written. Null for `node_floor` and `resource_floor`.",
			},
		},
	}
}

func nodeFloorAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Backend that holds whole nodes, on any cluster with an autoscaler, by detached placement groups: one for each group, named `<owner>/<name>/<group>/<hash>` in the Ray namespace `terraform.ray-iac`, with a bundle for each node. " +
			"The bundles are so small that work on the nodes does not notice them, and survive drivers, Ray Data and Ray Train, which overwrite other floors. " +
			"They are made and removed by a short job that runs Python with Ray on the head, so the dashboard's port is enough. A change makes the new placement group, waits for it, and then removes the old one, so that nodes that both hold stay.",
		Attributes: map[string]schema.Attribute{
			"groups": schema.MapNestedAttribute{
				Required:            true,
				MarkdownDescription: "Groups of nodes by a name of your choice. Groups are counted apart: two that fit the same nodes share them.",
				Validators: []validator.Map{
					mapvalidator.SizeAtLeast(1),
					mapvalidator.KeysAre(stringvalidator.RegexMatches(groupName, "must begin with a letter or digit and have at most 63 of A-Z a-z 0-9 _ . -")),
				},
				NestedObject: schema.NestedAttributeObject{Attributes: groupAttributes()},
			},
		},
	}
}

func groupAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"count": schema.Int64Attribute{
			Required:            true,
			MarkdownDescription: "How many nodes of this kind there must be at least, a head that fits included. For none leave the group out.",
			Validators:          []validator.Int64{int64validator.AtLeast(1)},
		},
		"max_count": schema.Int64Attribute{
			Optional:            true,
			MarkdownDescription: "Always an error, so that nobody takes it for granted: no API of a Ray cluster sets how many nodes its autoscaler may start at most. That is in the autoscaler's configuration on the head, or in the worker groups of KubeRay's `RayCluster`, which `worker_groups` sets.",
			Validators:          []validator.Int64{noMaximum{}},
		},
		"resource": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Marker resource that tells the nodes: a custom resource that the node type declares and of which no work takes the whole, since 0.001 of it is held. Resources that work takes (CPU, GPU, memory and other accelerators) are refused. Give either this or `label_selector`.",
			Validators:          []validator.String{markerValidator{}},
		},
		"label_selector": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Labels that tell the nodes, with values in Ray's syntax: `value`, `!value`, `in(a, b)` or `!in(a, b)`. One byte of memory is held on each node, so the node type must declare memory, as those of KubeRay and of Ray's cloud launchers do. Needs Ray 2.51 and, to start nodes, autoscaler v2. Give either this or `resource`.",
			Validators: []validator.Map{
				mapvalidator.SizeAtLeast(1),
				mapvalidator.KeysAre(stringvalidator.RegexMatches(labelKey, "must be a label's key, such as tier or ray.io/market-type")),
				mapvalidator.ValueStringsAre(stringvalidator.RegexMatches(labelValue, "must be a label's value, !value, in(a, b) or !in(a, b)")),
			},
		},
	}
}

// markerValidator refuses resources of which a thousandth would keep work away.
type markerValidator struct{}

// accelerators are the resources of ray._private.accelerators of Ray 2.60.
var accelerators = []string{"GPU", "TPU", "NPU", "HPU", "neuron_cores", "RBLN", "FURIOSA", "MBLT", "TTNPU"}

func (markerValidator) Description(context.Context) string { return "must be a marker resource" }

func (v markerValidator) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (markerValidator) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	name := req.ConfigValue.ValueString()
	var why string
	switch {
	case strings.TrimSpace(name) == "" || name != strings.TrimSpace(name):
		why = fmt.Sprintf("%q is no name of a resource.", name)
	case name == "object_store_memory":
		why = "A part of the object store does not keep a node: Ray counts what the store really holds, and an autoscaler removes the node as idle."
	case name == "CPU" || name == "memory" || slices.Contains(accelerators, name):
		why = fmt.Sprintf("The floor holds 0.001 of the resource on each node, and a task that takes all of a node's %s would never run there again.", name)
	case strings.HasPrefix(name, ray.ResourceNodeNamePrefix):
		why = fmt.Sprintf("%q is on one node alone, and no autoscaler starts a node for it.", name)
	default:
		return
	}
	resp.Diagnostics.AddAttributeError(req.Path, "This resource can't mark nodes",
		why+" Use a custom resource that the node type declares for this purpose, such as small = 1, or label_selector.")
}

// noMaximum refuses what no backend of a plain cluster could keep. Without the
// attribute Terraform and OpenTofu would drop it without a word, as they do with all
// that a nested attribute does not have.
type noMaximum struct{}

func (noMaximum) Description(context.Context) string { return "must not be set" }

func (v noMaximum) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (noMaximum) ValidateInt64(_ context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	resp.Diagnostics.AddAttributeError(req.Path, "A node floor has no maximum",
		"No API of a Ray cluster sets how many nodes its autoscaler may start at most. Set max_workers of the node type in the autoscaler's configuration on the head, or under KubeRay max_replicas of the backend worker_groups, and leave max_count out.")
}

// ValidateConfig refuses what no cluster could make right.
func (r *policy) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m policyModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var set []string
	for _, k := range kinds() {
		if o := k.object(&m); !o.IsNull() && !o.IsUnknown() {
			set = append(set, k.attribute)
		}
	}
	k, ok := m.kind()
	switch {
	case !ok:
		resp.Diagnostics.AddError("The policy has no backend", fmt.Sprintf("A policy is enforced by exactly one backend. Set %s.", backends()))
	case len(set) > 1:
		resp.Diagnostics.AddAttributeError(path.Root(set[1]), "The policy has two backends", fmt.Sprintf("A policy is enforced by exactly one backend. Keep %s, or make a policy of each.", strings.Join(set, " or ")))
	case len(set) == 1:
		k.validate(ctx, &m, &resp.Diagnostics)
	}
}

// validateFloor refuses groups that are told by nothing, or by two things.
func validateFloor(ctx context.Context, m *policyModel, diags *diag.Diagnostics) {
	models, _ := m.groupModels(ctx, diags)
	for name, g := range models {
		at := path.Root("node_floor").AtName("groups").AtMapKey(name)
		switch {
		case !g.Resource.IsNull() && !g.LabelSelector.IsNull():
			diags.AddAttributeError(at, "A group of nodes is told by one thing", fmt.Sprintf("Group %s has both resource and label_selector. Keep one of them.", name))
		case g.Resource.IsNull() && g.LabelSelector.IsNull():
			diags.AddAttributeError(at, "A group of nodes is told by nothing", fmt.Sprintf("Group %s needs resource or label_selector, by which its nodes are told from others.", name))
		}
	}
}
