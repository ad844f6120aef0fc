package autoscaling

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
)

// Values of on_destroy.
const (
	onDestroyKeep    = "keep"
	onDestroyRestore = "restore"
)

func workerGroupsAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Backend for clusters that KubeRay runs: the bounds, idle timeouts and upscaling mode of a RayCluster, through the Kubernetes API that the provider's `kubernetes` names. " +
			"Only what is written here is managed; `replicas`, which Ray's autoscaler writes, other groups and everything else of the RayCluster are never touched, and each write is guarded so that it takes nothing from a writer at the same time. " +
			"The plan makes the operator's checks, since the API server does not, and has the API server try the write without doing it. A RayCluster that a RayService or RayJob made is refused: change its worker groups there. " +
			"The dashboard is not needed.",
		Attributes: map[string]schema.Attribute{
			"kuberay": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "The RayCluster, where `cluster`, or the provider's `address`, does not name it.",
				Attributes: map[string]schema.Attribute{
					"namespace": schema.StringAttribute{Required: true, MarkdownDescription: "Namespace of the RayCluster.", Validators: []validator.String{stringvalidator.LengthAtLeast(1)}},
					"name":      schema.StringAttribute{Required: true, MarkdownDescription: "Name of the RayCluster.", Validators: []validator.String{stringvalidator.LengthAtLeast(1)}},
				},
			},
			"groups": schema.MapNestedAttribute{
				Optional:            true,
				MarkdownDescription: "Worker groups by their `groupName`. Groups that are not here, or null, stay as they are.",
				Validators: []validator.Map{
					mapvalidator.SizeAtLeast(1),
					mapvalidator.KeysAre(stringvalidator.LengthAtLeast(1)),
				},
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"min_replicas": schema.Int64Attribute{
						Optional:            true,
						MarkdownDescription: "How few replicas the autoscaler may leave (`minReplicas`). One replica is `numOfHosts` pods, usually one.",
						Validators:          []validator.Int64{int64validator.Between(0, maxReplicas)},
					},
					"max_replicas": schema.Int64Attribute{
						Optional:            true,
						MarkdownDescription: "How many replicas the autoscaler may make (`maxReplicas`). Below what runs, it removes workers, busy ones too.",
						Validators:          []validator.Int64{int64validator.Between(0, maxReplicas)},
					},
					"idle_timeout": schema.StringAttribute{
						Optional: true, CustomType: fw.DurationType{},
						MarkdownDescription: "How long a worker of the group may be idle before the autoscaler removes it, in whole seconds, as in `\"5m\"` (`idleTimeoutSeconds`). Needs `autoscalerOptions.version: v2` in the RayCluster and KubeRay 1.3.",
						Validators:          []validator.String{wholeSeconds{}},
					},
				}},
			},
			"idle_timeout": schema.StringAttribute{
				Optional: true, CustomType: fw.DurationType{},
				MarkdownDescription: "How long a worker of any group without an idle timeout of its own may be idle (`autoscalerOptions.idleTimeoutSeconds`). Ray's default is `60s`.",
				Validators:          []validator.String{wholeSeconds{}},
			},
			"upscaling_mode": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "How fast the autoscaler adds workers (`autoscalerOptions.upscalingMode`): `Default` and `Aggressive` as many as are asked for, `Conservative` at most as many as there are.",
				Validators:          []validator.String{stringvalidator.OneOf("Default", "Aggressive", "Conservative")},
			},
			"wait_for_workers": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether the apply waits until each group has `min_replicas` workers ready. It counts pods where it may list them, else it goes by the sum of all groups. A suspended RayCluster has none to wait for. Where a wait ended early, the next apply waits on; once all were there, workers that come and go are no drift. Default: `true`.",
			},
			"allow_recreate": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether to change idle timeouts and the upscaling mode also where the RayCluster has `upgradeStrategy: Recreate`, with which the operator then deletes all of its pods, the head included, and makes them anew. Default: `false`, an error.",
			},
			"on_destroy": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "What a destroy does, and an update with a field that is no longer written here: `keep` leaves the RayCluster as it is, `restore` puts back what was there before the policy, where nobody has changed it since. Default: `keep`.",
				Validators:          []validator.String{stringvalidator.OneOf(onDestroyKeep, onDestroyRestore)},
			},
		},
	}
}

// maxReplicas is what an int32 holds, as replicas are in the custom resource.
const maxReplicas = 1<<31 - 1

type workerGroupsModel struct {
	KubeRay        types.Object `tfsdk:"kuberay"`
	Groups         types.Map    `tfsdk:"groups"`
	IdleTimeout    fw.Duration  `tfsdk:"idle_timeout"`
	UpscalingMode  types.String `tfsdk:"upscaling_mode"`
	WaitForWorkers types.Bool   `tfsdk:"wait_for_workers"`
	AllowRecreate  types.Bool   `tfsdk:"allow_recreate"`
	OnDestroy      types.String `tfsdk:"on_destroy"`
}

type rayClusterModel struct {
	Namespace types.String `tfsdk:"namespace"`
	Name      types.String `tfsdk:"name"`
}

type workerGroupModel struct {
	MinReplicas types.Int64 `tfsdk:"min_replicas"`
	MaxReplicas types.Int64 `tfsdk:"max_replicas"`
	IdleTimeout fw.Duration `tfsdk:"idle_timeout"`
}

// workerGroups is the backend as written; known is false where it is not yet.
func (m *policyModel) workerGroups(ctx context.Context, diags *diag.Diagnostics) (g workerGroupsModel, known bool) {
	if m.WorkerGroups.IsNull() || m.WorkerGroups.IsUnknown() {
		return g, false
	}
	d := m.WorkerGroups.As(ctx, &g, basetypes.ObjectAsOptions{})
	diags.Append(d...)
	return g, !d.HasError()
}

// rayCluster is the RayCluster that the policy itself names; named is false where it
// leaves that to the cluster, known where it is not known yet.
func (g workerGroupsModel) rayCluster(ctx context.Context, diags *diag.Diagnostics) (name kuberay.Name, named, known bool) {
	if g.KubeRay.IsNull() || g.KubeRay.IsUnknown() {
		return name, !g.KubeRay.IsNull(), g.KubeRay.IsNull()
	}
	var m rayClusterModel
	diags.Append(g.KubeRay.As(ctx, &m, basetypes.ObjectAsOptions{})...)
	return kuberay.Name{Namespace: m.Namespace.ValueString(), Name: m.Name.ValueString()}, true, !m.Namespace.IsUnknown() && !m.Name.IsUnknown()
}

// values are the fields as the custom resource has them; known is false where one is not
// known yet, which is then left out.
func (g workerGroupsModel) values(ctx context.Context, diags *diag.Diagnostics) (values kuberay.Values, known bool) {
	values, known = kuberay.Values{}, !g.Groups.IsUnknown()
	set := func(group, key string, v interface {
		IsNull() bool
		IsUnknown() bool
	}, value kuberay.Value) {
		switch {
		case v.IsUnknown():
			known = false
		case !v.IsNull():
			values[kuberay.Field{Group: group, Key: key}] = value
		}
	}
	seconds := func(d fw.Duration) kuberay.Value { return int64(d.Or(0) / time.Second) }
	set("", kuberay.IdleTimeoutSeconds, g.IdleTimeout, seconds(g.IdleTimeout))
	set("", kuberay.UpscalingMode, g.UpscalingMode, g.UpscalingMode.ValueString())
	for name, element := range g.Groups.Elements() {
		object, ok := element.(types.Object)
		if !ok || object.IsUnknown() || object.IsNull() { // null is a group left out
			known = known && !element.IsUnknown()
			continue
		}
		var group workerGroupModel
		diags.Append(object.As(ctx, &group, basetypes.ObjectAsOptions{})...)
		set(name, kuberay.MinReplicas, group.MinReplicas, group.MinReplicas.ValueInt64())
		set(name, kuberay.MaxReplicas, group.MaxReplicas, group.MaxReplicas.ValueInt64())
		set(name, kuberay.IdleTimeoutSeconds, group.IdleTimeout, seconds(group.IdleTimeout))
	}
	return values, known
}

// sameWorkerGroups reports whether m asks for the same values in the same RayCluster as
// o, and for no wait that o did not have. What remains is for later changes alone.
func sameWorkerGroups(ctx context.Context, m, o *policyModel, diags *diag.Diagnostics) bool {
	a, _ := m.workerGroups(ctx, diags)
	b, _ := o.workerGroups(ctx, diags)
	values, known := a.values(ctx, diags)
	old, _ := b.values(ctx, diags)
	return known && maps.Equal(values, old) && a.KubeRay.Equal(b.KubeRay) && (a.WaitForWorkers.Equal(b.WaitForWorkers) || a.WaitForWorkers.Equal(types.BoolValue(false)))
}

// attributes are the names of the arguments by the keys of the custom resource.
var attributes = map[string]string{
	kuberay.MinReplicas:        "min_replicas",
	kuberay.MaxReplicas:        "max_replicas",
	kuberay.IdleTimeoutSeconds: "idle_timeout",
	kuberay.UpscalingMode:      "upscaling_mode",
}

// attributeOf is the argument that sets a field, or the group where it has no key.
func attributeOf(f kuberay.Field) path.Path {
	at := path.Root("worker_groups")
	if f.Group != "" {
		at = at.AtName("groups").AtMapKey(f.Group)
	}
	if f.Key != "" {
		at = at.AtName(attributes[f.Key])
	}
	return at
}

// fieldText is the field in the words of the arguments: "group cpu: min_replicas".
func fieldText(f kuberay.Field) string {
	if f.Group == "" {
		return attributes[f.Key]
	}
	return fmt.Sprintf("group %s: %s", f.Group, attributes[f.Key])
}

// valueText is a field's value in the words of the arguments.
func valueText(f kuberay.Field, v kuberay.Value) string {
	n, isNumber := v.(int64)
	switch {
	case v == nil:
		return "not set"
	case isNumber && f.Key == kuberay.IdleTimeoutSeconds:
		return (time.Duration(n) * time.Second).String()
	}
	return fmt.Sprint(v)
}

// valuesOf reads values from a state; none where there are none.
func valuesOf(s types.String) kuberay.Values {
	values := kuberay.Values{}
	if s.IsNull() || s.IsUnknown() || json.Unmarshal([]byte(s.ValueString()), &values) != nil {
		return kuberay.Values{}
	}
	return values
}

// textOf is how a state holds values.
func textOf(values kuberay.Values) types.String {
	b, err := json.Marshal(values)
	if err != nil {
		panic("autoscaling: " + err.Error()) // maps of strings and numbers
	}
	return types.StringValue(string(b))
}

// validateWorkerGroups says what no RayCluster could make right.
func validateWorkerGroups(ctx context.Context, m *policyModel, diags *diag.Diagnostics) {
	g, ok := m.workerGroups(ctx, diags)
	if !ok {
		return
	}
	at := path.Root("worker_groups")
	if name, named, known := g.rayCluster(ctx, diags); named && known {
		if err := (conn.KubeRay{Namespace: name.Namespace, Name: name.Name}).Check(""); err != nil {
			fw.AddError(diags, at.AtName("kuberay"), "This can't be a RayCluster", err)
		}
	}
	values, known := g.values(ctx, diags)
	if known && len(values) == 0 {
		diags.AddAttributeError(at, "This policy manages nothing", "Set min_replicas, max_replicas or idle_timeout of a group, or idle_timeout or upscaling_mode of all.")
	}
	for name, element := range g.Groups.Elements() {
		object, ok := element.(types.Object)
		if !ok || object.IsUnknown() || object.IsNull() {
			continue
		}
		in := at.AtName("groups").AtMapKey(name)
		var group workerGroupModel
		diags.Append(object.As(ctx, &group, basetypes.ObjectAsOptions{})...)
		if group.MinReplicas.IsNull() && group.MaxReplicas.IsNull() && group.IdleTimeout.IsNull() && len(values) > 0 {
			diags.AddAttributeError(in, fmt.Sprintf("Nothing is set for group %s", name), "Set min_replicas, max_replicas or idle_timeout, or leave the group out.")
		}
		low, high := group.MinReplicas, group.MaxReplicas
		if !low.IsNull() && !low.IsUnknown() && !high.IsNull() && !high.IsUnknown() && low.ValueInt64() > high.ValueInt64() {
			diags.AddAttributeError(in.AtName("min_replicas"), fmt.Sprintf("Group %s must have more replicas than it may have", name),
				fmt.Sprintf("min_replicas = %d is above max_replicas = %d.", low.ValueInt64(), high.ValueInt64()))
		}
	}
}

// wholeSeconds refuses a duration that the custom resource can't hold.
type wholeSeconds struct{}

func (wholeSeconds) Description(context.Context) string { return "must be whole seconds" }

func (v wholeSeconds) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (wholeSeconds) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	d, err := time.ParseDuration(strings.TrimSpace(req.ConfigValue.ValueString()))
	switch {
	case err != nil: // the type says so
	case d%time.Second != 0:
		resp.Diagnostics.AddAttributeError(req.Path, "This is not a whole number of seconds", fmt.Sprintf("KubeRay counts idle timeouts in seconds: write %q or %q.", d.Truncate(time.Second), d.Truncate(time.Second)+time.Second))
	case d/time.Second > maxReplicas:
		resp.Diagnostics.AddAttributeError(req.Path, "This is too long", "KubeRay counts idle timeouts in seconds, of which at most 2147483647 are possible.")
	}
}
