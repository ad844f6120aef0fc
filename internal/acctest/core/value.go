package core

import (
	"fmt"
	"math/big"
	"reflect"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type marker string

// Unknown is a value that is not known, "(known after apply)". In a
// configuration it stays unknown during apply too, which is an error there;
// see Later.
const Unknown marker = "(known after apply)"

type later struct{ value any }

// Later is a value that is unknown in validate and plan and v in apply, like
// an attribute of another provider's resource that is about to be created.
func Later(v any) any { return later{v} }

type reference string

// Ref refers to an attribute of another block: "ray_job.a.submission_id" or
// "data.ray_cluster.b.ray_version". The block with the reference waits for the
// one it names.
func Ref(path string) any { return reference(path) }

// references lists the references in a configuration value.
func references(v any) []string {
	switch v := v.(type) {
	case reference:
		return []string{string(v)}
	case later:
		return references(v.value)
	}
	var out []string
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Map:
		for _, k := range rv.MapKeys() {
			out = append(out, references(rv.MapIndex(k).Interface())...)
		}
	case reflect.Slice:
		for i := range rv.Len() {
			out = append(out, references(rv.Index(i).Interface())...)
		}
	}
	return out
}

// scope gives references and late values their values.
type scope struct {
	// lookup returns the value of a block as Go values.
	lookup func(addr string) (any, bool)
	// applying lets Later values out.
	applying bool
}

// object builds the value of a block from its configuration. What is missing
// is null, or empty for blocks in lists, sets and maps.
func (s scope) object(schema *tfprotov6.SchemaBlock, config map[string]any) (tftypes.Value, error) {
	ty := schema.ValueType()
	known := map[string]bool{}
	for _, a := range schema.Attributes {
		known[a.Name] = true
	}
	for _, b := range schema.BlockTypes {
		known[b.TypeName] = true
	}
	for name := range config {
		if !known[name] {
			return tftypes.Value{}, fmt.Errorf("unsupported argument %q", name)
		}
	}
	out := map[string]tftypes.Value{}
	for _, a := range schema.Attributes {
		v, err := s.value(a.ValueType(), config[a.Name])
		if err != nil {
			return tftypes.Value{}, fmt.Errorf("%s: %w", a.Name, err)
		}
		out[a.Name] = v
	}
	for _, b := range schema.BlockTypes {
		v, err := s.nested(b, config[b.TypeName])
		if err != nil {
			return tftypes.Value{}, fmt.Errorf("%s: %w", b.TypeName, err)
		}
		out[b.TypeName] = v
	}
	return tftypes.NewValue(ty, out), nil
}

func (s scope) nested(b *tfprotov6.SchemaNestedBlock, v any) (tftypes.Value, error) {
	ty := b.ValueType()
	switch {
	case v == nil && (b.Nesting == tfprotov6.SchemaNestedBlockNestingModeSingle):
		return tftypes.NewValue(ty, nil), nil
	case v == nil && b.Nesting == tfprotov6.SchemaNestedBlockNestingModeGroup:
		return s.object(b.Block, nil)
	case v == nil && b.Nesting == tfprotov6.SchemaNestedBlockNestingModeMap:
		return tftypes.NewValue(ty, map[string]tftypes.Value{}), nil
	case v == nil:
		return tftypes.NewValue(ty, []tftypes.Value{}), nil
	}
	switch v := v.(type) {
	case map[string]any:
		if b.Nesting == tfprotov6.SchemaNestedBlockNestingModeMap {
			out := map[string]tftypes.Value{}
			for k, e := range v {
				m, _ := e.(map[string]any)
				o, err := s.object(b.Block, m)
				if err != nil {
					return o, err
				}
				out[k] = o
			}
			return tftypes.NewValue(ty, out), nil
		}
		return s.object(b.Block, v)
	case []any:
		var out []tftypes.Value
		for _, e := range v {
			m, _ := e.(map[string]any)
			o, err := s.object(b.Block, m)
			if err != nil {
				return o, err
			}
			out = append(out, o)
		}
		return tftypes.NewValue(ty, out), nil
	}
	return s.value(ty, v)
}

// value converts a Go value to a type.
func (s scope) value(ty tftypes.Type, v any) (tftypes.Value, error) {
	switch x := v.(type) {
	case nil:
		return tftypes.NewValue(ty, nil), nil
	case marker:
		return tftypes.NewValue(ty, tftypes.UnknownValue), nil
	case later:
		if !s.applying {
			return tftypes.NewValue(ty, tftypes.UnknownValue), nil
		}
		return s.value(ty, x.value)
	case reference:
		got, err := s.resolve(string(x))
		if err != nil {
			return tftypes.Value{}, err
		}
		return s.value(ty, got)
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			return tftypes.NewValue(ty, nil), nil
		}
		return s.value(ty, rv.Elem().Interface())
	}
	switch t := ty.(type) {
	case tftypes.List:
		return s.sequence(ty, t.ElementType, rv)
	case tftypes.Set:
		return s.sequence(ty, t.ElementType, rv)
	case tftypes.Map:
		return s.mapping(ty, func(string) (tftypes.Type, bool) { return t.ElementType, true }, nil, rv)
	case tftypes.Object:
		return s.mapping(ty, func(k string) (tftypes.Type, bool) { e, ok := t.AttributeTypes[k]; return e, ok }, t.AttributeTypes, rv)
	case tftypes.Tuple:
		return s.tuple(t, rv)
	}
	if ty.Is(tftypes.DynamicPseudoType) {
		return s.dynamic(rv)
	}
	return primitive(ty, rv)
}

// dynamic finds the type of a value as the expression language would: tuples
// and objects, not lists and maps.
func (s scope) dynamic(rv reflect.Value) (tftypes.Value, error) {
	switch rv.Kind() {
	case reflect.String:
		return primitive(tftypes.String, rv)
	case reflect.Bool:
		return primitive(tftypes.Bool, rv)
	case reflect.Slice:
		var types []tftypes.Type
		var vals []tftypes.Value
		for i := range rv.Len() {
			e, err := s.value(tftypes.DynamicPseudoType, rv.Index(i).Interface())
			if err != nil {
				return e, err
			}
			types, vals = append(types, e.Type()), append(vals, e)
		}
		return tftypes.NewValue(tftypes.Tuple{ElementTypes: types}, vals), nil
	case reflect.Map:
		types := map[string]tftypes.Type{}
		vals := map[string]tftypes.Value{}
		for _, k := range rv.MapKeys() {
			e, err := s.value(tftypes.DynamicPseudoType, rv.MapIndex(k).Interface())
			if err != nil {
				return e, err
			}
			types[k.String()], vals[k.String()] = e.Type(), e
		}
		return tftypes.NewValue(tftypes.Object{AttributeTypes: types}, vals), nil
	}
	return primitive(tftypes.Number, rv)
}

func (s scope) sequence(ty, elem tftypes.Type, rv reflect.Value) (tftypes.Value, error) {
	if rv.Kind() != reflect.Slice {
		return tftypes.Value{}, fmt.Errorf("inappropriate value: want %s, got %v", ty, rv.Interface())
	}
	out := []tftypes.Value{}
	for i := range rv.Len() {
		e, err := s.value(elem, rv.Index(i).Interface())
		if err != nil {
			return e, fmt.Errorf("[%d]: %w", i, err)
		}
		if ty.Is(tftypes.Set{}) && slices.ContainsFunc(out, e.Equal) {
			continue
		}
		out = append(out, e)
	}
	return tftypes.NewValue(ty, out), nil
}

func (s scope) tuple(ty tftypes.Tuple, rv reflect.Value) (tftypes.Value, error) {
	if rv.Kind() != reflect.Slice || rv.Len() != len(ty.ElementTypes) {
		return tftypes.Value{}, fmt.Errorf("inappropriate value: want %s, got %v", ty, rv.Interface())
	}
	out := []tftypes.Value{}
	for i, et := range ty.ElementTypes {
		e, err := s.value(et, rv.Index(i).Interface())
		if err != nil {
			return e, err
		}
		out = append(out, e)
	}
	return tftypes.NewValue(ty, out), nil
}

// mapping converts a Go map to a map or an object; attributes of an object
// that are missing are null.
func (s scope) mapping(ty tftypes.Type, elem func(string) (tftypes.Type, bool), attrs map[string]tftypes.Type, rv reflect.Value) (tftypes.Value, error) {
	if rv.Kind() != reflect.Map {
		return tftypes.Value{}, fmt.Errorf("inappropriate value: want %s, got %v", ty, rv.Interface())
	}
	out := map[string]tftypes.Value{}
	for name, t := range attrs {
		out[name] = tftypes.NewValue(t, nil)
	}
	for _, k := range rv.MapKeys() {
		t, ok := elem(k.String())
		if !ok {
			return tftypes.Value{}, fmt.Errorf("unsupported attribute %q", k.String())
		}
		e, err := s.value(t, rv.MapIndex(k).Interface())
		if err != nil {
			return e, fmt.Errorf("%s: %w", k.String(), err)
		}
		out[k.String()] = e
	}
	return tftypes.NewValue(ty, out), nil
}

func primitive(ty tftypes.Type, rv reflect.Value) (tftypes.Value, error) {
	switch {
	case ty.Is(tftypes.String) && rv.Kind() == reflect.String:
		return tftypes.NewValue(ty, rv.String()), nil
	case ty.Is(tftypes.String) && rv.Kind() == reflect.Bool:
		return tftypes.NewValue(ty, fmt.Sprint(rv.Bool())), nil
	case ty.Is(tftypes.String) && rv.CanInt():
		return tftypes.NewValue(ty, fmt.Sprint(rv.Int())), nil
	case ty.Is(tftypes.Bool) && rv.Kind() == reflect.Bool:
		return tftypes.NewValue(ty, rv.Bool()), nil
	case ty.Is(tftypes.Number) && rv.CanInt():
		return tftypes.NewValue(ty, new(big.Float).SetInt64(rv.Int())), nil
	case ty.Is(tftypes.Number) && rv.CanFloat():
		return tftypes.NewValue(ty, big.NewFloat(rv.Float())), nil
	}
	return tftypes.Value{}, fmt.Errorf("inappropriate value: want %s, got %v", ty, rv.Interface())
}

// resolve gives the value of a reference as Go values.
func (s scope) resolve(ref string) (any, error) {
	addr, path := splitReference(ref)
	v, ok := s.lookup(addr)
	if !ok {
		return nil, fmt.Errorf("reference to undeclared resource %q", addr)
	}
	return walkPath(ref, v, path)
}

// walkPath follows attribute names into Go values.
func walkPath(ref string, v any, path []string) (any, error) {
	for _, name := range path {
		switch x := v.(type) {
		case marker:
			return Unknown, nil
		case map[string]any:
			next, ok := x[name]
			if !ok {
				return nil, fmt.Errorf("%s: unsupported attribute %q", ref, name)
			}
			v = next
		default:
			return nil, fmt.Errorf("%s: attempt to get attribute %q from null or a value that has none", ref, name)
		}
	}
	return v, nil
}

// toGo converts a value to Go values: nil, Unknown, bool, string, int64 or
// float64, []any and map[string]any.
func toGo(v tftypes.Value) any {
	if v.Type() == nil || v.IsNull() {
		return nil
	}
	if !v.IsKnown() {
		return Unknown
	}
	switch {
	case v.Type().Is(tftypes.String):
		var s string
		_ = v.As(&s) // cannot fail: the type was checked
		return s
	case v.Type().Is(tftypes.Bool):
		var b bool
		_ = v.As(&b) // cannot fail: the type was checked
		return b
	case v.Type().Is(tftypes.Number):
		n := number(v)
		if i, acc := n.Int64(); acc == big.Exact {
			return i
		}
		f, _ := n.Float64()
		return f
	case isMapping(v):
		out := map[string]any{}
		for k, e := range fields(v) {
			out[k] = toGo(e)
		}
		return out
	}
	out := []any{}
	for _, e := range elements(v) {
		out = append(out, toGo(e))
	}
	return out
}

func number(v tftypes.Value) *big.Float {
	n := new(big.Float)
	_ = v.As(&n) // cannot fail: callers checked the type
	return n
}

func isMapping(v tftypes.Value) bool {
	return v.Type().Is(tftypes.Object{}) || v.Type().Is(tftypes.Map{})
}

// fields returns the members of a known object or map, and nil for any other.
func fields(v tftypes.Value) map[string]tftypes.Value {
	if v.Type() == nil || v.IsNull() || !v.IsKnown() || !isMapping(v) {
		return nil
	}
	var out map[string]tftypes.Value
	_ = v.As(&out) // cannot fail: the type was checked
	return out
}

// elements returns the members of a known list, set or tuple.
func elements(v tftypes.Value) []tftypes.Value {
	if v.Type() == nil || v.IsNull() || !v.IsKnown() {
		return nil
	}
	var out []tftypes.Value
	if err := v.As(&out); err != nil {
		return nil
	}
	return out
}
