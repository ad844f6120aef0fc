package job

import (
	"context"
	"fmt"
	"math"
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// Ray 2.60 refuses a submission with a selector of another form (validate_label_selector
// in ray/_private/label_utils.py).
var (
	labelKeyPattern      = regexp.MustCompile(`^(` + label + `?(\.` + label + `?)*/)?` + label + `$`)
	labelSelectorPattern = regexp.MustCompile(`^(!?(in)?\(` + label + `(, ?` + label + `)*\)|!?` + label + `)?$`)
)

const label = `[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?`

// quantity is an amount of a resource. Ray FAILS a job that asks for less than it
// counts (_validate_resource_quantity in ray/_common/ray_option_utils.py), or for one
// GPU and a half.
type quantity struct{ wholeAboveOne bool }

// smallestQuantity is the unit that Ray counts in.
const smallestQuantity = 0.0001

// Description is for the schema.
func (q quantity) Description(context.Context) string {
	if q.wholeAboveOne {
		return fmt.Sprintf("must be 0, at least %g, or a whole number above 1", smallestQuantity)
	}
	return fmt.Sprintf("must be 0 or at least %g", smallestQuantity)
}

// MarkdownDescription is Description.
func (q quantity) MarkdownDescription(ctx context.Context) string { return q.Description(ctx) }

// ValidateFloat64 refuses what Ray can't count.
func (q quantity) ValidateFloat64(ctx context.Context, req validator.Float64Request, resp *validator.Float64Response) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	v := req.ConfigValue.ValueFloat64()
	if v < 0 || v > 0 && v < smallestQuantity || q.wholeAboveOne && v > 1 && v != math.Trunc(v) {
		resp.Diagnostics.AddAttributeError(req.Path, "Not an amount that Ray takes", fmt.Sprintf("%g %s.", v, q.Description(ctx)))
	}
}
