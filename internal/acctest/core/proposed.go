package core

import (
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// proposedNew merges prior state and configuration as core's
// objchange.ProposedNew does: what the configuration sets wins, computed
// attributes that it leaves out keep their prior value.
func proposedNew(schema *tfprotov6.SchemaBlock, prior, config tftypes.Value) tftypes.Value {
	if config.IsNull() || !config.IsKnown() {
		return prior
	}
	return proposedBlock(schema, prior, config)
}

func proposedBlock(schema *tfprotov6.SchemaBlock, prior, config tftypes.Value) tftypes.Value {
	if config.IsNull() || !config.IsKnown() {
		return config
	}
	out := proposedAttributes(schema.Attributes, prior, config)
	priors, configs := fields(prior), fields(config)
	for _, b := range schema.BlockTypes {
		out[b.TypeName] = proposedNested(b, priors[b.TypeName], configs[b.TypeName])
	}
	return tftypes.NewValue(config.Type(), out)
}

func proposedNested(b *tfprotov6.SchemaNestedBlock, prior, config tftypes.Value) tftypes.Value {
	merge := func(prior, config tftypes.Value) tftypes.Value { return proposedBlock(b.Block, prior, config) }
	switch b.Nesting {
	case tfprotov6.SchemaNestedBlockNestingModeSingle, tfprotov6.SchemaNestedBlockNestingModeGroup:
		return merge(prior, config)
	case tfprotov6.SchemaNestedBlockNestingModeMap:
		return mergeByKey(prior, config, merge)
	case tfprotov6.SchemaNestedBlockNestingModeList:
		return mergeByIndex(prior, config, merge)
	}
	return config
}

func proposedAttributes(attrs []*tfprotov6.SchemaAttribute, prior, config tftypes.Value) map[string]tftypes.Value {
	priors, configs := fields(prior), fields(config)
	out := map[string]tftypes.Value{}
	for _, a := range attrs {
		c := configs[a.Name]
		p, ok := priors[a.Name]
		if !ok {
			p = tftypes.NewValue(a.ValueType(), nil)
		}
		switch {
		case a.Computed && c.IsNull():
			out[a.Name] = p
			if a.Optional && a.NestedType != nil && cameFromConfig(a.NestedType, p) {
				out[a.Name] = c
			}
		case a.NestedType != nil:
			out[a.Name] = proposedNestedType(a.NestedType, p, c)
		default:
			out[a.Name] = c
		}
	}
	return out
}

func proposedNestedType(o *tfprotov6.SchemaObject, prior, config tftypes.Value) tftypes.Value {
	if config.IsNull() || !config.IsKnown() {
		return config
	}
	merge := func(prior, config tftypes.Value) tftypes.Value {
		if config.IsNull() || !config.IsKnown() {
			return config
		}
		return tftypes.NewValue(config.Type(), proposedAttributes(o.Attributes, prior, config))
	}
	switch o.Nesting {
	case tfprotov6.SchemaObjectNestingModeSingle:
		return merge(prior, config)
	case tfprotov6.SchemaObjectNestingModeMap:
		return mergeByKey(prior, config, merge)
	case tfprotov6.SchemaObjectNestingModeList:
		return mergeByIndex(prior, config, merge)
	case tfprotov6.SchemaObjectNestingModeSet:
		return mergeSet(o, prior, config, merge)
	}
	return config
}

func mergeByKey(prior, config tftypes.Value, merge func(p, c tftypes.Value) tftypes.Value) tftypes.Value {
	if config.IsNull() || !config.IsKnown() {
		return config
	}
	priors := fields(prior)
	out := map[string]tftypes.Value{}
	for k, c := range fields(config) {
		out[k] = merge(priors[k], c)
	}
	return tftypes.NewValue(config.Type(), out)
}

func mergeByIndex(prior, config tftypes.Value, merge func(p, c tftypes.Value) tftypes.Value) tftypes.Value {
	if config.IsNull() || !config.IsKnown() {
		return config
	}
	priors := elements(prior)
	out := []tftypes.Value{}
	for i, c := range elements(config) {
		if i < len(priors) {
			c = merge(priors[i], c)
		}
		out = append(out, c)
	}
	return tftypes.NewValue(config.Type(), out)
}

// mergeSet pairs the elements of sets by what the configuration sets in them.
func mergeSet(o *tfprotov6.SchemaObject, prior, config tftypes.Value, merge func(p, c tftypes.Value) tftypes.Value) tftypes.Value {
	priors := elements(prior)
	used := make([]bool, len(priors))
	out := []tftypes.Value{}
	for _, c := range elements(config) {
		var match tftypes.Value
		for i, p := range priors {
			if !used[i] && couldComeFrom(o, p, c) {
				match, used[i] = p, true
				break
			}
		}
		out = append(out, merge(match, c))
	}
	return tftypes.NewValue(config.Type(), out)
}

// couldComeFrom tells whether a prior object is a configured one with nothing
// but computed attributes filled in.
func couldComeFrom(o *tfprotov6.SchemaObject, prior, config tftypes.Value) bool {
	p, c := fields(prior), fields(config)
	for _, a := range o.Attributes {
		if p[a.Name].Equal(c[a.Name]) || (a.Computed && c[a.Name].IsNull()) {
			continue
		}
		return false
	}
	return true
}

// cameFromConfig tells whether a nested value holds something that is not
// computed, so that only a configuration can have put it there.
func cameFromConfig(o *tfprotov6.SchemaObject, v tftypes.Value) bool {
	if v.IsNull() || !v.IsKnown() {
		return false
	}
	objects := []tftypes.Value{v}
	switch o.Nesting {
	case tfprotov6.SchemaObjectNestingModeMap:
		objects = nil
		for _, e := range fields(v) {
			objects = append(objects, e)
		}
	case tfprotov6.SchemaObjectNestingModeList, tfprotov6.SchemaObjectNestingModeSet:
		objects = elements(v)
	}
	for _, obj := range objects {
		fs := fields(obj)
		for _, a := range o.Attributes {
			if !a.Computed && !fs[a.Name].IsNull() {
				return true
			}
			if a.NestedType != nil && cameFromConfig(a.NestedType, fs[a.Name]) {
				return true
			}
		}
	}
	return false
}
