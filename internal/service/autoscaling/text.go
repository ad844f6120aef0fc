package autoscaling

import (
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"
)

// textOrNull is null for "": absent has one form.
func textOrNull(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

// moment is RFC 3339; null for the zero time.
func moment(t time.Time) types.String {
	if t.IsZero() {
		return types.StringNull()
	}
	return types.StringValue(t.UTC().Format(time.RFC3339))
}
