package autoscaling

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
)

// backend is what enforces a policy on a cluster.
type backend interface {
	// at is the attribute that asks for it, and key names what it changes: one at a
	// time of this process does, and a destroy leaves alone what another resource put
	// there in the same apply.
	at() path.Path
	key() string
	// supported is an error of KindUnsupported where the cluster's Ray is too old.
	supported(ctx context.Context) error
	// enforce makes the policy true; its error is an *unenforcedError where ctx ended
	// first.
	enforce(ctx context.Context) error
	// made reports whether something of the policy may be on the cluster, after enforce.
	made() bool
	// tookOver says what enforce found to be there already and now manages.
	tookOver() string
	// drift is the id of the cluster that answers, and what is not as it should be.
	drift(ctx context.Context) (clusterID string, reasons []string, err error)
	// release takes the policy back, and says what it left alone.
	release(ctx context.Context) (left string, err error)
}

var (
	_ backend = (*floor)(nil)
	_ backend = (*request)(nil)
)

// backend is the policy's on the cluster with this id, empty where that is not known.
func (m *policyModel) backend(ctx context.Context, pool *conn.Pool, cluster *conn.Cluster, id string, diags *diag.Diagnostics) backend {
	if m.NodeFloor.IsNull() {
		return m.request(ctx, pool, cluster, id, diags)
	}
	return m.floor(ctx, pool, cluster, diags)
}

// sameBackend reports whether m and o have the same backend, and ask the same of it.
func (m *policyModel) sameBackend(ctx context.Context, o *policyModel, diags *diag.Diagnostics) (kind, content bool) {
	kind = m.NodeFloor.IsNull() == o.NodeFloor.IsNull()
	if !kind || m.NodeFloor.IsUnknown() || m.ResourceFloor.IsUnknown() {
		return kind, false
	}
	if !m.NodeFloor.IsNull() {
		return kind, m.NodeFloor.Equal(o.NodeFloor)
	}
	return kind, m.sameRequest(ctx, o, diags)
}
