package autoscaling

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// group is so many nodes of one kind.
type group struct {
	name  string
	count int64
	// bundle is what is held on each of them.
	bundle ray.PlacementBundle
}

// Of a marker resource a bundle takes so little that the nodes' own work does not
// notice, yet more than the 0.0001 that Ray counts in. Memory is counted in bytes.
const (
	markerAmount = 0.001
	memoryAmount = 1
)

// resourceGroup is a group of nodes that have a marker resource.
func resourceGroup(name string, count int64, resource string) group {
	return group{name, count, ray.PlacementBundle{Resources: ray.Resources{resource: markerAmount}}}
}

// labelGroup is a group of nodes whose labels meet a selector.
func labelGroup(name string, count int64, selector map[string]string) group {
	return group{name, count, ray.PlacementBundle{Resources: ray.Resources{"memory": memoryAmount}, LabelSelector: ray.LabelSelector(selector).Normal()}}
}

// spec is the first 8 hex digits of the SHA-256 of all that makes the placement
// group what it is. It is part of names on clusters: its form never changes.
func (g group) spec() string {
	doc := map[string]any{"count": g.count, "bundle": map[string]any{}}
	bundle := map[string]any{}
	for name, v := range g.bundle.Resources {
		bundle[name] = v
	}
	doc["bundle"] = bundle
	if len(g.bundle.LabelSelector) > 0 {
		doc["label_selector"] = map[string]string(g.bundle.LabelSelector)
	}
	body, err := jobs.Canonical(doc)
	if err != nil {
		panic("autoscaling: " + err.Error()) // a map of strings and numbers has a canonical form
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:4])
}

// floor is the node floor of one policy on one cluster.
type floor struct {
	cluster *conn.Cluster
	// owner and policy are whose placement groups these are.
	owner, policy string
	groups        []group // by name
	metadata      map[string]string
	// patience is how long a wait survives losing the cluster.
	patience time.Duration

	// touched is set once something of the policy may be on the cluster.
	touched bool
	// adopted are the placement groups that another apply made, or is making.
	adopted []string
	ends    sync.WaitGroup // of the jobs whose records are being deleted
}

func floorKind() kind {
	return kind{
		attribute: "node_floor",
		object:    func(m *policyModel) types.Object { return m.NodeFloor },
		backend: func(ctx context.Context, m *policyModel, pool *conn.Pool, cluster *conn.Cluster, _ string, diags *diag.Diagnostics) backend {
			return m.floor(ctx, pool, cluster, diags)
		},
		same: func(_ context.Context, m, o *policyModel, _ *diag.Diagnostics) bool {
			return m.NodeFloor.Equal(o.NodeFloor)
		},
		validate: validateFloor,
		check:    checkFloor,
	}
}

// placementName is the name of the group's placement group.
func (f *floor) placementName(g group) string {
	return f.owner + "/" + f.policy + "/" + g.name + "/" + g.spec()
}

// owns reports whether a placement group has a name that this policy gives.
func (f *floor) owns(name string) bool {
	owner, policy, _, ok := ofPolicy(name)
	return ok && owner == f.owner && policy == f.policy
}

// ofPolicy tells whose a placement group is, by its name; ok is false where no policy
// gave it. An owner may hold slashes; policies, groups and specs do not.
func ofPolicy(name string) (owner, policy, group string, ok bool) {
	parts := strings.Split(name, "/")
	n := len(parts)
	if n < 4 || len(parts[n-1]) != 8 {
		return "", "", "", false
	}
	return strings.Join(parts[:n-3], "/"), parts[n-3], parts[n-2], true
}

func (f *floor) at() path.Path { return path.Root("node_floor") }

func (f *floor) key() string { return claimKey(f.owner, f.policy) }

func (f *floor) made() bool { return f.touched }

func (f *floor) tookOver() string {
	if len(f.adopted) == 0 {
		return ""
	}
	return fmt.Sprintf("Placement groups of this owner, name and floor were there, or being made by another apply: %s.", strings.Join(f.adopted, ", "))
}

func (f *floor) advice() string { return nodesAdvice }

func (f *floor) drift(ctx context.Context) (string, []string, error) {
	id, groups, err := observe(ctx, f.cluster)
	if err != nil {
		return "", nil, err
	}
	return id, f.sort(groups).reasons(), nil
}

// sight is one look at what a policy has on its cluster.
type sight struct {
	// missing are the groups that have no placement group, waiting say of the others
	// why they are not whole.
	missing []group
	waiting []string
	// stale are names of placement groups of this policy that are none of its groups',
	// own are all of its names.
	stale, own []string
}

// sort says what the cluster's placement groups are to the floor.
func (f *floor) sort(all []ray.PlacementGroup) sight {
	var s sight
	found := map[string]ray.PlacementGroup{}
	for _, p := range all {
		if f.owns(p.Name) {
			found[p.Name] = p
		}
	}
	s.own = slices.Sorted(maps.Keys(found))
	wanted := map[string]bool{}
	for _, g := range f.groups {
		name := f.placementName(g)
		wanted[name] = true
		p, ok := found[name]
		switch {
		case !ok:
			s.missing = append(s.missing, g)
		case p.State != ray.PlacementCreated:
			s.waiting = append(s.waiting, shortfall(g.name, p))
		}
	}
	s.stale = slices.DeleteFunc(slices.Clone(s.own), func(name string) bool { return wanted[name] })
	return s
}

// shortfall says why a placement group is not whole.
func shortfall(group string, p ray.PlacementGroup) string {
	text := fmt.Sprintf("group %s: %d of %d nodes held", group, p.Placed(), len(p.Bundles))
	if p.State == ray.PlacementRescheduling {
		text += ", others died"
	}
	switch p.Scheduling {
	case "INFEASIBLE":
		text += " (no node of the cluster can hold the rest)"
	case "NO_RESOURCES":
		text += " (no node that fits is free)"
	}
	return text
}

// reasons say what is not as it should be; none where the floor is enforced.
func (s sight) reasons() []string {
	var out []string
	for _, g := range s.missing {
		out = append(out, fmt.Sprintf("group %s: its placement group is not there", g.name))
	}
	out = append(out, s.waiting...)
	for _, name := range s.stale {
		out = append(out, fmt.Sprintf("placement group %s of an earlier apply is still there", name))
	}
	return out
}

// look asks the cluster.
func (f *floor) look(ctx context.Context) (sight, error) {
	api, err := f.cluster.Dashboard(ctx)
	if err != nil {
		return sight{}, err
	}
	all, err := api.PlacementGroups(ctx)
	if err != nil {
		return sight{}, err
	}
	s := f.sort(all)
	f.touched = f.touched || len(s.own) > 0
	return s, nil
}

// unenforcedError is a floor that was not enforced in time.
type unenforcedError struct {
	reasons     []string
	interrupted bool
}

func (e *unenforcedError) Error() string {
	if len(e.reasons) == 0 {
		return "the cluster was not asked yet"
	}
	return "what is missing: " + strings.Join(e.reasons, "; ")
}

// mostJobs is how often enforce makes what is missing: somebody who removes it each
// time is not to be fought with.
const mostJobs = 5

// enforce makes the placement groups that are missing, waits until all are whole, and
// then removes those that the policy no longer has. Its error is an *unenforcedError
// where ctx ended first.
func (f *floor) enforce(ctx context.Context) error {
	defer f.ends.Wait()
	w, tell := waiting{start: time.Now()}, tellWaiting(ctx, f.policy, "node floor")
	for made := 0; ; {
		s, err := f.look(ctx)
		if err == nil && w.looks == 0 {
			f.adopted = slices.DeleteFunc(slices.Clone(s.own), func(name string) bool { return slices.Contains(s.stale, name) })
		}
		switch {
		case err != nil:
			err = w.lose(ctx, err, f.patience)
		case len(s.missing) > 0 && made == mostJobs:
			return fmt.Errorf("the placement groups were made %d times, and somebody removed them each time: %s", made, strings.Join(s.reasons(), "; "))
		case len(s.missing) > 0:
			made++
			w.see(s.reasons())
			err = f.do(ctx, task{Create: f.news(s.missing), Remove: []string{}})
		case len(s.waiting) > 0:
			launches := f.launches(ctx)
			if ctx.Err() == nil || w.looks == 0 { // else nobody was asked about launches
				w.see(append(s.waiting, launches...))
			}
			tell(w.reasons)
			sleep(ctx, w.interval())
		case len(s.stale) > 0:
			w.see(s.reasons())
			err = f.do(ctx, task{Create: []newGroup{}, Remove: s.stale})
		default:
			return nil
		}
		if ctx.Err() != nil {
			return &unenforcedError{reasons: w.reasons, interrupted: !errors.Is(context.Cause(ctx), jobs.ErrDeadline)}
		}
		if err != nil {
			return err
		}
	}
}

// release removes all placement groups of the policy.
func (f *floor) release(ctx context.Context) (left string, err error) {
	defer f.ends.Wait()
	if err := f.stopJobs(ctx); err != nil {
		return "", err
	}
	for range mostJobs {
		s, err := f.look(ctx)
		if err != nil || len(s.own) == 0 {
			return "", err
		}
		if err := f.do(ctx, task{Create: []newGroup{}, Remove: s.own}); err != nil {
			return "", err
		}
	}
	return "", errors.New("placement groups of this policy are there again each time that they are removed; does another apply run?")
}

// launches is what the autoscaler does about what is missing; nothing where the GCS
// can't be asked.
func (f *floor) launches(ctx context.Context) []string {
	if f.cluster.Autoscaler(ctx) == conn.AutoscalerNone {
		return []string{"the cluster has no autoscaler that would start nodes"}
	}
	l, err := f.cluster.Launches(ctx)
	if err != nil {
		return nil
	}
	l.Infeasible = nil // of others
	l.InfeasibleGroups = slices.DeleteFunc(l.InfeasibleGroups, func(d conn.Demand) bool { return !f.asks(d.Bundle) })
	return l.Reasons(time.Now())
}

// asks reports whether a bundle is that of one of the floor's groups.
func (f *floor) asks(b ray.Bundle) bool {
	b.Count = 1
	return slices.ContainsFunc(f.groups, func(g group) bool {
		return ray.SameBundles([]ray.Bundle{b}, []ray.Bundle{{Resources: g.bundle.Resources, Selectors: []ray.LabelSelector{g.bundle.LabelSelector}, Count: 1}})
	})
}

// waiting is the account of a wait.
type waiting struct {
	start, lost time.Time
	looks       int
	reasons     []string
}

func (w *waiting) see(reasons []string) {
	w.lost, w.reasons = time.Time{}, reasons
	w.looks++
}

// lose lets a wait go on that has lost the cluster, for as long as patience says.
func (w *waiting) lose(ctx context.Context, err error, patience time.Duration) error {
	if w.looks == 0 || !ray.IsUnreachable(err) {
		return err
	}
	if w.lost.IsZero() {
		w.lost = time.Now()
	}
	if time.Since(w.lost) > patience {
		return err
	}
	sleep(ctx, w.interval())
	return nil
}

// interval is short for what comes soon, and 3 s for nodes that take minutes.
func (w *waiting) interval() time.Duration {
	return min(max(time.Since(w.start)/10, 200*time.Millisecond), 3*time.Second)
}

// sleep waits for d, or less where ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// byName sorts groups.
func byName(groups []group) []group {
	slices.SortFunc(groups, func(a, b group) int { return cmp.Compare(a.name, b.name) })
	return groups
}
