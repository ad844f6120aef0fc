//go:build unix

package autoscaling_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
	return clusterOf(t, head)
}

func clusterOf(t *testing.T, head *raytest.Head) cluster {
	t.Helper()
	api, err := dashboard.New(dashboard.Options{URL: head.DashboardURL})
	if err != nil {
		t.Fatal(err)
	}
	return cluster{t, head, api}
}

// config is a policy with these groups.
func (c cluster) config(groups string) string {
	return fmt.Sprintf(acctest.RequiredProviders+`
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

// heldBy waits until the one placement group is placed on nodes that will do, and returns
// them, sorted.
func (c cluster) heldBy(patience time.Duration, do func(nodes []string) bool) []string {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		groups := c.groups()
		if len(groups) == 1 && groups[0].State == ray.PlacementCreated {
			var nodes []string
			for _, b := range groups[0].Bundles {
				nodes = append(nodes, b.NodeID)
			}
			if slices.Sort(nodes); do(nodes) {
				return nodes
			}
		}
		if time.Since(began) > patience {
			c.t.Fatalf("after %s the placement groups are %+v", patience, groups)
		}
	}
}

// nothingLeft asks Ray whether groups or jobs of the policy are left.
func (c cluster) nothingLeft() {
	c.t.Helper()
	if groups := c.groups(); len(groups) > 0 {
		c.t.Errorf("placement groups are left: %+v", groups)
	}
	c.noJobs()
}

// get is what the dashboard answers.
func (c cluster) get(path string) string {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.head.DashboardURL+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing is written
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
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

// autoscalerOf gives each CLI one of the autoscalers: which one it is makes no
// difference to a CLI.
func autoscalerOf(t *testing.T) raytest.Autoscaler {
	t.Helper()
	if strings.Contains(filepath.Base(acctest.CLI(t)), "tofu") {
		return raytest.AutoscalerV1
	}
	return raytest.AutoscalerV2
}

func TestAccPolicy_nodeFloorHoldsAndLetsGo(t *testing.T) {
	t.Parallel()
	version := autoscalerOf(t)
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
big = { count = 1, label_selector = { tier = "in(any, big)" } }`
	}
	w.Write("main.tf", c.config(groups)+`
data "ray_autoscaler_status" "after" {
  depends_on = [ray_autoscaling_policy.floor]
}

output "floors" {
  value = join(", ", [for f in data.ray_autoscaler_status.after.node_floors : "${f.policy} ${f.group} ${f.ours} ${f.held}/${f.count}"])
}
`)
	w.Apply()
	if got, _ := w.Output("floors").(string); !strings.Contains(got, "floor small true 1/1") {
		t.Errorf("ray_autoscaler_status tells of node floors %q", got)
	}
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

// Two configurations with policies of the same owner and name, applied at once: one
// placement group for both, and of two resource requests that of the later writer.
func TestSlowAccPolicy_twoRunsAtOnce(t *testing.T) {
	t.Parallel()
	c := startCluster(t, raytest.HeadOptions{Autoscaler: raytest.AutoscalerV2})
	a, b := acctest.NewWorkspace(t), acctest.NewWorkspace(t)
	apply := func(first, second string) (ra, rb *acctest.Result) {
		a.Write("main.tf", first)
		b.Write("main.tf", second)
		pa, pb := a.Start("apply", "-auto-approve"), b.Start("apply", "-auto-approve")
		return pa.Wait(), pb.Wait()
	}
	floor := c.config(`small = { count = 1, resource = "small" }`)
	ra, rb := apply(floor, floor)
	if ra.ExitCode != 0 || rb.ExitCode != 0 {
		t.Fatalf("exit codes %d and %d\n%s\n%s", ra.ExitCode, rb.ExitCode, ra.Output, rb.Output)
	}
	if told := "Policy floor was taken over"; !ra.Contains(told) && !rb.Contains(told) {
		t.Errorf("neither apply tells of the other:\n%s\n%s", ra.Output, rb.Output)
	}
	if groups := c.groups(); len(groups) != 1 || groups[0].Placed() != 1 {
		t.Errorf("placement groups: %+v, want one of one node", groups)
	}
	a.PlanNothing()
	b.PlanNothing()
	a.Destroy()
	if r := planUntil(t, b, 2); !r.Contains("its placement group is not there") {
		t.Errorf("the plan does not say why:\n%s", r.Output)
	}
	b.Destroy()
	c.nothingLeft()

	one, two := c.request(`bundles = [{ resources = { small = 1 }, count = 1 }]`), c.request(`bundles = [{ resources = { small = 1 }, count = 2 }]`)
	ra, rb = apply(one, two)
	asked := c.asked(c.gcs())
	for name, side := range map[string]struct {
		w     *acctest.Workspace
		apply *acctest.Result
		wants string
	}{"one": {a, ra, "1 x {small: 1}"}, "two": {b, rb, "2 x {small: 1}"}} {
		plan := side.w.Run("plan", "-detailed-exitcode")
		switch {
		case side.wants == asked && (side.apply.ExitCode != 0 || plan.ExitCode != 0):
			t.Errorf("%s is what the cluster is asked: apply %d, plan %d\n%s\n%s", name, side.apply.ExitCode, plan.ExitCode, side.apply.Output, plan.Output)
		case side.wants != asked && side.apply.ExitCode == 0 && (plan.ExitCode != 2 || !plan.Contains("somebody replaced the cluster-wide resource request")):
			t.Errorf("%s was replaced, and nothing says so: plan %d\n%s", name, plan.ExitCode, plan.Output)
		case side.wants != asked && side.apply.ExitCode != 0 && !side.apply.Contains("replaced the cluster-wide resource request meanwhile"):
			t.Errorf("%s failed for another reason:\n%s", name, side.apply.Output)
		}
		t.Logf("%s: apply %d, plan %d", name, side.apply.ExitCode, plan.ExitCode)
	}
	if asked != "1 x {small: 1}" && asked != "2 x {small: 1}" {
		t.Errorf("the cluster is asked for %q", asked)
	}
}

func TestSlowAccPolicy_headRestarts(t *testing.T) {
	t.Parallel()
	for name, withRedis := range map[string]bool{"with Redis": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := raytest.HeadOptions{Autoscaler: autoscalerOf(t)}
			if withRedis {
				redis, err := raytest.StartRedis(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = redis.Close() })
				o.Redis = redis
				// The new GCS ends the old head at its address, which must not be the new one's.
				o.Args = []string{"--node-manager-port=0"}
			}
			c := startCluster(t, o)
			w := acctest.NewWorkspace(t)
			w.Write("main.tf", c.config(`small = { count = 1, resource = "small" }`))
			w.Apply()
			before, node := w.Attributes("ray_autoscaling_policy.floor")["cluster_id"], c.alive("small")[0]
			another := func(nodes []string) bool { return nodes[0] != node }
			if err := c.head.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.head.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if withRedis { // the floor is there as it was, and its node, which died with the head, is replaced
				c.heldBy(2*time.Minute, another)
			} else if r := planUntil(t, w, 2); !r.Contains("the cluster was replaced") {
				t.Errorf("the plan does not show a replaced cluster:\n%s", r.Output)
			}
			w.Apply()
			c.heldBy(2*time.Minute, another)
			if after := w.Attributes("ray_autoscaling_policy.floor")["cluster_id"]; (after == before) != withRedis {
				t.Errorf("cluster id %v, before %v", after, before)
			}
			w.PlanNothing()
			w.Destroy()
			c.nothingLeft()
		})
	}
}

// named drops placement groups without a name: those of Ray's libraries.
func named() cmp.Option {
	return cmpopts.IgnoreSliceElements(func(p ray.PlacementGroup) bool { return p.Name == "" })
}

// install installs packages for jobs with this PYTHONPATH. They can't have them by pip of
// their runtime_env: the nodes of this machine share, and delete, each other's, so that
// what a job leaves behind can import no more.
func (c cluster) install(packages ...string) (pythonPath string) {
	c.t.Helper()
	dir := c.t.TempDir()
	args := append([]string{"-m", "pip", "install", "--quiet", "--target", dir}, packages...)
	if out, err := exec.CommandContext(c.t.Context(), filepath.Join(filepath.Dir(c.head.RayBin), "python"), args...).CombinedOutput(); err != nil {
		c.t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// Ray Data and Ray Train overwrite the cluster-wide resource request every 20 s, for as
// long as the cluster lives, and Train and Tune make placement groups of their own. A
// node floor is none of that.
func TestSlowAccPolicy_besideRaysLibraries(t *testing.T) {
	t.Parallel()
	c := startCluster(t, raytest.HeadOptions{Autoscaler: autoscalerOf(t)})
	w := acctest.NewWorkspace(t)
	packages := c.install("pandas", "pyarrow", "fsspec", "tensorboardX")
	floor := c.config(`small = { count = 2, resource = "small" }`)
	w.Write("main.tf", floor)
	w.Apply()
	before := c.groups()
	scripts, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	w.Write("main.tf", floor+fmt.Sprintf(`
resource "ray_job" "library" {
  for_each    = toset(["data", "train", "tune"])
  name        = each.key
  runtime_env = { env_vars = { PYTHONPATH = %q } }
  command     = ["python", "%s/${each.key}.py", %q]
}
`, packages, scripts, t.TempDir()))
	began := time.Now()
	apply := w.Start("apply", "-auto-approve")
	for running := true; running; {
		c.stays("small", 2, 2*time.Second)
		if diff := cmp.Diff(before, c.groups(), named()); len(before) != 1 || diff != "" {
			t.Fatalf("after %s the floor's placement group is not what it was:\n%s", time.Since(began).Round(time.Second), diff)
		}
		select {
		case <-apply.Done():
			running = false
		default:
		}
	}
	if r := apply.Wait(); r.ExitCode != 0 {
		t.Fatalf("exit code %d\n%s", r.ExitCode, r.Output)
	}
	t.Logf("Ray Data, Train and Tune ran for %s", time.Since(began).Round(time.Second))
	c.stays("small", 2, time.Minute)
	if !strings.Contains(c.get("/api/v0/actors?limit=1000"), "AutoscalingCoordinator") {
		t.Error("Ray Data's coordinator is not there, so that this test shows nothing")
	}
	w.PlanNothing()
	w.Destroy()
	c.eventually("small", 0)
	c.nothingLeft()
}
