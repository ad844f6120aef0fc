package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// Action is what a plan means to do with an object.
type Action string

// The actions, in the words of `terraform show -json`, but with the two orders
// of a replacement told apart as the CLI prints them.
const (
	NoOp             Action = "no-op"
	Create           Action = "create"
	Update           Action = "update"
	Delete           Action = "delete"
	Read             Action = "read"
	Replace          Action = "replace (-/+)"
	ReplaceCreateNew Action = "replace (+/-)" // create_before_destroy
)

// replaces tells whether the action is one of the two replacements.
func (a Action) replaces() bool { return a == Replace || a == ReplaceCreateNew }

// change is a planned change of one object.
type change struct {
	addr            string
	action          Action
	reason          string
	before, after   tftypes.Value
	beforeIdentity  tftypes.Value
	afterIdentity   tftypes.Value
	private         []byte
	requiresReplace []string
	forced          bool
	depends         []string
	deposed         *object // the object that a Delete of a deposed one is about
}

// Plan is what `terraform plan -out` would have saved.
type Plan struct {
	core    *Core
	opts    planOptions
	serial  int
	changes map[string]*change
	deposed []*change
	data    map[string]any
	state   map[string]*instance // refreshed
	drifted bool
	diags   Diagnostics

	mu sync.Mutex
}

type planOptions struct {
	noRefresh   bool
	refreshOnly bool
	destroy     bool
	replace     []string
	target      []string
}

// PlanOption is an option of plan, apply and destroy.
type PlanOption func(*planOptions)

// NoRefresh is -refresh=false.
func NoRefresh() PlanOption { return func(o *planOptions) { o.noRefresh = true } }

// RefreshOnly is -refresh-only.
func RefreshOnly() PlanOption { return func(o *planOptions) { o.refreshOnly = true } }

// Destroying is -destroy.
func Destroying() PlanOption { return func(o *planOptions) { o.destroy = true } }

// Replacing is -replace=ADDR.
func Replacing(addrs ...string) PlanOption {
	return func(o *planOptions) { o.replace = append(o.replace, addrs...) }
}

// Target is -target=ADDR: only these blocks and what they depend on.
func Target(addrs ...string) PlanOption {
	return func(o *planOptions) { o.target = append(o.target, addrs...) }
}

// Plan is `terraform plan -detailed-exitcode -out=…`. State is not written.
func (c *Core) Plan(opts ...PlanOption) *Plan {
	c.t.Helper()
	return c.plan(nil, opts)
}

func (c *Core) plan(run *Run, opts []PlanOption) *Plan {
	c.t.Helper()
	c.mu.Lock()
	p := &Plan{core: c, serial: c.serial, state: cloneState(c.state)}
	c.mu.Unlock()
	for _, o := range opts {
		o(&p.opts)
	}
	if p.opts.destroy && !p.opts.noRefresh {
		// The refresh before a destroy is a walk of a normal plan, whose
		// changes are then thrown away.
		before := &Plan{core: c, serial: p.serial, state: p.state, opts: p.opts}
		before.opts.destroy = false
		before.execute(run)
		p.diags = before.diags.Errors()
		p.state, p.drifted = before.state, before.drifted
		if p.diags.HasErrors() {
			return p
		}
	}
	p.execute(run)
	return p
}

// execute runs the walk of a plan in a process of its own.
func (p *Plan) execute(run *Run) {
	c := p.core
	c.t.Helper()
	p.changes, p.data = map[string]*change{}, map[string]any{}
	proc := c.start()
	defer proc.end()
	if !run.attach(proc) {
		return
	}
	env := scope{lookup: p.lookup}
	p.diags = append(p.diags, proc.configure(env)...)
	if p.diags.HasErrors() {
		return
	}
	before := cloneState(p.state)
	p.diags = append(p.diags, walk(p.steps(proc, env), c.parallelism, run.halted)...)
	maps.DeleteFunc(p.state, func(_ string, i *instance) bool { return i.empty() })
	p.drifted = p.drifted || !equalState(before, p.state)
}

func (p *Plan) steps(proc *process, env scope) []*step {
	c := p.core
	var out []*step
	included := p.included()
	for addr, b := range c.resources {
		if p.opts.destroy || !included(addr) {
			continue
		}
		deps := c.dependencies(b)
		run := func() Diagnostics { return p.planManaged(proc, b, deps, env) }
		if b.data {
			run = func() Diagnostics { return p.planData(proc, b, deps, env) }
		}
		out = append(out, &step{key: addr, after: deps, run: run})
	}
	for addr, i := range p.state {
		if !included(addr) {
			continue
		}
		if i.current != nil && (p.opts.destroy || c.resources[addr] == nil) {
			out = append(out, &step{key: addr, run: func() Diagnostics { return p.planGone(proc, addr, nil) }})
		}
		for n, o := range i.deposed {
			out = append(out, &step{key: fmt.Sprintf("%s (deposed %d)", addr, n), run: func() Diagnostics { return p.planGone(proc, addr, o) }})
		}
	}
	return out
}

// included returns the test for -target.
func (p *Plan) included() func(addr string) bool {
	if len(p.opts.target) == 0 {
		return func(string) bool { return true }
	}
	in := map[string]bool{}
	var add func(addr string)
	add = func(addr string) {
		if in[addr] {
			return
		}
		in[addr] = true
		if b := p.core.resources[addr]; b != nil && !p.opts.destroy {
			for _, d := range p.core.dependencies(b) {
				add(d)
			}
		}
	}
	for _, a := range p.opts.target {
		add(a)
	}
	return func(addr string) bool { return in[addr] }
}

// lookup gives references their planned values.
func (p *Plan) lookup(addr string) (any, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v, ok := p.data[addr]; ok {
		return v, true
	}
	if ch := p.changes[addr]; ch != nil {
		return toGo(ch.after), true
	}
	return Unknown, p.core.resources[addr] != nil
}

// current loads and refreshes what state has under an address.
func (p *Plan) current(proc *process, addr string, o *object) (*live, Diagnostics) {
	if o == nil {
		return nil, nil
	}
	l, diags := proc.load(addr, o)
	if diags.HasErrors() || p.opts.noRefresh {
		return l, diags
	}
	fresh, more := proc.refresh(addr, l)
	return fresh, append(diags, more...)
}

// keep writes a refreshed object into the plan's own state.
func (p *Plan) keep(proc *process, addr string, old *object, l *live) (*object, Diagnostics) {
	var o *object
	if l != nil {
		var diags Diagnostics
		if o, diags = proc.store(addr, l); diags.HasErrors() {
			return nil, diags
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.state[addr]
	if i.current == old {
		i.current = o
	} else if n := slices.Index(i.deposed, old); n >= 0 && o != nil {
		i.deposed[n] = o
	} else if n >= 0 {
		i.deposed = slices.Delete(i.deposed, n, n+1)
	}
	return o, nil
}

func (p *Plan) object(addr string) *object {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := p.state[addr]; i != nil {
		return i.current
	}
	return nil
}

// planManaged plans a resource that is in the configuration.
func (p *Plan) planManaged(proc *process, b *block, deps []string, env scope) Diagnostics {
	old := p.object(b.addr)
	prior, diags := p.current(proc, b.addr, old)
	if diags.HasErrors() {
		return diags
	}
	if old != nil {
		if _, more := p.keep(proc, b.addr, old, prior); more.HasErrors() {
			return append(diags, more...)
		}
	}
	if p.opts.refreshOnly {
		ch := &change{addr: b.addr, action: NoOp}
		if prior != nil {
			ch.before, ch.after = prior.value, prior.value
		}
		p.record(ch)
		return diags
	}
	config, more := proc.evaluate(b, env)
	if diags = append(diags, more...); more.HasErrors() {
		return diags
	}
	forced := slices.Contains(p.opts.replace, b.addr) || p.triggered(b)
	ch, more := proc.planChange(b, config, prior, forced, nil)
	if diags = append(diags, more...); more.HasErrors() {
		return diags
	}
	ch.depends = deps
	p.record(ch)
	return diags
}

func (p *Plan) record(ch *change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes[ch.addr] = ch
}

// triggered tells whether something in replace_triggered_by changes.
func (p *Plan) triggered(b *block) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ref := range b.triggers {
		addr, path := splitReference(ref)
		ch := p.changes[addr]
		if ch == nil || ch.action == NoOp || ch.action == Read || ch.before.Type() == nil || ch.before.IsNull() {
			continue
		}
		if len(path) == 0 {
			return true
		}
		was, err := walkPath(ref, toGo(ch.before), path)
		now, err2 := walkPath(ref, toGo(ch.after), path)
		if err != nil || err2 != nil || fmt.Sprint(was) != fmt.Sprint(now) {
			return true
		}
	}
	return false
}

// planGone plans the destruction of an object: of a resource that is not in
// the configuration (or of every one, with -destroy), or of a deposed object.
func (p *Plan) planGone(proc *process, addr string, deposed *object) Diagnostics {
	old := deposed
	if old == nil {
		old = p.object(addr)
	}
	// A destroy has refreshed already.
	load := p.current
	if p.opts.destroy {
		load = func(proc *process, addr string, o *object) (*live, Diagnostics) { return proc.load(addr, o) }
	}
	prior, diags := load(proc, addr, old)
	if diags.HasErrors() {
		return diags
	}
	kept, more := p.keep(proc, addr, old, prior)
	if diags = append(diags, more...); more.HasErrors() || prior == nil || p.opts.refreshOnly {
		return diags
	}
	ch, more := proc.planDelete(addr, prior)
	if diags = append(diags, more...); more.HasErrors() {
		return diags
	}
	ch.depends = prior.depends
	if deposed == nil {
		p.record(ch)
		return diags
	}
	ch.deposed = kept
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deposed = append(p.deposed, ch)
	return diags
}

// planData reads a data source, or leaves it for apply when its configuration
// is not known or something it depends_on will change.
func (p *Plan) planData(proc *process, b *block, deps []string, env scope) Diagnostics {
	config, diags := proc.evaluate(b, env)
	if diags.HasErrors() {
		return diags
	}
	if !config.IsFullyKnown() || p.pending(b) {
		diags = append(diags, proc.validate(b, config)...)
		schema, _ := proc.schema(b.addr, true)
		p.record(&change{addr: b.addr, action: Read, before: tftypes.NewValue(config.Type(), nil), after: plannedData(schema, config), depends: deps})
		return diags
	}
	v, more := proc.readData(b, config)
	if diags = append(diags, more...); more.HasErrors() {
		return diags
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data[b.addr] = toGo(v)
	return diags
}

// pending tells whether a block in depends_on, or one it depends on, has
// changes.
func (p *Plan) pending(b *block) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range b.depends {
		for addr, ch := range p.changes {
			base, _, _ := strings.Cut(addr, "[")
			if (addr == name || base == name) && ch.action != NoOp {
				return true
			}
		}
	}
	return false
}

// plannedData is the value of a data source that apply will read.
func plannedData(schema *tfprotov6.Schema, config tftypes.Value) tftypes.Value {
	fs := fields(config)
	for _, a := range schema.Block.Attributes {
		if a.Computed && fs[a.Name].IsNull() {
			fs[a.Name] = tftypes.NewValue(a.ValueType(), tftypes.UnknownValue)
		}
	}
	return tftypes.NewValue(config.Type(), fs)
}
