package dashboard

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Version is what GET /api/version says.
type Version struct {
	RayVersion string
	// SessionName is empty before Ray 2.35.
	SessionName string
	// APIVersion is the version of the Jobs API: "4" since Ray 2.2.
	APIVersion string
}

// Version asks for the versions. GET /api/version, since Ray 2.0. With token
// authentication it needs the token.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v struct {
		Version     string `json:"version"`
		RayVersion  string `json:"ray_version"`
		SessionName string `json:"session_name"`
	}
	k := call{op: "ask for the Ray version", method: http.MethodGet, path: "/api/version"}
	if err := c.getJSON(ctx, k, &v); err != nil {
		return Version{}, err
	}
	if v.RayVersion == "" {
		return Version{}, &ray.Error{Kind: ray.KindProtocol, Op: k.op, Address: c.URL(), Message: "the answer names no ray_version: is this the address of a Ray dashboard?"}
	}
	c.version.Store(&v.RayVersion)
	return Version{RayVersion: v.RayVersion, SessionName: v.SessionName, APIVersion: v.Version}, nil
}

// rayVersion is the version as this client last saw it, asked for if it has not.
func (c *Client) rayVersion(ctx context.Context) (ray.Version, error) {
	s := c.version.Load()
	if s == nil {
		v, err := c.Version(ctx)
		if err != nil {
			return ray.Version{}, err
		}
		s = &v.RayVersion
	}
	v, _ := ray.ParseVersion(*s)
	return v, nil
}

// AuthenticationMode is "disabled" or "token". GET /api/authentication_mode, since
// Ray 2.52 and open without a token; earlier heads have no authentication.
func (c *Client) AuthenticationMode(ctx context.Context) (string, error) {
	var v struct {
		Mode string `json:"authentication_mode"`
	}
	err := c.getJSON(ctx, call{
		op: "ask for the authentication mode", method: http.MethodGet, path: "/api/authentication_mode", since: "2.52",
	}, &v)
	if ray.IsKind(err, ray.KindUnsupported) {
		return "disabled", nil
	}
	return v.Mode, err
}

// ClusterID is the cluster's id, 56 hex digits. GET /cluster_id, since Ray 2.31;
// earlier ones give KindUnsupported. A restart of the head with Redis keeps it.
func (c *Client) ClusterID(ctx context.Context) (string, error) {
	var v struct {
		Data struct {
			ClusterID string `json:"clusterId"`
		} `json:"data"`
	}
	k := call{op: "ask for the cluster id", method: http.MethodGet, path: "/cluster_id", since: "2.31"}
	if err := c.getJSON(ctx, k, &v); err != nil {
		return "", err
	}
	if v.Data.ClusterID == "" {
		return "", &ray.Error{Kind: ray.KindProtocol, Op: k.op, Address: c.URL(), Message: "the answer holds no cluster id"}
	}
	return v.Data.ClusterID, nil
}

// Metadata is what the head knows of itself.
type Metadata struct {
	RayVersion    string
	PythonVersion string
	// StartedAt is the start of the session; zero with usage statistics off.
	StartedAt time.Time
}

// ClusterMetadata asks for it. GET /api/v0/cluster_metadata, since Ray 2.4.
func (c *Client) ClusterMetadata(ctx context.Context) (Metadata, error) {
	var v struct {
		Data struct {
			RayVersion    string `json:"rayVersion"`
			PythonVersion string `json:"pythonVersion"`
			StartMs       int64  `json:"sessionStartTimestampMs"`
		} `json:"data"`
	}
	err := c.getJSON(ctx, call{
		op: "ask for the cluster's metadata", method: http.MethodGet, path: "/api/v0/cluster_metadata", since: "2.4",
	}, &v)
	if err != nil {
		return Metadata{}, err
	}
	return Metadata{v.Data.RayVersion, v.Data.PythonVersion, millis(v.Data.StartMs)}, nil
}

// Cluster says who the cluster is: Version, AuthenticationMode, ClusterID and
// ClusterMetadata together. What this Ray does not have yet is left empty.
func (c *Client) Cluster(ctx context.Context) (ray.Cluster, error) {
	parent := ctx
	// First, alone: it tells a wrong address or token in one request.
	v, err := c.Version(ctx)
	if err != nil {
		return ray.Cluster{}, err
	}
	out := ray.Cluster{RayVersion: v.RayVersion, SessionName: v.SessionName}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		out.AuthenticationMode, err = c.AuthenticationMode(ctx)
		return err
	})
	g.Go(func() (err error) {
		out.ClusterID, err = c.ClusterID(ctx)
		return unlessUnsupported(err)
	})
	g.Go(func() error {
		m, err := c.ClusterMetadata(ctx)
		out.PythonVersion, out.StartedAt = m.PythonVersion, m.StartedAt
		return unlessUnsupported(err)
	})
	if err := g.Wait(); err != nil {
		return ray.Cluster{}, err
	}
	if out.StartedAt.IsZero() {
		started, err := c.headStart(parent)
		if err != nil {
			return ray.Cluster{}, err
		}
		out.StartedAt = started
	}
	return out, nil
}

// headStart is when the live head node started: the metadata has the session's
// start only with usage statistics on. Zero while the head registers.
func (c *Client) headStart(ctx context.Context) (time.Time, error) {
	nodes, err := c.Nodes(ctx)
	var start time.Time
	for _, n := range nodes {
		if n.Head && n.State != ray.NodeDead && n.StartedAt.After(start) {
			start = n.StartedAt
		}
	}
	return start, err
}

func unlessUnsupported(err error) error {
	if ray.IsKind(err, ray.KindUnsupported) {
		return nil
	}
	return err
}

// millis is a Unix time in ms; Ray's 0 means that there is none.
func millis(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
