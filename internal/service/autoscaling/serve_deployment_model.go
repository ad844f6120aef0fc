package autoscaling

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-jsontypes/jsontypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/float64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/serve"
)

func serveDeploymentAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Backend for the autoscaling of one deployment of Ray Serve, of an application that somebody deployed by a config (`serve deploy`). " +
			"Ray has one config for all such applications of a cluster and takes it as a whole; the policy changes what is written here and writes everything else back as it was, other applications and options of newer Rays included. " +
			"An application that was deployed from Python (`serve.run`) is in no config and is refused, as is a cluster that a RayService owns, where `cluster` is a `kuberay` one and so tells: change `serveConfigV2` there. " +
			"The dashboard is enough.",
		Attributes: map[string]schema.Attribute{
			"application": schema.StringAttribute{
				Required: true, MarkdownDescription: "Name of the application. A change replaces the policy.",
				Validators:    []validator.String{stringvalidator.LengthAtLeast(1)},
				PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"deployment": schema.StringAttribute{
				Required: true, MarkdownDescription: "Name of its deployment. A change replaces the policy.",
				Validators:    []validator.String{stringvalidator.LengthAtLeast(1)},
				PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"autoscaling_config": schema.SingleNestedAttribute{
				Required: true,
				MarkdownDescription: "Members of Ray's `AutoscalingConfig`, by Ray's names. What is left out stays as it is, and what the cluster's Ray is too old for is told by the plan. " +
					"A change of members replaces no replica, except for `policy`. Where the config had no `autoscaling_config` for the deployment, Ray builds the application anew and replaces all of its replicas, once; the plan says so.",
				Attributes: serveConfigAttributes(),
			},
			"on_destroy": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "What a destroy does: `keep` leaves the config as it is, `restore` puts back what was there before the policy, where nobody has changed it since. Where there was no `autoscaling_config`, that replaces all replicas of the application. Default: `keep`.",
				Validators:          []validator.String{stringvalidator.OneOf(onDestroyKeep, onDestroyRestore)},
			},
		},
	}
}

func serveConfigAttributes() map[string]schema.Attribute {
	count := func(least int64, description string) schema.Int64Attribute {
		return schema.Int64Attribute{Optional: true, MarkdownDescription: description, Validators: []validator.Int64{int64validator.Between(least, maxReplicas)}}
	}
	positive := func(description string) schema.Float64Attribute {
		return schema.Float64Attribute{Optional: true, MarkdownDescription: description, Validators: []validator.Float64{aboveZero{}}}
	}
	seconds := func(description string) schema.Float64Attribute {
		return schema.Float64Attribute{Optional: true, MarkdownDescription: description, Validators: []validator.Float64{float64validator.AtLeast(0)}}
	}
	return map[string]schema.Attribute{
		"min_replicas":               count(0, "How few replicas there are at least; 0 lets the deployment scale to none. Ray's default: 1."),
		"initial_replicas":           count(0, "How many replicas the deployment starts with. Ray's default: `min_replicas`."),
		"max_replicas":               count(1, "How many replicas there are at most. Ray's default: 1, or 100 with `num_replicas: auto`."),
		"target_ongoing_requests":    positive("How many requests each replica is to have at a time, running and queued. Ray's default: 2."),
		"metrics_interval_s":         positive("How often metrics are reported, in seconds. Deprecated by Ray, which will go by environment variables. Ray's default: 10."),
		"look_back_period_s":         positive("Over how long metrics are averaged, in seconds. Ray's default: 30."),
		"smoothing_factor":           positive("Deprecated by Ray: use `upscaling_factor` and `downscaling_factor`."),
		"upscale_smoothing_factor":   positive("Deprecated by Ray: use `upscaling_factor`."),
		"downscale_smoothing_factor": positive("Deprecated by Ray: use `downscaling_factor`."),
		"upscaling_factor":           positive("By what each step up is multiplied; below 1 it is more careful. Ray's default: 1."),
		"downscaling_factor":         positive("By what each step down is multiplied. Ray's default: 1."),
		"upscale_delay_s":            seconds("How long more replicas must be wanted before they are started, in seconds. Ray's default: 30."),
		"downscale_delay_s":          seconds("How long fewer replicas must be wanted before they are stopped, in seconds. Ray's default: 600."),
		"downscale_to_zero_delay_s":  seconds("The same for the last replica, in seconds. Ray's default: `downscale_delay_s`."),
		"aggregation_function": schema.StringAttribute{
			Optional: true, MarkdownDescription: "How metrics over time are made one: `mean`, `max` or `min`. Ray's default: `mean`.",
			Validators: []validator.String{stringvalidator.OneOf("mean", "max", "min")},
		},
		"policy": schema.SingleNestedAttribute{
			Optional: true, MarkdownDescription: "Autoscaling policy in place of Ray's. A change builds the application anew and replaces all of its replicas.",
			Attributes: map[string]schema.Attribute{
				"policy_function": schema.StringAttribute{Required: true, MarkdownDescription: "Where it is, `path.to.module:name`, in the Python environment of the head.", Validators: []validator.String{stringvalidator.LengthAtLeast(1)}},
				"policy_kwargs":   schema.StringAttribute{Optional: true, CustomType: jsontypes.NormalizedType{}, MarkdownDescription: "Arguments for a policy that is a class, a JSON object, as of `jsonencode`."},
			},
		},
	}
}

type serveDeploymentModel struct {
	Application types.String `tfsdk:"application"`
	Deployment  types.String `tfsdk:"deployment"`
	Autoscaling types.Object `tfsdk:"autoscaling_config"`
	OnDestroy   types.String `tfsdk:"on_destroy"`
}

type servePolicyModel struct {
	Function types.String         `tfsdk:"policy_function"`
	Kwargs   jsontypes.Normalized `tfsdk:"policy_kwargs"`
}

// serveDeployment is the backend as written, and what it asks of Serve; known is false
// where something of it is not known yet.
func (m *policyModel) serveDeployment(ctx context.Context, diags *diag.Diagnostics) (model serveDeploymentModel, target serve.Target, known bool) {
	if m.ServeDeployment.IsNull() || m.ServeDeployment.IsUnknown() {
		return model, target, false
	}
	diags.Append(m.ServeDeployment.As(ctx, &model, basetypes.ObjectAsOptions{})...)
	target = serve.Target{Application: model.Application.ValueString(), Deployment: model.Deployment.ValueString(), Autoscaling: map[string]json.RawMessage{}}
	known = !model.Application.IsUnknown() && !model.Deployment.IsUnknown() && !model.Autoscaling.IsUnknown()
	for name, v := range model.Autoscaling.Attributes() {
		switch {
		case v.IsUnknown():
			known = false
		case !v.IsNull():
			value, ok := memberValue(ctx, v, diags)
			known = known && ok
			target.Autoscaling[name] = serve.Want(value)
		}
	}
	return model, target, known
}

// memberValue is a member of autoscaling_config as JSON has it.
func memberValue(ctx context.Context, v attr.Value, diags *diag.Diagnostics) (value any, known bool) {
	switch v := v.(type) {
	case types.Int64:
		return v.ValueInt64(), true
	case types.Float64:
		return v.ValueFloat64(), true
	case types.Object:
		var p servePolicyModel
		diags.Append(v.As(ctx, &p, basetypes.ObjectAsOptions{})...)
		policy := map[string]any{"policy_function": p.Function.ValueString()}
		if !p.Kwargs.IsNull() {
			policy["policy_kwargs"] = json.RawMessage(p.Kwargs.ValueString())
		}
		return policy, !p.Function.IsUnknown() && !p.Kwargs.IsUnknown()
	case types.String:
		return v.ValueString(), true
	}
	panic(fmt.Sprintf("autoscaling: a member of autoscaling_config is a %T", v)) // the schema has no other
}

// validateServeDeployment says what no application could make right.
func validateServeDeployment(ctx context.Context, m *policyModel, diags *diag.Diagnostics) {
	model, target, known := m.serveDeployment(ctx, diags)
	at := path.Root("serve_deployment").AtName("autoscaling_config")
	if known && len(target.Autoscaling) == 0 {
		diags.AddAttributeError(at, "This policy manages nothing", "Set at least one member of autoscaling_config.")
	}
	bound := func(name string) (int64, bool) {
		v, ok := model.Autoscaling.Attributes()[name].(types.Int64)
		return v.ValueInt64(), ok && !v.IsNull() && !v.IsUnknown()
	}
	for _, pair := range [][2]string{{"min_replicas", "max_replicas"}, {"min_replicas", "initial_replicas"}, {"initial_replicas", "max_replicas"}} {
		low, hasLow := bound(pair[0])
		high, hasHigh := bound(pair[1])
		if hasLow && hasHigh && low > high {
			diags.AddAttributeError(at.AtName(pair[0]), fmt.Sprintf("%s is above %s", pair[0], pair[1]), fmt.Sprintf("%s = %d, and %s = %d, which must not be less.", pair[0], low, pair[1], high))
		}
	}
	if policy, ok := model.Autoscaling.Attributes()["policy"].(types.Object); ok && !policy.IsNull() && !policy.IsUnknown() {
		var p servePolicyModel
		diags.Append(policy.As(ctx, &p, basetypes.ObjectAsOptions{})...)
		var object map[string]any
		if !p.Kwargs.IsNull() && !p.Kwargs.IsUnknown() && json.Unmarshal([]byte(p.Kwargs.ValueString()), &object) != nil {
			diags.AddAttributeError(at.AtName("policy").AtName("policy_kwargs"), "This is not a JSON object", "Write it with jsonencode({ ... }).")
		}
	}
}

// aboveZero refuses zero and less.
type aboveZero struct{}

func (aboveZero) Description(context.Context) string { return "must be greater than 0" }

func (v aboveZero) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v aboveZero) ValidateFloat64(ctx context.Context, req validator.Float64Request, resp *validator.Float64Response) {
	if !req.ConfigValue.IsNull() && !req.ConfigValue.IsUnknown() && req.ConfigValue.ValueFloat64() <= 0 {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Attribute Value", fmt.Sprintf("Attribute %s value %s, got: %g", req.Path, v.Description(ctx), req.ConfigValue.ValueFloat64()))
	}
}
