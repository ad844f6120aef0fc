package conn

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// Target is a cluster as the user wrote it. The zero Target is the provider's own
// address. DashboardURL, GCSAddress and ClientAddress override what would be
// discovered from Address.
type Target struct {
	Address, DashboardURL, GCSAddress, ClientAddress string
	// KubeRay says the same as the address kuberay://namespace/name, and how to get
	// there.
	KubeRay KubeRay
}

// primary is where t says that the cluster is, and the name of the argument that
// says so; ok is false where t leaves it to the provider, or to an override.
func (t Target) primary() (a Address, source string, ok bool, err error) {
	switch {
	case t.KubeRay != KubeRay{}:
		a, err = t.KubeRay.address(t.Address)
		return a, "the kuberay argument", true, err
	case t.Address != "":
		a, err = ParseAddress(t.Address)
		return a, "the address argument", true, err
	}
	return Address{}, "", false, nil
}

// Pool is the provider's configuration and the clusters in use. It is safe for
// concurrent use.
type Pool struct {
	cfg      Config
	own      ownAddress
	entries  map[string]entry // by normal form
	registry jobs.Registry

	mu       sync.Mutex
	clusters map[string]*Cluster
	closers  []func()
	closed   bool

	kubeMu sync.Mutex
	kube   *kuberay.Client
}

type ownAddress struct {
	// written and source are empty where the provider has no address.
	written, source string
	addr            Address
	err             error
}

// shown is the address for messages.
func (o ownAddress) shown() string {
	if o.err != nil {
		return redact(o.written)
	}
	return o.addr.String()
}

type entry struct {
	key string
	Credential
}

// NewPool makes a pool. It neither dials nor reads a file.
func NewPool(cfg Config) *Pool {
	p := &Pool{cfg: cfg.withDefaults(), entries: map[string]entry{}, clusters: map[string]*Cluster{}}
	p.own.written, p.own.source = p.cfg.address()
	if p.own.written != "" {
		p.own.addr, p.own.err = ParseAddress(p.own.written)
		if p.own.err != nil {
			p.own.err = fmt.Errorf("%s: %w", p.own.source, p.own.err)
		}
	}
	for key, cred := range cfg.Credentials {
		if a, err := ParseAddress(key); err == nil { // Problems tells the others
			p.entries[a.String()] = entry{key, cred}
		}
	}
	return p
}

// Owner is who owns the jobs of this configuration; empty where it is not set.
func (p *Pool) Owner() string { return p.cfg.Owner }

// DefaultMetadata is stamped on every submission.
func (p *Pool) DefaultMetadata() map[string]string { return maps.Clone(p.cfg.DefaultMetadata) }

// ReadOnly refuses every write.
func (p *Pool) ReadOnly() bool { return p.cfg.ReadOnly }

// PlanChecks is one of the PlanChecks constants.
func (p *Pool) PlanChecks() string { return p.cfg.PlanChecks }

// OnUnreachable is one of the OnUnreachable constants.
func (p *Pool) OnUnreachable() string { return p.cfg.OnUnreachable }

// DestroyUnreachable is one of the DestroyUnreachable constants.
func (p *Pool) DestroyUnreachable() string { return p.cfg.DestroyUnreachable }

// MaxUnreachable is how long a wait survives losing the cluster.
func (p *Pool) MaxUnreachable() time.Duration { return p.cfg.MaxUnreachable }

// MaxActiveJobs is how many jobs of this process may be active on a cluster; zero is no
// limit.
func (p *Pool) MaxActiveJobs() int { return p.cfg.MaxActiveJobs }

// Registry is what this process knows of the submission ids that it took and let
// go.
func (p *Pool) Registry() *jobs.Registry { return &p.registry }

// OwnAddress is the provider's own address for messages and the name of its
// source; both are empty where there is none.
func (p *Pool) OwnAddress() (address, source string) {
	if p.own.written == "" {
		return "", ""
	}
	return p.own.shown(), p.own.source
}

// Unknown reports whether an argument of the provider is not known before
// something else is applied. Then resources plan without the cluster.
func (p *Pool) Unknown() bool { return len(p.cfg.Unknown) > 0 }

// UnknownArgument returns the first of the named arguments whose value is not
// known yet.
func (p *Pool) UnknownArgument(names ...string) (string, bool) {
	for _, n := range p.cfg.Unknown {
		if slices.Contains(names, n) {
			return n, true
		}
	}
	return "", false
}

// UnknownError is a cluster that can't be asked yet: an argument of the provider
// is not known before something else is applied.
type UnknownError struct {
	// Argument is the provider's.
	Argument string
}

// Error says what to do, since nothing else can go on from here.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("the provider's argument %q is not known before apply", e.Argument)
}

// NoAddressError is the provider's own address asked for where there is none.
type NoAddressError struct{}

// Error lists the places where an address can be written.
func (NoAddressError) Error() string {
	return "no Ray address is set: write cluster = { address = ... } here, set the provider's address, or set RAY_API_SERVER_ADDRESS or RAY_ADDRESS; " + forms
}

// Cluster returns the cluster of t, the same one for the same t. It does not
// dial. Its errors are an *UnknownError, a NoAddressError, a NoKubernetesError, and
// those of an address or a configuration that can't be right.
func (p *Pool) Cluster(t Target) (*Cluster, error) {
	if err := p.unknown(t); err != nil {
		return nil, err
	}
	r, err := p.resolve(t)
	if err != nil {
		return nil, err
	}
	key := r.key()
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.clusters[key]
	if !ok {
		c = newCluster(p, r)
		p.clusters[key] = c
	}
	return c, nil
}

// unknown is an *UnknownError where the address or a credential of t hangs on an
// unknown argument. A target that writes its address and has an entry in known
// credentials does not.
func (p *Pool) unknown(t Target) error {
	if n, ok := p.UnknownArgument("credentials"); ok {
		return &UnknownError{n}
	}
	a, _, written, err := t.primary()
	if !written {
		a = p.own.addr
	}
	if _, ok := p.entries[a.String()]; !ok || !written || err != nil {
		if n, ok := p.UnknownArgument("address", "token", "token_file", "headers", "token_header", "tls"); ok {
			return &UnknownError{n}
		}
	}
	if n, ok := p.UnknownArgument("kubernetes"); ok && a.Form == FormKubeRay {
		return &UnknownError{n}
	}
	return nil
}

// resolved is a Target with its addresses parsed; nil is not written.
type resolved struct {
	primary                Address
	dashboard, gcs, client *Address
	// access is how a RayCluster is reached; empty for other addresses.
	access string
	// source says where primary was written, for messages.
	source string
}

func (r resolved) key() string {
	parts := []string{r.primary.String(), r.access}
	for _, a := range []*Address{r.dashboard, r.gcs, r.client} {
		if a == nil {
			parts = append(parts, "")
		} else {
			parts = append(parts, a.String())
		}
	}
	return strings.Join(parts, " ")
}

func (p *Pool) resolve(t Target) (resolved, error) {
	var r resolved
	var err error
	if r.dashboard, err = parseOverride(t.DashboardURL, FormHTTP, "dashboard_url"); err != nil {
		return r, err
	}
	if r.gcs, err = parseOverride(t.GCSAddress, FormGCS, "gcs_address"); err != nil {
		return r, err
	}
	if r.client, err = parseOverride(t.ClientAddress, FormClient, "client_address"); err != nil {
		return r, err
	}
	var written bool
	r.primary, r.source, written, err = t.primary()
	switch {
	case written:
	case p.own.written != "":
		r.primary, r.source, err = p.own.addr, p.own.source, p.own.err
	case r.dashboard != nil:
		r.primary, r.source = *r.dashboard, "dashboard_url"
	case r.gcs != nil:
		r.primary, r.source = *r.gcs, "gcs_address"
	case r.client != nil:
		r.primary, r.source = *r.client, "client_address"
	default:
		err = NoAddressError{}
	}
	if err != nil {
		return r, err
	}
	if r.primary.Form == FormKubeRay {
		r.access = cmp.Or(t.KubeRay.Access, AccessProxy)
		if _, err := p.cfg.kubernetes(); err != nil && r.dashboard == nil {
			return r, err
		}
	}
	// What the primary address itself is needs no override.
	for form, slot := range map[Form]**Address{FormHTTP: &r.dashboard, FormGCS: &r.gcs, FormClient: &r.client} {
		if *slot == nil && r.primary.Form == form {
			a := r.primary
			*slot = &a
		}
	}
	return r, nil
}

func parseOverride(s string, form Form, name string) (*Address, error) {
	if s == "" {
		return nil, nil
	}
	a, err := ParseAddress(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if a.Form != form {
		return nil, &ray.Error{Kind: ray.KindInvalid, Op: fmt.Sprintf("use %s %q", name, s), Message: "it must be of the form " + form.Example()}
	}
	return &a, nil
}

// CheckAddress is the error of an address that is not of one of the forms; none
// allows all of them.
func CheckAddress(s string, form Form) error {
	a, err := ParseAddress(s)
	if err == nil && form != 0 && a.Form != form {
		err = &ray.Error{Kind: ray.KindInvalid, Op: fmt.Sprintf("use address %q", s), Message: "it must be of the form " + form.Example()}
	}
	return err
}

func (p *Pool) onClose(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		f()
		return
	}
	p.closers = append(p.closers, f)
}

// Close ends all connections.
func (p *Pool) Close() {
	p.mu.Lock()
	closers := p.closers
	p.closers, p.closed = nil, true
	p.mu.Unlock()
	for _, f := range closers {
		f()
	}
}
