package conn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/rayclient"
)

// Sources of Cluster.Nodes.
const (
	SourceGCS  = "gcs"
	SourceHTTP = "http"
)

// errorTTL is how long a failed look-up answers for others: a plan of 1,000 jobs
// must not ask a dead cluster 1,000 times, and an apply must see it come back.
const errorTTL = 3 * time.Second

// Cluster is a target in use: its clients, made when first asked for, and what
// was found out. It is safe for concurrent use.
type Cluster struct {
	pool *Pool
	to   resolved

	dash    memo[*dashboard.Client]
	gcs     memo[*gcs.Client]
	info    memo[ray.Cluster]
	session memo[rayclient.Discovery]
	head    memo[kuberay.Head]

	mu     sync.Mutex
	values map[any]any
	hint   hint
}

// hint is where an earlier process found the dashboard of a ray:// address.
type hint struct{ url, clusterID string }

func newCluster(p *Pool, to resolved) *Cluster {
	return &Cluster{pool: p, to: to, values: map[any]any{}}
}

// Address is the address that the user wrote, in its normal form, for messages.
func (c *Cluster) Address() string { return c.to.primary.String() }

// AddressSource says where Address was written.
func (c *Cluster) AddressSource() string { return c.to.source }

// RayCluster is the RayCluster that the user wrote; ok is false where the cluster is
// written in another way. Pool.Kubernetes leads to it.
func (c *Cluster) RayCluster() (name kuberay.Name, ok bool) {
	return c.to.primary.RayCluster, c.to.primary.Form == FormKubeRay
}

// Dashboard is the client of the dashboard, which is found first where the user
// wrote another address.
func (c *Cluster) Dashboard(ctx context.Context) (*dashboard.Client, error) {
	return c.dash.get(ctx, keepShort, c.findDashboard)
}

// GCS is the client of the GCS. Where its address was discovered, or written
// beside that of a dashboard, its cluster id has been compared. That it can't be
// reached is remembered for the process, and is no reason to fail: ask the
// dashboard.
func (c *Cluster) GCS(ctx context.Context) (*gcs.Client, error) {
	return c.gcs.get(ctx, c.keepNoGCS, c.findGCS)
}

// young is how long a head may take to tell where its GCS is: seconds after its start,
// and where it restarted, after Ray has found out that the old one is dead.
const young = 30 * time.Second

// NeedGCS is GCS for what the dashboard can't do: a young head is given time.
func (c *Cluster) NeedGCS(ctx context.Context) (*gcs.Client, error) {
	for start := time.Now(); ; {
		g, err := c.GCS(ctx)
		if !errors.Is(err, dashboard.ErrNotReported) || time.Since(start) > young {
			return g, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// Info says who the cluster is, as it was when this process last asked on purpose (InfoNow), or else first.
func (c *Cluster) Info(ctx context.Context) (ray.Cluster, error) {
	return c.info.get(ctx, keepShort, c.askInfo)
}

// InfoNow asks anew, and its answer is what Info says from then on.
func (c *Cluster) InfoNow(ctx context.Context) (ray.Cluster, error) {
	info, err := c.askInfo(ctx)
	if err == nil {
		c.info.set(info)
	}
	return info, err
}

func (c *Cluster) askInfo(ctx context.Context) (ray.Cluster, error) {
	dash, err := c.Dashboard(ctx)
	if err == nil {
		var info ray.Cluster
		if info, err = dash.Cluster(ctx); err == nil {
			return info, nil
		}
	}
	// A GCS answers where only its port is open. For an address that is the
	// dashboard's it is not asked: before Ray 2.31 it knows a cluster id that HTTP
	// does not, and the id in state must not come and go with a port.
	if c.to.primary.Form != FormGCS || ctx.Err() != nil {
		return ray.Cluster{}, err
	}
	g, gcsErr := c.GCS(ctx)
	if gcsErr != nil {
		return ray.Cluster{}, gcsErr
	}
	// One call first: the error of a GCS that can't be asked is that of its
	// simplest question.
	if _, err := g.ClusterID(ctx); err != nil {
		return ray.Cluster{}, c.explain(err)
	}
	info, err := g.Cluster(ctx)
	return info, c.explain(err)
}

// ClusterID asks for the cluster's id anew; it is empty, with an error of
// KindUnsupported, on Ray before 2.31 over HTTP.
func (c *Cluster) ClusterID(ctx context.Context) (string, error) {
	dash, err := c.Dashboard(ctx)
	if err == nil {
		return dash.ClusterID(ctx)
	}
	if c.to.primary.Form != FormGCS || ctx.Err() != nil {
		return "", err
	}
	g, gcsErr := c.GCS(ctx)
	if gcsErr != nil {
		return "", gcsErr
	}
	return g.ClusterID(ctx)
}

// Nodes lists the nodes, dead ones included, and says who told: SourceGCS where
// the GCS can be reached, else SourceHTTP.
func (c *Cluster) Nodes(ctx context.Context) ([]ray.Node, string, error) {
	g, gcsErr := c.GCS(ctx)
	if gcsErr == nil {
		var nodes []ray.Node
		if nodes, gcsErr = g.Nodes(ctx); gcsErr == nil {
			return nodes, SourceGCS, nil
		}
		gcsErr = c.explain(gcsErr)
	}
	// A GCS that the user wrote and that is another cluster's is a mistake to show,
	// not one to get around.
	if ctx.Err() != nil || (c.to.gcs != nil && ray.IsKind(gcsErr, ray.KindWrongCluster)) {
		return nil, "", gcsErr
	}
	dash, err := c.Dashboard(ctx)
	if err != nil {
		if c.to.primary.Form == FormGCS {
			err = gcsErr
		}
		return nil, "", err
	}
	nodes, err := dash.Nodes(ctx)
	return nodes, SourceHTTP, err
}

// Launches are what an autoscaler does now.
type Launches = gcs.Launches

// Launch is nodes that an autoscaler is about to add, or could not add.
type Launch = gcs.Launch

// What Autoscaler returns; AutoscalerUnknown is one of which nothing is known.
const (
	AutoscalerNone    = gcs.AutoscalerNone
	AutoscalerV1      = gcs.AutoscalerV1
	AutoscalerV2      = gcs.AutoscalerV2
	AutoscalerUnknown = gcs.AutoscalerUnknown
)

// Autoscaler is "v1", "v2" or "none", as the GCS tells, and AutoscalerUnknown
// where it can't be asked.
func (c *Cluster) Autoscaler(ctx context.Context) string {
	if g, err := c.GCS(ctx); err == nil {
		if a, err := g.Autoscaler(ctx); err == nil {
			return a
		}
	}
	return AutoscalerUnknown
}

// Launches is what the autoscaler reported last; only the GCS knows.
func (c *Cluster) Launches(ctx context.Context) (Launches, error) {
	g, err := c.GCS(ctx)
	if err != nil {
		return Launches{}, err
	}
	return g.Launches(ctx)
}

// Scaling is what an autoscaler is asked for and does.
type Scaling = gcs.Scaling

// Demand is work that waits for a place.
type Demand = gcs.Demand

// Scaling is what the autoscaler reported last, and what it is asked for; only the
// GCS knows.
func (c *Cluster) Scaling(ctx context.Context) (Scaling, error) {
	g, err := c.NeedGCS(ctx)
	if err != nil {
		return Scaling{}, err
	}
	s, err := g.Scaling(ctx)
	return s, c.explain(err)
}

// Require is an error of KindUnsupported where the cluster's Ray is older than
// atLeast. A version that can't be read is let pass: it is a build of somebody's own.
func (c *Cluster) Require(ctx context.Context, feature string, atLeast ray.Version) error {
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	if v, ok := ray.ParseVersion(info.RayVersion); ok && v.Less(atLeast) {
		return unsupported("use "+feature, c.Address(), "%s needs Ray >= %s, this cluster runs %s", feature, atLeast, info.RayVersion)
	}
	return nil
}

// Value returns the one value of key on this cluster; the first caller makes it.
// It is for what a package above shares between the resources of one process:
// locks, pollers, engines. The key is of a type of that package's own.
func (c *Cluster) Value(key any, create func() any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.values[key]
	if !ok {
		v = create()
		c.values[key] = v
	}
	return v
}

// Hint tells where an earlier process found the dashboard of the cluster with
// this id. It is only tried, before a Ray Client session, and believed if the id
// is right.
func (c *Cluster) Hint(dashboardURL, clusterID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hint = hint{dashboardURL, clusterID}
}

// NeedsSession reports whether the next look-up may open a Ray Client session:
// the user wrote nothing but a ray:// address, and the dashboard has not been
// found yet.
func (c *Cluster) NeedsSession() bool {
	_, found := c.dash.peek()
	return !found && c.to.primary.Form == FormClient && c.to.dashboard == nil && c.to.gcs == nil
}

// GCSKnown is the address of the GCS in use, or "" where none is (yet).
func (c *Cluster) GCSKnown() string {
	if c.to.gcs != nil {
		return c.to.gcs.String()
	}
	return c.foundGCS()
}

// keepSession: each session is a driver process on the head; one that failed is not
// tried again.
func keepSession(err error) time.Duration {
	if ray.IsKind(err, ray.KindCanceled) {
		return 0
	}
	return forever
}

// CredentialError is a gRPC call that was refused, with what it was shown. Over
// HTTP the dashboard's Answer says the same.
type CredentialError struct {
	// Sent says in words, without a secret, which credential the call went with.
	Sent string
	Err  error
}

// Error is that of the call.
func (e *CredentialError) Error() string { return e.Err.Error() }

// Unwrap returns the call's error.
func (e *CredentialError) Unwrap() error { return e.Err }

// explain adds to a refusal by the written GCS or Ray Client server what it was
// shown.
func (c *Cluster) explain(err error) error {
	if !ray.IsKind(err, ray.KindUnauthenticated, ray.KindForbidden) {
		return err
	}
	at := c.to.gcs
	if at == nil {
		at = c.to.client
	}
	if at == nil {
		return err
	}
	cred := c.pool.credentialFor(c.to.primary, endpoint{addr: *at, written: true})
	cred.headers = nil // gRPC has none of them
	token, tokenErr := cred.token.read()
	if tokenErr != nil {
		return err // which is then that of the token
	}
	return &CredentialError{Sent: cred.describe(token), Err: err}
}

func keepShort(err error) time.Duration {
	if ray.IsKind(err, ray.KindCanceled) {
		return 0
	}
	return errorTTL
}

// timeoutTTL is how long a GCS that did not answer in time is left alone: a firewall
// makes each look cost the whole time-out, and a busy head answers the next one.
const timeoutTTL = 30 * time.Second

// keepNoGCS: an address that was written will be asked again soon, one that was
// found and can't be reached never again. A dashboard that did not answer says
// nothing about the GCS.
func (c *Cluster) keepNoGCS(err error) time.Duration {
	if _, ok := c.dash.peek(); !ok || c.to.gcs != nil || ray.IsKind(err, ray.KindCanceled) {
		return keepShort(err)
	}
	if _, ok := errors.AsType[*noGCS](err); ok {
		if ray.IsKind(err, ray.KindTimeout) {
			return timeoutTTL
		}
		return forever
	}
	return keepShort(err)
}

// noGCS is a GCS that was looked for in all places and can't be had from here.
type noGCS struct{ err error }

func (e *noGCS) Error() string { return fmt.Sprintf("the GCS can't be reached from here: %v", e.err) }
func (e *noGCS) Unwrap() error { return e.err }

func canceled(ctx context.Context) error {
	kind := ray.KindCanceled
	if ctx.Err() == context.DeadlineExceeded {
		kind = ray.KindTimeout
	}
	return &ray.Error{Kind: kind, Op: "ask the cluster", Message: "the wait for an answer was given up", Err: context.Cause(ctx)}
}
