//go:build unix

package gcs_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// A floor on a real autoscaler: read back, refused for another cluster, made true,
// infeasible.
func TestRealFloor(t *testing.T) {
	t.Parallel()
	for _, version := range []raytest.Autoscaler{raytest.AutoscalerV1, raytest.AutoscalerV2} {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			head, err := raytest.StartHead(t.Context(), raytest.HeadOptions{Autoscaler: version})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = head.Stop() })
			c := client(t, head.GCSAddress)
			id, err := c.ClusterID(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := c.SetFloor(t.Context(), string(version), headID, []ray.Bundle{small(1)}); !ray.IsKind(err, ray.KindWrongCluster) {
				t.Errorf("SetFloor of another cluster: %v, want an error of kind wrong cluster", err)
			}
			set := func(floor ...ray.Bundle) {
				t.Helper()
				if err := c.SetFloor(t.Context(), string(version), id, floor); err != nil {
					t.Fatal(err)
				}
				if got := scaling(t, c); got.Autoscaler != string(version) || !ray.SameBundles(got.Floor, floor) {
					t.Errorf("%s has the floor %v, want %s with %v", got.Autoscaler, got.Floor, version, floor)
				}
			}
			labelled := ray.Bundle{Resources: ray.Resources{"CPU": 1}, Selectors: []ray.LabelSelector{{"tier": "in(small,other)"}}, Count: 1}
			if version == raytest.AutoscalerV2 {
				set(labelled)
			} else {
				set(small(1))
			}
			within(t, "a node of type small", func() bool {
				nodes, err := c.Nodes(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range nodes {
					if n.Alive() && n.NodeType == "small" {
						return true
					}
				}
				return false
			})
			if version == raytest.AutoscalerV2 {
				set(small(9))
				within(t, "the floor to be infeasible", func() bool { return ray.SameBundles(scaling(t, c).InfeasibleFloor, []ray.Bundle{small(9)}) })
			}
			set(ray.Bundle{Resources: ray.Resources{"broken": 1}, Count: 1})
			within(t, "the launch that fails", func() bool {
				return slices.ContainsFunc(scaling(t, c).Launches.Failed, func(l gcs.Launch) bool { return l.NodeType == "broken" })
			})
			set()
		})
	}
}

// within waits until something is so.
func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}
