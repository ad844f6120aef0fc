//go:build unix

package autoscaling_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
)

// idle is the idleTimeoutSeconds of the RayCluster below.
const idle = 5 * time.Second

// startKubeRay is a RayCluster whose pods run Ray, with none of its workers to start
// with. Workers of group cpu have the custom resource worker and the label tier=small.
func startKubeRay(t *testing.T) (*groups, *kubetest.Pods, cluster) {
	t.Helper()
	acctest.CLI(t) // skips where there is none
	g := rayCluster(t, func(o kubetest.Object) {
		o["spec"].(kubetest.Object)["autoscalerOptions"].(kubetest.Object)["idleTimeoutSeconds"] = int(idle.Seconds())
		cpu := groupOf(o, 0)
		cpu["minReplicas"], cpu["replicas"], cpu["maxReplicas"] = 0, 0, 2
		cpu["rayStartParams"] = kubetest.Object{"resources": `"{\"worker\": 1}"`}
		cpu["labels"] = kubetest.Object{"tier": "small"}
	})
	pods, err := g.object.RunPods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(g.server.Log())
		}
		if err := pods.Err(); err != nil {
			t.Error(err)
		}
		if err := pods.Close(); err != nil {
			t.Error(err)
		}
	})
	return g, pods, clusterOf(t, pods.Head)
}

// A floor of nodes holds the workers of a RayCluster against KubeRay's idle timeout, and
// gets what the bounds of their group do not let it have once they are wider.
func TestAccPolicy_kubeRay(t *testing.T) {
	t.Parallel()
	g, pods, c := startKubeRay(t)
	w := acctest.NewWorkspace(t)
	write := func(policies ...string) {
		w.Write("main.tf", fmt.Sprintf(acctest.RequiredProviders+`
provider "ray" {
  address    = "kuberay://default/%s"
  owner      = "team/a"
  kubernetes = { config_path = %q }
}
%s`, g.object.Name, g.server.Admin.Kubeconfig, strings.Join(policies, "")))
	}
	floor := func(count int, by string) string {
		return fmt.Sprintf(`
resource "ray_autoscaling_policy" "floor" {
  name       = "floor"
  node_floor = { groups = { workers = { count = %d, %s } } }
}
`, count, by)
	}
	const byResource, byLabel = `resource = "worker"`, `label_selector = { tier = "small" }`
	bounds := func(members string) string {
		return fmt.Sprintf(`
resource "ray_autoscaling_policy" "bounds" {
  name = "bounds"
  worker_groups = {
    groups     = { cpu = { %s } }
    on_destroy = "restore"
  }
}
`, members)
	}

	write(floor(2, byResource))
	w.Apply()
	if n := len(c.alive("worker")); n != 2 {
		t.Errorf("%d workers after the apply, want 2", n)
	}
	c.stays("worker", 2, 2*idle)
	w.PlanNothing()

	// Who has a floor of three and lets the group have two waits, whichever comes first.
	write(floor(3, byLabel), bounds("max_replicas = 3"))
	w.Apply()
	c.stays("worker", 3, idle)
	g.mustBe(`{"idleTimeoutSeconds":5,"version":"v2"} cpu:3 in 0..3 idle - gpu:0 in 0..2 idle -`)
	w.PlanNothing()

	// The operator makes another pod where one has failed, and the floor is whole again.
	three := func(nodes []string) bool { return len(nodes) == 3 && !slices.Contains(nodes, "") }
	before, killed := c.heldBy(time.Minute, three), time.Now()
	if err := pods.Kill(t.Context(), pods.Workers()[0]); err != nil {
		t.Fatal(err)
	}
	c.heldBy(3*time.Minute, func(nodes []string) bool { return three(nodes) && !slices.Equal(nodes, before) })
	t.Logf("the floor was whole again %s after one of its pods was killed", time.Since(killed).Round(time.Second))
	w.PlanNothing()

	write(bounds("min_replicas = 1"))
	w.Apply()
	c.eventually("worker", 1)
	c.stays("worker", 1, 2*idle)
	w.PlanNothing()

	w.Destroy()
	c.eventually("worker", 0)
	c.nothingLeft()
	const asMade = `{"idleTimeoutSeconds":5,"version":"v2"} cpu:0 in 0..2 idle - gpu:0 in 0..2 idle -`
	if err := g.object.WaitFor(t.Context(), "to be as it was made", func(kubetest.Object) error {
		if now := g.spec(); now != asMade {
			return fmt.Errorf("it is %s, want %s", now, asMade)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
