//go:build unix

package autoscaling_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
)

// groupOf is a worker group of a manifest.
func groupOf(o kubetest.Object, i int) kubetest.Object {
	return o["spec"].(kubetest.Object)["workerGroupSpecs"].([]any)[i].(kubetest.Object)
}

// withoutWorkers leaves the pods of group cpu Pending.
func withoutWorkers(o kubetest.Object) {
	groupOf(o, 0)["template"].(kubetest.Object)["spec"].(kubetest.Object)["nodeSelector"] = kubetest.Object{"no": "such"}
}

// written waits until the RayCluster is not as it was made.
func (g *groups) written() {
	g.t.Helper()
	if err := g.object.WaitFor(g.t.Context(), "a write", func(kubetest.Object) error {
		if g.spec() == asMade {
			return errors.New("nobody wrote yet")
		}
		return nil
	}); err != nil {
		g.t.Fatal(err)
	}
}

// A wait that ended early goes on with the next apply, and no plan is empty before.
func TestRealWorkerGroups_waitGoesOn(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, withoutWorkers)
	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(m{"min_replicas": 3}, nil))
	run := tf.StartApply()
	g.written()
	run.Interrupt()
	r := run.Wait()
	mustContain(t, r.Diagnostics().Warnings(), "The wait for policy p was interrupted")
	if tf.Tainted(policy) || tf.State(policy)["enforced"] != false {
		t.Errorf("after the interrupt: %v", tf.State(policy))
	}
	p := tf.Plan()
	mustContain(t, p.Diagnostics(), "Policy p does not hold")
	if p.Action(policy) != core.Update {
		t.Errorf("the plan after the interrupt: %v", p.Actions())
	}

	config := g.policy(m{"min_replicas": 4}, nil)
	config["timeouts"] = m{"update": "3s"}
	tf.Resource(policy, config)
	mustContain(t, tf.Apply().Diagnostics().Errors(), "Policy p is not enforced after 3s", "The next apply goes on")
	if p := tf.Plan(); p.Action(policy) != core.Update {
		t.Errorf("the plan after a wait in vain: %v", p.Actions())
	}

	// Once all was there, what becomes of the workers is no drift.
	config["worker_groups"].(m)["wait_for_workers"], config["timeouts"] = false, nil
	tf.MustApply()
	tf.MustPlanNothing()
	config["worker_groups"].(m)["wait_for_workers"], config["timeouts"] = true, m{"update": "3s"}
	mustContain(t, tf.Apply().Diagnostics().Errors(), "group cpu: 0 of 4 workers ready")
}

// Nothing tells what was there before a write that no state knows of.
func TestRealWorkerGroups_killed(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, withoutWorkers)
	tf := g.terraform(kubetest.User{}, nil)
	config := g.policy(m{"min_replicas": 3}, m{"on_destroy": "restore"})
	tf.Resource(policy, config)
	run := tf.StartApply()
	g.written()
	run.KillProvider()
	run.Wait()
	if s := tf.State(policy); s != nil {
		t.Fatalf("the state has %v", s)
	}
	config["worker_groups"].(m)["wait_for_workers"] = false
	tf.MustApply()
	if got := tf.State(policy)["previous"]; got != `{"workerGroupSpecs":{"cpu":{"minReplicas":3}}}` {
		t.Errorf("previous of the create: %v", got)
	}

	// An update loses nothing of fields that the state has.
	config["worker_groups"].(m)["groups"] = m{"cpu": m{"min_replicas": 4, "max_replicas": 9}}
	config["worker_groups"].(m)["wait_for_workers"] = true
	was := g.spec()
	run = tf.StartApply()
	if err := g.object.WaitFor(t.Context(), "a write", func(kubetest.Object) error {
		if g.spec() == was {
			return errors.New("nobody wrote yet")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	run.KillProvider()
	run.Wait()
	config["worker_groups"].(m)["wait_for_workers"] = false
	tf.MustApply()
	if got := tf.State(policy)["previous"]; got != `{"workerGroupSpecs":{"cpu":{"maxReplicas":9,"minReplicas":3}}}` {
		t.Errorf("previous of the update: %v", got)
	}
	tf.MustPlanNothing()
}

// A suspended RayCluster has no workers to wait for.
func TestRealWorkerGroups_suspended(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, func(o kubetest.Object) { o["spec"].(kubetest.Object)["suspend"] = true })
	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(m{"min_replicas": 3}, nil))
	mustContain(t, tf.MustApply().Diagnostics().Warnings(), "is suspended and has no pods")
	tf.MustPlanNothing()
}

// A field may go from one policy to another in one apply, in any order.
func TestRealWorkerGroups_fieldMoves(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	tf := g.terraform(kubetest.User{}, nil)
	restore := m{"on_destroy": "restore"}
	second := func(cpu m) m {
		config := g.policy(cpu, restore)
		config["name"] = "q"
		return config
	}
	tf.Resource(policy, g.policy(m{"min_replicas": 2, "max_replicas": 8}, restore))
	tf.MustApply()
	tf.Resource(policy, g.policy(m{"min_replicas": 2}, restore))
	tf.Resource(other, second(m{"max_replicas": 9}))
	if r := tf.MustApply(); len(r.Diagnostics()) > 0 {
		t.Errorf("a new policy takes it:\n%s", r.Diagnostics())
	}
	g.mustBe(strings.Replace(asMade, "1..5", "2..9", 1))

	tf.Resource(policy, g.policy(m{"max_replicas": 7}, restore))
	tf.Resource(other, second(m{"min_replicas": 3}))
	if r := tf.MustApply(); len(r.Diagnostics()) > 0 {
		t.Errorf("two change places:\n%s", r.Diagnostics())
	}
	g.mustBe(strings.Replace(asMade, "1..5", "3..7", 1))
	tf.MustPlanNothing()

	// Where the value stays, who lets the field go sees no change of it.
	low, high := m{"min_replicas": 3}, m{"max_replicas": 7}
	for range 10 {
		tf.Resource(policy, g.policy(low, restore))
		tf.Resource(other, second(high))
		if r := tf.MustApply(); len(r.Diagnostics()) > 0 {
			t.Errorf("two change places and keep the values:\n%s", r.Diagnostics())
		}
		g.mustBe(strings.Replace(asMade, "1..5", "3..7", 1))
		low, high = high, low
	}
	tf.MustPlanNothing()

	// An update that takes what another keeps is told of, whichever is planned first.
	tf.Resource(other, second(m{"min_replicas": 3, "max_replicas": 6}))
	mustContain(t, tf.Plan().Diagnostics(), "Two policies set group cpu: max_replicas")
}

// A policy that goes to another RayCluster leaves the first as it was, also where it does
// not get there in time.
func TestRealWorkerGroups_toAnotherRayCluster(t *testing.T) {
	t.Parallel()
	a, b := rayCluster(t, nil), rayCluster(t, withoutWorkers)
	tf := a.terraform(kubetest.User{}, nil)
	restore := m{"on_destroy": "restore"}
	tf.Resource(policy, a.policy(m{"min_replicas": 2}, restore))
	tf.MustApply()
	config := b.policy(m{"min_replicas": 3}, restore)
	config["timeouts"] = m{"update": "5s"}
	tf.Resource(policy, config)
	mustContain(t, tf.Apply().Diagnostics().Errors(), "group cpu: 0 of 3 workers ready")
	a.mustBe(asMade)
	b.mustBe(strings.Replace(asMade, "1..5", "3..5", 1))
	if r := tf.Destroy(); len(r.Diagnostics().Errors()) > 0 {
		t.Error(r.Diagnostics())
	}
	b.mustBe(asMade)

	// An interrupt does not keep it from that.
	tf.Resource(policy, a.policy(m{"min_replicas": 2}, restore))
	tf.MustApply()
	delete(config, "timeouts")
	tf.Resource(policy, config)
	run := tf.StartApply()
	b.written()
	run.Interrupt()
	run.Wait()
	a.mustBe(asMade)
}

// A plan says "known after apply" of nothing that it knows.
func TestRealWorkerGroups_quietPlans(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(m{"min_replicas": 2, "max_replicas": 6}, nil))
	tf.MustApply()
	for name, test := range map[string]struct {
		cpu, more m
		changed   []string
	}{
		"what a destroy does": {m{"min_replicas": 2, "max_replicas": 6}, m{"on_destroy": "restore", "allow_recreate": true}, []string{"worker_groups"}},
		"no wait any more":    {m{"min_replicas": 2, "max_replicas": 6}, m{"wait_for_workers": false}, []string{"worker_groups"}},
		"a value":             {m{"min_replicas": 1, "max_replicas": 6}, nil, []string{"enforced", "reasons", "worker_groups"}},
		"a field less":        {m{"min_replicas": 2}, nil, []string{"enforced", "previous", "reasons", "worker_groups"}},
		"a field more":        {m{"min_replicas": 2, "max_replicas": 6}, m{"idle_timeout": "70s"}, []string{"enforced", "previous", "reasons", "worker_groups"}},
	} {
		tf.Resource(policy, g.policy(test.cpu, test.more))
		if p := tf.Plan(); !slices.Equal(p.Changed(policy), test.changed) {
			t.Errorf("%s changes %v, want %v", name, p.Changed(policy), test.changed)
		}
	}
	tf.Resource(policy, g.policy(m{"min_replicas": 1}, m{"on_destroy": "restore"}))
	tf.MustApply()
	if got := tf.State(policy)["previous"]; got != `{"workerGroupSpecs":{"cpu":{"minReplicas":1}}}` {
		t.Errorf("previous is %v", got)
	}
	g.mustBe(asMade)
}

// What cannot be restored any more does not stand in the way of a destroy.
func TestRealWorkerGroups_destroyPasses(t *testing.T) {
	t.Parallel()
	const finalizers = "/metadata/finalizers"
	g := rayCluster(t, func(o kubetest.Object) { o["metadata"].(kubetest.Object)["finalizers"] = []any{"example.com/hold"} })
	t.Cleanup(func() {
		_, _ = g.object.Patch(context.WithoutCancel(t.Context()), kubetest.Op{Op: "remove", Path: finalizers})
	})
	gone := g.terraform(kubetest.User{}, nil)
	gone.Resource(policy, g.policy(m{"min_replicas": 1}, m{"on_destroy": "restore", "groups": m{"gpu": m{"max_replicas": 3}}}))
	gone.MustApply()
	if _, err := g.object.Patch(t.Context(), kubetest.Op{Op: "replace", Path: "/spec/workerGroupSpecs/1/groupName", Value: "tpu"}); err != nil {
		t.Fatal(err)
	}
	mustContain(t, gone.Plan().Diagnostics(), "group gpu: the RayCluster has no such group; its groups are cpu, tpu")
	mustContain(t, gone.Destroy().Diagnostics().Warnings(), "group gpu is not there any more")

	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(m{"min_replicas": 2}, m{"on_destroy": "restore"}))
	tf.MustApply()
	if err := g.object.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := tf.Destroy(); len(r.Diagnostics()) > 0 {
		t.Errorf("a destroy while the RayCluster is being deleted:\n%s", r.Diagnostics())
	}

	// By default nobody is asked.
	keeps := g.terraform(kubetest.User{}, nil)
	h := rayCluster(t, nil)
	keeps.Resource(policy, h.policy(m{"min_replicas": 2}, nil))
	keeps.MustApply()
	keeps.Provider(m{"owner": "o", "kubernetes": m{"host": "https://127.0.0.1:1"}, "on_unreachable": "keep"})
	if r := keeps.Destroy(); r.Diagnostics().HasErrors() {
		t.Errorf("a destroy that restores nothing, without Kubernetes:\n%s", r.Diagnostics())
	}

	forgets := g.terraform(kubetest.User{}, nil)
	forgets.Resource(policy, h.policy(m{"min_replicas": 3}, m{"on_destroy": "restore", "wait_for_workers": false}))
	forgets.MustApply()
	forgets.Provider(m{"owner": "o", "kubernetes": m{"host": "https://127.0.0.1:1"}, "on_unreachable": "keep", "destroy_unreachable": "forget"})
	r := forgets.Destroy()
	mustContain(t, r.Diagnostics().Warnings(), "Policy p was not removed", "Terraform forgets it")
	if r.ExitCode() != 0 || forgets.State(policy) != nil {
		t.Errorf("a destroy without Kubernetes that may forget: exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
}

// What a change puts back of fields that are no longer written is told apart from what is.
func TestRealWorkerGroups_restoreRefused(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	tf := g.terraform(kubetest.User{}, nil)
	restore := m{"on_destroy": "restore", "wait_for_workers": false}
	tf.Resource(policy, g.policy(m{"min_replicas": 2, "max_replicas": 9}, restore))
	tf.MustApply()
	tf.Resource(policy, g.policy(m{"min_replicas": 7}, restore))
	mustContain(t, tf.Apply().Diagnostics().Errors(), `By on_destroy = "restore" this change puts back`, "group cpu: max_replicas = 5", "Nothing is changed.")
	g.mustBe(strings.Replace(asMade, "1..5", "2..9", 1))
}

// A group that is null is left out, and a name that no pod can have is told at once.
func TestRealWorkerGroups_strangeGroups(t *testing.T) {
	t.Parallel()
	const name = "a/b ~ü"
	g := rayCluster(t, func(o kubetest.Object) {
		groupOf(o, 1)["groupName"] = name
		delete(o["spec"].(kubetest.Object), "autoscalerOptions")
	})
	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(nil, m{"groups": m{"cpu": nil}}))
	mustContain(t, tf.Validate().Errors(), "This policy manages nothing")
	tf.Resource(policy, g.policy(nil, m{"groups": m{name: m{"min_replicas": 1}}}))
	p := tf.Plan()
	mustContain(t, p.Diagnostics().Warnings(), "a name that can't be the label of a pod")
	mustContain(t, p.Apply().Diagnostics().Errors(), "a name that can't be the label of a pod")
	tf.Resource(policy, g.policy(nil, m{"upscaling_mode": "Conservative", "groups": m{"cpu": m{"max_replicas": 6}, name: nil}}))
	tf.MustApply()
	tf.MustPlanNothing()
	g.mustBe(`{"upscalingMode":"Conservative"} cpu:2 in 1..6 idle - ` + name + `:0 in 0..2 idle -`)
}

// The cluster of a connection may name the RayCluster, and a provider may be configured
// from what the same apply makes.
func TestRealWorkerGroups_unknownProvider(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	tf := g.terraform(kubetest.User{}, nil)
	later := m{"config_path": core.Later(g.server.Admin.Kubeconfig)}
	tf.Provider(m{"kubernetes": later})
	config := g.policy(m{"min_replicas": 2}, m{"on_destroy": "restore", "kuberay": nil})
	config["cluster"] = m{"kuberay": m{"namespace": "default", "name": g.object.Name}}
	tf.Resource(policy, config)
	if p := tf.Plan(); len(p.Diagnostics()) > 0 {
		t.Errorf("the plan says:\n%s", p.Diagnostics())
	}
	tf.MustApply()
	g.mustBe(strings.Replace(asMade, "1..5", "2..5", 1))
	tf.MustPlanNothing()
	tf.Destroy()
	g.mustBe(asMade)
}
