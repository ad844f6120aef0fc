package gcs

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
)

// CheckAlive asks for a sign of life and returns the Ray version, as "2.60.0".
// The cheapest call there is; asked without Options.ClusterID.
//
// NodeInfoGcsService/CheckAlive, in Ray 2.9 already.
func (c *Client) CheckAlive(ctx context.Context) (string, error) {
	const op = "ask the GCS for a sign of life"
	reply, err := callWith(ctx, c, op, c.nodes.CheckAlive, &raypb.CheckAliveRequest{})
	if err != nil {
		return "", c.notGCS(op, err)
	}
	return reply.GetRayVersion(), nil
}

// ClusterID returns the cluster's id, 56 hex digits; asked without
// Options.ClusterID.
//
// NodeInfoGcsService/GetClusterId, in Ray 2.9 already.
func (c *Client) ClusterID(ctx context.Context) (string, error) {
	const op = "read the cluster id"
	reply, err := callWith(ctx, c, op, c.nodes.GetClusterId, &raypb.GetClusterIdRequest{})
	if err != nil {
		return "", c.notGCS(op, err)
	}
	return hexID(reply.GetClusterId()), nil
}

// notGCS says of a gRPC server without these calls that it is no GCS. Ray's own
// client server (10001) answers "Method not found!".
func (c *Client) notGCS(op string, err error) error {
	if !ray.IsKind(err, ray.KindUnsupported) {
		return err
	}
	return c.protocolError(op, "the port speaks gRPC, but is not a GCS; is it the Ray Client port (ray://)?", err)
}

// metadata is the value of CLUSTER_METADATA (usage_lib.py).
type metadata struct {
	RayVersion    string `json:"ray_version"`
	PythonVersion string `json:"python_version"`
	// StartedMS is only there where usage statistics are on.
	StartedMS int64 `json:"session_start_timestamp_ms"`
}

// Cluster returns who the cluster is and what it runs.
//
// StartedAt is when its present head started: session_start_timestamp_ms of
// CLUSTER_METADATA, which a head writes at each start where usage statistics are
// on, else the start of the live head node's raylet, seconds later. The session's
// name holds the head's local time, without a zone, and is kept over a restart
// with Redis: it is not used.
//
// AuthenticationMode comes from a call without token: a GCS that lets it in does
// not ask for one.
func (c *Client) Cluster(ctx context.Context) (ray.Cluster, error) {
	var (
		out   ray.Cluster
		meta  metadata
		token bool
	)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { out.ClusterID, err = c.ClusterID(gctx); return err })
	g.Go(func() (err error) { out.RayVersion, err = c.CheckAlive(gctx); return err })
	g.Go(func() (err error) { meta, err = c.metadata(gctx); return err })
	g.Go(func() (err error) { token, err = c.wantsToken(gctx); return err })
	g.Go(func() error {
		name, _, err := c.KVGet(gctx, nsSession, keySessionName)
		out.SessionName = string(name)
		return err
	})
	if err := g.Wait(); err != nil {
		return ray.Cluster{}, err
	}
	out.PythonVersion = meta.PythonVersion
	if out.RayVersion == "" {
		out.RayVersion = meta.RayVersion
	}
	out.AuthenticationMode = "disabled"
	if token {
		out.AuthenticationMode = "token"
	}
	if meta.StartedMS > 0 {
		out.StartedAt = time.UnixMilli(meta.StartedMS).UTC()
		return out, nil
	}
	head, found, err := c.head(ctx)
	if err != nil {
		return ray.Cluster{}, err
	}
	if found {
		out.StartedAt = head.StartedAt
	}
	return out, nil
}

// metadata reads CLUSTER_METADATA; it is empty where the key is missing.
func (c *Client) metadata(ctx context.Context) (metadata, error) {
	var m metadata
	value, found, err := c.KVGet(ctx, nsCluster, keyMetadata)
	if err != nil || !found {
		return m, err
	}
	if err := json.Unmarshal(value, &m); err != nil {
		return m, c.protocolError("read the cluster's metadata", "not the JSON that Ray writes", err)
	}
	return m, nil
}

// wantsToken reports whether the GCS refuses a call without token.
func (c *Client) wantsToken(ctx context.Context) (bool, error) {
	const op = "ask for the authentication mode"
	inner, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, err := c.nodes.CheckAlive(inner, &raypb.CheckAliveRequest{})
	err = c.conn.Error(ctx, op, err)
	if ray.IsKind(err, ray.KindUnauthenticated) {
		return true, nil
	}
	return false, err
}

// DashboardAddress returns where the dashboard listens, as host:port in the
// head's own view: 127.0.0.1 where it is bound to localhost, which is Ray's
// default. ray.KindNotFound where no dashboard runs.
//
// Key "dashboard", else "webui:url", of namespace dashboard.
func (c *Client) DashboardAddress(ctx context.Context) (string, error) {
	values, err := c.KVMultiGet(ctx, nsDashboard, []string{"dashboard", "webui:url"})
	if err != nil {
		return "", err
	}
	for _, key := range []string{"dashboard", "webui:url"} {
		address := strings.TrimPrefix(strings.TrimPrefix(string(values[key]), "http://"), "https://")
		if address = strings.TrimSuffix(address, "/"); address != "" {
			return address, nil
		}
	}
	return "", &ray.Error{
		Kind: ray.KindNotFound, Op: "find the dashboard", Address: c.conn.Address,
		Message: "the head has published no dashboard; was it started with --include-dashboard=false?",
	}
}

// HeadNodeID returns the id of the live head node, 56 hex digits; empty where
// there is none.
//
// Key head_node_id of namespace job; else from the node list.
func (c *Client) HeadNodeID(ctx context.Context) (string, error) {
	value, found, err := c.KVGet(ctx, nsJob, keyHeadNodeID)
	if err != nil {
		return "", err
	}
	if found && len(value) > 0 {
		return string(value), nil
	}
	head, _, err := c.head(ctx)
	return head.NodeID, err
}

// head returns the newest live head node.
func (c *Client) head(ctx context.Context) (ray.Node, bool, error) {
	infos, err := c.nodeInfos(ctx)
	if err != nil {
		return ray.Node{}, false, err
	}
	var head ray.Node
	found := false
	for _, info := range infos {
		n := nodeOf(info)
		if n.Head && n.State != ray.NodeDead && (!found || n.StartedAt.After(head.StartedAt)) {
			head, found = n, true
		}
	}
	return head, found, nil
}
