//go:build unix

package autoscaling_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// request is a policy with this resource floor.
func (c cluster) request(floor string) string {
	return strings.Replace(c.config(""), "node_floor = { groups = {} }", "resource_floor = {"+floor+"}", 1)
}

// asked is the cluster-wide request.
func (c cluster) asked(client *gcs.Client) string {
	c.t.Helper()
	now, err := client.Scaling(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	var out []string
	for _, b := range now.Floor {
		out = append(out, b.String())
	}
	return strings.Join(out, ", ")
}

func (c cluster) gcs() *gcs.Client {
	c.t.Helper()
	client, err := gcs.New(gcs.Options{Address: c.head.GCSAddress})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestAccPolicy_resourceFloorHoldsAndIsTakenBack(t *testing.T) {
	t.Parallel()
	version := raytest.AutoscalerV1
	if strings.Contains(filepath.Base(acctest.CLI(t)), "tofu") {
		version = raytest.AutoscalerV2
	}
	c := startCluster(t, raytest.HeadOptions{Autoscaler: version})
	client := c.gcs()
	w := acctest.NewWorkspace(t)
	two := c.request(`bundles = [{ resources = { small = 1 }, count = 2 }]`)
	w.Write("main.tf", two)
	w.Apply()
	if got := c.alive("small"); len(got) != 2 {
		t.Fatalf("after the apply %d nodes are there, want 2", len(got))
	}
	w.PlanNothing()
	c.stays("small", 2, 8*time.Second) // the autoscaler lets idle nodes go after 6 s

	id, err := client.ClusterID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.SetFloor(t.Context(), string(version), id, []ray.Bundle{{Resources: ray.Resources{"small": 1}, Count: 1}}); err != nil {
		t.Fatal(err)
	}
	if r := w.Run("plan", "-detailed-exitcode"); r.ExitCode != 2 || !r.Contains("it is 1 x {small: 1}, ours is 2 x {small: 1}") {
		t.Errorf("the plan does not show that the request was replaced: exit code %d\n%s", r.ExitCode, r.Output)
	}
	w.Apply()
	if version == raytest.AutoscalerV2 {
		w.Write("main.tf", c.request(`bundles = [{ resources = { small = 1 }, count = 9 }, { resources = { small = 64 } }]`))
		r := w.Run("apply", "-auto-approve")
		if r.ExitCode != 1 || !r.Contains("can't grow to hold") || !r.Contains("No node could hold {small: 64} yet") || !r.Contains("none could hold {small: 64}, for they have {small: 1} (node type small)") {
			t.Errorf("an infeasible floor was applied: exit code %d\n%s", r.ExitCode, r.Output)
		}
	}
	if got := c.asked(client); got != "2 x {small: 1}" {
		t.Errorf("the cluster's request is %q", got)
	}
	w.Write("main.tf", two)
	planUntil(t, w, 0) // v2 may have let idle nodes go while the infeasible floor was there
	w.PlanNothing()
	c.eventually("small", 2)
	w.Destroy()
	if got := c.asked(client); got != "" {
		t.Errorf("after the destroy the cluster's request is %q", got)
	}
	c.eventually("small", 0)
}

// A real job with Ray Data leaves the actor behind that takes every request back.
func TestSlowAccPolicy_resourceFloorAfterRayData(t *testing.T) {
	t.Parallel()
	c := startCluster(t, raytest.HeadOptions{Autoscaler: raytest.AutoscalerV2})
	client := c.gcs()
	w := acctest.NewWorkspace(t)
	job := fmt.Sprintf(`
resource "ray_job" "data" {
  name        = "data"
  runtime_env = { env_vars = { PYTHONPATH = %q } }
  command     = ["python", "-c", "import ray, time; print(ray.data.range(100).map_batches(lambda b: b).take_all()[:1]); time.sleep(5)"]
}
`, c.install("pandas", "pyarrow"))
	head, _, _ := strings.Cut(c.config(""), "resource ")
	w.Write("main.tf", head+job)
	w.Apply()
	// A job that is over before the actor could start leaves none.
	for began := time.Now(); ; time.Sleep(time.Second) {
		there, err := client.Coordinated(t.Context())
		if err != nil || time.Since(began) > time.Minute {
			t.Fatalf("Ray Data left no coordinator behind: %v", err)
		}
		if there {
			break
		}
	}
	w.Write("main.tf", c.request(`bundles = [{ resources = { small = 1 } }]`)+job)
	if r := w.Run("apply", "-auto-approve"); r.ExitCode != 1 || !r.Contains("node_floor") || !r.Contains("Policy floor would not stay") {
		t.Errorf("a request that would not stay was applied: exit code %d\n%s", r.ExitCode, r.Output)
	}
	w.Write("main.tf", c.request(`contested = true, bundles = [{ resources = { small = 1 } }]`)+job)
	w.Apply()
	began := time.Now()
	for c.asked(client) != "" {
		if time.Since(began) > time.Minute {
			t.Fatalf("after %s the cluster's request is %q", time.Since(began).Round(time.Second), c.asked(client))
		}
		time.Sleep(time.Second)
	}
	t.Logf("the request was taken back after %s", time.Since(began).Round(time.Second))
	if r := w.Run("plan", "-detailed-exitcode"); r.ExitCode != 2 || !r.Contains("is gone") {
		t.Errorf("the plan does not show it: exit code %d\n%s", r.ExitCode, r.Output)
	}
	w.Destroy()
}

// v2 keeps the request in the memory of the GCS: with Redis the cluster is the same
// after a restart, and the request is gone. That of v1 is a key, which Redis keeps.
func TestSlowAccPolicy_resourceFloorAndRestart(t *testing.T) {
	t.Parallel()
	t.Run("v1", func(t *testing.T) {
		t.Parallel()
		c, w, before := restartedWithFloor(t, raytest.AutoscalerV1)
		planUntil(t, w, 0) // until the node, which died with the head, is replaced
		c.stays("small", 1, 10*time.Second)
		if got := c.asked(c.gcs()); got != "1 x {small: 1}" {
			t.Errorf("the cluster's request is %q", got)
		}
		if after := w.Attributes("ray_autoscaling_policy.floor")["cluster_id"]; after != before {
			t.Errorf("cluster id %v, want %v: the head has its Redis", after, before)
		}
		w.Destroy()
		c.eventually("small", 0)
	})
	t.Run("v2", func(t *testing.T) {
		t.Parallel()
		c, w, before := restartedWithFloor(t, raytest.AutoscalerV2)
		if r := planUntil(t, w, 2); !r.Contains("is gone, as after a restart of the head") {
			t.Errorf("the plan does not say why:\n%s", r.Output)
		}
		w.Apply()
		if got := len(c.alive("small")); got != 1 {
			t.Errorf("after the apply %d nodes are there, want 1", got)
		}
		if after := w.Attributes("ray_autoscaling_policy.floor")["cluster_id"]; after != before {
			t.Errorf("cluster id %v, want %v: the head has its Redis", after, before)
		}
		w.PlanNothing()
		w.Destroy()
	})
}

// restartedWithFloor applies a resource floor of one node, and restarts the head with
// its Redis. The node dies with the head, and Ray has found that out.
func restartedWithFloor(t *testing.T, version raytest.Autoscaler) (c cluster, w *acctest.Workspace, clusterID any) {
	t.Helper()
	acctest.CLI(t)
	redis, err := raytest.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	c = startCluster(t, raytest.HeadOptions{Autoscaler: version, Redis: redis})
	w = acctest.NewWorkspace(t)
	w.Write("main.tf", c.request(`bundles = [{ resources = { small = 1 } }]`))
	w.Apply()
	clusterID = w.Attributes("ray_autoscaling_policy.floor")["cluster_id"]
	old := c.alive("small")
	if err := c.head.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.head.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); slices.ContainsFunc(c.alive("small"), func(id string) bool { return slices.Contains(old, id) }); time.Sleep(time.Second) {
		if time.Since(began) > time.Minute {
			t.Fatalf("node %v is still alive", old)
		}
	}
	return c, w, clusterID
}
