package autoscaling_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/provider"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

type object = map[string]any

func statusCore(t *testing.T, address string) *core.Core {
	t.Helper()
	tf := core.New(t, func() tfprotov6.ProviderServer {
		return providerserver.NewProtocol6(provider.NewWithEnv("test", func(string) string { return "" })())()
	})
	tf.Provider(object{"address": address})
	tf.Data("data.ray_autoscaler_status.this", nil)
	return tf
}

// autoscalingGCS is the GCS of a cluster with a head, a small node and one that died.
func autoscalingGCS(t *testing.T, kv map[string]map[string][]byte, change func(*raytest.GCSState)) *raytest.FakeGCS {
	t.Helper()
	node := func(id, nodeType string, state ray.NodeState) ray.Node {
		return ray.Node{NodeID: strings.Repeat(id, 28), NodeType: nodeType, State: state, Head: nodeType == "head", StartedAt: time.Now().Add(-time.Hour)}
	}
	state := raytest.GCSState{KV: kv, Nodes: []ray.Node{node("0a", "head", ray.NodeAlive), node("1b", "small", ray.NodeIdle), node("2c", "small", ray.NodeDead)}}
	change(&state)
	gcs, err := raytest.StartFakeGCS(state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gcs.Close)
	return gcs
}

func byCount(name string, amount float64, count int64) *raypb.ResourceRequestByCount {
	return &raypb.ResourceRequestByCount{Request: &raypb.ResourceRequest{ResourcesBundle: map[string]float64{name: amount}}, Count: count}
}

func TestStatus_ofV2(t *testing.T) {
	t.Parallel()
	failed := func(reason string, at int64) *raypb.FailedInstanceRequest {
		return &raypb.FailedInstanceRequest{RayNodeTypeName: "big", Count: 1, Reason: reason, FailedTs: at}
	}
	gcs := autoscalingGCS(t, map[string]map[string][]byte{"__autoscaler": {"__autoscaler_v2_enabled": []byte("1")}}, func(s *raytest.GCSState) {
		s.Coordinated = true
		s.Floor = &raypb.ClusterResourceConstraint{ResourceRequests: []*raypb.ResourceRequestByCount{byCount("small", 1, 9)}}
		s.Waiting = []*raypb.ResourceRequestByCount{byCount("GPU", 2, 1)}
		group := &raypb.GangResourceRequest{Details: "ab:STRICT_SPREAD|PENDING", Requests: []*raypb.ResourceRequest{{ResourcesBundle: map[string]float64{"CPU": 1}}}}
		group.BundleSelectors = []*raypb.BundleSelector{{ResourceRequests: []*raypb.ResourceRequest{{
			ResourcesBundle: map[string]float64{"CPU": 1},
			LabelSelectors:  []*raypb.LabelSelector{{LabelConstraints: []*raypb.LabelSelectorConstraint{{LabelKey: "tier", Operator: raypb.LabelSelectorOperator_LABEL_OPERATOR_NOT_IN, LabelValues: []string{"b", "a"}}}}},
		}}}}
		s.WaitingGroups = []*raypb.GangResourceRequest{group}
		s.Autoscaling = &raypb.AutoscalingState{
			PendingInstanceRequests:              []*raypb.PendingInstanceRequest{{RayNodeTypeName: "small", Count: 2, RequestTs: 1795435200}},
			FailedInstanceRequests:               []*raypb.FailedInstanceRequest{failed("quota", 1795435201), failed("", 1795435209), failed("quota", 1795435205)},
			InfeasibleResourceRequests:           []*raypb.ResourceRequest{byCount("GPU", 2, 1).GetRequest()},
			InfeasibleClusterResourceConstraints: []*raypb.ClusterResourceConstraint{s.Floor},
		}
	})
	tf := statusCore(t, gcs.Address())
	got := tf.MustPlanNothing().Data("data.ray_autoscaler_status.this")
	counts := func(alive, idle, dead int64) object {
		return object{"alive": alive, "idle": idle, "draining": int64(0), "dead": dead}
	}
	shape := func(name string, amount, count int64) object {
		return object{"resources": object{name: amount}, "label_selectors": []any{}, "count": count}
	}
	gpu := shape("GPU", 2, 1)
	gpu["strategy"] = nil
	want := object{
		"cluster": nil, "autoscaler": "v2",
		"nodes":            object{"head": counts(1, 0, 0), "small": counts(1, 1, 1)},
		"pending_launches": []any{object{"node_type": "small", "instance_type": nil, "instance_id": nil, "count": int64(2), "detail": nil, "requested_at": "2026-11-23T12:00:00Z"}},
		"failed_launches": []any{
			object{"node_type": "big", "instance_type": nil, "reason": nil, "count": int64(1), "last_failed_at": "2026-11-23T12:00:09Z"},
			object{"node_type": "big", "instance_type": nil, "reason": "quota", "count": int64(2), "last_failed_at": "2026-11-23T12:00:05Z"},
		},
		"pending_demand": []any{gpu, object{
			"resources": object{"CPU": int64(1)}, "label_selectors": []any{object{"tier": "!in(a,b)"}}, "count": int64(1), "strategy": "STRICT_SPREAD",
		}},
		"infeasible_demand": []any{gpu},
		"floor":             []any{shape("small", 1, 9)},
		"floor_infeasible":  true,
		"floor_contested":   true,
		"node_floors":       nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestStatus_tellsNodeFloors(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithPrefix(""))
	f.AddNode(small())
	withGCS(t, f, func(*raytest.GCSState) {})
	for _, p := range []struct {
		name string
		ray.PlacementBundle
	}{
		{"o/p/twice/0123abcd", ray.PlacementBundle{Resources: ray.Resources{"small": 0.001}}},
		{"team/a/p/g/0123abcd", ray.PlacementBundle{Resources: ray.Resources{"memory": 1}, LabelSelector: map[string]string{"tier": "small"}}},
		{"/p/g/0123abcd", ray.PlacementBundle{Resources: ray.Resources{"big": 0.001}}},
		{"somebody's", ray.PlacementBundle{Resources: ray.Resources{"small": 1}}},
	} {
		f.Drive(func(d raytest.Driver) { _ = d.CreatePlacementGroup(p.name, []ray.PlacementBundle{p.PlacementBundle}) })
	}
	tf := terraform(t, f, nil)
	tf.Data("data.ray_autoscaler_status.this", nil)
	got := tf.MustPlanNothing().Data("data.ray_autoscaler_status.this")["node_floors"]
	of := func(owner any, group string, ours bool, resource, labels any, held int64, reason any) m {
		return m{"owner": owner, "policy": "p", "group": group, "ours": ours, "resource": resource, "label_selector": labels, "count": int64(1), "held": held, "reason": reason}
	}
	want := []any{
		of(nil, "g", false, "big", nil, 0, "group g: 0 of 1 nodes held (no node of the cluster can hold the rest)"),
		of("o", "twice", true, "small", nil, 1, nil),
		of("team/a", "g", false, nil, m{"tier": "small"}, 1, nil),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("node_floors (-want +got):\n%s", diff)
	}
}

func TestStatus_ofV1(t *testing.T) {
	t.Parallel()
	gcs := autoscalingGCS(t, map[string]map[string][]byte{
		"__autoscaler": {"__autoscaler_v2_enabled": []byte("0")},
		"": {
			"__autoscaling_status":        []byte(`{"autoscaler_report": {"active_nodes": {"head": 1, "small": 1}, "pending_nodes": [["1.2.3.4", "small", "uninitialized"]]}}`),
			"autoscaler_resource_request": []byte(`[{"small": 1}, {"small": 1}]`),
		},
	}, func(*raytest.GCSState) {})
	got := statusCore(t, gcs.Address()).MustPlanNothing().Data("data.ray_autoscaler_status.this")
	wants := object{
		"autoscaler": "v1", "infeasible_demand": nil, "floor_infeasible": nil, "failed_launches": []any{}, "pending_demand": []any{},
		"floor":            []any{object{"resources": object{"small": int64(1)}, "label_selectors": []any{}, "count": int64(2)}},
		"pending_launches": []any{object{"node_type": "small", "instance_type": nil, "instance_id": "1.2.3.4", "count": int64(1), "detail": "uninitialized", "requested_at": nil}},
	}
	for name, want := range wants {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStatus_needsTheGCS(t *testing.T) {
	t.Parallel()
	fake := raytest.NewFake()
	t.Cleanup(fake.Close)
	diags := statusCore(t, fake.URL()).Plan().Diagnostics()
	for _, want := range []string{"The autoscaler of " + fake.URL(), "cluster.gcs_address", "ray_nodes"} {
		if !diags.Contains(want) {
			t.Errorf("nothing says %q:\n%s", want, diags)
		}
	}
}
