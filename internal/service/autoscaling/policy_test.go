package autoscaling_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/provider"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

type m = map[string]any

const (
	policy = "ray_autoscaling_policy.x"
	other  = "ray_autoscaling_policy.y"
)

// server makes providers of a version, which their requests carry.
func server(version string) func() tfprotov6.ProviderServer {
	return func() tfprotov6.ProviderServer {
		return providerserver.NewProtocol6(provider.NewWithEnv(version, func(string) string { return "" })())()
	}
}

// terraform is a working directory with the provider, whose owner is o.
func terraform(t *testing.T, f *raytest.Fake, more m) *core.Core {
	t.Helper()
	tf := core.New(t, server("test"))
	config := m{"address": f.URL(), "owner": "o"}
	maps.Copy(config, more)
	tf.Provider(config)
	return tf
}

// fake is a head whose clock is behind: jobs that end on it have ended long ago, so
// that nobody waits until their records can be deleted.
func fake(t *testing.T, opts ...raytest.Option) *raytest.Fake {
	t.Helper()
	f := raytest.NewFake(append([]raytest.Option{
		raytest.WithCommand("python", raytest.Command{Do: raytest.PlaceGroups}),
		raytest.WithClock(func() time.Time { return time.Now().Add(-time.Hour) }),
	}, opts...)...)
	t.Cleanup(f.Close)
	return f
}

func small() ray.Node {
	return ray.Node{Total: ray.Resources{"small": 1, "memory": 1 << 30}, Labels: map[string]string{"tier": "small"}}
}

// floor is a policy whose one group has count nodes.
func floor(count int, more m) m {
	group := m{"count": count, "resource": "small"}
	maps.Copy(group, more)
	return m{"name": "p", "node_floor": m{"groups": m{"g": group}}}
}

func mustContain(t *testing.T, ds core.Diagnostics, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !ds.Contains(w) {
			t.Errorf("nothing says %q:\n%s", w, ds)
		}
	}
}

// mustBeAtAttributes fails where a diagnostic names no attribute, but for those of the
// whole resource.
func mustBeAtAttributes(t *testing.T, ds core.Diagnostics, whole bool) {
	t.Helper()
	for _, d := range ds {
		if (d.Path == "") != whole {
			t.Errorf("it is at attribute %q:\n%s", d.Path, d)
		}
	}
}

// held are the names of the placement groups, each with how many bundles are placed.
func held(f *raytest.Fake) string {
	var out []string
	for _, p := range f.PlacementGroups() {
		out = append(out, fmt.Sprintf("%s %s %d/%d", p.Name[:strings.LastIndex(p.Name, "/")], p.State, p.Placed(), len(p.Bundles)))
	}
	return strings.Join(out, ", ")
}

func mustHold(t *testing.T, f *raytest.Fake, want string) {
	t.Helper()
	if got := held(f); got != want {
		t.Errorf("on the cluster: got %q, want %q", got, want)
	}
}

// noJobs fails where a job's record is left.
func noJobs(t *testing.T, f *raytest.Fake) {
	t.Helper()
	for _, j := range f.Jobs() {
		t.Errorf("job %s is left, %s: %s", j.SubmissionID, j.Status, j.Message)
	}
}

// await waits until cond is true.
func await(t *testing.T, cond func() bool) {
	t.Helper()
	for began := time.Now(); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("waited a minute in vain")
		}
	}
}

// mustPlanUpdate plans an update that a warning explains.
func mustPlanUpdate(t *testing.T, tf *core.Core, why string) {
	t.Helper()
	plan := tf.Plan()
	if plan.Action(policy) != core.Update || plan.ExitCode() != 2 {
		t.Errorf("the plan is %s, exit code %d, want an update and 2\n%s", plan.Action(policy), plan.ExitCode(), plan.Diagnostics())
	}
	mustContain(t, plan.Diagnostics().Warnings(), why)
}

func TestFloorHoldsAndLetsGo(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(2, nil))
	plan := tf.Plan()
	mustContain(t, plan.Diagnostics(), "No node has resource small yet")
	run := tf.StartApply()
	await(t, func() bool { return len(f.PlacementGroups()) == 1 })
	f.AddNode(small())
	f.AddNode(small())
	if res := run.Wait(); res.ExitCode() != 0 {
		t.Fatal(res.Diagnostics())
	}
	mustHold(t, f, "o/p/g CREATED 2/2")
	s := tf.State(policy)
	if s["enforced"] != true || s["owner"] != "o" || s["cluster_id"] != f.Cluster().ClusterID {
		t.Errorf("state: %v", s)
	}
	tf.MustPlanNothing()
	noJobs(t, f)

	before := f.PlacementGroups()[0]
	tf.Resource(policy, floor(1, nil))
	tf.MustApply()
	mustHold(t, f, "o/p/g CREATED 1/1")
	if after := f.PlacementGroups()[0]; after.ID == before.ID || after.Bundles[0].NodeID != before.Bundles[0].NodeID {
		t.Errorf("after a change of count: %+v, before %+v, want another group on a node that was held", after, before)
	}
	tf.MustPlanNothing()
	if res := tf.Destroy(); res.ExitCode() != 0 {
		t.Fatal(res.Diagnostics())
	}
	mustHold(t, f, "")
	noJobs(t, f)
}

func TestFloorGrowsWithoutLettingGo(t *testing.T) {
	t.Parallel()
	f := fake(t)
	first := f.AddNode(small())
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(1, nil))
	tf.MustApply()
	tf.Resource(policy, floor(2, nil))
	run := tf.StartApply()
	await(t, func() bool { return len(f.PlacementGroups()) == 2 })
	mustHold(t, f, "o/p/g CREATED 1/1, o/p/g PENDING 0/2")
	f.AddNode(small())
	if res := run.Wait(); res.ExitCode() != 0 {
		t.Fatal(res.Diagnostics())
	}
	mustHold(t, f, "o/p/g CREATED 2/2")
	if got := f.PlacementGroups()[0].Bundles[0].NodeID; got != first {
		t.Errorf("node %s is held, want %s too", got, first)
	}
	tf.MustPlanNothing()
}

func TestFloorByLabel(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.AddNode(small())
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(1, m{"resource": nil, "label_selector": m{"tier": "small"}}))
	tf.MustApply()
	got := f.PlacementGroups()[0].Bundles[0]
	if got.Resources["memory"] != 1 || got.LabelSelector["tier"] != "small" {
		t.Errorf("held: %+v, want a byte of memory of a node of tier small", got)
	}
	tf.MustPlanNothing()
}

func TestDriftIsAPlannedChangeWithItsReason(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		happens func(f *raytest.Fake, group string, nodes []string)
		why     string
	}{
		"the group is removed by somebody": {
			func(f *raytest.Fake, group string, _ []string) {
				f.Drive(func(d raytest.Driver) { _ = d.RemovePlacementGroup(group) })
			}, "group g: its placement group is not there",
		},
		"a held node dies": {
			func(f *raytest.Fake, _ string, nodes []string) { f.KillNode(nodes[1]) },
			"group g: 1 of 2 nodes held, others died (no node of the cluster can hold the rest)",
		},
		"the head restarts without Redis": {
			func(f *raytest.Fake, _ string, _ []string) { f.Restart(false) }, "the cluster was replaced",
		},
		"a group of an earlier apply is left": {
			func(f *raytest.Fake, _ string, _ []string) {
				f.Drive(func(d raytest.Driver) { _ = d.CreatePlacementGroup("o/p/h/0123abcd", []ray.PlacementBundle{{}}) })
			}, "placement group o/p/h/0123abcd of an earlier apply is still there",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fake(t)
			nodes := []string{f.AddNode(small()), f.AddNode(small())}
			tf := terraform(t, f, nil)
			tf.Resource(policy, floor(2, nil))
			tf.MustApply()
			test.happens(f, f.PlacementGroups()[0].Name, nodes)
			mustPlanUpdate(t, tf, test.why)
			f.AddNode(small())
			f.AddNode(small())
			tf.MustApply()
			mustHold(t, f, "o/p/g CREATED 2/2")
			if got := tf.State(policy)["cluster_id"]; got != f.Cluster().ClusterID {
				t.Errorf("cluster_id is %v, want %s", got, f.Cluster().ClusterID)
			}
			tf.MustPlanNothing()
			noJobs(t, f)
		})
	}
}

// A floor that its cluster mends by itself is no change.
func TestNodeThatWasReplacedIsNoDrift(t *testing.T) {
	t.Parallel()
	f := fake(t)
	node := f.AddNode(small())
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(1, nil))
	tf.MustApply()
	f.KillNode(node)
	f.AddNode(small())
	tf.MustPlanNothing()
}

// killed applies with a provider that is killed once the cluster is as at says.
func killed(t *testing.T, tf *core.Core, f *raytest.Fake, at func() bool) {
	t.Helper()
	tf.Install(server("killed"))
	run := tf.StartApply()
	await(t, at)
	f.Sever("killed")
	run.Kill()
	run.Wait()
	tf.Install(server("test"))
}

func TestKilledApplyIsTakenBack(t *testing.T) {
	t.Parallel()
	t.Run("while its job waits to run", func(t *testing.T) {
		t.Parallel()
		f := fake(t, raytest.WithHeldJobs())
		f.AddNode(small())
		tf := terraform(t, f, nil)
		tf.Resource(policy, floor(1, nil))
		killed(t, tf, f, func() bool { return len(f.Jobs()) == 1 })
		job := f.Jobs()[0].SubmissionID
		run := tf.StartApply()
		await(t, func() bool { return f.Requests()["GET /api/jobs/{id}"] > 3 })
		f.Start(job)
		res := run.Wait()
		if res.ExitCode() != 0 {
			t.Fatal(res.Diagnostics())
		}
		mustContain(t, res.Diagnostics().Warnings(), "Policy p was taken over", "being made by another apply")
		if runs := f.Runs(); len(runs) != 1 {
			t.Errorf("%d jobs ran, want the one that was there", len(runs))
		}
		noJobs(t, f)
		tf.MustPlanNothing()
	})
	t.Run("while it waits for nodes", func(t *testing.T) {
		t.Parallel()
		f := fake(t)
		tf := terraform(t, f, nil)
		tf.Resource(policy, floor(1, nil))
		killed(t, tf, f, func() bool { return len(f.PlacementGroups()) == 1 && len(f.Jobs()) == 0 })
		f.AddNode(small())
		mustContain(t, tf.Plan().Diagnostics(), "Policy p is on the cluster already")
		res := tf.MustApply()
		mustContain(t, res.Diagnostics(), "Policy p was taken over")
		if runs := f.Runs(); len(runs) != 1 {
			t.Errorf("%d jobs ran, want 1", len(runs))
		}
		tf.MustPlanNothing()
	})
	t.Run("before it forgets its job, whose work is undone", func(t *testing.T) {
		t.Parallel()
		f := fake(t)
		f.AddNode(small())
		tf := terraform(t, f, nil)
		tf.Resource(policy, floor(1, nil))
		killed(t, tf, f, func() bool { return len(f.PlacementGroups()) == 1 })
		name := f.PlacementGroups()[0].Name
		f.Drive(func(d raytest.Driver) { _ = d.RemovePlacementGroup(name) })
		tf.MustApply()
		mustHold(t, f, "o/p/g CREATED 1/1")
		noJobs(t, f)
	})
	t.Run("between the new group and the end of the old", func(t *testing.T) {
		t.Parallel()
		f := fake(t)
		f.AddNode(small())
		tf := terraform(t, f, nil)
		tf.Resource(policy, floor(1, nil))
		tf.MustApply()
		tf.Resource(policy, floor(2, nil))
		killed(t, tf, f, func() bool { return len(f.PlacementGroups()) == 2 })
		tf.Resource(policy, floor(1, nil)) // and back
		mustPlanUpdate(t, tf, "of an earlier apply is still there")
		tf.MustApply()
		mustHold(t, f, "o/p/g CREATED 1/1")
		tf.MustPlanNothing()
	})
}

func TestFloorThatIsNotMetInTime(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.AddNode(small())
	tf := terraform(t, f, nil)
	config := floor(2, nil)
	config["timeouts"] = m{"create": "3s", "update": "3s"}
	tf.Resource(policy, config)
	res := tf.Apply()
	mustContain(t, res.Diagnostics().Errors(), "Policy p is not enforced after 3s", "group g: 0 of 2 nodes held", "terraform untaint")
	if !tf.Tainted(policy) {
		t.Error("it is not tainted, so that a destroy would not see it")
	}
	tf.Untaint(policy)
	mustPlanUpdate(t, tf, "0 of 2 nodes held")
	res = tf.Apply()
	mustContain(t, res.Diagnostics().Errors(), "Policy p is not enforced after 3s", "The next apply goes on")
	f.AddNode(small())
	tf.MustPlanNothing() // it needed nobody
	if res := tf.Destroy(); res.ExitCode() != 0 {
		t.Fatal(res.Diagnostics())
	}
	mustHold(t, f, "")
	noJobs(t, f)
}

func TestInterruptedWaitGoesOn(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(1, nil))
	run := tf.StartApply()
	await(t, func() bool { return len(f.PlacementGroups()) == 1 && len(f.Jobs()) == 0 })
	run.Interrupt()
	mustContain(t, run.Wait().Diagnostics(), "The wait for policy p was interrupted")
	if tf.Tainted(policy) {
		t.Error("it is tainted")
	}
	mustPlanUpdate(t, tf, "0 of 1 nodes held")
	f.AddNode(small())
	tf.MustPlanNothing()
	mustHold(t, f, "o/p/g CREATED 1/1")
}

// An interrupt leaves the job that makes the placement groups: it must not make them
// after a destroy.
func TestDestroyWaitsForTheJobThatAnInterruptLeft(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithStartDelay(2*time.Second))
	f.AddNode(small())
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(1, nil))
	run := tf.StartApply()
	await(t, func() bool { return len(f.Jobs()) == 1 })
	run.Interrupt()
	mustContain(t, run.Wait().Diagnostics(), "The wait for policy p was interrupted")
	mustHold(t, f, "") // yet
	if res := tf.Destroy(); len(res.Diagnostics()) > 0 {
		t.Error(res.Diagnostics())
	}
	mustHold(t, f, "")
	noJobs(t, f)
}

func TestJobThatFails(t *testing.T) {
	t.Parallel()
	works := false
	broken := func(driver raytest.Driver, args []string) (string, int) {
		if works {
			return raytest.PlaceGroups(driver, args)
		}
		return "ModuleNotFoundError: No module named 'ray'\n", 1
	}
	f := fake(t, raytest.WithCommand("python", raytest.Command{Do: broken}))
	f.AddNode(small())
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(1, nil))
	res := tf.Apply()
	mustContain(t, res.Diagnostics().Errors(), "Policy p is not enforced", "is FAILED", "No module named 'ray'")
	if len(f.Jobs()) != 1 {
		t.Errorf("jobs: %v, want the one that failed", f.Jobs())
	}
	if s := tf.State(policy); s != nil {
		t.Errorf("nothing was made, and the state has %v", s)
	}
	f.Drive(func(raytest.Driver) { works = true })
	tf.MustApply()
	mustHold(t, f, "o/p/g CREATED 1/1")
	noJobs(t, f)
}

func TestJobsOfAPolicyWaitForNoTurn(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.AddNode(small())
	tf := terraform(t, f, m{"max_active_jobs": 1})
	tf.Resource("ray_job.long", m{"name": "long", "entrypoint": "sleep infinity", "wait_for": "RUNNING"})
	tf.Resource(policy, floor(1, nil), core.DependsOn("ray_job.long"))
	tf.MustApply()
	mustHold(t, f, "o/p/g CREATED 1/1")
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	group := func(g m) m { return m{"name": "p", "node_floor": m{"groups": m{"g": g}}} }
	for name, test := range map[string]struct {
		config m
		wants  []string
	}{
		"no backend":       {m{"name": "p"}, []string{"The policy has no backend"}},
		"no group":         {m{"name": "p", "node_floor": m{"groups": m{}}}, []string{"node_floor.groups", "at least 1"}},
		"count of 0":       {group(m{"count": 0, "resource": "small"}), []string{"count", "at least 1"}},
		"negative count":   {group(m{"count": -2, "resource": "small"}), []string{"count", "at least 1"}},
		"a maximum":        {group(m{"count": 1, "max_count": 3, "resource": "small"}), []string{"max_count", "A node floor has no maximum", "max_workers"}},
		"nothing":          {group(m{"count": 1}), []string{"Group g needs resource or label_selector"}},
		"both":             {group(m{"count": 1, "resource": "small", "label_selector": m{"a": "b"}}), []string{"both resource and label_selector"}},
		"CPU":              {group(m{"count": 1, "resource": "CPU"}), []string{"resource", "all of a node's CPU"}},
		"GPU":              {group(m{"count": 1, "resource": "GPU"}), []string{"all of a node's GPU"}},
		"TPU":              {group(m{"count": 1, "resource": "TPU"}), []string{"all of a node's TPU"}},
		"memory":           {group(m{"count": 1, "resource": "memory"}), []string{"all of a node's memory"}},
		"object store":     {group(m{"count": 1, "resource": "object_store_memory"}), []string{"removes the node as idle"}},
		"one node":         {group(m{"count": 1, "resource": "node:10.0.0.1"}), []string{"on one node alone"}},
		"blank":            {group(m{"count": 1, "resource": " small"}), []string{"no name of a resource"}},
		"no labels":        {group(m{"count": 1, "label_selector": m{}}), []string{"label_selector", "at least 1"}},
		"label key":        {group(m{"count": 1, "label_selector": m{"-a": "b"}}), []string{"a label's key"}},
		"label value":      {group(m{"count": 1, "label_selector": m{"a": "in()"}}), []string{"a label's value"}},
		"name of a policy": {m{"name": "a/b", "node_floor": m{"groups": m{"g": m{"count": 1, "resource": "small"}}}}, []string{"name", "must begin with"}},
		"name of a group":  {m{"name": "p", "node_floor": m{"groups": m{"a/b": m{"count": 1, "resource": "small"}}}}, []string{"groups", "must begin with"}},
		"timeout":          {m{"name": "p", "timeouts": m{"create": "soon"}, "node_floor": m{"groups": m{"g": m{"count": 1, "resource": "small"}}}}, []string{"This is not a duration"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf := terraform(t, fake(t), nil)
			tf.Resource(policy, test.config)
			ds := tf.Validate().Errors()
			mustContain(t, ds, test.wants...)
			mustBeAtAttributes(t, ds, name == "no backend")
		})
	}
	for name, group := range map[string]m{
		"accelerator type": {"count": 1, "resource": "accelerator_type:A100"},
		"label values":     {"count": 1, "label_selector": m{"ray.io/market-type": "!in(spot, other)", "a": "!b", "c": "in(d)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf := terraform(t, fake(t), nil)
			tf.Resource(policy, m{"name": "p", "node_floor": m{"groups": m{"g": group}}})
			if ds := tf.Validate(); ds.HasErrors() {
				t.Error(ds)
			}
		})
	}
}

func TestReplacedClusterIsNeverTouched(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.AddNode(small())
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(1, nil))
	tf.MustApply()
	group := f.PlacementGroups()[0]
	f.Restart(false)
	f.Drive(func(d raytest.Driver) { _ = d.CreatePlacementGroup(group.Name, group.Bundles) })
	res := tf.Destroy()
	if res.ExitCode() != 0 {
		t.Fatal(res.Diagnostics())
	}
	mustContain(t, res.Diagnostics(), "Policy p is not on this cluster any more")
	if len(f.PlacementGroups()) != 1 || len(f.Runs()) != 1 {
		t.Errorf("something was done on the new cluster: %v, %v", held(f), f.Runs())
	}
}

func TestDestroyRemovesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.AddNode(small())
	others := []string{"o/p2/g/0123abcd", "o/o/p/g/0123abcd", "p/g/0123abcd", "/p/g/0123abcd", "o/p/g", "other"}
	f.Drive(func(d raytest.Driver) {
		for _, name := range others {
			_ = d.CreatePlacementGroup(name, []ray.PlacementBundle{{}})
		}
	})
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(1, nil))
	tf.MustApply()
	tf.MustPlanNothing()
	if res := tf.Destroy(); res.ExitCode() != 0 {
		t.Fatal(res.Diagnostics())
	}
	var left []string
	for _, p := range f.PlacementGroups() {
		left = append(left, p.Name)
	}
	if !slices.Equal(left, others) {
		t.Errorf("left are %v, want %v", left, others)
	}
}

func TestTwoResourcesOfOneName(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.AddNode(small())
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(1, nil))
	tf.Resource(other, floor(1, nil))
	mustContain(t, tf.Plan().Diagnostics().Errors(), "Two resources are policy p")

	tf.Remove(other)
	tf.MustApply()
	// A rename without a moved block destroys and creates at one time.
	tf.Remove(policy)
	tf.Resource(other, floor(1, nil))
	tf.MustApply()
	mustHold(t, f, "o/p/g CREATED 1/1")
	tf.MustPlanNothing()
	// So does a replacement.
	for _, opts := range [][]core.BlockOption{nil, {core.CreateBeforeDestroy()}} {
		tf.Resource(other, floor(1, nil), opts...)
		tf.MustApply(core.Replacing(other))
		mustHold(t, f, "o/p/g CREATED 1/1")
		tf.MustPlanNothing()
	}
}

// Two configurations with a policy of the same owner and name are one policy to the
// cluster, and at least one of them is told.
func TestTwoAppliesAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("of the same floor", func(t *testing.T) {
		t.Parallel()
		f := fake(t, raytest.WithStartDelay(500*time.Millisecond))
		f.AddNode(small())
		a, b := terraform(t, f, nil), terraform(t, f, nil)
		a.Resource(policy, floor(1, nil))
		b.Resource(policy, floor(1, nil))
		runs := []*core.Run{a.StartApply(), b.StartApply()}
		var told core.Diagnostics
		for _, run := range runs {
			res := run.Wait()
			if res.ExitCode() != 0 {
				t.Fatal(res.Diagnostics())
			}
			told = append(told, res.Diagnostics()...)
		}
		mustContain(t, told.Warnings(), "Policy p was taken over")
		if runs := f.Runs(); len(runs) != 1 {
			t.Errorf("%d jobs ran, want 1 for both", len(runs))
		}
		mustHold(t, f, "o/p/g CREATED 1/1")
		noJobs(t, f)
		a.MustPlanNothing()
		b.MustPlanNothing()
		if res := a.Destroy(); res.ExitCode() != 0 {
			t.Fatal(res.Diagnostics())
		}
		mustPlanUpdate(t, b, "group g: its placement group is not there")
	})
	t.Run("of another floor", func(t *testing.T) {
		t.Parallel()
		f := fake(t)
		f.AddNode(small())
		a, b := terraform(t, f, nil), terraform(t, f, nil)
		a.Resource(policy, floor(1, nil))
		b.Resource(policy, floor(2, nil))
		run := b.StartApply()
		await(t, func() bool { return len(f.PlacementGroups()) == 1 && len(f.Jobs()) == 0 })
		res := a.MustApply()
		mustContain(t, res.Diagnostics().Warnings(), "Policy p is on the cluster already")
		f.AddNode(small())
		if res := run.Wait(); res.ExitCode() != 0 {
			t.Fatal(res.Diagnostics())
		}
		mustHold(t, f, "o/p/g CREATED 2/2") // the last that ends has its way
		b.MustPlanNothing()
		mustPlanUpdate(t, a, "group g: its placement group is not there")
	})
}

func TestRefreshOfManyPoliciesIsAFewRequests(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.AddNode(small())
	tf := terraform(t, f, nil)
	for i := range 100 {
		config := floor(1, nil)
		config["name"] = fmt.Sprintf("p%d", i)
		tf.Resource(fmt.Sprintf("ray_autoscaling_policy.x%d", i), config)
	}
	tf.MustApply()
	f.ResetRequests()
	tf.MustPlanNothing()
	sum := 0
	for _, n := range f.Requests() {
		sum += n
	}
	if sum > 3 {
		t.Errorf("a plan of 100 policies made %d requests, want at most 3: %v", sum, f.Requests())
	}
}

func TestPolicyMovesToAnotherCluster(t *testing.T) {
	t.Parallel()
	a, b := fake(t), fake(t)
	a.AddNode(small())
	b.AddNode(small())
	tf := terraform(t, a, nil)
	config := floor(1, nil)
	tf.Resource(policy, config)
	tf.MustApply()
	// The same cluster by another way is no work.
	config["cluster"] = m{"address": a.URL()}
	tf.Resource(policy, config)
	tf.MustApply()
	if runs := a.Runs(); len(runs) != 1 {
		t.Errorf("%d jobs ran, want 1", len(runs))
	}
	config["cluster"] = m{"address": b.URL()}
	tf.Resource(policy, config)
	tf.MustApply()
	mustHold(t, a, "")
	mustHold(t, b, "o/p/g CREATED 1/1")
	tf.MustPlanNothing()
}

func TestChangeOfTimeoutsAsksNothing(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.AddNode(small())
	tf := terraform(t, f, nil)
	config := floor(1, nil)
	tf.Resource(policy, config)
	tf.MustApply()
	config["timeouts"] = m{"create": "20m"}
	tf.Resource(policy, config)
	if got := tf.Plan().Changed(policy); !slices.Equal(got, []string{"timeouts"}) {
		t.Errorf("the plan changes %v, want timeouts alone", got)
	}
	tf.MustApply()
	tf.MustPlanNothing()
}

func TestReadOnlyAndOldRay(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithVersion("2.40.0"))
	f.AddNode(small())
	tf := terraform(t, f, m{"read_only": true})
	tf.Resource(policy, floor(1, nil))
	mustContain(t, tf.Apply().Diagnostics().Errors(), "read_only = true")

	tf = terraform(t, f, nil)
	tf.Resource(policy, floor(1, m{"resource": nil, "label_selector": m{"tier": "small"}}))
	mustContain(t, tf.Plan().Diagnostics().Warnings(), "Policy p needs a newer Ray", "2.51")
	mustContain(t, tf.Apply().Diagnostics().Errors(), "Policy p is not enforced", "2.51")
	if len(f.Jobs()) != 0 {
		t.Errorf("jobs: %v", f.Jobs())
	}
	tf.Resource(policy, floor(1, nil))
	tf.MustApply()
	tf.MustPlanNothing()
}

func TestClusterThatIsUnreachableOrUnknown(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.AddNode(small())
	tf := terraform(t, f, nil)
	tf.Resource(policy, floor(1, nil))
	tf.MustApply()
	f.Down()
	mustContain(t, tf.Plan().Diagnostics().Errors(), "Policy p could not be refreshed")
	tf.Provider(m{"address": f.URL(), "owner": "o", "on_unreachable": "keep"})
	plan := tf.Plan()
	if plan.ExitCode() != 0 {
		t.Errorf("exit code %d with on_unreachable = keep\n%s", plan.ExitCode(), plan.Diagnostics())
	}
	mustContain(t, tf.Destroy().Diagnostics().Errors(), "Policy p was not removed", `destroy_unreachable = "forget"`)
	if err := f.Up(); err != nil {
		t.Fatal(err)
	}
	tf.MustPlanNothing()

	other := terraform(t, f, m{"address": core.Later(f.URL())})
	config := floor(1, nil)
	config["name"] = "later"
	other.Resource(policy, config)
	other.MustApply()
	other.MustPlanNothing()
}

// withGCS starts the GCS of a fake's cluster beside it, which has autoscaler v2.
func withGCS(t *testing.T, f *raytest.Fake, change func(*raytest.GCSState)) {
	t.Helper()
	state := raytest.GCSState{
		DashboardAddress: strings.TrimPrefix(f.URL(), "http://"),
		KV:               map[string]map[string][]byte{"__autoscaler": {"__autoscaler_v2_enabled": []byte("1")}},
		Autoscaling:      &raypb.AutoscalingState{},
		Refresh: func(s *raytest.GCSState) {
			s.ClusterID, s.Nodes = f.Cluster().ClusterID, f.Nodes()
		},
	}
	change(&state)
	g, err := raytest.StartFakeGCS(state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	f.SetGCSAddress(g.Address())
}

func TestPlanKnowsTheAutoscaler(t *testing.T) {
	t.Parallel()
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		f := fake(t, raytest.WithPrefix(""))
		f.AddNode(small())
		withGCS(t, f, func(*raytest.GCSState) {})
		tf := terraform(t, f, nil)
		tf.Resource(policy, floor(1, nil))
		mustContain(t, tf.Plan().Diagnostics().Warnings(), "Policy p is for a cluster without autoscaler")
		tf.MustApply() // its node is there
		if ds := tf.MustPlanNothing().Diagnostics(); len(ds) > 0 {
			t.Errorf("a plan of no change says: %s", ds)
		}
		config := floor(2, nil)
		config["timeouts"] = m{"update": "3s"}
		tf.Resource(policy, config)
		mustContain(t, tf.Apply().Diagnostics().Errors(), "group g: 0 of 2 nodes held", "the cluster has no autoscaler that would start nodes")
		tf.Provider(m{"address": f.URL(), "owner": "o", "plan_checks": "error"})
		tf.Resource(policy, floor(3, nil))
		mustContain(t, tf.Plan().Diagnostics().Errors(), "Policy p is for a cluster without autoscaler")
	})
	t.Run("v1 and labels", func(t *testing.T) {
		t.Parallel()
		f := fake(t, raytest.WithPrefix(""))
		withGCS(t, f, func(s *raytest.GCSState) {
			s.KV = map[string]map[string][]byte{
				"__autoscaler": {"__autoscaler_v2_enabled": []byte("0")},
				"":             {"__autoscaling_status": []byte(`{"autoscaler_report": {"active_nodes": {"head": 1}}}`)},
			}
		})
		tf := terraform(t, f, nil)
		tf.Resource(policy, floor(1, m{"resource": nil, "label_selector": m{"tier": "small"}}))
		mustContain(t, tf.Plan().Diagnostics().Warnings(), "Group g of policy p is told by labels", "autoscaler v1")
	})
	t.Run("v2, whose launches fail", func(t *testing.T) {
		t.Parallel()
		f := fake(t, raytest.WithPrefix(""))
		withGCS(t, f, func(s *raytest.GCSState) {
			gang := func(resource string) *raypb.GangResourceRequest {
				return &raypb.GangResourceRequest{Details: "ab:STRICT_SPREAD|PENDING", Requests: []*raypb.ResourceRequest{{ResourcesBundle: map[string]float64{resource: 0.001}}}}
			}
			s.Autoscaling.InfeasibleGangResourceRequests = []*raypb.GangResourceRequest{gang("small"), gang("other")}
			s.Autoscaling.FailedInstanceRequests = []*raypb.FailedInstanceRequest{{RayNodeTypeName: "small", Count: 1, Reason: "no quota", FailedTs: time.Now().Unix()}}
		})
		tf := terraform(t, f, nil)
		config := floor(1, nil)
		config["timeouts"] = m{"create": "3s"}
		tf.Resource(policy, config)
		ds := tf.Apply().Diagnostics().Errors()
		mustContain(t, ds, "group g: 0 of 1 nodes held", "group small: launch failed: no quota", "can't start nodes for 1 x {small: 0.001}, STRICT_SPREAD: no node type has this, or not as many nodes may be added")
		if ds.Contains("other") {
			t.Errorf("the error tells of somebody else's placement group:\n%s", ds)
		}
	})
}
