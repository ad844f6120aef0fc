package autoscaling

import (
	"context"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// snapshot is what the refreshes of a process share of a cluster: a hundred policies
// cost as many requests as one.
type snapshot struct {
	turn chan struct{} // held by who looks at, or fills, the rest
	at   time.Time
	// clusterID is empty where Ray does not tell.
	clusterID string
	groups    []ray.PlacementGroup
}

// fresh is how old a snapshot may be.
const fresh = 5 * time.Second

type snapshotKey struct{}

// observe returns the cluster's id and placement groups as they were a moment ago.
func observe(ctx context.Context, cluster *conn.Cluster) (id string, groups []ray.PlacementGroup, err error) {
	s, _ := cluster.Value(snapshotKey{}, func() any { return &snapshot{turn: make(chan struct{}, 1)} }).(*snapshot) // the key is of a type of this package's own
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", nil, context.Cause(ctx)
	}
	if time.Since(s.at) < fresh {
		return s.clusterID, s.groups, nil
	}
	if id, err = clusterID(ctx, cluster); err != nil {
		return "", nil, err
	}
	api, err := cluster.Dashboard(ctx)
	if err != nil {
		return "", nil, err
	}
	if groups, err = api.PlacementGroups(ctx); err != nil {
		return "", nil, err
	}
	s.at, s.clusterID, s.groups = time.Now(), id, groups
	return id, groups, nil
}

// clusterID asks anew; it is empty on Ray before 2.31.
func clusterID(ctx context.Context, cluster *conn.Cluster) (string, error) {
	id, err := cluster.ClusterID(ctx)
	if ray.IsKind(err, ray.KindUnsupported) {
		return "", nil
	}
	return id, err
}
