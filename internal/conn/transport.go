package conn

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// Bounds of a dial. A written address may be far away; a discovered one is often
// in a network that can't be reached, and everybody waits for that answer.
const (
	dialTimeout     = 10 * time.Second
	discoverTimeout = 2 * time.Second
)

// transport shows a credential to one host and port, and to no other; where the
// address has a path, only below it.
type transport struct {
	base http.RoundTripper
	addr Address
	cred credential
}

// RoundTrip adds the credential, and says on the answer which one it was.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.cred.err != nil {
		return nil, t.cred.err
	}
	sent := "no credential: this is not the address that one is for"
	if t.isFor(req.URL) {
		token, err := t.cred.token.read()
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		if token != "" && !t.cred.hasHeader(t.cred.tokenHeader) {
			req.Header.Set(t.cred.tokenHeader, "Bearer "+token)
		}
		for _, k := range sortedKeys(t.cred.headers) {
			req.Header.Set(k, t.cred.headers[k])
		}
		sent = t.cred.describe(token)
	}
	resp, err := t.base.RoundTrip(req)
	if resp != nil {
		resp.Header.Set(dashboard.CredentialHeader, sent)
	}
	return resp, err
}

func (t *transport) isFor(u *url.URL) bool {
	a, err := ParseAddress(u.Scheme + "://" + u.Host)
	if err != nil {
		return false
	}
	below, err := url.PathUnescape(t.addr.Path)
	return err == nil && a.Scheme == t.addr.Scheme && a.Host == t.addr.Host && a.Port == t.addr.Port && strings.HasPrefix(u.Path, below+"/")
}

// proxy is the choice of a proxy by the environment, as Go's own, but read
// through the pool's environment.
func (c Config) proxy() func(*http.Request) (*url.URL, error) {
	get := func(names ...string) string {
		for _, n := range names {
			if v := c.Getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	cfg := httpproxy.Config{
		HTTPProxy:  get("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: get("HTTPS_PROXY", "https_proxy"),
		NoProxy:    get("NO_PROXY", "no_proxy"),
	}
	if c.NoProxy != "" {
		cfg.NoProxy = c.NoProxy
	}
	f := cfg.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return f(r.URL) }
}

// newDashboard makes the client of a dashboard. The dial of a discovered one is
// short.
func (p *Pool) newDashboard(primary Address, ep endpoint) (*dashboard.Client, error) {
	cred := p.credentialFor(primary, ep)
	tlsConfig, err := cred.tlsConfig()
	if err != nil {
		return nil, err
	}
	dial := dialTimeout
	if !ep.written && !ep.head {
		dial = discoverTimeout
	}
	base := &http.Transport{
		Proxy:               p.cfg.proxy(),
		DialContext:         (&net.Dialer{Timeout: dial, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: dialTimeout,
		// A head answers 8 to 16 requests at a time as fast as 64.
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
	}
	p.onClose(base.CloseIdleConnections)
	return p.dashboardBehind(base, ep.addr, cred)
}

// proxiedDashboard makes the client of a dashboard behind Kubernetes' API server. What
// says who we are to Kubernetes is in Authorization, so that Ray's token goes in its
// own header.
func (p *Pool) proxiedDashboard(primary Address, kube *kuberay.Client, head kuberay.Head) (*dashboard.Client, error) {
	cred := p.credentialFor(primary, endpoint{addr: primary, written: true})
	cred.tokenHeader = rayAuthorization
	if cred.err == nil && cred.hasHeader(authorization) {
		cred.err = &ray.Error{Kind: ray.KindInvalid, Op: "use headers", Message: "Kubernetes' API server takes the header Authorization for itself, in place of the provider's kubernetes credentials: leave it out, and write Ray's token as token"}
	}
	written, base := kube.DashboardProxy(head)
	addr, err := ParseAddress(written)
	if err != nil {
		return nil, err
	}
	return p.dashboardBehind(base, addr, cred)
}

// dashboardBehind makes the client of a dashboard at addr, to which base leads.
func (p *Pool) dashboardBehind(base http.RoundTripper, addr Address, cred credential) (*dashboard.Client, error) {
	return dashboard.New(dashboard.Options{
		URL:            addr.String(),
		HTTP:           &http.Client{Transport: &transport{base: base, addr: addr, cred: cred}},
		UserAgent:      p.cfg.userAgent(),
		RequestTimeout: p.cfg.RequestTimeout,
		Retry:          dashboard.Retry{Max: p.cfg.Retry.MaxAttempts - 1, MinBackoff: p.cfg.Retry.MinBackoff, MaxBackoff: p.cfg.Retry.MaxBackoff},
	})
}

// grpcToken is the token of a gRPC endpoint for its client.
func grpcToken(cred credential) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		if cred.err != nil {
			return "", cred.err
		}
		return cred.token.read()
	}
}

// dialer bounds a gRPC dial. It goes through no proxy: Ray's gRPC never does.
func dialer(timeout time.Duration) func(context.Context, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
	return func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
}

func wrongCluster(op, address, message string) error {
	return &ray.Error{Kind: ray.KindWrongCluster, Op: op, Address: address, Message: message}
}

func unsupported(op, address, format string, args ...any) error {
	return &ray.Error{Kind: ray.KindUnsupported, Op: op, Address: address, Message: fmt.Sprintf(format, args...)}
}
