package core

import (
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// applying is the apply phase of a plan.
type applying struct {
	core *Core
	run  *Run
	proc *process
	plan *Plan

	mu   sync.Mutex
	data map[string]any
}

func (c *Core) apply(run *Run, plan *Plan) *Result {
	c.mu.Lock()
	stale := c.serial != plan.serial
	if !stale && !run.dead() {
		if !equalState(c.state, plan.state) {
			c.serial++
		}
		c.state = cloneState(plan.state)
	}
	c.mu.Unlock()
	diags := slices.Clone(plan.diags)
	if stale {
		return &Result{plan: plan, exit: 1, diags: append(diags, errorf("", "Saved plan is stale", "The given plan file can no longer be applied because the state was changed by another operation after the plan was created.")...)}
	}
	a := &applying{core: c, run: run, plan: plan, proc: c.start(), data: map[string]any{}}
	defer a.proc.end()
	if !run.attach(a.proc) {
		return run.finish(&Result{plan: plan, diags: diags, exit: 1})
	}
	more := a.proc.configure(scope{lookup: a.lookup, applying: true})
	if !more.HasErrors() {
		more = append(more, walk(a.steps(), c.parallelism, run.halted)...)
	}
	if run.halted() && !more.HasErrors() {
		// Terraform's own closing steps are halted too, so that an
		// interrupted command never exits 0.
		more = append(more, errorf("", "execution halted", "")...)
	}
	res := &Result{plan: plan, diags: append(diags, more...)}
	if more.HasErrors() {
		res.exit = 1
	}
	return run.finish(res)
}

// lookup gives references the values that apply has made.
func (a *applying) lookup(addr string) (any, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v, ok := a.data[addr]; ok {
		return v, true
	}
	if v, ok := a.plan.data[addr]; ok {
		return v, true
	}
	c := a.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.state[addr]; i != nil && i.current != nil {
		return c.decode(addr, i.current), true
	}
	return Unknown, c.resources[addr] != nil
}

func destroyKey(addr string) string { return addr + " (destroy)" }

// steps lays out the graph: creates and updates after those of what they
// depend on; destroys before those of what they depend on; the destroy of a
// replacement before its create, or, with create_before_destroy, after it and
// after the dependents' changes.
func (a *applying) steps() []*step {
	var out []*step
	dependents := a.dependents()
	afterwards := func(addr string) []string { return append([]string{addr}, dependents[addr]...) }
	for addr, ch := range a.plan.changes {
		destroyed := func() (after []string) {
			for _, d := range dependents[addr] {
				after = append(after, destroyKey(d))
			}
			return after
		}
		switch ch.action {
		case NoOp:
			out = append(out, &step{key: addr, after: ch.depends, run: func() Diagnostics { return nil }})
		case Read:
			out = append(out, &step{key: addr, after: ch.depends, run: func() Diagnostics { return a.read(ch) }})
		case Create, Update:
			out = append(out, &step{key: addr, after: ch.depends, run: func() Diagnostics { return a.put(ch) }})
		case Delete:
			out = append(out, &step{key: destroyKey(addr), after: destroyed(), run: func() Diagnostics { return a.destroy(ch) }})
		case Replace:
			out = append(out,
				&step{key: destroyKey(addr), after: destroyed(), run: func() Diagnostics { return a.destroy(ch) }},
				&step{key: addr, after: append(slices.Clone(ch.depends), destroyKey(addr)), run: func() Diagnostics { return a.put(ch) }})
		case ReplaceCreateNew:
			after := append(destroyed(), afterwards(addr)...)
			out = append(out,
				&step{key: addr, after: ch.depends, run: func() Diagnostics { return a.put(ch) }},
				&step{key: destroyKey(addr), after: after, run: func() Diagnostics { return a.destroyDeposed(ch.addr, a.deposedBy(ch.addr)) }})
		}
	}
	// A deposed object is one of create_before_destroy: it stays until the create
	// that should replace it succeeds.
	for n, ch := range a.plan.deposed {
		out = append(out, &step{key: fmt.Sprintf("%s (deposed %d)", ch.addr, n), after: afterwards(ch.addr), run: func() Diagnostics { return a.destroyDeposed(ch.addr, ch.deposed) }})
	}
	return out
}

// dependents maps each address to those that depend on it.
func (a *applying) dependents() map[string][]string {
	out := map[string][]string{}
	for addr, ch := range a.plan.changes {
		for _, d := range ch.depends {
			out[d] = append(out[d], addr)
		}
	}
	return out
}

func (a *applying) read(ch *change) Diagnostics {
	b := a.core.resources[ch.addr]
	config, diags := a.proc.evaluate(b, scope{lookup: a.lookup, applying: true})
	if diags.HasErrors() {
		return diags
	}
	v, more := a.proc.readData(b, config)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data[ch.addr] = toGo(v)
	return append(diags, more...)
}

// edit changes the state under an address, unless Terraform is dead.
func (a *applying) edit(addr string, f func(i *instance)) {
	c := a.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.run.dead() {
		return
	}
	i := c.state[addr]
	if i == nil {
		i = &instance{}
		c.state[addr] = i
	}
	f(i)
	if i.empty() {
		delete(c.state, addr)
	}
	c.serial++
}

func (a *applying) peek(addr string) *object {
	c := a.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.state[addr]; i != nil {
		return i.current
	}
	return nil
}

// put creates or updates an object: it plans again with what is known now,
// compares, and applies.
func (a *applying) put(was *change) Diagnostics {
	addr, b := was.addr, a.core.resources[was.addr]
	if was.action == ReplaceCreateNew {
		a.edit(addr, func(i *instance) { i.deposed, i.current = append(i.deposed, i.current), nil })
	}
	var state *live
	var diags Diagnostics
	if o := a.peek(addr); o != nil {
		if state, diags = a.proc.load(addr, o); diags.HasErrors() {
			return diags
		}
	}
	config, more := a.proc.evaluate(b, scope{lookup: a.lookup, applying: true})
	if diags = append(diags, more...); more.HasErrors() {
		return a.restore(was, diags)
	}
	ch, more := a.proc.planChange(b, config, state, was.forced, was)
	if diags = append(diags, more...); more.HasErrors() {
		return a.restore(was, diags)
	}
	ch.depends = was.depends
	schema, _ := a.proc.schema(addr, false)
	if more = checkFinal(schema, was, ch); more.HasErrors() {
		return a.restore(was, append(diags, more...))
	}
	act := ch.action
	switch {
	case act == NoOp:
		return diags
	case act.replaces():
		act = Create
	}
	if u := unknownPaths(config); len(u) > 0 {
		return a.restore(was, append(diags, errorf(addr, "Configuration contains unknown value", "configuration for %s still contains unknown values during apply: %v", addr, u)...))
	}
	got, more := a.proc.applyChange(ch, act, config, state)
	diags = append(diags, more...)
	var o *object
	if got != nil {
		got.cbd = b.cbd
		if o, more = a.proc.store(addr, got); more.HasErrors() {
			return append(diags, more...)
		}
	}
	a.edit(addr, func(i *instance) { i.current = o })
	if diags.HasErrors() {
		return a.restore(was, diags)
	}
	return diags
}

// restore makes the deposed object current again when a create that should
// have replaced it left nothing.
func (a *applying) restore(was *change, diags Diagnostics) Diagnostics {
	if was.action != ReplaceCreateNew {
		return diags
	}
	a.edit(was.addr, func(i *instance) {
		if n := len(i.deposed); i.current == nil && n > 0 {
			i.current, i.deposed = i.deposed[n-1], i.deposed[:n-1]
		}
	})
	return diags
}

// destroy deletes the current object with the private bytes of the change:
// for a tainted object in a replacement there are none.
func (a *applying) destroy(ch *change) Diagnostics {
	o := a.peek(ch.addr)
	if o == nil {
		return nil
	}
	state, diags := a.proc.load(ch.addr, o)
	if diags.HasErrors() {
		return diags
	}
	return append(diags, a.remove(ch, state, func(i *instance, kept *object) { i.current = kept })...)
}

// remove applies a Delete; put stores what is left.
func (a *applying) remove(ch *change, state *live, put func(i *instance, kept *object)) Diagnostics {
	null := tftypes.NewValue(ch.before.Type(), nil)
	del := *ch
	if ch.action.replaces() {
		del.afterIdentity = tftypes.Value{}
	}
	left, diags := a.proc.applyChange(&del, Delete, null, state)
	var kept *object
	if left != nil {
		left.depends, left.cbd = state.depends, state.cbd
		var more Diagnostics
		if kept, more = a.proc.store(ch.addr, left); more.HasErrors() {
			return append(diags, more...)
		}
	}
	a.edit(ch.addr, func(i *instance) { put(i, kept) })
	return diags
}

// deposedBy returns the object that put deposed last.
func (a *applying) deposedBy(addr string) *object {
	c := a.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.state[addr]; i != nil && len(i.deposed) > 0 {
		return i.deposed[len(i.deposed)-1]
	}
	return nil
}

// destroyDeposed plans the destruction of a deposed object, in the apply
// phase too, and deletes it.
func (a *applying) destroyDeposed(addr string, o *object) Diagnostics {
	if o == nil {
		return nil
	}
	state, diags := a.proc.load(addr, o)
	if diags.HasErrors() {
		return diags
	}
	ch, more := a.proc.planDelete(addr, state)
	if diags = append(diags, more...); more.HasErrors() {
		return diags
	}
	return append(diags, a.remove(ch, state, func(i *instance, kept *object) {
		n := slices.Index(i.deposed, o)
		switch {
		case n < 0:
		case kept != nil:
			i.deposed[n] = kept
		default:
			i.deposed = slices.Delete(i.deposed, n, n+1)
		}
	})...)
}
