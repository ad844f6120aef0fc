package autoscaling

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
)

// backend is what enforces a policy on a cluster.
type backend interface {
	// at is the attribute that asks for it, and key names what it changes: one at a
	// time of this process does, and a destroy leaves alone what another resource put
	// there in the same apply. It is empty where the backend sees to that itself.
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
	// advice is what to do where enforce takes too long.
	advice() string
	// drift is the id of the cluster that answers, and what is not as it should be.
	drift(ctx context.Context) (clusterID string, reasons []string, err error)
	// release takes the policy back, and says what it left alone.
	release(ctx context.Context) (left string, err error)
}

var (
	_ backend = (*floor)(nil)
	_ backend = (*request)(nil)
)

// remembering is a backend that changes what others made, so that it has to know what
// was there.
type remembering interface {
	backend
	// since tells it, before enforce, what the state has, and what seen returned when the
	// cluster was looked at last: what the plan was decided against.
	since(ctx context.Context, state *policyModel, seen []byte, diags *diag.Diagnostics)
	// seen is what the last look found, JSON, after drift and enforce.
	seen() []byte
	// previous is what was there before the policy, JSON, after enforce.
	previous() types.String
}

// nodesAdvice is the advice of floors.
const nodesAdvice = "Where nodes only take longer, raise timeouts; where they never come, look at the autoscaler's limits and its log (monitor.log on the head)."

// kind is one of the backends that a policy may have, known by its attribute.
type kind struct {
	attribute string
	object    func(*policyModel) types.Object
	// target is where the policy is, given its cluster argument; nil is there.
	target func(ctx context.Context, m *policyModel, pool *conn.Pool, cluster conn.Target, known bool, diags *diag.Diagnostics) (conn.Target, bool)
	// clusterID asks who the cluster is; nil is Ray's own id of it.
	clusterID func(ctx context.Context, pool *conn.Pool, cluster *conn.Cluster) (string, error)
	// backend is the policy's on the cluster with this id, empty where that is not known.
	backend func(ctx context.Context, m *policyModel, pool *conn.Pool, cluster *conn.Cluster, id string, diags *diag.Diagnostics) backend
	// same reports whether two policies that have it ask the same of it.
	same func(ctx context.Context, m, o *policyModel, diags *diag.Diagnostics) bool
	// validate says what no cluster could make right.
	validate func(ctx context.Context, m *policyModel, diags *diag.Diagnostics)
	// check says what an apply of the plan would meet on the cluster as it is; own is
	// set where what is there may be the policy's.
	check func(ctx context.Context, r *policy, cluster *conn.Cluster, plan *policyModel, own bool, diags *diag.Diagnostics)
	// claims are what only one policy of a cluster may have beside its name; nil for none.
	claims func(ctx context.Context, m *policyModel, cluster *conn.Cluster, diags *diag.Diagnostics) []claim
	// keeps reports whether a destroy leaves the cluster as it is; nil is no.
	keeps func(ctx context.Context, m *policyModel, diags *diag.Diagnostics) bool
	// recorded is set where only the state tells what the policy has on the cluster, so
	// that an update which did not end well has to say what it wrote.
	recorded bool
	// previous is set where the backend is remembering: what an update on the same cluster
	// will say was there before; unknown where only the apply tells.
	previous func(ctx context.Context, plan, state *policyModel, diags *diag.Diagnostics) types.String
}

// claim is a thing of a cluster that two policies would fight for, and the argument that
// asks for it.
type claim struct {
	key             string
	at              path.Path
	summary, detail string
}

// kinds are all there are, the one for most clusters first.
func kinds() []kind {
	return []kind{floorKind(), requestKind(), workerGroupsKind(), serveDeploymentKind()}
}

// kind is the policy's backend: the first that is set, or may turn out to be; ok is
// false where the policy has none.
func (m *policyModel) kind() (k kind, ok bool) {
	for _, unknown := range []bool{false, true} {
		for _, k := range kinds() {
			if o := k.object(m); !o.IsNull() && o.IsUnknown() == unknown {
				return k, true
			}
		}
	}
	return kind{}, false
}

// sameBackend reports whether m has the backend of the state o, and asks the same of it.
func (m *policyModel) sameBackend(ctx context.Context, o *policyModel, diags *diag.Diagnostics) (same, content bool) {
	k, ok := o.kind()
	if !ok || k.object(m).IsNull() {
		return false, false
	}
	return true, !k.object(m).IsUnknown() && k.same(ctx, m, o, diags)
}

// backends are the names of the attributes: "a, b or c".
func backends() string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.attribute)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
