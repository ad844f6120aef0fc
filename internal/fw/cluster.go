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
}

// Target is the cluster as conn takes it; null and unknown members are empty.
func (m ClusterModel) Target() conn.Target {
	return conn.Target{
		Address:       m.Address.ValueString(),
		DashboardURL:  m.DashboardURL.ValueString(),
		GCSAddress:    m.GCSAddress.ValueString(),
		ClientAddress: m.ClientAddress.ValueString(),
	}
}

// ClusterAttrTypes are the members of the cluster argument. Its type is in users'
// states.
func ClusterAttrTypes() map[string]attr.Type {
	return map[string]attr.Type{
		"address":        types.StringType,
		"dashboard_url":  types.StringType,
		"gcs_address":    types.StringType,
		"client_address": types.StringType,
	}
}

// ClusterMember is one member of the cluster argument, for the resource that has
// them as arguments of its own.
type ClusterMember struct {
	Name        string
	Form        conn.Form // 0 is any
	Description string
}

// ClusterMembers are the members of the cluster argument in their order.
func ClusterMembers() []ClusterMember {
	return []ClusterMember{
		{"address", 0, "Address of the cluster: `http(s)://host:8265[/prefix]` (dashboard), `host:6379` (GCS) or `ray://host:10001` (Ray Client). One address is enough; the others are discovered from it where that is possible. Default: the provider's `address`."},
		{"dashboard_url", conn.FormHTTP, "URL of the dashboard, `http(s)://host:8265[/prefix]`, where it is not what would be discovered from `address`."},
		{"gcs_address", conn.FormGCS, "Address of the GCS, `host:6379`, where it is not what would be discovered from `address`. It must be of the same cluster."},
		{"client_address", conn.FormClient, "Address of the Ray Client server, `ray://host:10001`. Ray does not publish it, so it is never discovered."},
	}
}

const (
	clusterDescription = "Cluster to use, for example the `cluster` of a `ray_cluster_connection`. Default: the provider's `address`."
	clusterChange      = " A change is an update in place."
)

// ClusterAttribute is the optional cluster argument of a resource.
func ClusterAttribute() schema.SingleNestedAttribute {
	members := map[string]schema.Attribute{}
	for _, m := range ClusterMembers() {
		members[m.Name] = schema.StringAttribute{Optional: true, MarkdownDescription: m.Description, Validators: []validator.String{AddressValidator{m.Form}}}
	}
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: clusterDescription + clusterChange,
		Attributes:          members,
	}
}

// ClusterDataAttribute is its twin of a data source.
func ClusterDataAttribute() dsschema.SingleNestedAttribute {
	members := map[string]dsschema.Attribute{}
	for _, m := range ClusterMembers() {
		members[m.Name] = dsschema.StringAttribute{Optional: true, MarkdownDescription: m.Description, Validators: []validator.String{AddressValidator{m.Form}}}
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
	if cluster.IsUnknown() {
		return conn.Target{}, false, nil
	}
	if cluster.IsNull() {
		return conn.Target{}, true, nil
	}
	for _, v := range cluster.Attributes() {
		if v.IsUnknown() {
			return conn.Target{}, false, nil
		}
	}
	var m ClusterModel
	diags = cluster.As(ctx, &m, basetypes.ObjectAsOptions{})
	return m.Target(), !diags.HasError(), diags
}

// ClusterObject is the cluster argument that names t. Empty members are null.
func ClusterObject(_ context.Context, t conn.Target) (types.Object, diag.Diagnostics) {
	member := func(s string) attr.Value {
		if s == "" {
			return types.StringNull()
		}
		return types.StringValue(s)
	}
	return types.ObjectValue(ClusterAttrTypes(), map[string]attr.Value{
		"address":        member(t.Address),
		"dashboard_url":  member(t.DashboardURL),
		"gcs_address":    member(t.GCSAddress),
		"client_address": member(t.ClientAddress),
	})
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
