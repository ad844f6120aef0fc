//go:build unix

package autoscaling_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// cluster is a real autoscaling head, and what Ray itself says of it.
type cluster struct {
	t    *testing.T
	head *raytest.Head
	api  *dashboard.Client
}

func startCluster(t *testing.T, o raytest.HeadOptions) cluster {
	t.Helper()
	acctest.CLI(t) // skips where there is none
	head, err := raytest.StartHead(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = head.Stop() })
	api, err := dashboard.New(dashboard.Options{URL: head.DashboardURL})
	if err != nil {
		t.Fatal(err)
	}
	return cluster{t, head, api}
}

// config is a policy with these groups.
func (c cluster) config(groups string) string {
	return fmt.Sprintf(`
terraform {
  required_providers {
    ray = { source = "ray-iac/ray" }
  }
}

provider "ray" {
  address = %q
  owner   = "team/a"
}

resource "ray_autoscaling_policy" "floor" {
  name       = "floor"
  node_floor = { groups = {%s} }
}
`, c.head.DashboardURL, groups)
}

// alive are the ids of the nodes with the resource that are alive.
func (c cluster) alive(resource string) (ids []string) {
	c.t.Helper()
	nodes, err := c.api.Nodes(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, n := range nodes {
		if n.Alive() && n.Total[resource] > 0 {
			ids = append(ids, n.NodeID)
		}
	}
	return ids
}

// eventually waits until there are so many nodes with the resource.
func (c cluster) eventually(resource string, want int) {
	c.t.Helper()
	began := time.Now()
	for len(c.alive(resource)) != want {
		if time.Since(began) > 2*time.Minute {
			c.t.Fatalf("%d nodes have %s, want %d", len(c.alive(resource)), resource, want)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// stays fails where there are ever fewer nodes with the resource.
func (c cluster) stays(resource string, want int, d time.Duration) {
	c.t.Helper()
	for began := time.Now(); time.Since(began) < d; time.Sleep(500 * time.Millisecond) {
		if got := c.alive(resource); len(got) < want {
			c.t.Fatalf("after %s %d nodes have %s, want %d held", time.Since(began).Round(time.Second), len(got), resource, want)
		}
	}
}

// groups are the placement groups that are there.
func (c cluster) groups() []ray.PlacementGroup {
	c.t.Helper()
	groups, err := c.api.PlacementGroups(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return groups
}

// nothingLeft asks Ray whether groups or jobs of the policy are left.
func (c cluster) nothingLeft() {
	c.t.Helper()
	if groups := c.groups(); len(groups) > 0 {
		c.t.Errorf("placement groups are left: %+v", groups)
	}
	c.noJobs()
}

func (c cluster) noJobs() {
	c.t.Helper()
	jobs, err := c.api.ListJobs(c.t.Context(), func(id string) bool { return strings.HasPrefix(id, "ray_autoscaling_policy.") })
	if err != nil {
		c.t.Fatal(err)
	}
	for _, j := range jobs {
		c.t.Errorf("job %s is left, %s", j.SubmissionID, j.Status)
	}
}

// Each CLI runs one of the autoscalers: which one it is makes no difference to a CLI.
func TestAccPolicy_nodeFloorHoldsAndLetsGo(t *testing.T) {
	t.Parallel()
	version := raytest.AutoscalerV2
	if strings.Contains(filepath.Base(acctest.CLI(t)), "tofu") {
		version = raytest.AutoscalerV1
	}
	c := startCluster(t, raytest.HeadOptions{Autoscaler: version})
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", c.config(`small = { count = 2, resource = "small" }`))
	w.Apply()
	first := c.alive("small")
	if len(first) != 2 {
		t.Fatalf("after the apply %d nodes are there, want 2", len(first))
	}
	w.PlanNothing()
	c.stays("small", 2, 10*time.Second) // the autoscaler lets idle nodes go after 6 s

	groups := `small = { count = 1, resource = "small" }`
	if version == raytest.AutoscalerV2 {
		groups += `
big = { count = 1, label_selector = { tier = "in(big, huge)" } }`
	}
	w.Write("main.tf", c.config(groups))
	w.Apply()
	c.eventually("small", 1)
	if kept := c.alive("small")[0]; !slices.Contains(first, kept) {
		t.Errorf("node %s is held after the change, want one of %v", kept, first)
	}
	w.PlanNothing()
	if version == raytest.AutoscalerV2 {
		c.stays("big", 1, 10*time.Second)
	}
	w.Destroy()
	c.eventually("small", 0)
	c.eventually("big", 0)
	c.nothingLeft()
}

// killRaylet kills the node's raylet, which this machine runs.
func killRaylet(t *testing.T, node string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range lines {
		line, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(line), "--node_id="+node) || !strings.HasSuffix(strings.SplitN(string(line), "\x00", 2)[0], "/raylet") {
			continue // it may have ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no raylet of node %s was found", node)
}

// planUntil plans until the plan is as wanted; it returns that plan.
func planUntil(t *testing.T, w *acctest.Workspace, code int) *acctest.Result {
	t.Helper()
	began := time.Now()
	for {
		r := w.Run("plan", "-detailed-exitcode")
		if r.ExitCode == code {
			t.Logf("exit code %d after %s", code, time.Since(began).Round(time.Second))
			return r
		}
		if r.ExitCode == 1 || time.Since(began) > 2*time.Minute {
			t.Fatalf("exit code %d, want %d\n%s", r.ExitCode, code, r.Output)
		}
	}
}

// Ray notices the death after some 14 s, and autoscaler v2 starts another node. v1 with
// the test's provider does not, since the provider still calls the node running.
func TestSlowAccPolicy_heldNodeIsKilled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, raytest.HeadOptions{Autoscaler: raytest.AutoscalerV2})
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", c.config(`small = { count = 1, resource = "small" }`))
	w.Apply()
	node := c.alive("small")[0]
	killRaylet(t, node)
	r := planUntil(t, w, 2)
	if !r.Contains("0 of 1 nodes held, others died") {
		t.Errorf("the plan does not say why:\n%s", r.Output)
	}
	w.Apply() // waits until the autoscaler has mended it
	if alive := c.alive("small"); len(alive) != 1 || alive[0] == node {
		t.Errorf("alive are %v, want another than %s", alive, node)
	}
	w.PlanNothing()
	w.Destroy()
	c.nothingLeft()
}

func TestSlowAccPolicy_headRestarts(t *testing.T) {
	t.Parallel()
	for name, withRedis := range map[string]bool{"with Redis": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			acctest.CLI(t)
			var o = raytest.HeadOptions{Autoscaler: raytest.AutoscalerV2}
			if withRedis {
				redis, err := raytest.StartRedis(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = redis.Close() })
				o.Redis = redis
			}
			c := startCluster(t, o)
			w := acctest.NewWorkspace(t)
			w.Write("main.tf", c.config(`small = { count = 1, resource = "small" }`))
			w.Apply()
			before := w.Attributes("ray_autoscaling_policy.floor")["cluster_id"]
			if err := c.head.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.head.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := w.Run("plan", "-detailed-exitcode")
			t.Logf("the plan after the restart: exit code %d, %+v\n%s", r.ExitCode, c.groups(), r.Output)
			if !withRedis && (r.ExitCode != 2 || !r.Contains("the cluster was replaced")) {
				t.Errorf("the plan does not show a replaced cluster")
			}
			w.Apply()
			if groups := c.groups(); len(groups) != 1 || groups[0].State != ray.PlacementCreated {
				t.Errorf("after the apply: %+v, want one group that is CREATED", groups)
			}
			if len(c.alive("small")) == 0 {
				t.Error("no node is alive")
			}
			if after := w.Attributes("ray_autoscaling_policy.floor")["cluster_id"]; (after == before) != withRedis {
				t.Errorf("cluster id %v, before %v", after, before)
			}
			w.PlanNothing()
			w.Destroy()
			c.nothingLeft()
		})
	}
}

// Ray Data overwrites the cluster-wide resource request every 20 s, for as long as
// the cluster lives. A node floor is none of that.
func TestSlowAccPolicy_besideRayData(t *testing.T) {
	t.Parallel()
	c := startCluster(t, raytest.HeadOptions{Autoscaler: raytest.AutoscalerV2})
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", c.config(`small = { count = 2, resource = "small" }`)+`
resource "ray_job" "data" {
  depends_on  = [ray_autoscaling_policy.floor]
  name        = "data"
  runtime_env = { pip = { packages = ["pandas", "pyarrow"] } }
  command     = ["python", "-c", "import ray; print(ray.data.range(100).map_batches(lambda b: b).count())"]
}
`)
	w.Apply()
	held := c.alive("small")
	c.stays("small", 2, 75*time.Second)
	for _, node := range held {
		if !slices.Contains(c.alive("small"), node) {
			t.Errorf("node %s is gone, want it held", node)
		}
	}
	w.PlanNothing()
	w.Destroy()
	c.eventually("small", 0)
	c.nothingLeft()
}
