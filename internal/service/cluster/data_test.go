package cluster_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// gpuNodes are a head, two workers of a kind, one that drains and one that died.
func gpuNodes(now time.Time) []ray.Node {
	id := func(c string) string { return strings.Repeat(c, 56) }
	worker := func(c string, state ray.NodeState) ray.Node {
		return ray.Node{
			NodeID: id(c), IP: "10.0.0." + c, State: state, NodeType: "gpu",
			Labels:    map[string]string{"ray.io/accelerator-type": "H100", "ray.io/node-group": "gpu"},
			Total:     ray.Resources{"CPU": 8, "GPU": 4, "accelerator_type:H100": 1, "node:10.0.0." + c: 1, "my_Res": 2},
			Available: ray.Resources{"CPU": 7, "GPU": 1, "accelerator_type:H100": 1},
			StartedAt: now.Add(-time.Hour).Truncate(time.Second),
		}
	}
	dead := worker("5", ray.NodeDead)
	dead.Available, dead.EndedAt = nil, now.Add(-10*time.Minute).Truncate(time.Second)
	dead.DeathReason, dead.DeathMessage = ray.DeathUnexpected, "health check failed due to missing too many heartbeats"
	return []ray.Node{
		{
			NodeID: id("1"), IP: "10.0.0.1", State: ray.NodeAlive, Head: true, Labels: map[string]string{},
			Total:     ray.Resources{"CPU": 2, ray.HeadNodeResource: 1, "memory": 1e9},
			Available: ray.Resources{"CPU": 2, ray.HeadNodeResource: 1, "memory": 1e9}, StartedAt: now.Add(-2 * time.Hour).Truncate(time.Second),
		},
		worker("3", ray.NodeIdle), worker("2", ray.NodeAlive), worker("4", ray.NodeDraining), dead,
	}
}

func nodesFake(t *testing.T, nodes []ray.Node) *raytest.Fake {
	t.Helper()
	f := fake(t, raytest.WithNodes(nodes[0]))
	for _, n := range nodes[1:] {
		f.AddNode(n)
	}
	return f
}

func TestResourcesAreAddedUpByName(t *testing.T) {
	t.Parallel()
	nodes := gpuNodes(time.Now())
	f := nodesFake(t, nodes)
	withGCS(t, f, func(s *raytest.GCSState) {
		s.Refresh = nil
		s.ClusterID, s.Nodes = f.Cluster().ClusterID, nodes
	})
	tf := terraform(t, nil)
	tf.Provider(m{"address": f.URL()})
	tf.Data("data.ray_cluster_resources.total", nil)
	tf.Data("data.ray_cluster_resources.usage", m{"include_usage": true})
	plan := tf.Plan()
	total := m{"CPU": int64(18), "GPU": int64(8), "accelerator_type:H100": int64(2), "memory": int64(1e9), "my_Res": int64(4)}
	got := plan.Data("data.ray_cluster_resources.total")
	if diff := cmp.Diff(m{
		"cluster": nil, "include_usage": nil, "source": "gcs", "alive_nodes": int64(3), "total": total, "available": nil,
		"accelerators": m{"H100": m{"nodes": int64(2), "total": int64(8), "available": nil}},
	}, got); diff != "" {
		t.Errorf("totals (-want +got):\n%s\n%s", diff, plan.Diagnostics())
	}
	got = plan.Data("data.ray_cluster_resources.usage")
	if diff := cmp.Diff(any(m{"CPU": int64(16), "GPU": int64(2), "accelerator_type:H100": int64(2), "memory": int64(1e9), "my_Res": int64(0)}), got["available"]); diff != "" {
		t.Errorf("available (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(any(m{"H100": m{"nodes": int64(2), "total": int64(8), "available": int64(2)}}), got["accelerators"]); diff != "" {
		t.Errorf("accelerators (-want +got):\n%s", diff)
	}
	tf.MustPlanNothing()
}

func TestNodesAreFiltered(t *testing.T) {
	t.Parallel()
	nodes := gpuNodes(time.Now())
	f := nodesFake(t, nodes)
	withGCS(t, f, func(s *raytest.GCSState) {
		s.Refresh = nil
		s.ClusterID, s.Nodes = f.Cluster().ClusterID, nodes
	})
	for name, test := range map[string]struct {
		config m
		want   string // the first digits of the ids, in order
	}{
		"all but dead":        {nil, "1234"},
		"alive are idle too":  {m{"states": []any{"ALIVE"}}, "123"},
		"dead and draining":   {m{"states": []any{"DEAD", "DRAINING"}}, "45"},
		"none":                {m{"states": []any{}}, ""},
		"by label":            {m{"labels": m{"ray.io/accelerator-type": "H100"}}, "234"},
		"by two labels":       {m{"labels": m{"ray.io/accelerator-type": "H100", "x": "y"}}, ""},
		"by type":             {m{"node_type": "gpu", "states": []any{"ALIVE"}}, "23"},
		"by type that is not": {m{"node_type": "cpu"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf := terraform(t, nil)
			tf.Provider(m{"address": f.URL()})
			tf.Data("data.ray_nodes.n", test.config)
			plan := tf.Plan()
			got := ""
			data := plan.Data("data.ray_nodes.n")
			if data == nil {
				t.Fatal(plan.Diagnostics())
			}
			for _, n := range data["nodes"].([]any) {
				got += n.(m)["node_id"].(string)[:1]
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Whether a node is busy changes from plan to plan, so it is only read on demand.
func TestNodesTellUsageOnDemand(t *testing.T) {
	t.Parallel()
	nodes := gpuNodes(time.Now())
	f := nodesFake(t, nodes)
	withGCS(t, f, func(s *raytest.GCSState) {
		s.Refresh = nil
		s.ClusterID, s.Nodes = f.Cluster().ClusterID, nodes
	})
	tf := terraform(t, nil)
	tf.Provider(m{"address": f.URL()})
	tf.Data("data.ray_nodes.plain", m{"states": []any{"ALIVE"}})
	tf.Data("data.ray_nodes.usage", m{"states": []any{"ALIVE"}, "include_usage": true})
	plan := tf.Plan()
	for i, want := range []any{false, false, true} {
		plain := plan.Data("data.ray_nodes.plain")["nodes"].([]any)[i].(m)
		usage := plan.Data("data.ray_nodes.usage")["nodes"].([]any)[i].(m)
		if plain["state"] != "ALIVE" || plain["idle"] != nil || plain["available"] != nil {
			t.Errorf("node %d without usage: %v", i, plain)
		}
		if usage["state"] != "ALIVE" || usage["idle"] != want || usage["available"] == nil {
			t.Errorf("node %d with usage: %v, want idle %v", i, usage, want)
		}
	}
}

func TestADeadNodeSaysWhy(t *testing.T) {
	t.Parallel()
	nodes := gpuNodes(time.Now())
	f := nodesFake(t, nodes)
	tf := terraform(t, nil)
	tf.Provider(m{"address": f.URL()})
	tf.Data("data.ray_nodes.n", m{"states": []any{"DEAD"}})
	data := tf.Plan().Data("data.ray_nodes.n")
	if data["source"] != "http" {
		t.Errorf("source: got %v, want http", data["source"])
	}
	got := data["nodes"].([]any)[0].(m)
	wants := m{
		"state": "DEAD", "death_reason": ray.DeathUnexpected, "death_message": nodes[4].DeathMessage,
		"ended_at": nodes[4].EndedAt.UTC().Format(time.RFC3339), "head": false,
	}
	for k, want := range wants {
		if got[k] != want {
			t.Errorf("%s: got %v, want %v", k, got[k], want)
		}
	}
}

func TestHealthSaysWhy(t *testing.T) {
	t.Parallel()
	nodes := gpuNodes(time.Now())
	f := nodesFake(t, nodes)
	down := fake(t)
	down.Down()
	for name, test := range map[string]struct {
		config m
		want   []string // none is healthy
	}{
		"head alone":           {nil, nil},
		"enough":               {m{"min_nodes": 3, "required_resources": m{"GPU": 8}}, nil},
		"too few nodes":        {m{"min_nodes": 9}, []string{"4/9 nodes"}}, // HTTP does not tell draining nodes
		"too few resources":    {m{"required_resources": m{"GPU": 64, "TPU": 1}}, []string{"GPU 12/64", "TPU 0/1"}},
		"no deaths":            {m{"unexpected_deaths": m{}}, []string{"1 nodes died unexpectedly within 1h0m0s (at most 0 are accepted); the last was"}},
		"deaths accepted":      {m{"unexpected_deaths": m{"max": 1}}, nil},
		"deaths long ago":      {m{"unexpected_deaths": m{"within": "5m"}}, nil},
		"cluster out of reach": {m{"cluster": m{"address": down.URL()}}, []string{"the cluster can't be reached"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf := terraform(t, nil)
			tf.Provider(m{"address": f.URL(), "request_retry": m{"max_attempts": 1}})
			tf.Data("data.ray_cluster_health.h", test.config)
			plan := tf.Plan()
			data := plan.Data("data.ray_cluster_health.h")
			if data == nil {
				t.Fatal(plan.Diagnostics())
			}
			reasons := data["reasons"].([]any)
			if data["healthy"] != (len(test.want) == 0) || len(reasons) != len(test.want) {
				t.Fatalf("got healthy %v, %v, want %v", data["healthy"], reasons, test.want)
			}
			for i, want := range test.want {
				if !strings.HasPrefix(reasons[i].(string), want) {
					t.Errorf("reason %d: got %q, want %q", i, reasons[i], want)
				}
			}
		})
	}
}

func TestHealthOfARefusedCredentialIsAnError(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithToken("s3cret"))
	tf := terraform(t, nil)
	tf.Provider(m{"address": f.URL()})
	tf.Data("data.ray_cluster_health.h", nil)
	plan := tf.Plan()
	if plan.ExitCode() != 1 {
		t.Errorf("got exit code %d, want 1", plan.ExitCode())
	}
	mustContain(t, plan.Diagnostics().Errors(), "(from the provider's address argument) can't be read", "401", "No token was sent")
}

func TestDataSourceWithoutAnyAddress(t *testing.T) {
	t.Parallel()
	tf := terraform(t, nil)
	tf.Data("data.ray_cluster.c", nil)
	plan := tf.Plan()
	if plan.ExitCode() != 1 {
		t.Errorf("got exit code %d, want 1: there is no localhost to fall back to", plan.ExitCode())
	}
	mustContain(t, plan.Diagnostics().Errors(), "No Ray address is set", "RAY_API_SERVER_ADDRESS")
}
