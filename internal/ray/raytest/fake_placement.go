package raytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// fakePlacement is a detached STRICT_SPREAD placement group, which is the only kind
// that the fake knows.
type fakePlacement struct {
	ray.PlacementGroup
	received, placed time.Time
}

// Driver is what an entrypoint that is a Ray driver can do to the fake while it
// runs: see Command.Do.
type Driver struct{ fake *Fake }

// HasPlacementGroup is ray.util.get_placement_group: whether a group of the name is
// there and not removed.
func (d Driver) HasPlacementGroup(name string) bool { return d.fake.placement(name) != nil }

// CreatePlacementGroup is ray.util.placement_group for a detached STRICT_SPREAD
// group. All of its bundles are placed at once, when there are nodes for all of
// them; a label selector is met by equal labels alone. A name is taken until its
// group is removed.
func (d Driver) CreatePlacementGroup(name string, bundles []ray.PlacementBundle) error {
	id := randomHex(18)
	if d.HasPlacementGroup(name) {
		return fmt.Errorf("ray.exceptions.RaySystemError: System error: Failed to create placement group '%s' because name '%s' already exists", id, name)
	}
	d.fake.placements = append(d.fake.placements, &fakePlacement{
		PlacementGroup: ray.PlacementGroup{ID: id, Name: name, State: ray.PlacementPending, Detached: true, Bundles: slices.Clone(bundles), Scheduling: "INFEASIBLE"},
		received:       d.fake.clock(),
	})
	d.fake.schedule()
	return nil
}

// RemovePlacementGroup is ray.util.remove_placement_group.
func (d Driver) RemovePlacementGroup(name string) error {
	p := d.fake.placement(name)
	if p == nil {
		return errors.New("ValueError: Failed to look up placement group with name: " + name)
	}
	p.State, p.Scheduling = ray.PlacementRemoved, string(ray.PlacementRemoved)
	return nil
}

// PlaceGroups is, for Command.Do, the entrypoint `python -c script task` of a script
// that makes and removes placement groups by these calls, as the task says in JSON, and
// prints what became of each name.
func PlaceGroups(driver Driver, args []string) (output string, exitCode int) {
	var task struct {
		Create []struct {
			Name          string            `json:"name"`
			Count         int               `json:"count"`
			Bundle        ray.Resources     `json:"bundle"`
			LabelSelector map[string]string `json:"label_selector"`
		} `json:"create"`
		Remove []string `json:"remove"`
	}
	if len(args) != 3 || args[0] != "-c" {
		return fmt.Sprintf("python %q\n", args), 2
	}
	if err := json.Unmarshal([]byte(args[2]), &task); err != nil {
		return err.Error() + "\n", 1
	}
	did := map[string]string{}
	for _, g := range task.Create {
		did[g.Name] = "found"
		if driver.HasPlacementGroup(g.Name) {
			continue
		}
		did[g.Name] = "created"
		bundles := slices.Repeat([]ray.PlacementBundle{{Resources: g.Bundle, LabelSelector: g.LabelSelector}}, g.Count)
		if err := driver.CreatePlacementGroup(g.Name, bundles); err != nil {
			return err.Error() + "\n", 1
		}
	}
	for _, name := range task.Remove {
		did[name] = "removed"
		if err := driver.RemovePlacementGroup(name); err != nil {
			did[name] = "gone"
		}
	}
	text, err := json.Marshal(did)
	if err != nil {
		return err.Error() + "\n", 1
	}
	return string(text) + "\n", 0
}

// Drive does what a driver of somebody else's does.
func (f *Fake) Drive(do func(Driver)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	do(Driver{f})
}

// PlacementGroups returns the groups that are not removed, in order of creation.
func (f *Fake) PlacementGroups() []ray.PlacementGroup {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	var out []ray.PlacementGroup
	for _, p := range f.placements {
		if p.State != ray.PlacementRemoved {
			g := p.PlacementGroup
			g.Bundles = slices.Clone(g.Bundles)
			out = append(out, g)
		}
	}
	return out
}

// placement is the group of a name that is not removed, or nil.
func (f *Fake) placement(name string) *fakePlacement {
	for _, p := range f.placements {
		if p.Name == name && p.State != ray.PlacementRemoved {
			return p
		}
	}
	return nil
}

// schedule is what the GCS does: it takes bundles off dead nodes, and puts the
// bundles of a group that have none on other nodes, all of them or none.
func (f *Fake) schedule() {
	for _, p := range f.placements {
		if p.State == ray.PlacementRemoved {
			continue
		}
		for i, b := range p.Bundles {
			if b.NodeID != "" && !f.alive(b.NodeID) {
				p.Bundles[i].NodeID = ""
				p.State, p.Scheduling = ray.PlacementRescheduling, "INFEASIBLE"
			}
		}
		f.spread(p)
	}
}

func (f *Fake) spread(p *fakePlacement) {
	bundles := slices.Clone(p.Bundles)
	for i, b := range bundles {
		if b.NodeID != "" {
			continue
		}
		n := slices.IndexFunc(f.nodes, func(n ray.Node) bool {
			taken := slices.ContainsFunc(bundles, func(o ray.PlacementBundle) bool { return o.NodeID == n.NodeID })
			return !taken && n.State != ray.NodeDead && holds(n, b)
		})
		if n < 0 {
			return
		}
		bundles[i].NodeID = f.nodes[n].NodeID
	}
	if p.State != ray.PlacementCreated {
		p.Bundles, p.State, p.Scheduling, p.placed = bundles, ray.PlacementCreated, "FINISHED", f.clock()
	}
}

func holds(n ray.Node, b ray.PlacementBundle) bool {
	for name, v := range b.Resources {
		if n.Total[name] < v {
			return false
		}
	}
	for key, v := range b.LabelSelector {
		if n.Labels[key] != v {
			return false
		}
	}
	return true
}

func (f *Fake) alive(node string) bool {
	return slices.ContainsFunc(f.nodes, func(n ray.Node) bool { return n.NodeID == node && n.State != ray.NodeDead })
}

func (f *Fake) servePlacementGroups(r *request) answer {
	q, rows := r.URL.Query(), []any{}
	for _, p := range f.placements {
		if q.Get("filter_keys") == "state" && q.Get("filter_predicates") == "!=" && q.Get("filter_values") == string(p.State) {
			continue
		}
		rows = append(rows, p.row())
	}
	return answer{http.StatusOK, kindJSON, pyJSON(envelope("", object{{"result", object{
		{"total", len(f.placements)}, {"num_after_truncation", len(f.placements)}, {"num_filtered", len(rows)}, {"result", rows},
		{"partial_failure_warning", ""}, {"warnings", nil},
	}}}))}
}

func (p *fakePlacement) row() object {
	bundles := []any{}
	for i, b := range p.Bundles {
		bundles = append(bundles, object{
			{"bundle_id", object{{"placement_group_id", p.ID}, {"bundle_index", i}}},
			{"unit_resources", resources(b.Resources)}, {"node_id", b.NodeID}, {"label_selector", labels(b.LabelSelector)},
		})
	}
	return object{
		{"placement_group_id", p.ID}, {"name", p.Name}, {"creator_job_id", "01000000"}, {"state", string(p.State)}, {"bundles", bundles},
		{"is_detached", p.Detached}, {"stats", p.stats()}, {"topology_strategy", object{}}, {"topology_assignments", object{}},
	}
}

// stats are the members that are set, then those that are zero.
func (p *fakePlacement) stats() object {
	started, latency := p.received, "0"
	if !p.placed.IsZero() {
		started, latency = p.placed, "1000"
	}
	o := object{
		{"creation_request_received_ns", strconv.FormatInt(p.received.UnixNano(), 10)},
		{"scheduling_started_time_ns", strconv.FormatInt(started.UnixNano(), 10)},
	}
	times := object{{"scheduling_latency_us", latency}, {"end_to_end_creation_latency_us", latency}}
	attempt := object{{"scheduling_attempt", 1}, {"scheduling_state", p.Scheduling}}
	if p.placed.IsZero() {
		o = append(append(o, attempt...), times...)
	} else {
		o = append(append(o, times...), attempt...)
	}
	return append(o, member{"highest_retry_delay_ms", 0.0})
}
