package gcs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// scalingState is a cluster that runs an autoscaler.
func scalingState(version string) raytest.GCSState {
	s := raytest.GCSState{Nodes: nodes()}
	s.Nodes[0].NodeType = "ray.head.default"
	switch version {
	case gcs.AutoscalerV1:
		s.KV = map[string]map[string][]byte{
			"__autoscaler": {"__autoscaler_v2_enabled": []byte("0")},
			"":             {"__autoscaling_status": []byte(`{"autoscaler_report": {"active_nodes": {"ray.head.default": 1}, "pending_launches": {"small": 2}}}`)},
		}
	case gcs.AutoscalerV2:
		s.KV = map[string]map[string][]byte{"__autoscaler": {"__autoscaler_v2_enabled": []byte("1")}}
		s.Autoscaling = &raypb.AutoscalingState{}
	}
	return s
}

func small(count int) ray.Bundle {
	return ray.Bundle{Resources: ray.Resources{"small": 1}, Count: count}
}

func TestScaling_ofV2(t *testing.T) {
	t.Parallel()
	state := scalingState(gcs.AutoscalerV2)
	cpu := func(n float64) *raypb.ResourceRequest {
		// Ray adds an empty selector to what has none.
		return &raypb.ResourceRequest{ResourcesBundle: map[string]float64{"CPU": n}, LabelSelectors: []*raypb.LabelSelector{{}}}
	}
	group := &raypb.GangResourceRequest{Requests: []*raypb.ResourceRequest{cpu(1), cpu(1)}, Details: "b2b2:STRICT_SPREAD|PENDING"}
	state.Waiting = []*raypb.ResourceRequestByCount{{Request: cpu(64), Count: 3}}
	state.WaitingGroups = []*raypb.GangResourceRequest{group}
	state.Autoscaling = &raypb.AutoscalingState{
		PendingInstanceRequests:        []*raypb.PendingInstanceRequest{{RayNodeTypeName: "small", Count: 1, RequestTs: at(1).Unix()}},
		InfeasibleResourceRequests:     []*raypb.ResourceRequest{cpu(64), cpu(64), cpu(64)},
		InfeasibleGangResourceRequests: []*raypb.GangResourceRequest{group},
	}
	waiting := []gcs.Demand{
		{Bundle: ray.Bundle{Resources: ray.Resources{"CPU": 64}, Count: 3}},
		{Bundle: ray.Bundle{Resources: ray.Resources{"CPU": 1}, Count: 2}, Strategy: "STRICT_SPREAD"},
	}
	want := gcs.Scaling{
		Autoscaler: gcs.AutoscalerV2, Waiting: waiting, InfeasibleDemand: waiting,
		Launches: gcs.Launches{
			Pending:          []gcs.Launch{{NodeType: "small", Count: 1, RequestedAt: at(1)}},
			Infeasible:       []ray.Resources{{"CPU": 64}},
			InfeasibleGroups: waiting[1:],
		},
	}
	_, c := start(t, state)
	got, err := c.Scaling(t.Context())
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(gcs.Scaling{})); diff != "" || err != nil {
		t.Errorf("scaling, %v (-want +got):\n%s", err, diff)
	}
}

func TestScaling_ofV1(t *testing.T) {
	t.Parallel()
	_, c := start(t, scalingState(gcs.AutoscalerV1))
	want := gcs.Scaling{Autoscaler: gcs.AutoscalerV1, Launches: gcs.Launches{Pending: []gcs.Launch{{NodeType: "small", Count: 2}}}}
	got, err := c.Scaling(t.Context())
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(gcs.Scaling{})); diff != "" || err != nil {
		t.Errorf("scaling, %v (-want +got):\n%s", err, diff)
	}
}

func TestSetFloor_isReadBackInItsNormalForm(t *testing.T) {
	t.Parallel()
	labelled := ray.Bundle{Resources: ray.Resources{"CPU": 1, "GPU": 0}, Selectors: []ray.LabelSelector{{"tier": "!in(big, small)"}}, Count: 1}
	for version, want := range map[string][]ray.Bundle{
		gcs.AutoscalerV1: {small(3)},
		gcs.AutoscalerV2: {{Resources: ray.Resources{"CPU": 1}, Selectors: []ray.LabelSelector{{"tier": "!in(big,small)"}}, Count: 1}, small(3)},
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			fake, c := start(t, scalingState(version))
			floor := []ray.Bundle{small(1), small(2)}
			if version == gcs.AutoscalerV2 {
				floor = append(floor, labelled)
			}
			for _, step := range []struct{ write, want []ray.Bundle }{{floor, want}, {nil, nil}} {
				if err := c.SetFloor(t.Context(), version, strings.Repeat("c1", 28), step.write); err != nil {
					t.Fatal(err)
				}
				got, err := c.Scaling(t.Context())
				if diff := cmp.Diff(step.want, got.Floor); diff != "" || err != nil {
					t.Errorf("floor after writing %v, %v (-want +got):\n%s", step.write, err, diff)
				}
			}
			// v1 forgets nothing when the key is gone: to take it back is to write none.
			if version == gcs.AutoscalerV1 {
				fake.Update(func(s *raytest.GCSState) {
					if got := string(s.KV[""]["autoscaler_resource_request"]); got != "[]" {
						t.Errorf("v1's key holds %q, want []", got)
					}
				})
			}
		})
	}
}

func TestTakenSince(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("c1", 28)
	set := func(t *testing.T, c *gcs.Client, version string) gcs.Scaling {
		t.Helper()
		if err := c.SetFloor(t.Context(), version, id, []ray.Bundle{small(2)}); err != nil {
			t.Fatal(err)
		}
		return scaling(t, c)
	}
	t.Run("v1", func(t *testing.T) {
		fake, c := start(t, scalingState(gcs.AutoscalerV1))
		first := set(t, c, gcs.AutoscalerV1)
		if scaling(t, c).TakenSince(first) {
			t.Error("taken before v1 has reported it")
		}
		fake.Update(func(s *raytest.GCSState) {
			s.KV[""]["__autoscaling_status"] = []byte(`{"autoscaler_report": {"active_nodes": {"head": 1}}, "load_metrics_report": {"request_demand": [[{"small": 1}, 2]]}}`)
		})
		if !scaling(t, c).TakenSince(first) {
			t.Error("not taken, though v1 has reported it")
		}
	})
	t.Run("v2", func(t *testing.T) {
		state := scalingState(gcs.AutoscalerV2)
		state.Asleep = true
		fake, c := start(t, state)
		first := set(t, c, gcs.AutoscalerV2)
		if scaling(t, c).TakenSince(first) {
			t.Error("taken before v2 has made a round")
		}
		fake.Update(func(s *raytest.GCSState) { s.Asleep = false })
		if !scaling(t, c).TakenSince(first) {
			t.Error("not taken, though v2 has made a round")
		}
		if err := c.SetFloor(t.Context(), gcs.AutoscalerV2, id, nil); err != nil {
			t.Fatal(err)
		}
		if scaling(t, c).TakenSince(first) {
			t.Error("taken, though it was replaced")
		}
	})
}

func TestCoordinated(t *testing.T) {
	t.Parallel()
	for _, want := range []bool{false, true} {
		_, c := start(t, raytest.GCSState{Coordinated: want})
		if got, err := c.Coordinated(t.Context()); got != want || err != nil {
			t.Errorf("Coordinated = %t, %v, want %t", got, err, want)
		}
	}
}

func TestSetFloor_sendsNothingThatItShouldNot(t *testing.T) {
	t.Parallel()
	fake, c := start(t, scalingState(gcs.AutoscalerV2))
	id := strings.Repeat("c1", 28)
	labelled := []ray.Bundle{{Resources: ray.Resources{"CPU": 1}, Selectors: []ray.LabelSelector{{"tier": "big"}}, Count: 1}}
	for _, tc := range []struct {
		name, autoscaler, id string
		floor                []ray.Bundle
		want                 ray.Kind
	}{
		{"another cluster", gcs.AutoscalerV2, headID, []ray.Bundle{small(1)}, ray.KindWrongCluster},
		{"another cluster, v1", gcs.AutoscalerV1, headID, []ray.Bundle{small(1)}, ray.KindWrongCluster},
		{"no autoscaler", gcs.AutoscalerNone, id, []ray.Bundle{small(1)}, ray.KindUnsupported},
		{"labels on v1", gcs.AutoscalerV1, id, labelled, ray.KindUnsupported},
		{"a negative amount", gcs.AutoscalerV2, id, []ray.Bundle{{Resources: ray.Resources{"CPU": -1}, Count: 1}}, ray.KindInvalid},
		{"more than an autoscaler can pack", gcs.AutoscalerV2, id, []ray.Bundle{small(gcs.MaxFloor + 1)}, ray.KindInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := c.SetFloor(t.Context(), tc.autoscaler, tc.id, tc.floor); !ray.IsKind(err, tc.want) {
				t.Errorf("SetFloor: %v, want an error of kind %s", err, tc.want)
			}
		})
	}
	fake.Update(func(s *raytest.GCSState) {
		if _, written := s.KV[""]["autoscaler_resource_request"]; s.Floor != nil || written {
			t.Error("a refused floor was written")
		}
	})
}

func scaling(t *testing.T, c *gcs.Client) gcs.Scaling {
	t.Helper()
	s, err := c.Scaling(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
