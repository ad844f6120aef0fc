package cluster_test

import (
	"fmt"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// TestAccConnection_everyAddressFormFindsTheCluster writes one address of each
// form and lets the connection find the rest. The shared head's client port is not
// Ray's default, so that ray:// opens a session.
func TestAccConnection_everyAddressFormFindsTheCluster(t *testing.T) {
	t.Parallel()
	shared := acctest.Shared(t)
	api, err := dashboard.New(dashboard.Options{URL: shared.DashboardURL})
	if err != nil {
		t.Fatal(err)
	}
	info, err := api.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{"http": shared.DashboardURL, "gcs": shared.GCSAddress, "client": shared.ClientAddress} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := acctest.NewWorkspace(t)
			w.Write("main.tf", fmt.Sprintf(acctest.RequiredProviders+`
resource "ray_cluster_connection" "x" {
  address              = %q
  required_ray_version = ">= 2.9, < 4"
  ready_when           = { nodes = 1, resources = { CPU = 1 } }
}

data "ray_cluster" "x" {
  cluster = ray_cluster_connection.x.cluster
}

data "ray_cluster_resources" "x" {
  cluster       = ray_cluster_connection.x.cluster
  include_usage = true
}

data "ray_nodes" "x" {
  cluster = ray_cluster_connection.x.cluster
}

data "ray_cluster_health" "x" {
  cluster           = ray_cluster_connection.x.cluster
  min_nodes         = 1
  unexpected_deaths = { max = 100 }
}

output "found" {
  value = join(" ", [
    data.ray_cluster.x.cluster_id, data.ray_nodes.x.source, data.ray_nodes.x.nodes[0].head, data.ray_cluster_health.x.healthy,
    data.ray_cluster_resources.x.total["CPU"] >= data.ray_cluster_resources.x.available["CPU"],
  ])
}
`, address))
			w.Apply()
			x := w.Attributes("ray_cluster_connection.x")
			wants := map[string]any{
				"cluster_id": info.ClusterID, "observed_cluster_id": info.ClusterID, "ray_version": info.RayVersion,
				"dashboard_url_effective": shared.DashboardURL, "id": address, "ready": true,
			}
			for k, want := range wants {
				if x[k] != want {
					t.Errorf("%s: got %v, want %v", k, x[k], want)
				}
			}
			if got, want := w.Output("found"), info.ClusterID+" gcs true true true"; got != want {
				t.Errorf("found: got %v, want %s", got, want)
			}
			w.PlanNothing()
		})
	}
}
