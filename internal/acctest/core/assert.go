package core

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// planFaults checks a planned object as core's objchange.AssertPlanValid does:
// what is configured must be planned as configured or stay as it was, and only
// computed attributes may be filled in.
func planFaults(schema *tfprotov6.SchemaBlock, prior, config, planned tftypes.Value, path string) []string {
	switch {
	case planned.IsNull() && !config.IsNull():
		return []string{path + ": planned for absence but config wants existence"}
	case config.IsNull() && !planned.IsNull():
		return []string{path + ": planned for existence but config wants absence"}
	case planned.IsNull() || !planned.IsKnown():
		return nil
	}
	out := attributeFaults(schema.Attributes, prior, config, planned, path)
	priors, configs, planneds := fields(prior), fields(config), fields(planned)
	for _, b := range schema.BlockTypes {
		out = append(out, nestedFaults(b, priors[b.TypeName], configs[b.TypeName], planneds[b.TypeName], path+"."+b.TypeName)...)
	}
	return out
}

func nestedFaults(b *tfprotov6.SchemaNestedBlock, prior, config, planned tftypes.Value, path string) []string {
	switch b.Nesting {
	case tfprotov6.SchemaNestedBlockNestingModeSingle, tfprotov6.SchemaNestedBlockNestingModeGroup:
		return planFaults(b.Block, prior, config, planned, path)
	case tfprotov6.SchemaNestedBlockNestingModeList:
		ps, cs, ls := elements(prior), elements(config), elements(planned)
		if len(cs) != len(ls) {
			return []string{fmt.Sprintf("%s: block count in plan (%d) disagrees with count in config (%d)", path, len(ls), len(cs))}
		}
		var out []string
		for i := range ls {
			out = append(out, planFaults(b.Block, at(ps, i), cs[i], ls[i], fmt.Sprintf("%s[%d]", path, i))...)
		}
		return out
	}
	return nil
}

func at(vs []tftypes.Value, i int) tftypes.Value {
	if i < len(vs) {
		return vs[i]
	}
	return tftypes.Value{}
}

func attributeFaults(attrs []*tfprotov6.SchemaAttribute, prior, config, planned tftypes.Value, path string) []string {
	priors, configs, planneds := fields(prior), fields(config), fields(planned)
	value := func(m map[string]tftypes.Value, a *tfprotov6.SchemaAttribute) tftypes.Value {
		if v, ok := m[a.Name]; ok {
			return v
		}
		return tftypes.NewValue(a.ValueType(), nil)
	}
	var out []string
	for _, a := range attrs {
		out = append(out, valueFaults(a, value(priors, a), value(configs, a), value(planneds, a), path+"."+a.Name)...)
	}
	return out
}

func valueFaults(a *tfprotov6.SchemaAttribute, prior, config, planned tftypes.Value, path string) []string {
	switch {
	case a.WriteOnly && !planned.IsNull():
		return []string{path + ": planned value for write-only attribute is not null"}
	case a.WriteOnly, same(planned, config):
		return nil
	case same(planned, prior) && !prior.IsNull() && !config.IsNull():
		return nil
	case a.Computed && !a.Optional, a.Computed && config.IsNull():
		return nil
	case config.IsNull() && !planned.IsNull():
		return []string{fmt.Sprintf("%s: planned value %s for a non-computed attribute", path, text(planned))}
	case a.NestedType != nil:
		return nestedTypeFaults(a.NestedType, prior, config, planned, path)
	case prior.IsNull():
		return []string{fmt.Sprintf("%s: planned value %s does not match config value %s", path, text(planned), text(config))}
	}
	return []string{fmt.Sprintf("%s: planned value %s does not match config value %s nor prior value %s", path, text(planned), text(config), text(prior))}
}

func nestedTypeFaults(o *tfprotov6.SchemaObject, prior, config, planned tftypes.Value, path string) []string {
	switch {
	case planned.IsNull() && !config.IsNull():
		return []string{path + ": planned for absence but config wants existence"}
	case !config.IsNull() && !planned.IsKnown():
		return []string{path + ": planned unknown for configured value"}
	case planned.IsNull():
		return nil
	}
	var out []string
	switch o.Nesting {
	case tfprotov6.SchemaObjectNestingModeSingle:
		return attributeFaults(o.Attributes, prior, config, planned, path)
	case tfprotov6.SchemaObjectNestingModeMap:
		ps, cs, ls := fields(prior), fields(config), fields(planned)
		if len(cs) != len(ls) {
			return []string{fmt.Sprintf("%s: count in plan (%d) disagrees with count in config (%d)", path, len(ls), len(cs))}
		}
		for _, k := range slices.Sorted(maps.Keys(ls)) {
			if _, ok := cs[k]; !ok {
				out = append(out, fmt.Sprintf("%s: map key %q from plan is not present in config", path, k))
				continue
			}
			out = append(out, attributeFaults(o.Attributes, ps[k], cs[k], ls[k], fmt.Sprintf("%s[%q]", path, k))...)
		}
	default:
		ps, cs, ls := elements(prior), elements(config), elements(planned)
		if len(cs) != len(ls) {
			return []string{fmt.Sprintf("%s: count in plan (%d) disagrees with count in config (%d)", path, len(ls), len(cs))}
		}
		if o.Nesting == tfprotov6.SchemaObjectNestingModeList {
			for i := range ls {
				out = append(out, attributeFaults(o.Attributes, at(ps, i), cs[i], ls[i], fmt.Sprintf("%s[%d]", path, i))...)
			}
		}
	}
	return out
}

// same compares two values; the order of a set's elements does not matter.
func same(a, b tftypes.Value) bool {
	if a.Type() == nil || b.Type() == nil {
		return a.Type() == nil && b.Type() == nil
	}
	if !a.IsKnown() || !b.IsKnown() || a.IsNull() || b.IsNull() {
		return a.IsKnown() == b.IsKnown() && a.IsNull() == b.IsNull() && a.Type().Equal(b.Type())
	}
	switch {
	case isMapping(a) && isMapping(b):
		return maps.EqualFunc(fields(a), fields(b), same)
	case a.Type().Is(tftypes.Set{}) && b.Type().Is(tftypes.Set{}):
		as, bs := elements(a), elements(b)
		return len(as) == len(bs) && covers(as, bs, same)
	case a.Type().Is(tftypes.List{}), a.Type().Is(tftypes.Tuple{}):
		return slices.EqualFunc(elements(a), elements(b), same)
	}
	return a.Equal(b)
}

// covers tells whether every element of as has one in bs that matches.
func covers(as, bs []tftypes.Value, match func(a, b tftypes.Value) bool) bool {
	for _, a := range as {
		if !slices.ContainsFunc(bs, func(b tftypes.Value) bool { return match(a, b) }) {
			return false
		}
	}
	return true
}

// resultFaults checks that an object completes a planned one, as core's
// objchange.AssertObjectCompatible does: what was known must be unchanged.
func resultFaults(schema *tfprotov6.SchemaBlock, planned, actual tftypes.Value) []string {
	switch {
	case planned.IsNull() && !actual.IsNull():
		return []string{"Root object was absent, but now present"}
	case actual.IsNull() && !planned.IsNull():
		return []string{"Root object was present, but now absent"}
	case planned.IsNull():
		return nil
	}
	sensitive := map[string]bool{}
	for _, a := range schema.Attributes {
		sensitive[a.Name] = a.Sensitive
	}
	planneds, actuals := fields(planned), fields(actual)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(planneds)) {
		faults := changed(planneds[name], actuals[name], "."+name)
		if len(faults) > 0 && sensitive[name] {
			faults = []string{"." + name + ": inconsistent values for sensitive attribute"}
		}
		out = append(out, faults...)
	}
	return out
}

// changed lists where a known planned value is not the actual one.
func changed(planned, actual tftypes.Value, path string) []string {
	switch {
	case !planned.IsKnown():
		return nil
	case !actual.IsKnown():
		return []string{path + ": was known, but now unknown"}
	case planned.IsNull() && actual.IsNull():
		return nil
	case actual.IsNull():
		return []string{fmt.Sprintf("%s: was %s, but now null", path, text(planned))}
	case planned.IsNull():
		return []string{fmt.Sprintf("%s: was null, but now %s", path, text(actual))}
	case !planned.Type().Equal(actual.Type()):
		return []string{fmt.Sprintf("%s: wrong final value type: %s required, %s given", path, planned.Type(), actual.Type())}
	case isMapping(planned):
		return changedMembers(planned, actual, path)
	case planned.Type().Is(tftypes.Set{}):
		ps, as := elements(planned), elements(actual)
		match := func(a, p tftypes.Value) bool { return len(changed(p, a, "")) == 0 }
		var out []string
		if !covers(as, ps, match) {
			out = append(out, path+": actual set element does not correlate with any element in plan")
		}
		if !covers(ps, as, func(p, a tftypes.Value) bool { return match(a, p) }) {
			out = append(out, path+": planned set element does not correlate with any element in actual")
		}
		if len(ps) < len(as) {
			out = append(out, fmt.Sprintf("%s: length changed from %d to %d", path, len(ps), len(as)))
		}
		return out
	case planned.Type().Is(tftypes.List{}), planned.Type().Is(tftypes.Tuple{}):
		return changedElements(planned, actual, path)
	}
	if !planned.Equal(actual) {
		return []string{fmt.Sprintf("%s: was %s, but now %s", path, text(planned), text(actual))}
	}
	return nil
}

func changedMembers(planned, actual tftypes.Value, path string) []string {
	ps, as := fields(planned), fields(actual)
	place := func(k string) string {
		if planned.Type().Is(tftypes.Object{}) {
			return path + "." + k
		}
		return fmt.Sprintf("%s[%q]", path, k)
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(ps)) {
		a, ok := as[k]
		if !ok {
			out = append(out, fmt.Sprintf("%s: element %q has vanished", path, k))
			continue
		}
		out = append(out, changed(ps[k], a, place(k))...)
	}
	for _, k := range slices.Sorted(maps.Keys(as)) {
		if _, ok := ps[k]; !ok {
			out = append(out, fmt.Sprintf("%s: new element %q has appeared", path, k))
		}
	}
	return out
}

func changedElements(planned, actual tftypes.Value, path string) []string {
	ps, as := elements(planned), elements(actual)
	var out []string
	for i := range max(len(ps), len(as)) {
		switch {
		case i >= len(as):
			out = append(out, fmt.Sprintf("%s: element %d has vanished", path, i))
		case i >= len(ps):
			out = append(out, fmt.Sprintf("%s: new element %d has appeared", path, i))
		default:
			out = append(out, changed(ps[i], as[i], fmt.Sprintf("%s[%d]", path, i))...)
		}
	}
	return out
}

// writtenOnly lists write-only attributes that a provider gave a value.
func writtenOnly(attrs []*tfprotov6.SchemaAttribute, v tftypes.Value, path string) []string {
	var out []string
	fs := fields(v)
	for _, a := range attrs {
		e, ok := fs[a.Name]
		switch {
		case !ok:
		case a.WriteOnly && !e.IsNull():
			out = append(out, path+"."+a.Name)
		case a.NestedType != nil && a.NestedType.Nesting == tfprotov6.SchemaObjectNestingModeSingle:
			out = append(out, writtenOnly(a.NestedType.Attributes, e, path+"."+a.Name)...)
		}
	}
	return out
}
