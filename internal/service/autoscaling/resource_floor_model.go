package autoscaling

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/float64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/autoscaler"
)

func resourceFloorAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Backend that says what the cluster as a whole must be able to hold, busy or not: Ray's cluster-wide resource request (`ray.autoscaler.sdk.request_resources`). " +
			"There is one per cluster, it has no owner, and the last writer's replaces the one before, so at most one policy of a cluster can have this backend. Ray Data and Ray Train v2 replace it every 20 seconds, also long after their jobs: use `node_floor` on clusters where they run. " +
			"Autoscaler v2 keeps it in the memory of the GCS, where a restart of the head loses it, also with Redis; a plan then shows that. It needs the GCS port (6379).",
		Attributes: map[string]schema.Attribute{
			"bundles": schema.ListNestedAttribute{
				Required:            true,
				MarkdownDescription: "What must have room, counted on empty nodes, the head included. Order does not matter.",
				Validators:          []validator.List{listvalidator.SizeAtLeast(1)},
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"resources": schema.MapAttribute{
						Required: true, ElementType: types.Float64Type,
						MarkdownDescription: "Resources by Ray's own names, memory in bytes, all to be found on one node, for example `{ CPU = 4, GPU = 1 }`.",
						Validators: []validator.Map{
							mapvalidator.SizeAtLeast(1),
							mapvalidator.KeysAre(stringvalidator.LengthAtLeast(1)),
							mapvalidator.ValueFloat64sAre(float64validator.AtLeast(0.0001)),
						},
					},
					"label_selector": schema.MapAttribute{
						Optional: true, ElementType: types.StringType,
						MarkdownDescription: "Which nodes will do, by label, with values in Ray's syntax: `value`, `!value`, `in(a, b)` or `!in(a, b)`. Needs Ray 2.51 and autoscaler v2.",
						Validators: []validator.Map{
							mapvalidator.SizeAtLeast(1),
							mapvalidator.KeysAre(stringvalidator.RegexMatches(labelKey, "must be a label's key, such as tier or ray.io/market-type")),
							mapvalidator.ValueStringsAre(stringvalidator.RegexMatches(labelValue, "must be a label's value, !value, in(a, b) or !in(a, b)")),
						},
					},
					"count": schema.Int64Attribute{
						Optional:            true,
						MarkdownDescription: "How many times. Default: `1`. For none leave the bundle out.",
						Validators:          []validator.Int64{int64validator.Between(1, 1000)},
					},
				}},
			},
			"wait_for_capacity": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether the apply waits until the nodes are alive that can hold the bundles. Default: `true`. Autoscaler v2 says at once where the cluster can't grow that far, which is an error, and Ray then enforces nothing of the request; v1 enforces what fits and says nothing, so that there only the wait finds out. While it is set, a plan that finds no room for a bundle, as after the death of a node, is a planned change.",
			},
			"contested": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether to write the request also where Ray Data or Ray Train will replace it. The apply is then done when the autoscaler has taken it, and waits for no nodes unless `wait_for_capacity` is set; each later plan that finds it replaced shows that and writes it again. Default: `false`, an error.",
			},
		},
	}
}

type resourceFloorModel struct {
	Bundles         types.List `tfsdk:"bundles"`
	WaitForCapacity types.Bool `tfsdk:"wait_for_capacity"`
	Contested       types.Bool `tfsdk:"contested"`
}

type wantedBundleModel struct {
	Resources     types.Map   `tfsdk:"resources"`
	LabelSelector types.Map   `tfsdk:"label_selector"`
	Count         types.Int64 `tfsdk:"count"`
}

// bundles are those of a resource floor in their normal form; known is false where
// something of them is not known yet.
func (m *policyModel) bundles(ctx context.Context, diags *diag.Diagnostics) (out []ray.Bundle, known bool) {
	out, known = m.writtenBundles(ctx, diags)
	return ray.NormalBundles(out), known
}

// writtenBundles are those of a resource floor in the order of the configuration.
func (m *policyModel) writtenBundles(ctx context.Context, diags *diag.Diagnostics) (out []ray.Bundle, known bool) {
	var floor resourceFloorModel
	if m.ResourceFloor.IsUnknown() {
		return nil, false
	}
	diags.Append(m.ResourceFloor.As(ctx, &floor, basetypes.ObjectAsOptions{})...)
	known = !floor.Bundles.IsUnknown() && !floor.Contested.IsUnknown() && !floor.WaitForCapacity.IsUnknown()
	for _, element := range floor.Bundles.Elements() {
		object, ok := element.(types.Object)
		if !ok || object.IsUnknown() || object.IsNull() {
			known = false
			continue
		}
		var b wantedBundleModel
		diags.Append(object.As(ctx, &b, basetypes.ObjectAsOptions{})...)
		resources, resourcesKnown := elements[types.Float64](ctx, b.Resources, diags)
		labels, labelsKnown := elements[types.String](ctx, b.LabelSelector, diags)
		known = known && resourcesKnown && labelsKnown && !b.Count.IsUnknown()
		bundle := ray.Bundle{Resources: ray.Resources{}, Count: 1}
		if !b.Count.IsNull() {
			bundle.Count = int(b.Count.ValueInt64())
		}
		for name, v := range resources {
			bundle.Resources[name] = v.ValueFloat64()
		}
		if len(labels) > 0 {
			selector := ray.LabelSelector{}
			for label, v := range labels {
				selector[label] = v.ValueString()
			}
			bundle.Selectors = []ray.LabelSelector{selector}
		}
		out = append(out, bundle)
	}
	return out, known
}

// elements are those of a map; known is false where one is not.
func elements[T interface{ IsUnknown() bool }](ctx context.Context, m types.Map, diags *diag.Diagnostics) (out map[string]T, known bool) {
	if m.IsNull() || m.IsUnknown() {
		return nil, !m.IsUnknown()
	}
	out, known = map[string]T{}, true
	diags.Append(m.ElementsAs(ctx, &out, false)...)
	for _, v := range out {
		known = known && !v.IsUnknown()
	}
	return out, known
}

// request is the policy's resource floor on the cluster with this id.
func (m *policyModel) request(ctx context.Context, pool *conn.Pool, cluster *conn.Cluster, id string, diags *diag.Diagnostics) *request {
	var floor resourceFloorModel
	diags.Append(m.ResourceFloor.As(ctx, &floor, basetypes.ObjectAsOptions{})...)
	bundles, _ := m.bundles(ctx, diags)
	contested := floor.Contested.ValueBool()
	capacity := floor.WaitForCapacity.ValueBool() || (floor.WaitForCapacity.IsNull() && !contested)
	return &request{
		cluster: cluster, policy: m.Name.ValueString(),
		floor: autoscaler.Floor{ClusterID: id, Bundles: bundles, Contested: contested, Capacity: capacity, Patience: pool.MaxUnreachable()},
	}
}

// sameRequest reports whether m and o are the same resource floor for the autoscaler.
func sameRequest(ctx context.Context, m, o *policyModel, diags *diag.Diagnostics) bool {
	mine, known := m.bundles(ctx, diags)
	others, _ := o.bundles(ctx, diags)
	return known && ray.SameBundles(mine, others)
}
