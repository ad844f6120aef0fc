package core

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// Core is one working directory: a configuration, a state and the provider
// under test. Its methods may be called by one goroutine at a time, those of
// Run by any.
type Core struct {
	t           testing.TB
	newServer   func() tfprotov6.ProviderServer
	version     string
	parallelism int
	identity    bool

	provider  map[string]any
	resources map[string]*block
	schemas   *schemas

	mu     sync.Mutex
	state  map[string]*instance
	serial int
	alive  map[*process]struct{} // or killed
}

// Option changes what New makes.
type Option func(*Core)

// Parallelism is -parallelism; 10 without it. With 1, steps that do not depend
// on each other run in the order of their addresses.
func Parallelism(n int) Option { return func(c *Core) { c.parallelism = n } }

// TerraformVersion is what ConfigureProvider is told; 1.17.0 without it.
func TerraformVersion(v string) Option { return func(c *Core) { c.version = v } }

// WithoutIdentity plays a Terraform before 1.12, which sends no identity and
// stores none.
func WithoutIdentity() Option { return func(c *Core) { c.identity = false } }

// New makes an empty working directory. newServer is called once for each
// process that Terraform would start; a server that is also an io.Closer is
// closed when that process ends.
func New(t testing.TB, newServer func() tfprotov6.ProviderServer, opts ...Option) *Core {
	t.Helper()
	c := &Core{
		t:           t,
		newServer:   newServer,
		version:     "1.17.0",
		parallelism: 10,
		identity:    true,
		provider:    map[string]any{},
		resources:   map[string]*block{},
		state:       map[string]*instance{},
		alive:       map[*process]struct{}{},
	}
	for _, opt := range opts {
		opt(c)
	}
	t.Cleanup(func() {
		for p := range c.alive {
			p.bury()
		}
	})
	return c
}

// Install replaces the provider's binary, as an upgrade of the provider does.
// State and configuration stay.
func (c *Core) Install(newServer func() tfprotov6.ProviderServer) {
	c.newServer = newServer
	c.schemas = nil
}

// block is a resource or data block of the configuration.
type block struct {
	addr     string
	config   map[string]any
	depends  []string
	triggers []string
	ignore   []string
	cbd      bool
	data     bool
}

// BlockOption is a meta-argument of a resource or data block.
type BlockOption func(*block)

// DependsOn is depends_on. References in the configuration need none.
func DependsOn(addrs ...string) BlockOption {
	return func(b *block) { b.depends = append(b.depends, addrs...) }
}

// CreateBeforeDestroy is lifecycle.create_before_destroy.
func CreateBeforeDestroy() BlockOption { return func(b *block) { b.cbd = true } }

// IgnoreChanges is lifecycle.ignore_changes for top-level attributes.
func IgnoreChanges(attributes ...string) BlockOption {
	return func(b *block) { b.ignore = append(b.ignore, attributes...) }
}

// ReplaceTriggeredBy is lifecycle.replace_triggered_by; each reference is a
// resource ("ray_job.a") or one of its attributes ("ray_job.a.status").
func ReplaceTriggeredBy(refs ...string) BlockOption {
	return func(b *block) { b.triggers = append(b.triggers, refs...) }
}

// Provider sets the provider's configuration. Attributes left out are null.
func (c *Core) Provider(config map[string]any) { c.provider = config }

// Resource adds or replaces a resource block. The configuration's values are
// nil, bool, numbers, strings, slices and maps of such, Unknown, Later(x) and
// Ref(path).
func (c *Core) Resource(addr string, config map[string]any, opts ...BlockOption) {
	c.t.Helper()
	c.add(addr, config, false, opts)
}

// Data adds or replaces a data block; its address, here and everywhere else,
// begins with "data.".
func (c *Core) Data(addr string, config map[string]any, opts ...BlockOption) {
	c.t.Helper()
	if !strings.HasPrefix(addr, "data.") {
		c.t.Fatalf("the address of a data source begins with data., got %q", addr)
	}
	c.add(addr, config, true, opts)
}

func (c *Core) add(addr string, config map[string]any, data bool, opts []BlockOption) {
	c.t.Helper()
	if !addressForm.MatchString(addr) {
		c.t.Fatalf("not a resource address: %q", addr)
	}
	b := &block{addr: addr, config: config, data: data}
	for _, opt := range opts {
		opt(b)
	}
	c.resources[addr] = b
}

var addressForm = regexp.MustCompile(`^(data\.)?[a-z0-9_]+\.[A-Za-z0-9_-]+(\[[^]]+\])?$`)

// Remove takes a block out of the configuration; the next apply destroys what
// state has of it.
func (c *Core) Remove(addrs ...string) {
	for _, a := range addrs {
		delete(c.resources, a)
	}
}

// typeOf returns the type of the block at an address.
func typeOf(addr string) string {
	addr = strings.TrimPrefix(addr, "data.")
	name, _, _ := strings.Cut(addr, ".")
	return name
}

// dependencies returns the addresses that a block waits for: its references,
// depends_on and replace_triggered_by. Of a reference to a name with several
// instances, each instance counts.
func (c *Core) dependencies(b *block) []string {
	found := map[string]bool{}
	add := func(addr string) {
		for known := range c.resources {
			base, _, _ := strings.Cut(known, "[")
			if (known == addr || base == addr) && known != b.addr {
				found[known] = true
			}
		}
	}
	for _, ref := range references(b.config) {
		addr, _ := splitReference(ref)
		add(addr)
	}
	for _, ref := range b.triggers {
		addr, _ := splitReference(ref)
		add(addr)
	}
	for _, addr := range b.depends {
		add(addr)
	}
	return slices.Sorted(maps.Keys(found))
}

// splitReference cuts "data.t.name.a.b" into the block's address and the path
// of the attribute.
func splitReference(ref string) (addr string, path []string) {
	n := 2
	if strings.HasPrefix(ref, "data.") {
		n = 3
	}
	parts := strings.Split(ref, ".")
	if len(parts) < n {
		return ref, nil
	}
	return strings.Join(parts[:n], "."), parts[n:]
}

// Validate is `terraform validate`: every reference is unknown, the provider
// is not configured.
func (c *Core) Validate() Diagnostics {
	c.t.Helper()
	p := c.start()
	defer p.end()
	nothing := scope{lookup: func(string) (any, bool) { return Unknown, true }}
	diags := p.validateProvider(nothing)
	for _, addr := range slices.Sorted(maps.Keys(c.resources)) {
		b := c.resources[addr]
		config, more := p.evaluate(b, nothing)
		diags = append(diags, more...)
		if !more.HasErrors() {
			diags = append(diags, p.validate(b, config)...)
		}
	}
	return diags
}

// MustApply is Apply that ends the test when there is an error.
func (c *Core) MustApply(opts ...PlanOption) *Result {
	c.t.Helper()
	r := c.Apply(opts...)
	if r.ExitCode() != 0 {
		c.t.Fatalf("apply: exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
	return r
}

// MustPlanNothing ends the test unless a plan has no changes and no errors.
func (c *Core) MustPlanNothing(opts ...PlanOption) *Plan {
	c.t.Helper()
	p := c.Plan(opts...)
	if p.ExitCode() != 0 {
		c.t.Fatalf("want an empty plan, got exit code %d: %v\n%s", p.ExitCode(), p, p.Diagnostics())
	}
	return p
}

func (c *Core) fatal(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf(format, args...)
}
