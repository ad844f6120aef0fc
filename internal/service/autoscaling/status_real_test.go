//go:build unix

package autoscaling_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// What a real autoscaler says of nodes that come, launches that fail and work that
// can't be placed.
func TestRealStatus(t *testing.T) {
	t.Parallel()
	for _, version := range []raytest.Autoscaler{raytest.AutoscalerV1, raytest.AutoscalerV2} {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			head, err := raytest.StartHead(t.Context(), raytest.HeadOptions{Autoscaler: version})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = head.Stop() })
			api, err := dashboard.New(dashboard.Options{URL: head.DashboardURL})
			if err != nil {
				t.Fatal(err)
			}
			for _, resource := range []string{"small", "broken", "unheard_of"} {
				job := ray.Submission{SubmissionID: resource, Entrypoint: "sleep 1000", Resources: ray.Resources{resource: 1}}
				if err := api.Submit(t.Context(), job); err != nil {
					t.Fatal(err)
				}
			}
			client, err := gcs.New(gcs.Options{Address: head.GCSAddress})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Close() })
			id, err := client.ClusterID(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := client.SetFloor(t.Context(), string(version), id, []ray.Bundle{{Resources: ray.Resources{"small": 64}, Count: 2}}); err != nil {
				t.Fatal(err)
			}
			wants := map[string]string{
				"floor":             "count:2 label_selectors:[] resources:map[small:64]",
				"floor_infeasible":  "<nil>",
				"floor_contested":   "false",
				"node_floors":       "[]",
				"autoscaler":        string(version),
				"pending_launches":  "node_type:broken",
				"failed_launches":   "node_type:broken reason:OutOfStock: nodes of type broken can not be launched",
				"pending_demand":    "resources:map[unheard_of:1]",
				"infeasible_demand": "<nil>",
				"nodes":             "small:map[alive:1",
			}
			if version == raytest.AutoscalerV2 {
				wants["infeasible_demand"] = "resources:map[unheard_of:1]"
				wants["failed_launches"] = "node_type:broken reason:<nil>" // v2 drops what the provider said
				wants["floor_infeasible"] = "true"
				delete(wants, "pending_launches") // it fails within a second
			}
			tf := statusCore(t, head.DashboardURL)
			for began := time.Now(); ; time.Sleep(time.Second) {
				got := tf.Plan().Data("data.ray_autoscaler_status.this")
				missing := ""
				for name, want := range wants {
					if text := fmt.Sprint(got[name]); !strings.Contains(text, want) {
						missing += fmt.Sprintf("%s is %s, want %s in it\n", name, text, want)
					}
				}
				if missing == "" {
					return
				}
				if time.Since(began) > time.Minute {
					t.Fatal(missing)
				}
			}
		})
	}
}
