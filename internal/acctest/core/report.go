package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Action returns what the plan means to do with a resource, NoOp for one that
// it does not touch or know.
func (p *Plan) Action(addr string) Action {
	if ch := p.changes[addr]; ch != nil {
		return ch.action
	}
	return NoOp
}

// Actions returns every change but no-ops. Deletes of deposed objects are
// under "addr (deposed)".
func (p *Plan) Actions() map[string]Action {
	out := map[string]Action{}
	for addr, ch := range p.changes {
		if ch.action != NoOp {
			out[addr] = ch.action
		}
	}
	for _, ch := range p.deposed {
		out[ch.addr+" (deposed)"] = Delete
	}
	return out
}

// Before returns an object as it is, nil where there is none.
func (p *Plan) Before(addr string) map[string]any {
	if ch := p.changes[addr]; ch != nil {
		m, _ := toGo(ch.before).(map[string]any)
		return m
	}
	return nil
}

// After returns a planned object, with Unknown for what apply will tell.
func (p *Plan) After(addr string) map[string]any {
	if ch := p.changes[addr]; ch != nil {
		m, _ := toGo(ch.after).(map[string]any)
		return m
	}
	m, _ := p.data[addr].(map[string]any)
	return m
}

// Changed returns the names of the top-level attributes that the plan changes,
// in order.
func (p *Plan) Changed(addr string) []string {
	ch := p.changes[addr]
	if ch == nil || ch.action == NoOp {
		return nil
	}
	before := fields(ch.before)
	var out []string
	for name, v := range fields(ch.after) {
		if before == nil && v.IsNull() || before != nil && same(before[name], v) {
			continue
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// RequiresReplace returns the attributes that force the replacement.
func (p *Plan) RequiresReplace(addr string) []string {
	if ch := p.changes[addr]; ch != nil {
		return ch.requiresReplace
	}
	return nil
}

// Reason says why an object is replaced: "tainted", "requested" or "".
func (p *Plan) Reason(addr string) string {
	if ch := p.changes[addr]; ch != nil {
		return ch.reason
	}
	return ""
}

// Data returns what a data source said in the plan, nil if it was not read.
func (p *Plan) Data(addr string) map[string]any {
	m, _ := p.data[addr].(map[string]any)
	return m
}

// Diagnostics returns what the command printed.
func (p *Plan) Diagnostics() Diagnostics { return p.diags }

// ExitCode is that of plan -detailed-exitcode: 0 no changes, 1 an error, 2
// changes.
func (p *Plan) ExitCode() int {
	switch {
	case p.diags.HasErrors():
		return 1
	case len(p.Actions()) > 0, p.opts.refreshOnly && p.drifted:
		return 2
	}
	return 0
}

// Drifted tells whether the refresh found something else than state had.
func (p *Plan) Drifted() bool { return p.drifted }

// String lists the changes.
func (p *Plan) String() string {
	var parts []string
	actions := p.Actions()
	for _, addr := range slices.Sorted(maps.Keys(actions)) {
		parts = append(parts, fmt.Sprintf("%s: %s %v", addr, actions[addr], p.Changed(addr)))
	}
	if len(parts) == 0 {
		return "no changes"
	}
	return strings.Join(parts, "; ")
}
