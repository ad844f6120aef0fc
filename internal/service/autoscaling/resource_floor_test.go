package autoscaling_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// scaled is a fake head with an autoscaler v2, which can hold 4 of small, and what its
// GCS says.
type scaled struct {
	*raytest.Fake
	t      *testing.T
	gcs    *raytest.FakeGCS
	client *gcs.Client
}

func startScaled(t *testing.T) *scaled {
	t.Helper()
	f := fake(t)
	node := small()
	node.NodeType = "small"
	f.AddNode(node)
	g, err := f.ServeGCS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	g.Update(func(s *raytest.GCSState) {
		s.KV = map[string]map[string][]byte{"__autoscaler": {"__autoscaler_v2_enabled": []byte("1")}}
		follow := s.Refresh
		s.Refresh = func(s *raytest.GCSState) {
			follow(s)
			s.Autoscaling = &raypb.AutoscalingState{}
			for _, r := range s.Floor.GetResourceRequests() {
				if r.GetCount() > 4 || r.GetRequest().GetResourcesBundle()["small"] > 1 {
					s.Autoscaling.InfeasibleClusterResourceConstraints = []*raypb.ClusterResourceConstraint{s.Floor}
				}
			}
		}
	})
	c, err := gcs.New(gcs.Options{Address: g.Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &scaled{f, t, g, c}
}

// mustAsk fails unless this is the cluster's request.
func (s *scaled) mustAsk(want string) {
	s.t.Helper()
	now, err := s.client.Scaling(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, b := range now.Floor {
		got = append(got, b.String())
	}
	if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
		s.t.Errorf("the cluster's request (-want +got):\n%s", diff)
	}
}

// others write a request as another client does.
func (s *scaled) others(count int) {
	s.t.Helper()
	var floor []ray.Bundle
	if count > 0 {
		floor = []ray.Bundle{{Resources: ray.Resources{"small": 1}, Count: count}}
	}
	if err := s.client.SetFloor(s.t.Context(), gcs.AutoscalerV2, s.Cluster().ClusterID, floor); err != nil {
		s.t.Fatal(err)
	}
}

// request is a policy whose resource floor asks for count of small.
func request(count int, more m) m {
	floor := m{"bundles": []any{m{"resources": m{"small": 1}, "count": count}}}
	maps.Copy(floor, more)
	return m{"name": "p", "resource_floor": floor}
}

func TestRequestHoldsAndIsTakenBack(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, request(1, nil))
	tf.MustApply()
	s.mustAsk("1 x {small: 1}")
	tf.MustPlanNothing()
	state := tf.State(policy)
	if state["enforced"] != true || state["cluster_id"] != s.Cluster().ClusterID {
		t.Errorf("state: %v", state)
	}

	tf.Resource(policy, request(2, m{"bundles": []any{
		m{"resources": m{"CPU": 1, "small": 0.5}, "label_selector": m{"tier": "in(small)"}}, m{"resources": m{"small": 0.5}},
	}}))
	s.AddNode(ray.Node{Total: ray.Resources{"CPU": 1, "small": 1}, Labels: map[string]string{"tier": "small"}})
	tf.MustApply()
	s.mustAsk("1 x {CPU: 1, small: 0.5} with tier=small, 1 x {small: 0.5}")
	tf.MustPlanNothing()

	calls := s.gcs.Calls("RequestClusterResourceConstraint")
	tf.Resource(policy, request(2, m{"bundles": []any{
		m{"resources": m{"small": 0.5}}, m{"resources": m{"CPU": 1, "small": 0.5}, "label_selector": m{"tier": "small"}},
	}}))
	tf.MustApply() // the same in other words
	if got := s.gcs.Calls("RequestClusterResourceConstraint"); got != calls {
		t.Errorf("the same request was written %d times more, want 0", got-calls)
	}
	if res := tf.Destroy(); res.ExitCode() != 0 {
		t.Fatal(res.Diagnostics())
	}
	s.mustAsk("")
}

func TestRequestThatIsReplacedIsDrift(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		theirs int
		why    string
	}{"by another": {3, "it is 3 x {small: 1}, ours is 1 x {small: 1}"}, "by none": {0, "is gone"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startScaled(t)
			tf := terraform(t, s.Fake, nil)
			tf.Resource(policy, request(1, nil))
			tf.MustApply()
			s.others(tc.theirs)
			mustPlanUpdate(t, tf, tc.why)
			tf.MustApply()
			s.mustAsk("1 x {small: 1}")
			tf.MustPlanNothing()
		})
	}
}

func TestRequestOfAnotherIsLeftByDestroy(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, request(1, nil))
	tf.MustApply()
	s.others(3)
	res := tf.Destroy()
	mustContain(t, res.Diagnostics().Warnings(), "somebody replaced it by 3 x {small: 1}")
	if res.ExitCode() != 0 {
		t.Fatal(res.Diagnostics())
	}
	s.mustAsk("3 x {small: 1}")
}

func TestRequestThatIsInfeasible(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, request(9, nil))
	res := tf.Apply()
	mustContain(t, res.Diagnostics().Errors(), "can't grow to hold 9 x {small: 1}", "drops the whole request")
	if state := tf.State(policy); state != nil {
		t.Errorf("state after a create that left nothing: %v", state)
	}
	s.mustAsk("")

	tf.Resource(policy, request(1, nil))
	tf.MustApply()
	tf.Resource(policy, request(9, nil))
	mustContain(t, tf.Apply().Diagnostics().Errors(), "can't grow to hold 9 x {small: 1}", "What was held before is still held")
	s.mustAsk("1 x {small: 1}")
	tf.Resource(policy, request(1, nil))
	tf.MustPlanNothing()
}

// A new policy that could not be enforced has taken nothing over from the one that it
// was to replace.
func TestRequestThatIsInfeasibleReplacesNothing(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, request(1, nil))
	tf.MustApply()
	tf.Remove(policy)
	config := request(9, nil)
	config["name"] = "q"
	tf.Resource(other, config)
	res := tf.Apply()
	mustContain(t, res.Diagnostics().Errors(), "can't grow to hold 9 x {small: 1}")
	if addrs := tf.Addresses(); len(addrs) != 0 {
		t.Errorf("the state has %v\n%s", addrs, res.Diagnostics())
	}
	s.mustAsk("")
}

// A plan knows the nodes that run and ran, and so most typing errors.
func TestPlanKnowsTheNodes(t *testing.T) {
	t.Parallel()
	bundle := func(resources, labels m) m {
		b := m{"resources": resources}
		if labels != nil {
			b["label_selector"] = labels
		}
		return m{"name": "p", "resource_floor": m{"bundles": []any{m{"resources": m{"small": 1}}, b}}}
	}
	byLabel := func(labels m) m { return floor(1, m{"resource": nil, "label_selector": labels}) }
	const (
		inBundle = "ray_autoscaling_policy.x.resource_floor.bundles[1]"
		inGroup  = `ray_autoscaling_policy.x.node_floor.groups["g"]`
	)
	for name, test := range map[string]struct {
		config m
		wants  []string
	}{
		"a bundle that is too large":  {bundle(m{"small": 64}, nil), []string{inBundle + ".resources", "No node could hold {small: 64} yet", "have {small: 1} (node type small)", "autoscaler v2 makes the apply an error"}},
		"a bundle on no one node":     {bundle(m{"small": 1, "big": 1}, nil), []string{"No node could hold {big: 1, small: 1} yet", "have {big: 1} (node type big), {small: 1} (node type small)"}},
		"a bundle's unknown resource": {bundle(m{"smal": 1}, nil), []string{inBundle + `.resources["smal"]`, "No node has resource smal yet", "they have CPU, big, memory, object_store_memory, small"}},
		"a bundle's unknown label":    {bundle(m{"small": 1}, m{"teir": "small"}), []string{inBundle + `.label_selector["teir"]`, "No node has label teir = small yet", "the labels of nodes are tier"}},
		"a bundle's unknown value":    {bundle(m{"small": 1}, m{"tier": "in(smal, bigg)"}), []string{"No node has label tier = in(smal, bigg) yet", "tier is big, small"}},
		"a group's unknown resource":  {floor(1, m{"resource": "smal"}), []string{inGroup + ".resource", "No node has resource smal yet", "they have CPU, big, memory, object_store_memory, small"}},
		"a group's unknown label":     {byLabel(m{"teir": "small"}), []string{inGroup + `.label_selector["teir"]`, "No node has label teir = small yet", "the labels of nodes are tier"}},
		"a group's unknown value":     {byLabel(m{"tier": "huge"}), []string{"No node has label tier = huge yet", "tier is big, small"}},
		"nodes that ran":              {bundle(m{"big": 1}, m{"tier": "big"}), nil},
		"what is not to be there":     {byLabel(m{"market": "!spot", "tier": "!in(huge)"}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startScaled(t)
			s.KillNode(s.AddNode(ray.Node{NodeType: "big", Total: ray.Resources{"big": 1}, Labels: map[string]string{"tier": "big"}}))
			tf := terraform(t, s.Fake, nil)
			tf.Resource(policy, test.config)
			ds := tf.Plan().Diagnostics()
			mustContain(t, ds.Warnings(), test.wants...)
			if len(test.wants) == 0 && len(ds) > 0 || ds.HasErrors() {
				t.Errorf("the plan says: %s", ds)
			}
		})
	}
}

func TestRequestThatNoNodeCouldHold(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, m{"name": "p", "resource_floor": m{"bundles": []any{m{"resources": m{"small": 1}}, m{"resources": m{"small": 64}}}}})
	mustContain(t, tf.Apply().Diagnostics().Errors(), "drops the whole request", "none could hold {small: 64}, for they have {small: 1} (node type small)")
	s.mustAsk("")
}

func TestRequestOnAClusterOfRayData(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	s.gcs.Update(func(g *raytest.GCSState) { g.Coordinated = true })
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, request(1, nil))
	mustContain(t, tf.Plan().Diagnostics().Warnings(), "Policy p would not stay", "Use node_floor")
	mustContain(t, tf.Apply().Diagnostics().Errors(), "replaces the cluster-wide resource request every 20 seconds", "use node_floor", "contested = true")
	s.mustAsk("")
	tf.Resource(policy, request(4, m{"contested": true}))
	tf.MustApply() // and does not wait for nodes
	s.mustAsk("4 x {small: 1}")
	s.others(0)
	mustPlanUpdate(t, tf, "is gone")
}

func TestRequestWaitsForNodes(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, request(2, nil))
	run := tf.StartApply()
	await(t, func() bool { return s.gcs.Calls("RequestClusterResourceConstraint") == 1 })
	s.AddNode(small())
	if res := run.Wait(); res.ExitCode() != 0 {
		t.Fatal(res.Diagnostics())
	}

	config := request(3, nil)
	config["timeouts"] = m{"update": "3s"}
	tf.Resource(policy, config)
	mustContain(t, tf.Apply().Diagnostics().Errors(), "Policy p is not enforced after 3s", "no room for 1 x {small: 1}")
	s.mustAsk("3 x {small: 1}")
	if state := tf.State(policy); state["enforced"] != false || fmt.Sprint(state["reasons"]) != "[no room for 1 x {small: 1}]" {
		t.Errorf("state after an update that did not get its nodes: %v", state)
	}
	mustPlanUpdate(t, tf, "no room for 1 x {small: 1}")
	config["resource_floor"].(m)["wait_for_capacity"] = false
	tf.Resource(policy, config)
	tf.MustApply()
	tf.MustPlanNothing()
}

// Of two applies at once the later writer has its way, and the other one is told.
func TestTwoRequestsAtOnce(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	a, b := terraform(t, s.Fake, nil), terraform(t, s.Fake, nil)
	a.Resource(policy, request(2, nil))
	b.Resource(policy, request(1, nil))
	run := a.StartApply()
	await(t, func() bool { return s.gcs.Calls("RequestClusterResourceConstraint") == 1 })
	res := b.MustApply()
	mustContain(t, res.Diagnostics().Warnings(), "Policy p replaces another resource request", "is now 2 x {small: 1}")
	res = run.Wait()
	mustContain(t, res.Diagnostics().Errors(), "replaced the cluster-wide resource request meanwhile: it is 1 x {small: 1}, and was 2 x {small: 1}")
	if state := a.State(policy); state != nil {
		t.Errorf("nothing of it is on the cluster, and the state has %v", state)
	}
	s.mustAsk("1 x {small: 1}")
	b.MustPlanNothing()
}

// The state tells of a request that was written, though it was not enforced: a destroy
// takes back nothing else.
func TestRequestThatWasNotMetIsTakenBack(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, request(1, nil))
	tf.MustApply()
	config := request(3, nil)
	config["timeouts"] = m{"update": "3s"}
	tf.Resource(policy, config)
	mustContain(t, tf.Apply().Diagnostics().Errors(), "Policy p is not enforced after 3s")
	if res := tf.Destroy(); res.ExitCode() != 0 {
		t.Fatal(res.Diagnostics())
	}
	s.mustAsk("")
}

func TestRequestReplacesThatOfAnother(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	s.others(3)
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, request(1, nil))
	mustContain(t, tf.Plan().Diagnostics().Warnings(), "Policy p replaces another resource request", "is now 3 x {small: 1}")
	tf.MustApply()
	s.mustAsk("1 x {small: 1}")
}

func TestRequestNeedsWhatItNeeds(t *testing.T) {
	t.Parallel()
	none := func(g *raytest.GCSState) { g.KV, g.Refresh = nil, nil }
	v1 := func(g *raytest.GCSState) {
		g.Refresh = nil
		g.KV = map[string]map[string][]byte{"": {"__autoscaling_status": []byte(`{"autoscaler_report": {"active_nodes": {"small": 1}}}`)}}
	}
	labels := m{"bundles": []any{m{"resources": m{"CPU": 1}, "label_selector": m{"tier": "small"}}}}
	for name, tc := range map[string]struct {
		change          func(*raytest.GCSState)
		config          m
		warning, refuse string
	}{
		"an autoscaler":     {none, nil, "Policy p is for a cluster without autoscaler", "no autoscaler that could add nodes"},
		"v2 for its labels": {v1, labels, "Policy p needs autoscaler v2", "label selectors need autoscaler v2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startScaled(t)
			s.mustAsk("") // the state is the head's now
			s.gcs.Update(tc.change)
			tf := terraform(t, s.Fake, nil)
			tf.Resource(policy, request(1, tc.config))
			mustContain(t, tf.Plan().Diagnostics().Warnings(), tc.warning)
			mustContain(t, tf.Apply().Diagnostics().Errors(), tc.refuse)
		})
	}
	t.Run("the GCS", func(t *testing.T) {
		t.Parallel()
		f := fake(t)
		tf := terraform(t, f, nil)
		tf.Resource(policy, request(1, nil))
		mustContain(t, tf.Apply().Diagnostics().Errors(), "known to the GCS (port 6379) alone", "cluster.gcs_address", "node_floor")
	})
}

func TestRequestOnAReplacedCluster(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, request(1, nil))
	tf.MustApply()
	s.Restart(false)
	mustPlanUpdate(t, tf, "the cluster was replaced")
}

func TestOneBackendAndOneRequest(t *testing.T) {
	t.Parallel()
	s := startScaled(t)
	both := request(1, nil)
	maps.Copy(both, floor(1, nil))
	for name, tc := range map[string]struct {
		config m
		want   string
	}{
		"none":         {m{"name": "p"}, "The policy has no backend"},
		"both":         {both, "The policy has two backends"},
		"no bundles":   {request(1, m{"bundles": []any{}}), "at least 1"},
		"no resources": {request(1, m{"bundles": []any{m{"resources": m{}}}}), "at least 1"},
		"none of it":   {request(1, m{"bundles": []any{m{"resources": m{"CPU": 0}}}}), "at least 0.0001"},
		"negative":     {request(1, m{"bundles": []any{m{"resources": m{"CPU": -1}}}}), "at least 0.0001"},
		"count of 0":   {request(0, nil), "between 1 and 1000"},
		"count of -1":  {request(-1, nil), "between 1 and 1000"},
		"huge count":   {request(1001, nil), "between 1 and 1000"},
		"a selector":   {request(1, m{"bundles": []any{m{"resources": m{"CPU": 1}, "label_selector": m{"tier": "in("}}}}), "must be a label's value"},
	} {
		tf := terraform(t, s.Fake, nil)
		tf.Resource(policy, tc.config)
		ds := tf.Validate().Errors()
		if !ds.Contains(tc.want) {
			t.Errorf("%s: nothing says %q:\n%s", name, tc.want, ds)
		}
		mustBeAtAttributes(t, ds, name == "none")
	}
	tf := terraform(t, s.Fake, nil)
	tf.Resource(policy, request(1, nil))
	second := request(2, nil)
	second["name"] = "q"
	tf.Resource(other, second)
	mustContain(t, tf.Plan().Diagnostics().Errors(), "Two policies have a resource floor")

	tf.Remove(other)
	tf.MustApply()
	tf.Resource(policy, floor(1, nil))
	if plan := tf.Plan(); plan.Action(policy) != core.Replace {
		t.Errorf("from one backend to the other: %s, want a replacement", plan.Action(policy))
	}
	tf.MustApply()
	s.mustAsk("")
	mustHold(t, s.Fake, "o/p/g CREATED 1/1")
}
