package fw

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// AddressValidator refuses an address that is not of Form; Form 0 takes all.
type AddressValidator struct{ Form conn.Form }

var _ validator.String = AddressValidator{}

// Description says what is valid.
func (v AddressValidator) Description(context.Context) string {
	switch v.Form {
	case conn.FormHTTP:
		return "must be http(s)://host:8265[/prefix]"
	case conn.FormGCS:
		return "must be host:6379"
	case conn.FormClient:
		return "must be ray://host:10001"
	}
	return "must be http(s)://host:8265[/prefix], host:6379 or ray://host:10001"
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
