//go:build unix

package autoscaling_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
)

// kubernetes is one API server with the KubeRay operator for all tests of the package; it
// ends with the process.
var kubernetes = sync.OnceValues(func() (*kubetest.Server, error) {
	return kubetest.Start(context.Background(), kubetest.Options{Operator: true})
})

// made counts the RayClusters.
var made atomic.Int32

// groups is a RayCluster of one test, and a working directory whose provider reaches it.
type groups struct {
	t      *testing.T
	server *kubetest.Server
	object *kubetest.RayCluster
}

func rayCluster(t *testing.T, change func(kubetest.Object)) *groups {
	t.Helper()
	s, err := kubernetes()
	if err != nil {
		t.Fatal(err)
	}
	g := &groups{t: t, server: s}
	name := strings.ToLower(strings.NewReplacer("TestRealWorkerGroups_", "", "_", "-", "/", "-", " ", "-").Replace(t.Name()))
	name += fmt.Sprintf("-%d", made.Add(1)) // a test may have several
	if g.object, err = s.CreateRayCluster(t.Context(), kubetest.RayClusterOptions{Name: name, Change: change}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.object.Delete(context.WithoutCancel(t.Context())) })
	if err := g.object.WaitFor(t.Context(), "the operator to see it", func(o kubetest.Object) error {
		if status, _ := o["status"].(kubetest.Object); status["observedGeneration"] == nil {
			return errors.New("it has no status")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return g
}

// terraform is a working directory; as is whose rights it has, the admin's by default.
func (g *groups) terraform(as kubetest.User, more m) *core.Core {
	g.t.Helper()
	if as.Kubeconfig == "" {
		as = g.server.Admin
	}
	tf := core.New(g.t, server("test"))
	config := m{"owner": "o", "kubernetes": m{"config_path": as.Kubeconfig}}
	maps.Copy(config, more)
	tf.Provider(config)
	return tf
}

// policy is one of the RayCluster, with cpu as its one group, and more.
func (g *groups) policy(cpu, more m) m {
	backend := m{"kuberay": m{"namespace": "default", "name": g.object.Name}}
	if cpu != nil {
		backend["groups"] = m{"cpu": cpu}
	}
	maps.Copy(backend, more)
	return m{"name": "p", "worker_groups": backend}
}

// spec is what the RayCluster says of scaling now.
func (g *groups) spec() string {
	g.t.Helper()
	s, err := g.object.Scaling(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

func (g *groups) mustBe(want string) {
	g.t.Helper()
	if got := g.spec(); got != want {
		g.t.Errorf("the RayCluster: got %s\nwant %s", got, want)
	}
}

func (g *groups) patch(path string, value any) {
	g.t.Helper()
	if _, err := g.object.Patch(g.t.Context(), kubetest.Op{Op: "add", Path: path, Value: value}); err != nil {
		g.t.Fatal(err)
	}
}

const (
	asMade = `{"idleTimeoutSeconds":120,"version":"v2"} cpu:2 in 1..5 idle - gpu:0 in 0..2 idle -`
	minCPU = "/spec/workerGroupSpecs/0/minReplicas"
	maxCPU = "/spec/workerGroupSpecs/0/maxReplicas"
)

func TestRealWorkerGroups_life(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	tf := g.terraform(kubetest.User{}, nil)
	more := m{"idle_timeout": "90s", "upscaling_mode": "Conservative", "on_destroy": "restore"}
	tf.Resource(policy, g.policy(m{"min_replicas": 3, "max_replicas": 9, "idle_timeout": "45s"}, more))
	if p := tf.Plan(); len(p.Diagnostics()) > 0 {
		t.Errorf("the plan says:\n%s", p.Diagnostics())
	}
	g.mustBe(asMade)
	tf.MustApply()
	g.mustBe(`{"idleTimeoutSeconds":90,"upscalingMode":"Conservative","version":"v2"} cpu:2 in 3..9 idle 45 gpu:0 in 0..2 idle -`)
	state := tf.State(policy)
	if state["enforced"] != true || state["previous"] != `{"autoscalerOptions":{"idleTimeoutSeconds":120,"upscalingMode":null},"workerGroupSpecs":{"cpu":{"idleTimeoutSeconds":null,"maxReplicas":5,"minReplicas":1}}}` {
		t.Errorf("state: %v", state)
	}
	o, err := g.object.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if uid := o["metadata"].(m)["uid"]; state["cluster_id"] != uid {
		t.Errorf("cluster_id is %v, the RayCluster's uid %v", state["cluster_id"], uid)
	}
	if err := g.object.WaitFor(t.Context(), "the status to count the workers", func(o kubetest.Object) error {
		status, _ := o["status"].(m)
		if ready, _ := status["readyWorkerReplicas"].(float64); ready < 3 {
			return fmt.Errorf("%v are ready", status["readyWorkerReplicas"])
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	tf.MustPlanNothing()

	// What the autoscaler writes is its own.
	g.patch("/spec/workerGroupSpecs/0/replicas", 7)
	tf.MustPlanNothing()

	// What somebody else changed is shown, and changed back.
	g.patch(maxCPU, 20)
	p := tf.Plan()
	mustContain(t, p.Diagnostics(), "group cpu: max_replicas is 20, want 9")
	if p.ExitCode() != 2 {
		t.Errorf("exit code %d", p.ExitCode())
	}
	tf.MustApply()
	g.mustBe(`{"idleTimeoutSeconds":90,"upscalingMode":"Conservative","version":"v2"} cpu:7 in 3..9 idle 45 gpu:0 in 0..2 idle -`)
	tf.MustPlanNothing()

	// A field that the policy lets go gets what it had, and so do the others in the end.
	delete(more, "upscaling_mode")
	tf.Resource(policy, g.policy(m{"min_replicas": 2, "max_replicas": 9}, more))
	tf.MustApply()
	g.mustBe(`{"idleTimeoutSeconds":90,"version":"v2"} cpu:7 in 2..9 idle - gpu:0 in 0..2 idle -`)
	tf.MustPlanNothing()
	if r := tf.Destroy(); r.Diagnostics().HasErrors() {
		t.Error(r.Diagnostics())
	}
	g.mustBe(strings.Replace(asMade, "cpu:2", "cpu:7", 1))
}

func TestRealWorkerGroups_keepsByDefaultAndLeavesWhatIsOthers(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(m{"min_replicas": 2}, nil))
	tf.MustApply()
	if r := tf.Destroy(); len(r.Diagnostics()) > 0 {
		t.Error(r.Diagnostics())
	}
	g.mustBe(strings.Replace(asMade, "1..5", "2..5", 1))

	tf.Resource(policy, g.policy(m{"min_replicas": 3, "max_replicas": 8}, m{"on_destroy": "restore"}))
	tf.MustApply()
	g.patch(maxCPU, 20)
	r := tf.Destroy()
	mustContain(t, r.Diagnostics(), "group cpu: max_replicas is 20 now, which is not this policy's 8")
	if r.Diagnostics().HasErrors() {
		t.Error(r.Diagnostics())
	}
	g.mustBe(strings.Replace(asMade, "1..5", "2..20", 1))
}

// A rename without a moved block destroys one policy and creates another at one time.
func TestRealWorkerGroups_renamed(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(m{"min_replicas": 3}, m{"on_destroy": "restore"}))
	tf.MustApply()
	tf.Remove(policy)
	again := g.policy(m{"min_replicas": 3}, m{"on_destroy": "restore"})
	again["name"] = "q"
	tf.Resource(other, again)
	tf.MustApply()
	g.mustBe(strings.Replace(asMade, "1..5", "3..5", 1))
	tf.MustPlanNothing()

	// What the new one does not set is put back.
	again["worker_groups"].(m)["groups"] = m{"cpu": m{"min_replicas": 3, "max_replicas": 9}}
	tf.Resource(other, again)
	tf.MustApply()
	tf.Remove(other)
	fewer := g.policy(m{"min_replicas": 3}, m{"on_destroy": "restore"})
	fewer["name"] = "q"
	tf.Resource(policy, fewer)
	tf.MustApply()
	g.mustBe(strings.Replace(asMade, "1..5", "3..5", 1))
	tf.MustPlanNothing()
}

func TestRealWorkerGroups_planSaysWhatTheOperatorWouldRefuse(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	for name, test := range map[string]struct {
		cpu, more m
		want      string
	}{
		"above": {cpu: m{"min_replicas": 6}, want: "min_replicas = 6 is above the maxReplicas of 5 that worker group cpu has"},
		"group": {more: m{"groups": m{"tpu": m{"max_replicas": 2}}}, want: `no worker group "tpu": its groups are cpu, gpu`},
	} {
		t.Run(name, func(t *testing.T) {
			tf := g.terraform(kubetest.User{}, nil)
			tf.Resource(policy, g.policy(test.cpu, test.more))
			p := tf.Plan()
			mustContain(t, p.Diagnostics().Warnings(), test.want, "the apply is an error")
			r := p.Apply()
			mustContain(t, r.Diagnostics().Errors(), test.want)
			if tf.State(policy) != nil {
				t.Errorf("the state has it: %v", tf.State(policy))
			}
			strict := g.terraform(kubetest.User{}, m{"plan_checks": "error"})
			strict.Resource(policy, g.policy(test.cpu, test.more))
			mustContain(t, strict.Plan().Diagnostics().Errors(), test.want)
		})
	}
	g.mustBe(asMade)
}

func TestRealWorkerGroups_planTriesTheWriteAsTheUser(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	account := func(name string, verbs ...string) kubetest.User {
		u, err := g.server.Account(t.Context(), "default", name, kubetest.Rule{APIGroups: []string{"ray.io"}, Resources: []string{"rayclusters"}, Verbs: verbs})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	reader := g.terraform(account("plan-reader", "get"), nil)
	reader.Resource(policy, g.policy(m{"min_replicas": 2}, nil))
	p := reader.Plan()
	mustContain(t, p.Diagnostics().Warnings(), "Kubernetes would refuse policy p", "cannot patch resource", "patch")
	mustContain(t, p.Apply().Diagnostics().Errors(), "cannot patch resource")
	g.mustBe(asMade)
	nobody := g.terraform(account("plan-nobody", "list"), nil)
	nobody.Resource(policy, g.policy(m{"min_replicas": 2}, nil))
	mustContain(t, nobody.Plan().Diagnostics().Warnings(), "can't read its RayCluster", "cannot get resource")
	writer := g.terraform(account("plan-writer", "get", "patch"), nil)
	writer.Resource(policy, g.policy(m{"min_replicas": 2}, nil))
	writer.MustApply()
	writer.MustPlanNothing()
}

func TestRealWorkerGroups_changedBetweenPlanAndApply(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(m{"min_replicas": 2}, nil))
	tf.MustApply()
	tf.Resource(policy, g.policy(m{"min_replicas": 3}, nil))
	p := tf.Plan()
	g.patch(minCPU, 4)
	mustContain(t, p.Apply().Diagnostics().Errors(), "min_replicas was 2 when this change was planned and is 4 now")
	g.mustBe(strings.Replace(asMade, "1..5", "4..5", 1))
	r := tf.MustApply() // a new plan knows
	mustContain(t, r.Plan().Diagnostics(), "group cpu: min_replicas is 4, want 2")
	g.mustBe(strings.Replace(asMade, "1..5", "3..5", 1))

	// The object itself.
	tf.Resource(policy, g.policy(m{"min_replicas": 2}, nil))
	p = tf.Plan()
	if err := g.object.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone := tf.Plan()
	mustContain(t, gone.Diagnostics(), "RayCluster default/"+g.object.Name+" does not exist")
	if _, err := g.server.CreateRayCluster(t.Context(), kubetest.RayClusterOptions{Name: g.object.Name}); err != nil {
		t.Fatal(err)
	}
	mustContain(t, p.Apply().Diagnostics().Errors(), "the plan was made for cluster")
	g.mustBe(asMade)
	r = tf.MustApply()
	mustContain(t, r.Plan().Diagnostics(), "the cluster was replaced")
	g.mustBe(strings.Replace(asMade, "1..5", "2..5", 1))
	if got := tf.State(policy)["previous"]; got != `{"workerGroupSpecs":{"cpu":{"minReplicas":1}}}` {
		t.Errorf("previous is %v", got)
	}
	tf.MustPlanNothing()

	// A destroy has nothing to do where it is gone.
	if err := g.object.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := tf.Destroy(); r.Diagnostics().HasErrors() {
		t.Error(r.Diagnostics())
	}
}

// Two runs at once, on fields of one group: neither loses anything.
func TestRealWorkerGroups_twoRunsAtOnce(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	low, high := g.terraform(kubetest.User{}, nil), g.terraform(kubetest.User{}, nil)
	for i := range 5 {
		low.Resource(policy, g.policy(m{"min_replicas": i}, m{"wait_for_workers": false}))
		high.Resource(policy, g.policy(m{"max_replicas": 10 + i}, m{"idle_timeout": fmt.Sprint(100+i, "s")}))
		a, b := low.StartApply(), high.StartApply()
		for _, r := range []*core.Result{a.Wait(), b.Wait()} {
			if r.Diagnostics().HasErrors() {
				t.Fatal(r.Diagnostics())
			}
		}
		g.mustBe(fmt.Sprintf(`{"idleTimeoutSeconds":%d,"version":"v2"} cpu:2 in %d..%d idle - gpu:0 in 0..2 idle -`, 100+i, i, 10+i))
	}
	low.MustPlanNothing()
	high.MustPlanNothing()
}

// Two policies of one configuration may share a RayCluster, not a field.
func TestRealWorkerGroups_claims(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(m{"min_replicas": 2}, nil))
	second := g.policy(m{"max_replicas": 8}, nil)
	second["name"] = "q"
	tf.Resource(other, second)
	tf.MustApply()
	tf.MustPlanNothing()
	g.mustBe(strings.Replace(asMade, "1..5", "2..8", 1))
	third := g.policy(m{"max_replicas": 9}, nil)
	third["name"] = "r"
	tf.Resource("ray_autoscaling_policy.z", third)
	mustContain(t, tf.Plan().Diagnostics(), "Two policies set group cpu: max_replicas")
}

// An operator that waits for pods that never come leaves a policy that says so.
func TestRealWorkerGroups_workersThatNeverCome(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, func(o kubetest.Object) {
		cpu := o["spec"].(kubetest.Object)["workerGroupSpecs"].([]any)[0].(kubetest.Object)
		cpu["template"].(kubetest.Object)["spec"].(kubetest.Object)["nodeSelector"] = kubetest.Object{"no": "such"}
	})
	tf := g.terraform(kubetest.User{}, nil)
	config := g.policy(m{"min_replicas": 3}, nil)
	config["timeouts"] = m{"create": "5s"}
	tf.Resource(policy, config)
	r := tf.Apply()
	mustContain(t, r.Diagnostics().Errors(), "Policy p is not enforced after 5s", "group cpu: 0 of 3 workers ready")
	if !tf.Tainted(policy) || tf.State(policy)["previous"] != `{"workerGroupSpecs":{"cpu":{"minReplicas":1}}}` {
		t.Errorf("state: %v", tf.State(policy))
	}
	config["worker_groups"].(m)["wait_for_workers"] = false
	tf.Resource(policy, config)
	tf.MustApply()
	tf.MustPlanNothing()
}

// What is not known yet is not judged by what is.
func TestRealWorkerGroups_unknownValues(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(m{"min_replicas": 6, "max_replicas": core.Later(9)}, nil))
	if p := tf.Plan(); len(p.Diagnostics()) > 0 {
		t.Errorf("the plan says:\n%s", p.Diagnostics())
	}
}

// The RayCluster may be named by the cluster, or the provider's address, as well. Its
// dashboard is not asked.
func TestRealWorkerGroups_byTheCluster(t *testing.T) {
	t.Parallel()
	g := rayCluster(t, nil)
	address := "kuberay://default/" + g.object.Name
	tf := g.terraform(kubetest.User{}, nil)
	config := g.policy(m{"min_replicas": 2}, m{"kuberay": nil})
	config["cluster"] = m{"address": address}
	tf.Resource(policy, config)
	tf.MustApply()
	tf.MustPlanNothing()
	g.mustBe(strings.Replace(asMade, "1..5", "2..5", 1))

	own := g.terraform(kubetest.User{}, m{"address": address})
	own.Resource(policy, g.policy(m{"max_replicas": 6}, m{"kuberay": nil}))
	own.MustApply()
	own.MustPlanNothing()
	g.mustBe(strings.Replace(asMade, "1..5", "2..6", 1))

	other := g.terraform(kubetest.User{}, m{"address": "http://127.0.0.1:1"})
	other.Resource(policy, g.policy(m{"max_replicas": 6}, m{"kuberay": nil}))
	mustContain(t, other.Plan().Diagnostics().Errors(), "no RayCluster is named: set worker_groups.kuberay")
}

// A Kubernetes without KubeRay, one where the policy was before, and one whose operator
// never looks.
func TestRealWorkerGroups_noKubeRay(t *testing.T) {
	t.Parallel()
	was := rayCluster(t, nil)
	moved := was.terraform(kubetest.User{}, nil)
	moved.Resource(policy, was.policy(m{"min_replicas": 2}, m{"on_destroy": "restore"}))
	moved.MustApply()
	s, err := kubetest.Start(t.Context(), kubetest.Options{NoCRDs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	g := &groups{t: t, server: s, object: &kubetest.RayCluster{Namespace: "default", Name: "ray"}}
	tf := g.terraform(kubetest.User{}, nil)
	tf.Resource(policy, g.policy(m{"min_replicas": 2}, nil))
	p := tf.Plan()
	mustContain(t, p.Diagnostics().Warnings(), "this Kubernetes has no custom resource RayCluster")
	mustContain(t, p.Apply().Diagnostics().Errors(), "this Kubernetes has no custom resource RayCluster")

	moved.Provider(m{"owner": "o", "kubernetes": m{"config_path": s.Admin.Kubeconfig}})
	mustContain(t, moved.Plan().Diagnostics(), "has no custom resource RayCluster")
	r := moved.Destroy()
	mustContain(t, r.Diagnostics().Warnings(), "What policy p changed is gone")
	if r.Diagnostics().HasErrors() {
		t.Error(r.Diagnostics())
	}

	if err := s.InstallCRDs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g.object, err = s.CreateRayCluster(t.Context(), kubetest.RayClusterOptions{Name: "ray"}); err != nil {
		t.Fatal(err)
	}
	config := g.policy(m{"min_replicas": 2}, m{"on_destroy": "restore"})
	config["timeouts"] = m{"create": "3s", "delete": "3s"}
	tf.Resource(policy, config)
	mustContain(t, tf.Apply().Diagnostics().Errors(), "no KubeRay operator has ever looked at the RayCluster")
	r = tf.Destroy()
	mustContain(t, r.Diagnostics().Warnings(), "nobody has taken it yet (no KubeRay operator has ever looked at the RayCluster)")
	if r.Diagnostics().HasErrors() {
		t.Error(r.Diagnostics())
	}
	g.mustBe(asMade)
}
