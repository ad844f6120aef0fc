package fw

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// AddressValidator refuses an address that is not of Form; Form 0 takes all.
type AddressValidator struct{ Form conn.Form }

var _ validator.String = AddressValidator{}

// Description says what is valid.
func (v AddressValidator) Description(context.Context) string {
	if example := v.Form.Example(); example != "" {
		return "must be " + example
	}
	return "must be http(s)://host:8265[/prefix], host:6379, ray://host:10001 or kuberay://namespace/name"
}

// MarkdownDescription is Description.
func (v AddressValidator) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

// ValidateString checks the form; it dials nothing.
func (v AddressValidator) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if err := conn.CheckAddress(req.ConfigValue.ValueString(), v.Form); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "This is not an address of a Ray cluster", Sentence(reason(err)))
	}
}

// reason is what is wrong, without the operation that found it.
func reason(err error) string {
	var e *ray.Error
	if errors.As(err, &e) && e.Message != "" {
		return e.Message
	}
	return err.Error()
}

// kubeRayValidator refuses a RayCluster that can't be one, and one that contradicts
// the address beside it.
type kubeRayValidator struct{}

func (kubeRayValidator) Description(context.Context) string {
	return "must be of one RayCluster, and not contradict address"
}

func (v kubeRayValidator) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (kubeRayValidator) ValidateObject(ctx context.Context, req validator.ObjectRequest, resp *validator.ObjectResponse) {
	if req.ConfigValue.IsNull() || !FullyKnown(req.ConfigValue) {
		return
	}
	var address types.String
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, req.Path.ParentPath().AtName("address"), &address)...)
	if conn.CheckAddress(address.ValueString(), 0) != nil {
		address = types.StringNull() // its own validator says so
	}
	if err := kubeRayOf(req.ConfigValue).Check(address.ValueString()); err != nil {
		AddError(&resp.Diagnostics, req.Path, "This is not the RayCluster of a cluster", err)
	}
}
