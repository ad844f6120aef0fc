package autoscaling

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"
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

// tellWaiting logs why a wait goes on for what a policy asks: when the reasons change,
// and each half minute.
func tellWaiting(ctx context.Context, policy, what string) func(reasons []string) {
	start, said, saidAt := time.Now(), "", time.Time{}
	return func(reasons []string) {
		now := strings.Join(reasons, "; ")
		if now == said && time.Since(saidAt) < 30*time.Second {
			return
		}
		said, saidAt = now, time.Now()
		tflog.Info(ctx, "waiting for the "+what, map[string]any{"policy": policy, "missing": now, "waited": time.Since(start).Round(time.Second).String()})
	}
}
