package autoscaling

import (
	"context"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// snapshot is what the refreshes of a process share of a cluster: a hundred policies
// cost as many requests as one.
type snapshot[T any] struct {
	turn chan struct{} // held by who looks at, or fills, the rest
	at   time.Time
	seen T
}

// fresh is how old a snapshot may be.
const fresh = 10 * time.Second

type snapshotKey[T any] struct{}

func snapshotOf[T any](cluster *conn.Cluster) *snapshot[T] {
	s, _ := cluster.Value(snapshotKey[T]{}, func() any { return &snapshot[T]{turn: make(chan struct{}, 1)} }).(*snapshot[T]) // the key is of a type of this package's own
	return s
}

// forget has the next shared of a T look again.
func forget[T any](cluster *conn.Cluster) {
	s := snapshotOf[T](cluster)
	s.turn <- struct{}{}
	s.at = time.Time{}
	<-s.turn
}

// shared returns what look saw of the cluster, by this call or a moment ago.
func shared[T any](ctx context.Context, cluster *conn.Cluster, look func(context.Context) (T, error)) (seen T, err error) {
	s := snapshotOf[T](cluster)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return seen, context.Cause(ctx)
	}
	if time.Since(s.at) < fresh {
		return s.seen, nil
	}
	if seen, err = look(ctx); err == nil {
		s.at, s.seen = time.Now(), seen
	}
	return seen, err
}

// placements are a cluster's placement groups. Its id is empty where Ray does not tell.
type placements struct {
	clusterID string
	groups    []ray.PlacementGroup
}

// observe returns the cluster's id and placement groups as they were a moment ago.
func observe(ctx context.Context, cluster *conn.Cluster) (id string, groups []ray.PlacementGroup, err error) {
	seen, err := shared(ctx, cluster, func(ctx context.Context) (p placements, err error) {
		if p.clusterID, err = clusterID(ctx, cluster); err != nil {
			return p, err
		}
		api, err := cluster.Dashboard(ctx)
		if err != nil {
			return p, err
		}
		p.groups, err = api.PlacementGroups(ctx)
		return p, err
	})
	return seen.clusterID, seen.groups, err
}

// clusterID asks anew; it is empty on Ray before 2.31.
func clusterID(ctx context.Context, cluster *conn.Cluster) (string, error) {
	id, err := cluster.ClusterID(ctx)
	if ray.IsKind(err, ray.KindUnsupported) {
		return "", nil
	}
	return id, err
}
