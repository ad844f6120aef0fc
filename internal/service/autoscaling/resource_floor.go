package autoscaling

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/autoscaler"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// request is the resource floor of one policy: the cluster-wide resource request.
type request struct {
	cluster *conn.Cluster
	policy  string
	floor   autoscaler.Floor // without its client

	written bool
}

func requestKind() kind {
	return kind{
		attribute: "resource_floor",
		object:    func(m *policyModel) types.Object { return m.ResourceFloor },
		backend: func(ctx context.Context, m *policyModel, pool *conn.Pool, cluster *conn.Cluster, id string, diags *diag.Diagnostics) backend {
			return m.request(ctx, pool, cluster, id, diags)
		},
		same:     sameRequest,
		validate: func(context.Context, *policyModel, *diag.Diagnostics) {},
		check:    checkRequest,
		claims: func(context.Context, *policyModel, *conn.Cluster, *diag.Diagnostics) []claim {
			return []claim{{requestKey, path.Root("resource_floor"), "Two policies have a resource floor", "A cluster has one cluster-wide resource request, and each of the two policies would replace that of the other. Put the bundles of both in one, or use node_floor."}}
		},
		recorded: true, // a request has no owner: only what the state says of it is taken back
	}
}

func (r *request) at() path.Path { return path.Root("resource_floor") }

// key is the same for all policies: there is one request on a cluster.
func (r *request) key() string { return requestKey }

const requestKey = "the cluster-wide resource request"

func (r *request) supported(ctx context.Context) error {
	if !slices.ContainsFunc(r.floor.Bundles, func(b ray.Bundle) bool { return len(b.Selectors) > 0 }) {
		return nil
	}
	return r.cluster.Require(ctx, "label_selector of a resource_floor", labelsSince)
}

// connect gives the floor its client, and the cluster's id where HTTP did not tell.
func (r *request) connect(ctx context.Context) error {
	var err error
	if r.floor.GCS, err = r.cluster.NeedGCS(ctx); err != nil {
		return fmt.Errorf("the cluster-wide resource request is known to the GCS (port 6379) alone; where it listens on an address that the dashboard does not tell, write it as cluster.gcs_address, or use node_floor, which the dashboard is enough for: %w", err)
	}
	if r.floor.ClusterID == "" {
		r.floor.ClusterID, err = r.floor.GCS.ClusterID(ctx)
	}
	return err
}

func (r *request) enforce(ctx context.Context) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	r.floor.Waiting = tellWaiting(ctx, r.policy, "resource floor")
	var err error
	r.written, err = r.floor.Enforce(ctx)
	if wait, ok := errors.AsType[*autoscaler.WaitError](err); ok {
		return &unenforcedError{reasons: wait.Reasons, interrupted: !errors.Is(err, jobs.ErrDeadline)}
	}
	switch {
	case errors.As(err, new(*autoscaler.ContestedError)):
		return fmt.Errorf("%w; use node_floor, which it leaves alone, or set contested = true to write the request all the same", err)
	case errors.As(err, new(*autoscaler.InfeasibleError)):
		return r.blame(ctx, err)
	}
	return err
}

// blame names the bundles that are too large, as far as nodes show it: Ray says only
// that the request as a whole can't be met.
func (r *request) blame(ctx context.Context, infeasible error) error {
	nodes, err := r.floor.GCS.Nodes(ctx)
	if err != nil {
		return infeasible
	}
	seen := seenNodes(nodes)
	var large []string
	for _, b := range r.floor.Bundles {
		if !seen.hold(b) {
			large = append(large, b.Shape()+", for they have "+seen.shapes(b))
		}
	}
	if len(large) == 0 {
		return infeasible
	}
	return fmt.Errorf("%w. Of the nodes that run or ran here none could hold %s", infeasible, strings.Join(large, "; nor "))
}

func (r *request) made() bool { return r.written }

// tookOver: a request has no owner, so that none is known to be the policy's own.
func (r *request) tookOver() string { return "" }

func (r *request) advice() string { return nodesAdvice }

func (r *request) drift(ctx context.Context) (string, []string, error) {
	id, err := clusterID(ctx, r.cluster)
	if err != nil {
		return "", nil, err
	}
	now, err := r.cluster.Scaling(ctx)
	if err != nil {
		return "", nil, err
	}
	reasons := autoscaler.Drift(r.floor.Bundles, now)
	if len(reasons) > 0 || !r.floor.Capacity {
		return id, reasons, nil
	}
	nodes, _, err := r.cluster.Nodes(ctx)
	return id, autoscaler.NoRoom(r.floor.Bundles, nodes), err
}

func (r *request) release(ctx context.Context) (string, error) {
	if err := r.connect(ctx); err != nil {
		return "", err
	}
	theirs, err := r.floor.Release(ctx)
	if len(theirs) == 0 {
		return "", err
	}
	var bundles []string
	for _, b := range theirs {
		bundles = append(bundles, b.String())
	}
	return fmt.Sprintf("The cluster-wide resource request is not this policy's any more: somebody replaced it by %s. It was left as it is.", strings.Join(bundles, " and ")), nil
}
