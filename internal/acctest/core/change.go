package core

import (
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// invalidPlan and the others are core's summaries for faulty providers.
const (
	invalidPlan        = "Provider produced invalid plan"
	inconsistentPlan   = "Provider produced inconsistent final plan"
	inconsistentResult = "Provider produced inconsistent result after apply"
	invalidResult      = "Provider returned invalid result object after apply"
	bug                = "\n\nThis is a bug in the provider, which should be reported in the provider's own issue tracker."
)

// planChange plans one configured resource. In the apply phase, planned is the
// change of the plan, which turns the Create of a replacement whose old object
// is gone already into the planned action.
func (p *process) planChange(b *block, config tftypes.Value, state *live, forced bool, planned *change) (*change, Diagnostics) {
	diags := p.validate(b, config)
	if diags.HasErrors() {
		return nil, diags
	}
	schema, _ := p.schema(b.addr, false)
	null := tftypes.NewValue(schema.ValueType(), nil)
	ch := &change{addr: b.addr, before: null, forced: forced}
	// A tainted object is planned as if there were none: no prior value and
	// no private bytes.
	var private []byte
	wanted := config
	if state != nil && !state.tainted {
		ch.before, ch.beforeIdentity, private = state.value, state.identity, state.private
		wanted = ignoreChanges(b, ch.before, config)
	}
	got, more := p.planCall(b.addr, schema, ch.before, wanted, private, ch.beforeIdentity)
	if diags = append(diags, more...); more.HasErrors() {
		return nil, diags
	}
	for _, f := range planFaults(schema.Block, ch.before, wanted, got.value, b.addr) {
		diags = append(diags, errorf(b.addr, invalidPlan, "Provider planned an invalid value for %s.%s", f, bug)...)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	paths, more := requiredReplaces(b.addr, schema, ch.before, got.value, got.replace)
	if diags = append(diags, more...); more.HasErrors() {
		return nil, diags
	}
	ch.requiresReplace = paths
	ch.action = action(b, ch.before, got.value, forced, paths)
	if forced && ch.action.replaces() {
		ch.reason = "requested"
	}
	if ch.action.replaces() {
		// The second plan of a replacement has no prior object and the
		// private bytes of the first. Its warnings are taken for repetitions.
		got, more = p.planCall(b.addr, schema, null, config, got.private, got.identity)
		if more.HasErrors() {
			return nil, append(diags, more...)
		}
	}
	ch.after, ch.private, ch.afterIdentity = got.value, got.private, got.identity
	if ch.action == Create && state != nil && state.tainted {
		ch.action, ch.reason, ch.before, ch.beforeIdentity = replacement(b), "tainted", state.value, state.identity
	}
	if planned != nil && planned.action.replaces() && ch.action == Create {
		ch.action, ch.before = planned.action, planned.before
	}
	return ch, diags
}

func replacement(b *block) Action {
	if b.cbd {
		return ReplaceCreateNew
	}
	return Replace
}

func action(b *block, before, after tftypes.Value, forced bool, replace []string) Action {
	switch {
	case before.IsNull():
		return Create
	case forced || len(replace) > 0:
		return replacement(b)
	case same(before, after):
		return NoOp
	}
	return Update
}

// ignoreChanges puts the prior values of ignored attributes into the
// configuration.
func ignoreChanges(b *block, prior, config tftypes.Value) tftypes.Value {
	if len(b.ignore) == 0 {
		return config
	}
	priors, out := fields(prior), fields(config)
	for _, name := range b.ignore {
		if v, ok := priors[name]; ok {
			out[name] = v
		}
	}
	return tftypes.NewValue(config.Type(), out)
}

// planned is the answer of PlanResourceChange.
type planned struct {
	value    tftypes.Value
	private  []byte
	identity tftypes.Value
	replace  []*tftypes.AttributePath
}

func (p *process) planCall(addr string, schema *tfprotov6.Schema, prior, config tftypes.Value, private []byte, identity tftypes.Value) (planned, Diagnostics) {
	proposed := proposedNew(schema.Block, prior, config)
	proposed = withoutWriteOnly(schema, proposed)
	resp, diags := call(p, addr, p.server.PlanResourceChange, &tfprotov6.PlanResourceChangeRequest{
		TypeName: typeOf(addr), PriorState: dynamicAs(schema.ValueType(), prior), ProposedNewState: dynamic(proposed),
		Config: dynamic(config), PriorPrivate: private, PriorIdentity: p.identity(typeOf(addr), identity),
		ClientCapabilities: &tfprotov6.PlanResourceChangeClientCapabilities{},
	})
	if diags.HasErrors() {
		return planned{}, diags
	}
	diags = append(fromProtocol(addr, resp.Diagnostics), deferred(addr, resp.Deferred)...)
	if diags.HasErrors() {
		return planned{}, diags
	}
	v, err := read(schema.ValueType(), resp.PlannedState)
	if err != nil {
		return planned{}, append(diags, errorf(addr, invalidPlan, "Provider planned an invalid value for %s: %v.%s", addr, err, bug)...)
	}
	return planned{
		value: v, private: resp.PlannedPrivate, replace: resp.RequiresReplace,
		identity: p.takeIdentity(typeOf(addr), resp.PlannedIdentity),
	}, diags
}

// withoutWriteOnly nulls write-only attributes: they reach a provider in the
// configuration only.
func withoutWriteOnly(schema *tfprotov6.Schema, v tftypes.Value) tftypes.Value {
	fs := fields(v)
	if fs == nil {
		return v
	}
	for _, a := range schema.Block.Attributes {
		if a.WriteOnly {
			fs[a.Name] = tftypes.NewValue(a.ValueType(), nil)
		}
	}
	return tftypes.NewValue(v.Type(), fs)
}

// requiredReplaces keeps those paths whose values differ, as core does.
func requiredReplaces(addr string, schema *tfprotov6.Schema, before, after tftypes.Value, paths []*tftypes.AttributePath) ([]string, Diagnostics) {
	if before.IsNull() {
		return nil, nil
	}
	writeOnly := map[string]bool{}
	for _, a := range schema.Block.Attributes {
		writeOnly[a.Name] = a.WriteOnly
	}
	var out []string
	for _, path := range paths {
		was, wasOK := follow(before, path)
		now, nowOK := follow(after, path)
		if !wasOK && !nowOK {
			return nil, errorf(addr, invalidPlan, "Provider has indicated \"requires replacement\" on %s for a non-existent attribute path %s.%s", addr, path, bug)
		}
		name := pathString(path)
		if (!wasOK || !nowOK || !now.IsKnown() || !same(was, now) || writeOnly[name]) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

func follow(v tftypes.Value, path *tftypes.AttributePath) (tftypes.Value, bool) {
	got, rest, err := tftypes.WalkAttributePath(v, path)
	if err != nil || len(rest.Steps()) > 0 {
		return tftypes.Value{}, false
	}
	out, ok := got.(tftypes.Value)
	return out, ok
}

// planDelete plans the destruction of an object.
func (p *process) planDelete(addr string, l *live) (*change, Diagnostics) {
	ty := l.value.Type()
	null := tftypes.NewValue(ty, nil)
	resp, diags := call(p, addr, p.server.PlanResourceChange, &tfprotov6.PlanResourceChangeRequest{
		TypeName: typeOf(addr), PriorState: dynamic(l.value), ProposedNewState: dynamic(null), Config: dynamic(null),
		PriorPrivate: l.private, PriorIdentity: p.identity(typeOf(addr), l.identity),
		ClientCapabilities: &tfprotov6.PlanResourceChangeClientCapabilities{},
	})
	if diags.HasErrors() {
		return nil, diags
	}
	diags = append(fromProtocol(addr, resp.Diagnostics), deferred(addr, resp.Deferred)...)
	if diags.HasErrors() {
		return nil, diags
	}
	if v, err := read(ty, resp.PlannedState); err != nil || !v.IsNull() {
		return nil, append(diags, errorf(addr, invalidPlan, "Provider planned a non-null destroy value for %s.%s", addr, bug)...)
	}
	return &change{
		addr: addr, action: Delete, before: l.value, after: null, private: resp.PlannedPrivate,
		beforeIdentity: l.identity, afterIdentity: p.takeIdentity(typeOf(addr), resp.PlannedIdentity),
	}, diags
}

// checkFinal compares the plan made in the apply phase with the plan.
func checkFinal(schema *tfprotov6.Schema, was, now *change) Diagnostics {
	var diags Diagnostics
	if was.action != now.action && (was.action != Update || now.action != NoOp) {
		diags = append(diags, errorf(was.addr, inconsistentPlan,
			"When expanding the plan for %s to include new values learned so far during apply, the provider changed the planned action from %s to %s.%s",
			was.addr, was.action, now.action, bug)...)
	}
	for _, f := range resultFaults(schema.Block, was.after, now.after) {
		diags = append(diags, errorf(was.addr, inconsistentPlan,
			"When expanding the plan for %s to include new values learned so far during apply, the provider produced an invalid new value for %s.%s",
			was.addr, f, bug)...)
	}
	return diags
}

// applyChange calls ApplyResourceChange and judges its answer. state is what
// the object was before (nil for a new one); what comes back goes into state,
// nil for nothing.
func (p *process) applyChange(ch *change, act Action, config tftypes.Value, state *live) (*live, Diagnostics) {
	schema, diags := p.schema(ch.addr, false)
	if diags.HasErrors() {
		return state, diags
	}
	ty := schema.ValueType()
	before, after := ch.before, ch.after
	switch act {
	case Create:
		before = tftypes.NewValue(ty, nil)
	case Delete:
		after = tftypes.NewValue(ty, nil)
	}
	resp, diags := call(p, ch.addr, p.server.ApplyResourceChange, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: typeOf(ch.addr), PriorState: dynamic(before), PlannedState: dynamic(after), Config: dynamicAs(ty, config),
		PlannedPrivate: ch.private, PlannedIdentity: p.identity(typeOf(ch.addr), ch.afterIdentity),
	})
	if diags.HasErrors() {
		return state, diags
	}
	diags = fromProtocol(ch.addr, resp.Diagnostics)
	v, err := read(ty, resp.NewState)
	if err != nil {
		return state, append(diags, errorf(ch.addr, "Provider produced invalid object", "%v%s", err, bug)...)
	}
	if wo := writtenOnly(schema.Block.Attributes, v, ""); len(wo) > 0 {
		return state, append(diags, errorf(ch.addr, "Provider produced invalid object", "Provider returned a value for the write-only attribute %v after apply.%s", wo, bug)...)
	}
	for _, path := range unknownPaths(v) {
		diags = append(diags, errorf(ch.addr, invalidResult, "After the apply operation, the provider still indicated an unknown value for %s.%s. All values must be known after apply.", ch.addr, path)...)
	}
	v = unknownAsNull(v)
	if act != Delete && !diags.HasErrors() {
		for _, f := range resultFaults(schema.Block, after, v) {
			diags = append(diags, errorf(ch.addr, inconsistentResult, "When applying changes to %s, the provider produced an unexpected new value: %s.%s", ch.addr, f, bug)...)
		}
	}
	if act == Delete && !diags.HasErrors() && !v.IsNull() {
		diags = append(diags, errorf(ch.addr, invalidResult, "After applying a delete plan, the provider returned a non-null object for %s.", ch.addr)...)
	}
	out := &live{value: v, private: resp.Private, identity: p.takeIdentity(typeOf(ch.addr), resp.NewIdentity), depends: ch.depends}
	switch {
	case diags.HasErrors() && v.IsNull():
		return state, diags
	case diags.HasErrors():
		out.tainted = act == Create || state != nil && state.tainted
		return out, diags
	case v.IsNull():
		return nil, diags
	}
	return out, diags
}
