package core

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// encode writes a value as Terraform's state does: attributes of a dynamic
// type carry their type.
func encode(v tftypes.Value, ty tftypes.Type) (any, error) {
	if ty.Is(tftypes.DynamicPseudoType) {
		if v.Type().Is(tftypes.DynamicPseudoType) {
			return nil, nil // a null that has no type
		}
		inner, err := encode(v, v.Type())
		if err != nil {
			return nil, err
		}
		sig, err := v.Type().MarshalJSON() //nolint:staticcheck // the only writer of a type's signature
		return map[string]any{"value": inner, "type": json.RawMessage(sig)}, err
	}
	if v.IsNull() {
		return nil, nil
	}
	if !v.IsKnown() {
		return nil, fmt.Errorf("state cannot hold an unknown value")
	}
	switch t := ty.(type) {
	case tftypes.Object:
		return encodeMapping(v, func(k string) tftypes.Type { return t.AttributeTypes[k] })
	case tftypes.Map:
		return encodeMapping(v, func(string) tftypes.Type { return t.ElementType })
	case tftypes.List:
		return encodeSequence(v, func(int) tftypes.Type { return t.ElementType })
	case tftypes.Set:
		return encodeSequence(v, func(int) tftypes.Type { return t.ElementType })
	case tftypes.Tuple:
		return encodeSequence(v, func(i int) tftypes.Type { return t.ElementTypes[i] })
	}
	if ty.Is(tftypes.Number) {
		return json.Number(number(v).Text('f', -1)), nil
	}
	return toGo(v), nil
}

func encodeMapping(v tftypes.Value, elem func(string) tftypes.Type) (any, error) {
	out := map[string]any{}
	for k, e := range fields(v) {
		j, err := encode(e, elem(k))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		out[k] = j
	}
	return out, nil
}

func encodeSequence(v tftypes.Value, elem func(int) tftypes.Type) (any, error) {
	out := []any{}
	for i, e := range elements(v) {
		j, err := encode(e, elem(i))
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, nil
}

// unknownPaths lists what is unknown inside a value.
func unknownPaths(v tftypes.Value) []string {
	var out []string
	_ = tftypes.Walk(v, func(p *tftypes.AttributePath, e tftypes.Value) (bool, error) { // the callback never fails
		if !e.IsKnown() {
			out = append(out, pathString(p))
			return false, nil
		}
		return true, nil
	})
	slices.Sort(out)
	return out
}

// unknownAsNull replaces what is unknown by null.
func unknownAsNull(v tftypes.Value) tftypes.Value {
	out, err := tftypes.Transform(v, func(_ *tftypes.AttributePath, e tftypes.Value) (tftypes.Value, error) {
		if !e.IsKnown() {
			return tftypes.NewValue(e.Type(), nil), nil
		}
		return e, nil
	})
	if err != nil {
		return v
	}
	return out
}

// text renders a value as Terraform's own messages about faulty providers do.
func text(v tftypes.Value) string {
	switch {
	case v.IsNull():
		return fmt.Sprintf("cty.NullVal(%s)", v.Type())
	case !v.IsKnown():
		return fmt.Sprintf("cty.UnknownVal(%s)", v.Type())
	case v.Type().Is(tftypes.Bool):
		if toGo(v) == true {
			return "cty.True"
		}
		return "cty.False"
	case v.Type().Is(tftypes.String):
		return fmt.Sprintf("cty.StringVal(%q)", toGo(v))
	case v.Type().Is(tftypes.Number):
		return fmt.Sprintf("cty.NumberVal(%v)", toGo(v))
	case isMapping(v):
		fs := fields(v)
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(fs)) {
			parts = append(parts, fmt.Sprintf("%q:%s", k, text(fs[k])))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	var parts []string
	for _, e := range elements(v) {
		parts = append(parts, text(e))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
