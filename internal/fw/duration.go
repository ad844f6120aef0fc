package fw

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/attr/xattr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// DurationType is the type of "90s" and "1h30m", in Go's syntax. It refuses what
// has no unit and what is negative.
type DurationType struct{ basetypes.StringType }

// Duration is a value of DurationType.
type Duration struct{ basetypes.StringValue }

var (
	_ basetypes.StringTypable     = DurationType{}
	_ basetypes.StringValuable    = Duration{}
	_ xattr.ValidateableAttribute = Duration{}
	_ validator.String            = durationValidator{}
)

// NewDuration is a Duration of d.
func NewDuration(d time.Duration) Duration { return Duration{types.StringValue(d.String())} }

// String names the type.
func (DurationType) String() string { return "fw.DurationType" }

// Equal reports whether o is this type.
func (DurationType) Equal(o attr.Type) bool {
	_, ok := o.(DurationType)
	return ok
}

// ValueType is the type's value.
func (DurationType) ValueType(context.Context) attr.Value { return Duration{} }

// ValueFromString makes a Duration.
func (DurationType) ValueFromString(_ context.Context, in basetypes.StringValue) (basetypes.StringValuable, diag.Diagnostics) {
	return Duration{in}, nil
}

// ValueFromTerraform makes a Duration.
func (t DurationType) ValueFromTerraform(ctx context.Context, in tftypes.Value) (attr.Value, error) {
	v, err := t.StringType.ValueFromTerraform(ctx, in)
	if err != nil {
		return nil, err
	}
	s, ok := v.(basetypes.StringValue)
	if !ok {
		return nil, fmt.Errorf("%T is no string", v)
	}
	return Duration{s}, nil
}

// Type is DurationType.
func (Duration) Type(context.Context) attr.Type { return DurationType{} }

// Equal reports whether o is the same text.
func (d Duration) Equal(o attr.Value) bool {
	other, ok := o.(Duration)
	return ok && d.StringValue.Equal(other.StringValue)
}

// ValueDuration is the duration; ok is false for null, unknown and what is none.
func (d Duration) ValueDuration() (v time.Duration, ok bool) {
	if d.IsNull() || d.IsUnknown() {
		return 0, false
	}
	v, err := time.ParseDuration(d.ValueString())
	return v, err == nil && v >= 0
}

// Or is the duration, or def where it is null or unknown.
func (d Duration) Or(def time.Duration) time.Duration {
	if v, ok := d.ValueDuration(); ok {
		return v
	}
	return def
}

// ValidateAttribute refuses what is no duration, with the attribute's path.
func (d Duration) ValidateAttribute(_ context.Context, req xattr.ValidateAttributeRequest, resp *xattr.ValidateAttributeResponse) {
	if d.IsNull() || d.IsUnknown() {
		return
	}
	if why := durationFault(d.ValueString()); why != "" {
		resp.Diagnostics.AddAttributeError(req.Path, "This is not a duration", why)
	}
}

func durationFault(s string) string {
	v, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is not a number with a unit. Write it as \"90s\", \"10m\" or \"1h30m\".", s)
	case v < 0:
		return fmt.Sprintf("%q is negative. Write it as \"90s\", \"10m\" or \"1h30m\".", s)
	}
	return ""
}

// durationValidator is the check for attributes whose type is a plain string.
type durationValidator struct{}

func (durationValidator) Description(context.Context) string {
	return "must be a duration such as \"90s\""
}
func (durationValidator) MarkdownDescription(context.Context) string {
	return "must be a duration such as `90s`"
}

func (durationValidator) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if why := durationFault(req.ConfigValue.ValueString()); why != "" {
		resp.Diagnostics.AddAttributeError(req.Path, "This is not a duration", why)
	}
}

// PositiveDuration refuses a duration of zero; DurationType refuses all else.
type PositiveDuration struct{}

// Description says what is valid.
func (PositiveDuration) Description(context.Context) string { return "must be longer than nothing" }

// MarkdownDescription says what is valid.
func (v PositiveDuration) MarkdownDescription(c context.Context) string { return v.Description(c) }

// ValidateString refuses zero.
func (PositiveDuration) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if d, err := time.ParseDuration(req.ConfigValue.ValueString()); err == nil && d == 0 {
		resp.Diagnostics.AddAttributeError(req.Path, "This duration is nothing", "Write a duration longer than zero, such as \"30s\", or leave it out for the default.")
	}
}

// Timeouts is the timeouts argument with the operations of opts, to be read into
// a timeouts.Value. Unlike timeouts.Attributes it refuses negative durations and
// has a description for the object itself.
func Timeouts(_ context.Context, opts timeouts.Opts) schema.SingleNestedAttribute {
	attributes, attrTypes := map[string]schema.Attribute{}, map[string]attr.Type{}
	add := func(name string, wanted bool, description string) {
		if !wanted {
			return
		}
		if description == "" {
			description = "How long `" + name + "` may take, as in `\"10m\"`."
		}
		attributes[name] = schema.StringAttribute{Optional: true, MarkdownDescription: description, Validators: []validator.String{durationValidator{}}}
		attrTypes[name] = types.StringType
	}
	add("create", opts.Create, opts.CreateDescription)
	add("read", opts.Read, opts.ReadDescription)
	add("update", opts.Update, opts.UpdateDescription)
	add("delete", opts.Delete, opts.DeleteDescription)
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "How long operations may take, each as a number with a unit, such as `\"90s\"` or `\"1h30m\"`.",
		Attributes:          attributes,
		CustomType:          timeouts.Type{ObjectType: types.ObjectType{AttrTypes: attrTypes}},
	}
}
