package gcs

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
)

// Nodes returns the cluster's nodes, dead ones included, which the GCS keeps for
// long; in the order in which they started.
//
// Who lives and why others died is GetAllNodeInfo's word. Whether a live node is
// idle or draining, and what it has free, is GetClusterStatus's; a Ray without
// that call leaves Available nil and such nodes ALIVE. A node that
// was killed reads as alive for about 14 s, until its heartbeats are missed.
//
// NodeInfoGcsService/GetAllNodeInfo and AutoscalerStateService/GetClusterStatus,
// both in Ray 2.9 already.
func (c *Client) Nodes(ctx context.Context) ([]ray.Node, error) {
	var infos []*raypb.GcsNodeInfo
	var status *raypb.GetClusterStatusReply
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { infos, err = c.nodeInfos(gctx); return err })
	g.Go(func() (err error) {
		status, err = c.clusterStatus(gctx)
		if ray.IsKind(err, ray.KindUnsupported) {
			return nil
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	states := map[string]*raypb.NodeState{}
	for _, s := range status.GetClusterResourceState().GetNodeStates() {
		states[string(s.GetNodeId())] = s
	}
	nodes := make([]ray.Node, 0, len(infos))
	for _, info := range infos {
		n := nodeOf(info)
		if s, ok := states[string(info.GetNodeId())]; ok {
			merge(&n, s)
		}
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b ray.Node) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.NodeID, b.NodeID))
	})
	return nodes, nil
}

// nodeInfos lists all nodes. The request is empty and stays so: its fields were
// renumbered between Ray 2.40 and 2.50.
func (c *Client) nodeInfos(ctx context.Context) ([]*raypb.GcsNodeInfo, error) {
	reply, err := call(ctx, c, "list nodes", c.nodes.GetAllNodeInfo, &raypb.GetAllNodeInfoRequest{})
	return reply.GetNodeInfoList(), err
}

// clusterStatus reads the live resources and the autoscaler's report.
func (c *Client) clusterStatus(ctx context.Context) (*raypb.GetClusterStatusReply, error) {
	return call(ctx, c, "read the cluster's status", c.scaler.GetClusterStatus, &raypb.GetClusterStatusRequest{})
}

// nodeOf is what GetAllNodeInfo knows of a node. Its state_snapshot is of the
// moment of registration (Ray 2.60: an idle head kept its first 3.6 s for ever),
// so it is not read.
func nodeOf(info *raypb.GcsNodeInfo) ray.Node {
	n := ray.Node{
		NodeID:     hexID(info.GetNodeId()),
		Name:       info.GetNodeName(),
		IP:         info.GetNodeManagerAddress(),
		Hostname:   info.GetNodeManagerHostname(),
		NodeType:   info.GetNodeTypeName(),
		InstanceID: info.GetInstanceId(),
		Head:       info.GetIsHeadNode(),
		State:      ray.NodeAlive,
		Labels:     info.GetLabels(),
		Total:      info.GetResourcesTotal(),
		StartedAt:  timeMS(info.GetStartTimeMs()),
		EndedAt:    timeMS(info.GetEndTimeMs()),
	}
	if _, ok := n.Total[ray.HeadNodeResource]; ok {
		n.Head = true
	}
	if info.GetState() == raypb.GcsNodeInfo_DEAD {
		n.State = ray.NodeDead
		// The names of raypb.NodeDeathInfo_Reason are ray's Death constants.
		n.DeathReason = info.GetDeathInfo().GetReason().String()
		n.DeathMessage = info.GetDeathInfo().GetReasonMessage()
	}
	return n
}

// merge adds what GetClusterStatus knows of a node that is not dead.
func merge(n *ray.Node, s *raypb.NodeState) {
	n.NodeType = cmp.Or(n.NodeType, s.GetRayNodeTypeName())
	n.InstanceID = cmp.Or(n.InstanceID, s.GetInstanceId())
	if n.State == ray.NodeDead {
		return
	}
	switch s.GetStatus() {
	case raypb.NodeStatus_IDLE:
		n.State = ray.NodeIdle
		n.IdleFor = time.Duration(s.GetIdleDurationMs()) * time.Millisecond
	case raypb.NodeStatus_DRAINING:
		n.State = ray.NodeDraining
	case raypb.NodeStatus_DEAD:
		// It died between the two answers; the reason comes with the next one.
		n.State, n.DeathReason = ray.NodeDead, ray.DeathUnspecified
		return
	}
	n.Available = ray.Resources{}
	maps.Copy(n.Available, s.GetAvailableResources())
	// The GCS leaves out what is used up.
	for name := range n.Total {
		if _, ok := n.Available[name]; !ok {
			n.Available[name] = 0
		}
	}
}

// timeMS is a time in milliseconds since the epoch; zero stays zero.
func timeMS(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}
