package conn

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/rayclient"
)

// Ray's default ports.
const (
	portDashboard = "8265"
	portGCS       = "6379"
	portClient    = "10001"
)

// findDashboard takes what is written, else asks Kubernetes or the GCS, else what can
// be found from a Ray Client address.
func (c *Cluster) findDashboard(ctx context.Context) (*dashboard.Client, error) {
	switch {
	case c.to.dashboard != nil:
		return c.pool.newDashboard(c.to.primary, endpoint{addr: *c.to.dashboard, written: true})
	case c.to.primary.Form == FormKubeRay:
		return c.dashboardByKubernetes(ctx)
	case c.to.gcs != nil:
		g, err := c.pool.newGCS(c.to.primary, endpoint{addr: *c.to.gcs, written: true})
		if err != nil {
			return nil, err
		}
		return c.dashboardByGCS(ctx, g)
	}
	return c.dashboardByClient(ctx)
}

// dashboardByKubernetes finds the head of a RayCluster. Through the API server no
// Ray port is dialed.
func (c *Cluster) dashboardByKubernetes(ctx context.Context) (*dashboard.Client, error) {
	head, err := c.kubeHead(ctx)
	if err != nil {
		return nil, err
	}
	if c.to.access == AccessService {
		return c.pool.newDashboard(c.to.primary, endpoint{addr: Address{Form: FormHTTP, Scheme: "http", Host: head.Host(), Port: head.DashboardPort}, head: true})
	}
	kube, err := c.pool.Kubernetes()
	if err != nil {
		return nil, err
	}
	return c.pool.proxiedDashboard(c.to.primary, kube, head)
}

func (c *Cluster) kubeHead(ctx context.Context) (kuberay.Head, error) {
	return c.head.get(ctx, keepShort, func(ctx context.Context) (kuberay.Head, error) {
		kube, err := c.pool.Kubernetes()
		if err != nil {
			return kuberay.Head{}, err
		}
		return kube.Head(ctx, c.to.primary.RayCluster)
	})
}

// dashboardByGCS finds the dashboard that a GCS has in its KV store.
func (c *Cluster) dashboardByGCS(ctx context.Context, g *gcs.Client) (*dashboard.Client, error) {
	id, err := g.ClusterID(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	reported, err := g.DashboardAddress(ctx)
	if err != nil {
		return nil, err
	}
	return c.pickDashboard(ctx, reported, func(ctx context.Context, d *dashboard.Client) error {
		return c.sameCluster(ctx, d, g, id)
	})
}

// pickDashboard tries the places that a reported host:port can mean.
func (c *Cluster) pickDashboard(ctx context.Context, reported string, verify func(context.Context, *dashboard.Client) error) (*dashboard.Client, error) {
	var first error
	for _, ep := range c.candidates(endpoint{addr: c.to.primary}, reported, FormHTTP) {
		d, err := c.pool.newDashboard(c.to.primary, ep)
		if err == nil {
			if err = verify(ctx, d); err == nil {
				return d, nil
			}
		}
		// A refused credential is an answer, and says more than the next place's
		// silence.
		if first == nil || ray.IsKind(err, ray.KindUnauthenticated, ray.KindForbidden) {
			first = err
		}
	}
	if first == nil {
		return nil, &ray.Error{Kind: ray.KindProtocol, Op: "find the dashboard", Address: c.Address(), Message: fmt.Sprintf("the cluster reports %q as its dashboard, which is no host and port", reported)}
	}
	return nil, fmt.Errorf("find the dashboard that %s reports at %s (set dashboard_url if it is elsewhere): %w", c.Address(), reported, first)
}

// candidates are the places that a reported host:port can mean, best first: the
// user's own host, which is that of known, with that port, since the cluster's inner addresses are often
// not reachable and never get a credential; then what was reported. A loopback
// host is the head's own, never ours, unless the head is here too.
func (c *Cluster) candidates(known endpoint, reported string, form Form) []endpoint {
	host, port, err := net.SplitHostPort(reported)
	if err != nil || host == "" || !validPort(port) {
		return nil
	}
	a := Address{Form: form, Port: port}
	if form == FormHTTP {
		a.Scheme = "http"
	}
	out := []endpoint{{addr: a.at(known.addr.Host), head: known.head}}
	if !isLoopback(host) {
		if a, err := ParseAddress(a.at(host).String()); err == nil && a.Host != known.addr.Host {
			out = append(out, endpoint{addr: a})
		}
	}
	return out
}

// sameCluster compares the cluster ids of a dashboard and a GCS, and the head
// nodes where Ray is too old (< 2.31) to tell its id over HTTP.
func (c *Cluster) sameCluster(ctx context.Context, d *dashboard.Client, g *gcs.Client, gcsID string) error {
	id, err := d.ClusterID(ctx)
	switch {
	case ray.IsKind(err, ray.KindUnsupported):
		return c.sameHead(ctx, d, g)
	case err != nil:
		return err
	case id != gcsID:
		return wrongCluster("compare the cluster ids", d.URL(), fmt.Sprintf("the dashboard is of cluster %s, the GCS of cluster %s", id, gcsID))
	}
	return nil
}

func (c *Cluster) sameHead(ctx context.Context, d *dashboard.Client, g *gcs.Client) error {
	head, err := g.HeadNodeID(ctx)
	if err != nil {
		return err
	}
	nodes, err := d.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.NodeID == head {
			return nil
		}
	}
	return wrongCluster("compare the head nodes", d.URL(), fmt.Sprintf("the dashboard does not know the head node %s of the GCS", head))
}

// findGCS takes what is written, else what the dashboard reports.
func (c *Cluster) findGCS(ctx context.Context) (*gcs.Client, error) {
	if c.to.gcs != nil {
		g, err := c.pool.newGCS(c.to.primary, endpoint{addr: *c.to.gcs, written: true})
		if err != nil || (c.to.dashboard == nil && c.to.primary.Form != FormKubeRay) {
			return g, err
		}
		d, err := c.Dashboard(ctx)
		if err != nil {
			return nil, err
		}
		return g, c.verifyGCS(ctx, d, g)
	}
	known := endpoint{addr: c.to.primary}
	switch c.to.access {
	case AccessProxy:
		return nil, &noGCS{unsupported("find the GCS", c.Address(),
			"Kubernetes' API server passes on HTTP only, and the GCS speaks gRPC: write gcs_address where the GCS can be reached from here, or kuberay.access = %q inside of the Kubernetes cluster", AccessService)}
	case AccessService:
		head, err := c.kubeHead(ctx)
		if err != nil {
			return nil, err
		}
		known = endpoint{addr: Address{Host: head.Host()}, head: true}
	}
	d, err := c.Dashboard(ctx)
	if err != nil {
		return nil, err
	}
	reported, err := c.reportedGCS(ctx, d)
	if err != nil {
		return nil, err
	}
	return c.pickGCS(ctx, d, c.candidates(known, reported, FormGCS), reported)
}

// reportedGCS is what a Ray Client session told, or the head's command line.
func (c *Cluster) reportedGCS(ctx context.Context, d *dashboard.Client) (string, error) {
	if s, ok := c.session.peek(); ok && s.GCSAddress != "" {
		return s.GCSAddress, nil
	}
	return d.GCSAddress(ctx)
}

// pickGCS tries all places at once: those that can't be reached cost the whole
// time-out.
func (c *Cluster) pickGCS(ctx context.Context, d *dashboard.Client, places []endpoint, reported string) (*gcs.Client, error) {
	clients, errs := make([]*gcs.Client, len(places)), make([]error, len(places))
	short, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	var group errgroup.Group
	for i, ep := range places {
		group.Go(func() error {
			if clients[i], errs[i] = c.pool.newGCS(c.to.primary, ep); errs[i] == nil {
				errs[i] = c.verifyGCS(short, d, clients[i])
			}
			return nil
		})
	}
	_ = group.Wait() // each place has its own error
	for i := range places {
		if errs[i] == nil {
			return clients[i], nil
		}
	}
	if ctx.Err() != nil {
		return nil, canceled(ctx)
	}
	for i := range places {
		return nil, &noGCS{errs[i]}
	}
	return nil, &noGCS{&ray.Error{Kind: ray.KindProtocol, Op: "find the GCS", Address: c.Address(), Message: fmt.Sprintf("the cluster reports %q, which is no host and port", reported)}}
}

func (c *Cluster) verifyGCS(ctx context.Context, d *dashboard.Client, g *gcs.Client) error {
	id, err := g.ClusterID(ctx)
	if err != nil {
		return err
	}
	return c.sameCluster(ctx, d, g, id)
}

// foundGCS is the address of a discovered GCS in use.
func (c *Cluster) foundGCS() string {
	if g, ok := c.gcs.peek(); ok {
		return g.Address()
	}
	return ""
}

// dashboardByClient finds the dashboard from ray://host:port. A session would
// tell, at the price of three seconds and a driver process on the head, so that
// it comes last: where an earlier process found the dashboard, and where the
// default ports lead, are tried first. A guess is only made from the default
// client port: on a host with two clusters the other ports would be the other's.
func (c *Cluster) dashboardByClient(ctx context.Context) (*dashboard.Client, error) {
	if d := c.dashboardByHint(ctx); d != nil {
		return d, nil
	}
	options, err := c.clientOptions()
	if err != nil {
		return nil, err
	}
	if err := rayclient.Ping(ctx, options); err != nil {
		return nil, c.explain(err)
	}
	if d := c.dashboardByGuess(ctx); d != nil {
		return d, nil
	}
	s, err := c.session.get(ctx, keepSession, func(ctx context.Context) (rayclient.Discovery, error) {
		return rayclient.Discover(ctx, options)
	})
	if err != nil {
		return nil, err
	}
	return c.pickDashboard(ctx, s.DashboardURL, func(ctx context.Context, d *dashboard.Client) error {
		v, err := d.Version(ctx)
		if err == nil && v.SessionName != "" && s.SessionName != "" && v.SessionName != s.SessionName {
			err = wrongCluster("compare the sessions", d.URL(), fmt.Sprintf("the dashboard is of %s, the Ray Client server of %s", v.SessionName, s.SessionName))
		}
		return err
	})
}

func (c *Cluster) dashboardByHint(ctx context.Context) *dashboard.Client {
	c.mu.Lock()
	h := c.hint
	c.mu.Unlock()
	a, err := ParseAddress(h.url)
	if err != nil || h.clusterID == "" {
		return nil
	}
	d, err := c.pool.newDashboard(c.to.primary, endpoint{addr: a})
	if err != nil {
		return nil
	}
	if id, err := d.ClusterID(ctx); err != nil || id != h.clusterID {
		return nil
	}
	return d
}

func (c *Cluster) dashboardByGuess(ctx context.Context) *dashboard.Client {
	if c.to.primary.Port != portClient {
		return nil
	}
	host := c.to.primary.Host
	d, err := c.pool.newDashboard(c.to.primary, endpoint{addr: Address{Form: FormHTTP, Scheme: "http", Host: host, Port: portDashboard}})
	if err == nil {
		// Refused credentials are Ray's answer too; its next one will say so aloud.
		if _, err = d.Version(ctx); err == nil || ray.IsKind(err, ray.KindUnauthenticated, ray.KindForbidden) {
			return d
		}
	}
	g, err := c.pool.newGCS(c.to.primary, endpoint{addr: Address{Form: FormGCS, Host: host, Port: portGCS}})
	if err != nil {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	if d, err = c.dashboardByGCS(short, g); err != nil {
		return nil
	}
	return d
}

// clientOptions is how the Ray Client server is reached. Only a written address
// leads here.
func (c *Cluster) clientOptions() (rayclient.Options, error) {
	if c.to.client == nil {
		return rayclient.Options{}, &ray.Error{Kind: ray.KindInvalid, Op: "find the dashboard", Address: c.Address(), Message: "no address of a dashboard, a GCS or a Ray Client server is known"}
	}
	cred := c.pool.credentialFor(c.to.primary, endpoint{addr: *c.to.client, written: true})
	return rayclient.Options{Address: c.to.client.HostPort(), Token: grpcToken(cred), UserAgent: c.pool.cfg.userAgent()}, cred.err
}

// newGCS makes the client of a GCS.
func (p *Pool) newGCS(primary Address, ep endpoint) (*gcs.Client, error) {
	cred := p.credentialFor(primary, ep)
	timeout := dialTimeout
	if !ep.written {
		timeout = discoverTimeout
	}
	g, err := gcs.New(gcs.Options{
		Address:   ep.addr.HostPort(),
		Token:     grpcToken(cred),
		UserAgent: p.cfg.userAgent(),
		Timeout:   p.cfg.RequestTimeout,
		Dial:      dialer(timeout),
	})
	if err != nil {
		return nil, err
	}
	p.onClose(func() { _ = g.Close() }) // the process ends with it
	return g, nil
}
