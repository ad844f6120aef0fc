package autoscaling

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// seenNodes are nodes by which the node types of a cluster are known: those that run, and
// those that have ended, of which Ray remembers resources and labels too. What else an
// autoscaler could start Ray tells nobody: there is a key for its configuration,
// __autoscaler_cluster_config, and no autoscaler of Ray 2.60 writes it.
type seenNodes []ray.Node

// unseen is why a check on them is no more than a warning.
const unseen = "A node type that has not run yet may have it: Ray tells nobody what an autoscaler could start."

// hold reports whether one of them could hold a bundle.
func (s seenNodes) hold(b ray.Bundle) bool { return slices.ContainsFunc(s, b.Fits) }

// has reports whether one of them has some of a resource.
func (s seenNodes) has(resource string) bool {
	return slices.ContainsFunc(s, func(n ray.Node) bool { return n.Total[resource] > 0 })
}

// resources are the names of those that the nodes have.
func (s seenNodes) resources() string {
	names := map[string]bool{}
	for _, n := range s {
		for name := range n.Total {
			names[name] = !strings.HasPrefix(name, ray.ResourceNodeNamePrefix)
		}
	}
	return listed(names, "no resource")
}

// values are those of a label, and else the labels that the nodes have.
func (s seenNodes) values(label string) string {
	labels, values := map[string]bool{}, map[string]bool{}
	for _, n := range s {
		for l, v := range n.Labels {
			labels[l] = l != labelNodeID
			values[v] = values[v] || l == label
		}
	}
	if labels[label] {
		return label + " is " + listed(values, "")
	}
	return "the labels of nodes are " + listed(labels, "none")
}

// labelNodeID is on each node, and another on each.
const labelNodeID = "ray.io/node-id"

func listed(names map[string]bool, none string) string {
	maps.DeleteFunc(names, func(_ string, yes bool) bool { return !yes })
	if len(names) == 0 {
		return none
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}

// mostShapes is how many shapes of nodes a message lists.
const mostShapes = 5

// shapes are what the nodes have of a bundle's resources, those with most first:
// {CPU: 4} (node type big), {CPU: 1} (node type small).
func (s seenNodes) shapes(b ray.Bundle) string {
	amounts := map[string]ray.Resources{}
	for _, n := range s {
		of := ray.Resources{}
		for name := range b.Resources {
			if n.Total[name] > 0 {
				of[name] = n.Total[name]
			}
		}
		text := ray.Bundle{Resources: of}.Shape()
		if n.NodeType != "" {
			text += " (node type " + n.NodeType + ")"
		}
		amounts[text] = of
	}
	texts := slices.SortedFunc(maps.Keys(amounts), func(x, y string) int {
		for _, name := range b.Resources.Names() {
			if c := cmp.Compare(amounts[y][name], amounts[x][name]); c != 0 {
				return c
			}
		}
		return cmp.Compare(x, y)
	})
	if more := len(texts) - mostShapes; more > 0 {
		texts = append(texts[:mostShapes], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, ", ")
}

// checkResources warns of resources that no node has; at is where one is written.
func (r *policy) checkResources(seen seenNodes, want ray.Resources, at func(name string) path.Path, diags *diag.Diagnostics) {
	for _, name := range want.Names() {
		if !seen.has(name) {
			fw.AddFinding(diags, r.Pool(), at(name), fmt.Sprintf("No node has resource %s yet", name),
				fmt.Sprintf("Of the nodes that run or ran on the cluster none has the resource; they have %s. %s", seen.resources(), unseen))
		}
	}
}

// checkLabels warns of conditions that no node meets.
func (r *policy) checkLabels(seen seenNodes, selector ray.LabelSelector, at path.Path, diags *diag.Diagnostics) {
	for _, label := range selector.Labels() {
		if !seen.hold(ray.Bundle{Selectors: []ray.LabelSelector{{label: selector[label]}}}) {
			fw.AddFinding(diags, r.Pool(), at.AtMapKey(label), fmt.Sprintf("No node has label %s = %s yet", label, selector[label]),
				fmt.Sprintf("Of the nodes that run or ran on the cluster none meets the condition: %s. %s", seen.values(label), unseen))
		}
	}
}

// checkBundles warns of bundles of a resource floor that no node could hold.
func (r *policy) checkBundles(nodes []ray.Node, bundles []ray.Bundle, diags *diag.Diagnostics) {
	seen := seenNodes(nodes)
	for i, b := range bundles {
		at := path.Root("resource_floor").AtName("bundles").AtListIndex(i)
		if seen.hold(b) {
			continue
		}
		var found diag.Diagnostics
		r.checkResources(seen, b.Resources, func(name string) path.Path { return at.AtName("resources").AtMapKey(name) }, &found)
		for _, selector := range b.Selectors {
			r.checkLabels(seen, selector, at.AtName("label_selector"), &found)
		}
		if len(found) == 0 {
			fw.AddFinding(&found, r.Pool(), at.AtName("resources"), "No node could hold "+b.Shape()+" yet",
				fmt.Sprintf("A bundle has to fit on one node. Those that run or ran on the cluster have %s. %s If none has it, autoscaler v2 makes the apply an error, and with v1 the apply waits in vain.", seen.shapes(b), unseen))
		}
		diags.Append(found...)
	}
}
