package job

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// Keys of the private state. Each holds a JSON object.
const (
	// keyVersion is always there: an object without it is new to this provider.
	keyVersion = "v"
	// keyWaiting marks a job whose wait was cut off; the next apply waits on.
	keyWaiting = "waiting"
	// keyFailed marks a job whose failure an update found; the next plan replaces
	// it, as it would a tainted one.
	keyFailed = "failed_wait"
	// keyObserved holds an observation.
	keyObserved = "observed"
	// keyImported marks a job whose inputs Terraform does not know yet.
	keyImported = "imported"
)

type privateReader interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
}

type privateWriter interface {
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// marked reports whether the private state holds the key.
func marked(ctx context.Context, p privateReader, key string, diags *diag.Diagnostics) bool {
	value, d := p.GetKey(ctx, key)
	diags.Append(d...)
	return len(value) > 0
}

// mark sets or clears a marker.
func mark(ctx context.Context, p privateWriter, key string, set bool, diags *diag.Diagnostics) {
	var value []byte
	if set {
		value = []byte(`{}`)
	}
	diags.Append(p.SetKey(ctx, key, value)...)
}
