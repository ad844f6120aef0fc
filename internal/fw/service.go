package fw

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Service is what a package below internal/service offers to the provider.
type Service struct {
	Resources   []func() resource.Resource
	DataSources []func() datasource.DataSource
}

// Resource is the base of a resource; embed it.
type Resource struct {
	// TypeName is the name without the provider's, as "cluster_connection". A
	// resource with a Metadata of its own leaves it empty.
	TypeName string
	pool     *conn.Pool
}

// Metadata gives the resource its name.
func (r *Resource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + r.TypeName
}

// Configure takes the pool from the provider.
func (r *Resource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.pool = poolOf(req.ProviderData, &resp.Diagnostics)
}

// Pool is nil before the provider is configured: while Terraform validates.
func (r *Resource) Pool() *conn.Pool { return r.pool }

// AddRefreshError reports that what, as in "Job a", could not be refreshed. Where the
// cluster can't be reached and the provider's on_unreachable says so, that is a warning,
// with which the state stays as it was.
func (r *Resource) AddRefreshError(diags *diag.Diagnostics, what string, err error) {
	summary := what + " could not be refreshed"
	if ray.IsUnreachable(err) && r.pool.OnUnreachable() == conn.OnUnreachableKeep {
		AddWarning(diags, path.Empty(), summary+" and is kept as it was", err)
		return
	}
	AddError(diags, path.Empty(), summary, err)
}

// AddDestroyError reports a destroy that failed with err; summary says what was not
// destroyed. Where the cluster can't be reached and the provider's destroy_unreachable
// says so, that is a warning, with which the object leaves the state.
func (r *Resource) AddDestroyError(ctx context.Context, diags *diag.Diagnostics, summary string, err error) {
	unreachable := ray.IsUnreachable(err) && ctx.Err() == nil
	switch {
	case unreachable && r.pool.DestroyUnreachable() == conn.DestroyUnreachableForget:
		diags.AddWarning(summary, Sentence(err.Error())+" Terraform forgets it, since the provider's destroy_unreachable is \"forget\". Where the cluster comes back, it may still be there.")
	case unreachable:
		diags.AddError(summary, Detail(err)+"\n\nFor a cluster that is gone for good, destroy_unreachable = \"forget\" in the provider's configuration lets a destroy go on without it. Terraform refreshes first: set on_unreachable = \"keep\" too, or use -refresh=false.")
	default:
		AddError(diags, path.Empty(), summary, err)
	}
}

// DataSource is the base of a data source; embed it.
type DataSource struct {
	// TypeName is the name without the provider's.
	TypeName string
	pool     *conn.Pool
}

// Metadata gives the data source its name.
func (d *DataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + d.TypeName
}

// Configure takes the pool from the provider.
func (d *DataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.pool = poolOf(req.ProviderData, &resp.Diagnostics)
}

// Pool is nil before the provider is configured: while Terraform validates.
func (d *DataSource) Pool() *conn.Pool { return d.pool }

func poolOf(data any, diags *diag.Diagnostics) *conn.Pool {
	if data == nil {
		return nil
	}
	pool, ok := data.(*conn.Pool)
	if !ok {
		diags.AddError("The provider is configured with something unexpected", fmt.Sprintf("It gave a %T where a *conn.Pool is expected. This is a bug of the provider; please report it.", data))
	}
	return pool
}
