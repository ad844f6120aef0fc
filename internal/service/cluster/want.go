package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// want is what a cluster must have.
type want struct {
	// nodes is how many alive nodes, the head included; 0 asks only for the head.
	nodes int64
	// resources are totals over the nodes that count.
	resources map[string]float64
	// labels are those that a node must have to count.
	labels map[string]string
}

// missing says what nodes lack, each as "have/wanted"; nothing is missing where
// it is empty.
func (w want) missing(nodes []ray.Node) []string {
	var out []string
	if !slices.ContainsFunc(nodes, func(n ray.Node) bool { return n.Head && n.Alive() }) {
		out = append(out, "no head node is alive")
	}
	count, totals := int64(0), ray.Resources{}
	for _, n := range nodes {
		if n.Alive() && hasLabels(n, w.labels) {
			count++
			totals.Add(n.Total)
		}
	}
	least := w.nodes
	if least == 0 && len(w.labels) > 0 {
		least = 1
	}
	if count < least {
		out = append(out, fmt.Sprintf("%d/%d nodes%s", count, least, withLabels(w.labels)))
	}
	for _, name := range ray.Resources(w.resources).Names() {
		// Ray counts in units of 0.0001.
		if need := w.resources[name]; totals[name] < need-0.00005 {
			out = append(out, fmt.Sprintf("%s %s/%s", name, number(totals[name]), number(need)))
		}
	}
	return out
}

func hasLabels(n ray.Node, labels map[string]string) bool {
	for k, v := range labels {
		if got, ok := n.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func withLabels(labels map[string]string) string {
	if len(labels) == 0 {
		return ""
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return " with " + strings.Join(parts, ", ")
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
