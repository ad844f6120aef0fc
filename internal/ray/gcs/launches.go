package gcs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// recentLaunch is how old a failed launch may be to explain what is missing now:
// an autoscaler keeps them for long.
const recentLaunch = 10 * time.Minute

// Reasons says in words what the autoscaler does about what is missing: what it
// launches, what it failed to launch lately, and what it has no node type for.
func (l Launches) Reasons(now time.Time) []string {
	var out []string
	pending := map[string]int{}
	for _, p := range l.Pending {
		pending[p.NodeType] += max(p.Count, 1)
	}
	for _, t := range slices.Sorted(maps.Keys(pending)) {
		out = append(out, fmt.Sprintf("group %s: %d launching", t, pending[t]))
	}
	failed := map[string]string{}
	for _, f := range l.Failed {
		if f.FailedAt.IsZero() || now.Sub(f.FailedAt) < recentLaunch {
			failed[f.NodeType] = f.Detail // the newest is last
		}
	}
	for _, t := range slices.Sorted(maps.Keys(failed)) {
		text := fmt.Sprintf("group %s: launch failed", t)
		if d := strings.TrimSpace(failed[t]); d != "" {
			text += ": " + d
		}
		out = append(out, text)
	}
	for _, r := range l.Infeasible {
		out = append(out, "no node type can hold "+resourceList(r))
	}
	for _, d := range l.InfeasibleGroups {
		out = append(out, fmt.Sprintf("the autoscaler can't start nodes for %s, %s: no node type has this, or not as many nodes may be added", d.Bundle, d.Strategy))
	}
	return out
}

func resourceList(r ray.Resources) string {
	var parts []string
	for _, n := range r.Names() {
		parts = append(parts, n+" "+strconv.FormatFloat(r[n], 'f', -1, 64))
	}
	return strings.Join(parts, ", ")
}
