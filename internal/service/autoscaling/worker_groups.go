package autoscaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

func workerGroupsKind() kind {
	return kind{
		attribute: "worker_groups",
		object:    func(m *policyModel) types.Object { return m.WorkerGroups },
		target:    workerGroupsTarget,
		clusterID: rayClusterUID,
		backend: func(ctx context.Context, m *policyModel, pool *conn.Pool, cluster *conn.Cluster, id string, diags *diag.Diagnostics) backend {
			return m.scaling(ctx, pool, cluster, id, diags)
		},
		same:     sameWorkerGroups,
		validate: validateWorkerGroups,
		check:    checkWorkerGroups,
		claims:   workerGroupClaims,
		keeps: func(ctx context.Context, m *policyModel, diags *diag.Diagnostics) bool {
			g, _ := m.workerGroups(ctx, diags)
			return g.OnDestroy.ValueString() != onDestroyRestore
		},
		recorded: true, // only the state tells what was there before
		previous: previousOfGroups,
	}
}

// scaling is what a policy says of a RayCluster's worker groups and autoscaler.
type scaling struct {
	pool    *conn.Pool
	cluster *conn.Cluster
	name    kuberay.Name
	policy  string

	// uid is that of the RayCluster which is meant, empty where any is.
	uid    string
	values kuberay.Values
	// before are the values that the fields had before the policy, by field that it
	// manages, and last are those that the state says it wrote.
	before, last kuberay.Values
	// found are the values of the last look: a plan was decided against them.
	found                      kuberay.Values
	workers, recreate, restore bool
	// waiting is set where the last apply, as the state has it, ended before all that it
	// waited for was there, or a refresh after it found something missing.
	waiting bool

	written bool
}

var _ remembering = (*scaling)(nil)

// scaling is the policy's worker groups, of the RayCluster with this uid.
func (m *policyModel) scaling(ctx context.Context, pool *conn.Pool, cluster *conn.Cluster, uid string, diags *diag.Diagnostics) *scaling {
	g, _ := m.workerGroups(ctx, diags)
	name, _ := cluster.RayCluster()
	values, _ := g.values(ctx, diags)
	return &scaling{
		pool: pool, cluster: cluster, name: name, policy: m.Name.ValueString(),
		uid: uid, values: values, before: valuesOf(m.Previous),
		workers: g.WaitForWorkers.IsNull() || g.WaitForWorkers.ValueBool(), recreate: g.AllowRecreate.ValueBool(),
		restore: g.OnDestroy.ValueString() == onDestroyRestore,
		waiting: m.Enforced.Equal(types.BoolValue(false)),
	}
}

// previousOfGroups is known where the policy had all fields before.
func previousOfGroups(ctx context.Context, plan, state *policyModel, diags *diag.Diagnostics) types.String {
	g, _ := plan.workerGroups(ctx, diags)
	values, known := g.values(ctx, diags)
	before := valuesOf(state.Previous)
	for f := range values {
		_, had := before[f]
		known = known && had
	}
	if !known {
		return types.StringUnknown()
	}
	maps.DeleteFunc(before, func(f kuberay.Field, _ kuberay.Value) bool { _, ours := values[f]; return !ours })
	return textOf(before)
}

// workerGroupsTarget is the RayCluster of the policy: its own, else the cluster's. It is
// the same for one RayCluster however it is written, since its policies share claims.
func workerGroupsTarget(ctx context.Context, m *policyModel, pool *conn.Pool, cluster conn.Target, known bool, diags *diag.Diagnostics) (conn.Target, bool) {
	g, ok := m.workerGroups(ctx, diags)
	if !ok {
		return cluster, false
	}
	name, named, nameKnown := g.rayCluster(ctx, diags)
	if !named && known {
		if c, err := pool.Cluster(cluster); err == nil {
			name, named = c.RayCluster()
		}
	}
	if named {
		return conn.Target{Address: "kuberay://" + name.String()}, nameKnown
	}
	return cluster, known && nameKnown
}

// rayClusterUID is the id that the state has of a RayCluster.
func rayClusterUID(ctx context.Context, pool *conn.Pool, cluster *conn.Cluster) (string, error) {
	r, err := readRayCluster(ctx, pool, cluster)
	if err != nil {
		return "", err
	}
	return r.UID, nil
}

func readRayCluster(ctx context.Context, pool *conn.Pool, cluster *conn.Cluster) (*kuberay.RayCluster, error) {
	name, ok := cluster.RayCluster()
	if !ok {
		return nil, errNoRayCluster(cluster)
	}
	client, err := pool.Kubernetes()
	if err != nil {
		return nil, err
	}
	return client.RayCluster(ctx, name)
}

// errNoRayCluster is a policy with worker groups on a cluster that KubeRay is not known to
// run.
func errNoRayCluster(cluster *conn.Cluster) error {
	return &ray.Error{Kind: ray.KindInvalid, Op: "change worker groups", Address: cluster.Address(), Message: "no RayCluster is named: set worker_groups.kuberay = { namespace = ..., name = ... }, or give cluster a kuberay://namespace/name address"}
}

func (s *scaling) at() path.Path { return path.Root("worker_groups") }

// key is none: fields are locked and claimed one by one.
func (s *scaling) key() string { return "" }

func (s *scaling) supported(context.Context) error { return nil }

func (s *scaling) made() bool { return s.written }

func (s *scaling) tookOver() string { return "" }

func (s *scaling) advice() string {
	return "Where workers only take longer, raise timeouts, or set wait_for_workers = false; where they never come, look at their pods (kubectl describe pod)."
}

// since tells what the state knows, and what the refresh before the plan saw.
func (s *scaling) since(ctx context.Context, state *policyModel, seen []byte, diags *diag.Diagnostics) {
	if state.ClusterID.ValueString() != s.uid {
		s.before = kuberay.Values{} // of a RayCluster that is not there any more
		return
	}
	g, ok := state.workerGroups(ctx, diags)
	if !ok {
		return
	}
	s.last, _ = g.values(ctx, diags)
	_ = json.Unmarshal(seen, &s.found) // without it nothing is known of what the plan saw
}

func (s *scaling) seen() []byte { return []byte(textOf(s.found).ValueString()) }

func (s *scaling) previous() types.String { return textOf(s.before) }

// fieldKey is what claims know a field by.
func fieldKey(name kuberay.Name, f kuberay.Field) string {
	return fmt.Sprintf("%s of RayCluster %s", f, name)
}

// writeKey is held by who decides what to write to a RayCluster, until it is written.
func (s *scaling) writeKey() string { return "RayCluster " + s.name.String() }

// enforce writes the values, and those from before of fields that are no longer the
// policy's where a destroy would restore them.
func (s *scaling) enforce(ctx context.Context) error {
	client, err := s.pool.Kubernetes()
	if err != nil {
		return err
	}
	// From here on other policies of the same apply leave the fields alone.
	unlock, err := claimsOf(s.cluster).lock(ctx, s.writeKey())
	if err != nil {
		return err
	}
	defer unlock()
	for _, f := range s.values.Fields() {
		claimsOf(s.cluster).take(fieldKey(s.name, f))
	}
	defer s.letGo()
	now, err := client.RayCluster(ctx, s.name)
	if err != nil {
		return err
	}
	change := s.change(now)
	if err := refused(now.Findings(change.Target(now), kuberay.Intent{Recreate: s.recreate})); err != nil {
		return s.withRestored(change, err)
	}
	seen := now
	now, old, err := client.Enforce(ctx, s.name, change, kuberay.Wait{Workers: s.workers, Patience: s.pool.MaxUnreachable(), Written: unlock, Waiting: tellWaiting(ctx, s.policy, "worker groups")})
	wait, waited := errors.AsType[*kuberay.WaitError](err)
	if err == nil || waited || len(old) > 0 {
		s.written = true
		s.remember(seen, old)
		s.look(now)
	}
	if c, ok := errors.AsType[*kuberay.ConflictError](err); ok {
		wrote := "nothing was written"
		if len(old) > 0 {
			wrote = "a write whose answer was lost may have been done before"
		}
		return fmt.Errorf("%s was %s when this change was planned and is %s now: somebody else changed it meanwhile, and %s; plan again", fieldText(c.Field), valueText(c.Field, c.Planned), valueText(c.Field, c.Found), wrote)
	}
	if waited {
		return &unenforcedError{reasons: wait.Reasons, interrupted: !errors.Is(err, jobs.ErrDeadline)}
	}
	return err
}

// letGo gives back the fields that the policy took in vain: whose they were may go on
// with them.
func (s *scaling) letGo() {
	for _, f := range s.values.Fields() {
		if _, had := s.last[f]; !had && !s.written {
			claimsOf(s.cluster).letGo(fieldKey(s.name, f))
		}
	}
}

// change is what is to be written to the RayCluster as it is: the values, and what was
// there before of fields that the policy lets go.
func (s *scaling) change(now *kuberay.RayCluster) kuberay.Change {
	c := kuberay.Change{UID: now.UID, Want: s.values, Restore: kuberay.Values{}, Planned: kuberay.Values{}}
	maps.Copy(c.Planned, s.found)
	if !s.restore {
		return c
	}
	for f, v := range s.before {
		_, ours := s.values[f]
		if found, ok := now.Value(f); ok && !ours && found == s.last[f] && !claimsOf(s.cluster).isTaken(fieldKey(s.name, f)) {
			c.Restore[f], c.Planned[f] = v, found
		}
	}
	return c
}

// withRestored says of an error of a change what in it the user did not write.
func (s *scaling) withRestored(c kuberay.Change, err error) error {
	var restored []string
	for _, f := range c.Restore.Fields() {
		restored = append(restored, fmt.Sprintf("%s = %s", fieldText(f), valueText(f, c.Restore[f])))
	}
	if len(restored) == 0 {
		return err
	}
	return fmt.Errorf("%w\nBy on_destroy = \"restore\" this change puts back what was there before of what is no longer written here: %s. Where another policy sets that now, on_destroy = \"keep\" leaves it", err, strings.Join(restored, ", "))
}

// remember notes what was there before the policy, of all its fields: old where it was
// written over, else what was seen.
func (s *scaling) remember(seen *kuberay.RayCluster, old kuberay.Values) {
	before := kuberay.Values{}
	for f := range s.values {
		before[f], _ = seen.Value(f)
		for _, values := range []kuberay.Values{old, s.before} {
			if v, known := values[f]; known {
				before[f] = v
			}
		}
	}
	s.before = before
}

// look notes the values that the policy's fields have.
func (s *scaling) look(now *kuberay.RayCluster) {
	s.found = kuberay.Values{}
	for f := range s.values {
		if v, ok := now.Value(f); ok {
			s.found[f] = v
		}
	}
}

// refused is an error where the change must not be written.
func refused(findings []kuberay.Finding) error {
	var details []string
	for _, f := range findings {
		if f.Refused {
			details = append(details, f.Detail)
		}
	}
	if len(details) == 0 {
		return nil
	}
	return errors.New(strings.Join(details, "\n"))
}

func (s *scaling) drift(ctx context.Context) (string, []string, error) {
	now, err := shared(ctx, s.cluster, func(ctx context.Context) (*kuberay.RayCluster, error) {
		return readRayCluster(ctx, s.pool, s.cluster)
	})
	switch {
	case ray.IsKind(err, ray.KindNotFound):
		return "", []string{fmt.Sprintf("RayCluster %s does not exist", s.name)}, nil
	case ray.IsKind(err, ray.KindUnsupported): // an error would stand in the way of a destroy
		return "", []string{fmt.Sprintf("RayCluster %s does not exist, and the Kubernetes of the provider has no custom resource RayCluster of ray.io/v1", s.name)}, nil
	case err != nil:
		return "", nil, err
	}
	s.look(now)
	var reasons []string
	for _, f := range s.values.Fields() {
		found, ok := now.Value(f)
		switch {
		case !ok:
			if why := fmt.Sprintf("group %s: %s", f.Group, now.Lacks(f.Group)); !slices.Contains(reasons, why) {
				reasons = append(reasons, why)
			}
		case found != s.values[f]:
			reasons = append(reasons, fmt.Sprintf("%s is %s, want %s", fieldText(f), valueText(f, found), valueText(f, s.values[f])))
		}
	}
	if d := now.Deployers(); len(d) > 0 && len(reasons) > 0 {
		reasons = append(reasons, fmt.Sprintf("%s deployed the RayCluster and may have written this", strings.Join(d, " and ")))
	}
	if s.waiting && len(reasons) == 0 && now.UID == s.uid {
		reasons, err = s.pending(ctx, now)
	}
	return now.UID, reasons, err
}

// pending is what an apply whose wait ended early would still wait for. Once all was
// there, workers may come and go: that is the autoscaler's.
func (s *scaling) pending(ctx context.Context, now *kuberay.RayCluster) ([]string, error) {
	client, err := s.pool.Kubernetes()
	if err != nil {
		return nil, err
	}
	return client.Pending(ctx, now, s.values, s.workers)
}

// release puts back what was there before, where a destroy shall and nobody has changed
// it since.
func (s *scaling) release(ctx context.Context) (string, error) {
	client, err := s.pool.Kubernetes()
	if err != nil {
		return "", err
	}
	unlock, err := claimsOf(s.cluster).lock(ctx, s.writeKey())
	if err != nil {
		return "", err
	}
	defer unlock()
	now, err := client.RayCluster(ctx, s.name)
	if err != nil {
		return "", err
	}
	if now.Deleting() {
		return "", nil
	}
	change, left := kuberay.Change{UID: now.UID, Restore: kuberay.Values{}, Planned: s.values}, []string(nil)
	for _, f := range s.before.Fields() {
		if claimsOf(s.cluster).isTaken(fieldKey(s.name, f)) {
			left = append(left, fieldText(f)+" is another policy's now")
			continue
		}
		change.Restore[f] = s.before[f]
	}
	if err := refused(now.Findings(change.Target(now), kuberay.Intent{Recreate: s.recreate})); err != nil {
		return "", fmt.Errorf("what was there before can't be put back; set on_destroy = \"keep\" to leave it: %w", err)
	}
	now, old, err := client.Enforce(ctx, s.name, change, kuberay.Wait{Patience: s.pool.MaxUnreachable(), Written: unlock})
	if wait, ok := errors.AsType[*kuberay.WaitError](err); ok {
		// It is written, which is all that a destroy is about.
		left, err = append(left, fmt.Sprintf("nobody has taken it yet (%s)", strings.Join(wait.Reasons, "; "))), nil
	}
	if err != nil {
		return "", err
	}
	for _, f := range change.Restore.Fields() {
		found, ok := now.Value(f)
		switch _, restored := old[f]; {
		case restored:
		case !ok:
			left = append(left, fmt.Sprintf("group %s is not there any more", f.Group))
		case found != change.Restore[f]:
			left = append(left, fmt.Sprintf("%s is %s now, which is not this policy's %s", fieldText(f), valueText(f, found), valueText(f, s.values[f])))
		}
	}
	if len(left) == 0 {
		return "", nil
	}
	return fmt.Sprintf("What was there before was put back in RayCluster %s, except: %s.", s.name, strings.Join(left, "; ")), nil
}
