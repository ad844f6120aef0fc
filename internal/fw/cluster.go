package fw

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	dsschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
)

// ClusterModel is the cluster argument: a pure function of what the user wrote,
// never of what was found out, so that a head that moved is no difference in
// hundreds of jobs.
type ClusterModel struct {
	Address       types.String `tfsdk:"address"`
	DashboardURL  types.String `tfsdk:"dashboard_url"`
	GCSAddress    types.String `tfsdk:"gcs_address"`
	ClientAddress types.String `tfsdk:"client_address"`
	KubeRay       types.Object `tfsdk:"kuberay"`
}

// Target is the cluster as conn takes it; null and unknown members are empty.
func (m ClusterModel) Target() conn.Target {
	return conn.Target{
		Address:       m.Address.ValueString(),
		DashboardURL:  m.DashboardURL.ValueString(),
		GCSAddress:    m.GCSAddress.ValueString(),
		ClientAddress: m.ClientAddress.ValueString(),
		KubeRay:       kubeRayOf(m.KubeRay),
	}
}

func kubeRayOf(o types.Object) conn.KubeRay {
	member := func(name string) string {
		s, _ := o.Attributes()[name].(types.String) // the zero value of an absent one is null
		return s.ValueString()
	}
	return conn.KubeRay{Namespace: member("namespace"), Name: member("name"), Access: member("access")}
}

// ClusterAttrTypes are the members of the cluster argument. Its type is in users'
// states.
func ClusterAttrTypes() map[string]attr.Type {
	return map[string]attr.Type{
		"address":        types.StringType,
		"dashboard_url":  types.StringType,
		"gcs_address":    types.StringType,
		"client_address": types.StringType,
		"kuberay":        types.ObjectType{AttrTypes: KubeRayAttrTypes()},
	}
}

// KubeRayAttrTypes are the members of the member kuberay.
func KubeRayAttrTypes() map[string]attr.Type {
	return map[string]attr.Type{"namespace": types.StringType, "name": types.StringType, "access": types.StringType}
}

// ClusterMember is one of the cluster argument's members that are addresses, for the
// resource that has them as arguments of its own.
type ClusterMember struct {
	Name        string
	Form        conn.Form // 0 is any
	Description string
}

// ClusterMembers are the addresses of the cluster argument in their order.
func ClusterMembers() []ClusterMember {
	return []ClusterMember{
		{"address", 0, "Address of the cluster: `http(s)://host:8265[/prefix]` (dashboard), `host:6379` (GCS), `ray://host:10001` (Ray Client) or `kuberay://namespace/name` (RayCluster, through the API server of the provider's `kubernetes`). One address is enough; the others are discovered from it where that is possible. Default: the provider's `address`."},
		{"dashboard_url", conn.FormHTTP, "URL of the dashboard, `http(s)://host:8265[/prefix]`, where it is not what would be discovered from `address`."},
		{"gcs_address", conn.FormGCS, "Address of the GCS, `host:6379`, where it is not what would be discovered from `address`. It must be of the same cluster."},
		{"client_address", conn.FormClient, "Address of the Ray Client server, `ray://host:10001`. Ray does not publish it, so it is never discovered."},
	}
}

const (
	clusterDescription = "Cluster to use, for example the `cluster` of a `ray_cluster_connection`. Default: the provider's `address`."
	clusterChange      = " A change is an update in place."

	kubeRayDescription = "RayCluster of the KubeRay operator, in place of `address`. The provider's `kubernetes` says in which Kubernetes."
)

// kubeRayMembers are the members of kuberay with their descriptions.
func kubeRayMembers() map[string]string {
	return map[string]string{
		"namespace": "Namespace of the RayCluster.",
		"name":      "Name of the RayCluster.",
		"access": "How its head is reached: `proxy`, by the service proxy of the API server, from wherever that can be reached, HTTP only; " +
			"or `service`, by the name of the head's service, from inside of the Kubernetes cluster. Default: `proxy`.",
	}
}

// ClusterAttribute is the optional cluster argument of a resource.
func ClusterAttribute() schema.SingleNestedAttribute {
	members := ClusterArguments("")
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: clusterDescription + clusterChange,
		Attributes:          members,
	}
}

// ClusterArguments are the members of the cluster argument, for the resource that has
// them as arguments of its own; more is added to each description.
func ClusterArguments(more string) map[string]schema.Attribute {
	out := map[string]schema.Attribute{}
	for _, m := range ClusterMembers() {
		out[m.Name] = schema.StringAttribute{Optional: true, MarkdownDescription: m.Description + more, Validators: []validator.String{AddressValidator{m.Form}}}
	}
	members := map[string]schema.Attribute{}
	for name, description := range kubeRayMembers() {
		members[name] = schema.StringAttribute{Required: name != "access", Optional: name == "access", MarkdownDescription: description}
	}
	out["kuberay"] = schema.SingleNestedAttribute{
		Optional: true, MarkdownDescription: kubeRayDescription + more, Attributes: members, Validators: []validator.Object{kubeRayValidator{}},
	}
	return out
}

// ClusterOutputs are the members of a computed cluster.
func ClusterOutputs() map[string]schema.Attribute {
	out := map[string]schema.Attribute{}
	for _, m := range ClusterMembers() {
		out[m.Name] = schema.StringAttribute{Computed: true, MarkdownDescription: m.Description}
	}
	members := map[string]schema.Attribute{}
	for name, description := range kubeRayMembers() {
		members[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	out["kuberay"] = schema.SingleNestedAttribute{Computed: true, MarkdownDescription: kubeRayDescription, Attributes: members}
	return out
}

// ClusterDataAttribute is the cluster argument of a data source.
func ClusterDataAttribute() dsschema.SingleNestedAttribute {
	members := map[string]dsschema.Attribute{}
	for _, m := range ClusterMembers() {
		members[m.Name] = dsschema.StringAttribute{Optional: true, MarkdownDescription: m.Description, Validators: []validator.String{AddressValidator{m.Form}}}
	}
	kubeRay := map[string]dsschema.Attribute{}
	for name, description := range kubeRayMembers() {
		kubeRay[name] = dsschema.StringAttribute{Required: name != "access", Optional: name == "access", MarkdownDescription: description}
	}
	members["kuberay"] = dsschema.SingleNestedAttribute{
		Optional: true, MarkdownDescription: kubeRayDescription, Attributes: kubeRay, Validators: []validator.Object{kubeRayValidator{}},
	}
	return dsschema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: clusterDescription,
		Attributes:          members,
	}
}

// TargetOf reads the cluster argument. Null is the zero Target: the provider's
// own address. known is false where it, or a member, is not known yet.
func TargetOf(ctx context.Context, cluster types.Object) (target conn.Target, known bool, diags diag.Diagnostics) {
	if cluster.IsNull() {
		return conn.Target{}, true, nil
	}
	if !FullyKnown(cluster) {
		return conn.Target{}, false, nil
	}
	var m ClusterModel
	diags = cluster.As(ctx, &m, basetypes.ObjectAsOptions{})
	return m.Target(), !diags.HasError(), diags
}

// FullyKnown reports whether neither v nor, if it is an object, a member of it is
// unknown.
func FullyKnown(v attr.Value) bool {
	if v.IsUnknown() {
		return false
	}
	if o, ok := v.(types.Object); ok {
		for _, member := range o.Attributes() {
			if !FullyKnown(member) {
				return false
			}
		}
	}
	return true
}

// ClusterObject is the cluster argument that names t. Empty members are null.
func ClusterObject(_ context.Context, t conn.Target) (types.Object, diag.Diagnostics) {
	member := func(s string) attr.Value {
		if s == "" {
			return types.StringNull()
		}
		return types.StringValue(s)
	}
	kubeRay := types.ObjectNull(KubeRayAttrTypes())
	var diags diag.Diagnostics
	if (t.KubeRay != conn.KubeRay{}) {
		kubeRay, diags = types.ObjectValue(KubeRayAttrTypes(), map[string]attr.Value{
			"namespace": member(t.KubeRay.Namespace), "name": member(t.KubeRay.Name), "access": member(t.KubeRay.Access),
		})
	}
	object, more := types.ObjectValue(ClusterAttrTypes(), map[string]attr.Value{
		"address":        member(t.Address),
		"dashboard_url":  member(t.DashboardURL),
		"gcs_address":    member(t.GCSAddress),
		"client_address": member(t.ClientAddress),
		"kuberay":        kubeRay,
	})
	diags.Append(more...)
	return object, diags
}

// Cluster is the cluster of a data source's argument. It is nil with an error in
// diags where it can't be asked: a data source has nothing to show then.
func (d *DataSource) Cluster(ctx context.Context, cluster types.Object, diags *diag.Diagnostics) *conn.Cluster {
	target, known, more := TargetOf(ctx, cluster)
	diags.Append(more...)
	if d.pool == nil || !known {
		return nil
	}
	c, err := d.pool.Cluster(target)
	if err != nil {
		AddError(diags, path.Root("cluster"), "The cluster can't be read", err)
		return nil
	}
	return c
}
