package ray

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// LabelSelector says which nodes will do, by label, in Ray's own form: a value,
// "!value", "in(a,b)" or "!in(a,b)".
type LabelSelector map[string]string

// Terms splits the condition on one label into its values and whether they are
// those that a node must not have.
func (s LabelSelector) Terms(label string) (values []string, not bool) {
	text, not := strings.CutPrefix(s[label], "!")
	list, ok := strings.CutSuffix(strings.TrimPrefix(text, "in"), ")")
	if ok {
		list, ok = strings.CutPrefix(list, "(")
	}
	if !ok {
		return []string{text}, not
	}
	values = strings.Split(list, ",")
	for i := range values {
		values[i] = strings.TrimSpace(values[i])
	}
	slices.Sort(values)
	return slices.Compact(values), not
}

// SetTerms is the other way round, in the one form that a condition has.
func (s LabelSelector) SetTerms(label string, values []string, not bool) {
	values = slices.Sorted(slices.Values(values))
	text := "in(" + strings.Join(values, ",") + ")"
	if len(values) == 1 {
		text = values[0]
	}
	if not {
		text = "!" + text
	}
	s[label] = text
}

// Labels returns the labels that are asked for, sorted.
func (s LabelSelector) Labels() []string { return slices.Sorted(maps.Keys(s)) }

// Normal is s with each condition in its one form. Ray 2.60 takes a space after a comma
// for a part of the value.
func (s LabelSelector) Normal() LabelSelector {
	out := LabelSelector{}
	for label := range s {
		values, not := s.Terms(label)
		out.SetTerms(label, values, not)
	}
	return out
}

// String is "tier=small, zone=!in(a,b)".
func (s LabelSelector) String() string {
	var parts []string
	for _, label := range s.Labels() {
		parts = append(parts, label+"="+s[label])
	}
	return strings.Join(parts, ", ")
}

// Bundle is so many times the same resources, each to be found on one node.
type Bundle struct {
	Resources Resources
	// Selectors are alternatives, the first is preferred; none is any node.
	Selectors []LabelSelector
	Count     int
}

// NormalBundles returns bundles in the one form that the same request has,
// whoever wrote it: each shape once, in a fixed order, nothing of zero.
func NormalBundles(bundles []Bundle) []Bundle {
	byShape := map[string]*Bundle{}
	for _, b := range bundles {
		n := Bundle{Resources: Resources{}, Count: b.Count}
		for name, v := range b.Resources {
			if v != 0 {
				n.Resources[name] = v
			}
		}
		for _, s := range b.Selectors {
			if len(s) > 0 {
				n.Selectors = append(n.Selectors, s.Normal())
			}
		}
		if n.Count <= 0 || len(n.Resources) == 0 {
			continue
		}
		if same, ok := byShape[n.Shape()]; ok {
			same.Count += n.Count
		} else {
			byShape[n.Shape()] = &n
		}
	}
	var out []Bundle
	for _, shape := range slices.Sorted(maps.Keys(byShape)) {
		out = append(out, *byShape[shape])
	}
	return out
}

// SameBundles reports whether a and b ask for the same.
func SameBundles(a, b []Bundle) bool {
	return slices.EqualFunc(NormalBundles(a), NormalBundles(b), func(a, b Bundle) bool {
		return a.Count == b.Count && a.Shape() == b.Shape()
	})
}

// Shape is the bundle without its count: {CPU: 1, GPU: 0.5} with tier=small.
func (b Bundle) Shape() string {
	var parts []string
	for _, name := range b.Resources.Names() {
		parts = append(parts, name+": "+strconv.FormatFloat(b.Resources[name], 'f', -1, 64))
	}
	var selectors []string
	for _, s := range b.Selectors {
		selectors = append(selectors, s.String())
	}
	text := "{" + strings.Join(parts, ", ") + "}"
	if len(selectors) > 0 {
		text += " with " + strings.Join(selectors, " or ")
	}
	return text
}

// String is "2 x {CPU: 1, GPU: 0.5} with tier=small".
func (b Bundle) String() string { return fmt.Sprintf("%d x %s", b.Count, b.Shape()) }

// Fits reports whether a node has what one of the bundle takes, by its total
// resources and its labels.
func (b Bundle) Fits(n Node) bool {
	for name, v := range b.Resources {
		if n.Total[name] < v-smallest/2 {
			return false
		}
	}
	return len(b.Selectors) == 0 || slices.ContainsFunc(b.Selectors, func(s LabelSelector) bool { return s.matches(n.Labels) })
}

// smallest is the unit that Ray counts resources in.
const smallest = 0.0001

func (s LabelSelector) matches(labels map[string]string) bool {
	for label := range s {
		values, not := s.Terms(label)
		got, ok := labels[label]
		if (ok && slices.Contains(values, got)) == not {
			return false
		}
	}
	return true
}
