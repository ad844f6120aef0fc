package cluster_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/provider"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

type m = map[string]any

const conn = "ray_cluster_connection.x"

// terraform is a working directory with the provider, in an environment of its
// own.
func terraform(t *testing.T, env map[string]string) *core.Core {
	t.Helper()
	return core.New(t, func() tfprotov6.ProviderServer {
		return providerserver.NewProtocol6(provider.NewWithEnv("test", func(k string) string { return env[k] })())()
	})
}

func fake(t *testing.T, opts ...raytest.Option) *raytest.Fake {
	t.Helper()
	f := raytest.NewFake(opts...)
	t.Cleanup(f.Close)
	return f
}

// withGCS starts a GCS of the same cluster beside a fake, and lets it follow.
func withGCS(t *testing.T, f *raytest.Fake, change func(*raytest.GCSState)) *raytest.FakeGCS {
	t.Helper()
	state := raytest.GCSState{
		DashboardAddress: strings.TrimPrefix(f.URL(), "http://"),
		Refresh: func(s *raytest.GCSState) {
			s.ClusterID, s.Nodes = f.Cluster().ClusterID, f.Nodes()
		},
	}
	if change != nil {
		change(&state)
	}
	g, err := raytest.StartFakeGCS(state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	f.SetGCSAddress(g.Address())
	return g
}

func worker(resources ray.Resources, labels map[string]string) ray.Node {
	return ray.Node{Total: resources, Labels: labels}
}

func mustContain(t *testing.T, ds core.Diagnostics, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !ds.Contains(w) {
			t.Errorf("nothing says %q:\n%s", w, ds)
		}
	}
}

func TestConnectionRecordsWhoTheClusterIs(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithPrefix(""))
	g := withGCS(t, f, nil)
	for name, test := range map[string]struct{ address, gcs any }{
		"http":     {f.URL(), g.Address()},
		"GCS":      {g.Address(), g.Address()},
		"trailing": {f.URL() + "/", g.Address()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf := terraform(t, nil)
			tf.Resource(conn, m{"address": test.address, "required_ray_version": ">= 2.9, < 3"})
			plan := tf.Plan()
			want := m{"address": test.address, "dashboard_url": nil, "gcs_address": nil, "client_address": nil, "kuberay": nil}
			if diff := cmp.Diff(any(want), plan.After(conn)["cluster"]); diff != "" {
				t.Errorf("planned cluster (-want +got):\n%s\n%s", diff, plan.Diagnostics())
			}
			tf.MustApply()
			s := tf.State(conn)
			id := f.Cluster()
			wants := m{
				"cluster": want, "cluster_id": id.ClusterID, "observed_cluster_id": id.ClusterID, "session_name": id.SessionName,
				"ray_version": id.RayVersion, "python_version": id.PythonVersion, "authentication_mode": "disabled",
				"dashboard_url_effective": f.URL(), "gcs_address_effective": test.gcs, "head_node_id": f.Nodes()[0].NodeID,
				"ready": true, "id": strings.TrimSuffix(test.address.(string), "/"),
			}
			for k, want := range wants {
				if diff := cmp.Diff(want, s[k]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", k, diff)
				}
			}
			tf.MustPlanNothing()
		})
	}
}

func TestConnectionTakesTheProvidersAddress(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, map[string]string{"RAY_ADDRESS": f.URL()})
	tf.Resource(conn, nil)
	tf.MustApply()
	s := tf.State(conn)
	want := any(m{"address": nil, "dashboard_url": nil, "gcs_address": nil, "client_address": nil, "kuberay": nil})
	if diff := cmp.Diff(want, s["cluster"]); diff != "" {
		t.Errorf("cluster is more than what was written (-want +got):\n%s", diff)
	}
	if s["cluster_id"] != f.Cluster().ClusterID {
		t.Errorf("cluster_id: got %v", s["cluster_id"])
	}
	tf.Data("data.ray_cluster.c", m{"cluster": core.Ref(conn + ".cluster")})
	tf.MustApply()
	tf.MustPlanNothing()
}

func TestReplacedClusterIsAPlannedChange(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL()})
	tf.Resource("ray_job.j", m{"name": "j", "entrypoint": "true", "cluster": core.Ref(conn + ".cluster"), "on_destroy": "abandon"}, core.ReplaceTriggeredBy(conn+".cluster_id"))
	tf.MustApply()
	old := f.Cluster().ClusterID
	f.Restart(false)

	check := func(plan *core.Plan) {
		t.Helper()
		if plan.ExitCode() != 2 || plan.Action(conn) != core.Update || plan.Action("ray_job.j") != core.Replace {
			t.Fatalf("got exit code %d, %v\n%s", plan.ExitCode(), plan.Actions(), plan.Diagnostics())
		}
		if diff := cmp.Diff([]string{"cluster_id"}, plan.Changed(conn)); diff != "" {
			t.Errorf("changed (-want +got):\n%s", diff)
		}
		if got := plan.After(conn)["cluster_id"]; got != f.Cluster().ClusterID {
			t.Errorf("planned cluster_id: got %v, want the new one, known", got)
		}
		mustContain(t, plan.Diagnostics().Warnings(), "was replaced", old, f.Cluster().ClusterID)
	}
	check(tf.Plan())
	if r := tf.Apply(core.RefreshOnly()); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	if got := tf.State(conn)["cluster_id"]; got != old {
		t.Errorf("a refresh changed the recorded cluster_id to %v", got)
	}
	check(tf.Plan())
	tf.MustApply()
	s := tf.State(conn)
	if s["cluster_id"] != f.Cluster().ClusterID || s["session_name"] != f.Cluster().SessionName {
		t.Errorf("after apply: got %v, %v", s["cluster_id"], s["session_name"])
	}
	tf.MustPlanNothing()
}

func TestClusterReplacedBetweenPlanAndApply(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL()})
	tf.MustApply()
	f.Restart(false)
	plan := tf.Plan()
	f.Restart(false)
	r := plan.Apply()
	if r.ExitCode() != 1 {
		t.Fatalf("got exit code %d, want 1", r.ExitCode())
	}
	mustContain(t, r.Diagnostics().Errors(), "changed after the plan", "Plan and apply again")
	tf.MustApply()
	tf.MustPlanNothing()
}

func TestRestartWithRedisIsNoChange(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL()})
	tf.MustApply()
	f.Restart(true)
	tf.MustPlanNothing()
}

func TestReadyWhenWaitsForNodes(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL(), "ready_when": m{
		"nodes": 2, "resources": m{"GPU": 8}, "node_labels": m{"tier": "gpu"},
	}})
	run := tf.StartApply()
	f.AddNode(worker(ray.Resources{"GPU": 4}, map[string]string{"tier": "gpu"}))
	select {
	case <-run.Done():
		t.Fatal("the apply was done with half of the nodes")
	case <-time.After(400 * time.Millisecond):
	}
	f.AddNode(worker(ray.Resources{"GPU": 4}, map[string]string{"tier": "gpu"}))
	if r := run.Wait(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	// A later scale-down is no drift without watch.
	f.KillNode(f.Nodes()[1].NodeID)
	tf.MustPlanNothing()
}

func TestReadyWhenWaitsForAClusterThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.Down()
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL(), "ready_when": m{}})
	run := tf.StartApply()
	select {
	case <-run.Done():
		t.Fatalf("the apply did not wait:\n%s", run.Wait().Diagnostics())
	case <-time.After(400 * time.Millisecond):
	}
	if err := f.Up(); err != nil {
		t.Fatal(err)
	}
	if r := run.Wait(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	tf.MustPlanNothing()
}

func TestReadyWhenSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	f := fake(t)
	withGCS(t, f, func(s *raytest.GCSState) {
		s.Autoscaling = &raypb.AutoscalingState{
			PendingInstanceRequests: []*raypb.PendingInstanceRequest{{RayNodeTypeName: "cpu", Count: 2}},
			FailedInstanceRequests:  []*raypb.FailedInstanceRequest{{RayNodeTypeName: "gpu", Count: 1, Reason: "quota exceeded", FailedTs: time.Now().Unix()}},
		}
	})
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL(), "ready_when": m{"nodes": 4, "resources": m{"GPU": 16, "CPU": 2}}, "timeouts": m{"create": "3s"}})
	r := tf.Apply()
	if r.ExitCode() != 1 || tf.State(conn) != nil {
		t.Fatalf("got exit code %d, state %v, want 1 and none", r.ExitCode(), tf.State(conn))
	}
	mustContain(t, r.Diagnostics().Errors(), "is not ready after 3s", "1/4 nodes", "GPU 0/16", "group cpu: 2 launching", "group gpu: launch failed: quota exceeded")
	if r.Diagnostics().Contains("CPU 2/2") {
		t.Errorf("what is there is called missing:\n%s", r.Diagnostics())
	}
}

func TestInterruptedWaitLeavesNothing(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL(), "ready_when": m{"nodes": 9}, "timeouts": m{"create": "1m"}})
	run := tf.StartApply()
	for f.Requests()["GET /api/v0/nodes"] < 2 { // which the plan does not ask: the first has its answer
		time.Sleep(10 * time.Millisecond)
	}
	start := time.Now()
	run.Interrupt()
	r := run.Wait()
	if time.Since(start) >= time.Minute || tf.State(conn) != nil {
		t.Errorf("it took %s, state %v", time.Since(start), tf.State(conn))
	}
	mustContain(t, r.Diagnostics(), "was interrupted", "1/9 nodes")
}

func TestWatchMakesALostNodeAPlannedChange(t *testing.T) {
	t.Parallel()
	f := fake(t)
	id := f.AddNode(worker(ray.Resources{"CPU": 2}, nil))
	tf := terraform(t, nil)
	config := m{"address": f.URL(), "ready_when": m{"nodes": 2}, "watch": true, "timeouts": m{"update": "300ms"}}
	tf.Resource(conn, config)
	tf.MustApply()
	tf.MustPlanNothing()
	f.KillNode(id)
	plan := tf.Plan()
	if plan.ExitCode() != 2 || plan.Action(conn) != core.Update {
		t.Fatalf("got exit code %d, %v\n%s", plan.ExitCode(), plan.Actions(), plan.Diagnostics())
	}
	if diff := cmp.Diff([]string{"ready", "reasons"}, plan.Changed(conn)); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	mustContain(t, plan.Diagnostics().Warnings(), "no longer ready", "1/2 nodes")
	if r := plan.Apply(); r.ExitCode() != 1 {
		t.Errorf("apply without the node: got exit code %d, want 1", r.ExitCode())
	}
	f.AddNode(worker(ray.Resources{"CPU": 2}, nil))
	delete(config, "timeouts") // this apply may take its time
	tf.Resource(conn, config)
	tf.MustApply()
	tf.MustPlanNothing()
}

func TestRequiredRayVersion(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithVersion("2.40.0"))
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL(), "required_ray_version": ">= 2.50, < 3"})
	plan := tf.Plan()
	if plan.ExitCode() != 2 {
		t.Fatalf("plan: got exit code %d, want 2: what may still change is a warning", plan.ExitCode())
	}
	mustContain(t, plan.Diagnostics().Warnings(), "runs another Ray", `required_ray_version is ">= 2.50, < 3"`, "2.40.0")
	r := plan.Apply()
	mustContain(t, r.Diagnostics().Errors(), "runs another Ray")
	if r.ExitCode() != 1 || r.Diagnostics().Errors()[0].Path != "required_ray_version" {
		t.Errorf("apply: got exit code %d, %v", r.ExitCode(), r.Diagnostics())
	}

	tf.Resource(conn, m{"address": f.URL(), "required_ray_version": "~> 2.40"})
	tf.MustApply()
	// Another version later blocks an update, and neither refresh nor destroy.
	tf.Resource(conn, m{"address": f.URL(), "required_ray_version": ">= 2.50"})
	if r := tf.Apply(); r.ExitCode() != 1 {
		t.Errorf("update: got exit code %d, want 1", r.ExitCode())
	}
	if r := tf.Apply(core.RefreshOnly()); r.ExitCode() != 0 {
		t.Errorf("refresh: %s", r.Diagnostics())
	}
	if r := tf.Destroy(); r.ExitCode() != 0 {
		t.Errorf("destroy: %s", r.Diagnostics())
	}
}

func TestConnectionIsKeptWhileTheClusterCannotBeReached(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL()})
	tf.MustApply()
	before := tf.State(conn)
	f.Down()

	plan := tf.Plan()
	if plan.ExitCode() != 1 {
		t.Errorf("got exit code %d, want 1", plan.ExitCode())
	}
	mustContain(t, plan.Diagnostics().Errors(), "could not be refreshed", `on_unreachable = "keep"`, "destroy -refresh=false")
	tf.Provider(m{"on_unreachable": "keep"})
	plan = tf.Plan()
	if plan.ExitCode() != 0 {
		t.Errorf("keep: got exit code %d, want 0\n%s", plan.ExitCode(), plan.Diagnostics())
	}
	mustContain(t, plan.Diagnostics().Warnings(), "is kept as it was")
	if diff := cmp.Diff(before, tf.State(conn)); diff != "" {
		t.Errorf("state changed (-before +after):\n%s", diff)
	}
	if r := tf.Destroy(); r.ExitCode() != 0 {
		t.Errorf("destroy: %s", r.Diagnostics())
	}
}

func TestRefusedCredentialIsNeverUnreachable(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithToken("right"))
	tf := terraform(t, nil)
	tf.Provider(m{"address": f.URL(), "token": "right", "on_unreachable": "keep"})
	tf.Resource(conn, nil)
	tf.MustApply()
	tf.Provider(m{"address": f.URL(), "token": "wrong", "on_unreachable": "keep"})
	plan := tf.Plan()
	if plan.ExitCode() != 1 {
		t.Errorf("got exit code %d, want 1", plan.ExitCode())
	}
	mustContain(t, plan.Diagnostics().Errors(), "403", "The token came from the provider's token argument")
}

func TestConnectionIsImportedByAddress(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL()})
	if ds := tf.Import(conn, "ftp://x"); !ds.HasErrors() || !ds.Contains("host:6379") {
		t.Errorf("a wrong address: got %s", ds)
	}
	if ds := tf.Import(conn, f.URL()); ds.HasErrors() {
		t.Fatal(ds)
	}
	if got := tf.State(conn)["cluster_id"]; got != f.Cluster().ClusterID {
		t.Errorf("cluster_id: got %v", got)
	}
	tf.MustPlanNothing()
}

func TestChangedAddressOfTheSameClusterMovesNobody(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithPrefix(""))
	other := strings.Replace(f.URL(), "127.0.0.1", "localhost", 1)
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL()})
	tf.Resource("ray_job.j", m{"name": "j", "entrypoint": "true", "cluster": core.Ref(conn + ".cluster")}, core.ReplaceTriggeredBy(conn+".cluster_id"))
	tf.MustApply()
	tf.Resource(conn, m{"address": other})
	plan := tf.Plan()
	if plan.Action(conn) != core.Update || plan.Action("ray_job.j") != core.Update {
		t.Fatalf("got %v, want updates in place\n%s", plan.Actions(), plan.Diagnostics())
	}
	for name, v := range plan.After(conn) {
		if v == core.Unknown {
			t.Errorf("%s is not known", name)
		}
	}
	tf.MustApply()
	tf.MustPlanNothing()
	if n := f.EntrypointExecutions("true"); n != 1 {
		t.Errorf("the job ran %d times, want once", n)
	}
}

func TestChangedAddressOfAnotherCluster(t *testing.T) {
	t.Parallel()
	a, b := fake(t), fake(t)
	b.Restart(false) // fakes begin with the same cluster id
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": a.URL()})
	tf.MustApply()
	tf.Resource(conn, m{"address": b.URL()})
	plan := tf.Plan()
	if got := plan.After(conn)["cluster_id"]; got != b.Cluster().ClusterID {
		t.Errorf("planned cluster_id: got %v, want that of the new address", got)
	}
	mustContain(t, plan.Diagnostics().Warnings(), "is another one")
	tf.MustApply()
	tf.MustPlanNothing()
}

func TestUpdateOfWatchAsksTheClusterNothing(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL()})
	tf.MustApply()
	tf.Resource(conn, m{"address": f.URL(), "watch": true, "timeouts": m{"update": "5m"}})
	plan := tf.Plan()
	if diff := cmp.Diff([]string{"timeouts", "watch"}, plan.Changed(conn)); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	f.ResetRequests()
	if r := plan.Apply(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	if got := f.RequestRoutes(); len(got) != 0 {
		t.Errorf("the update asked for %v", got)
	}
}

func TestUnknownProviderAddress(t *testing.T) {
	t.Parallel()
	f := fake(t)
	// The environment must not be taken in the place of an unknown address.
	tf := terraform(t, map[string]string{"RAY_ADDRESS": "http://127.0.0.1:1"})
	tf.Provider(m{"address": core.Later(f.URL())})
	tf.Resource(conn, m{"ready_when": m{"nodes": 1}})
	plan := tf.Plan()
	if plan.ExitCode() != 2 || plan.Action(conn) != core.Create {
		t.Fatalf("got exit code %d\n%s", plan.ExitCode(), plan.Diagnostics())
	}
	if r := plan.Apply(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	if got := tf.State(conn)["cluster_id"]; got != f.Cluster().ClusterID {
		t.Errorf("cluster_id: got %v", got)
	}
	// What state has stays while it is unknown again.
	if plan := tf.Plan(); plan.Diagnostics().HasErrors() {
		t.Errorf("plan with an object in state: %s", plan.Diagnostics())
	}
	tf.Data("data.ray_nodes.n", nil)
	plan = tf.Plan()
	errs := plan.Diagnostics().Errors()
	mustContain(t, errs, `The provider's argument "address" is not known before apply`, "-target")
	if len(errs) != 1 || errs[0].Path == "" {
		t.Errorf("got %v, want one error with a path", errs)
	}
}

func TestConnectionOfAnOldRay(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithVersion("2.9.3"))
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL()})
	tf.MustApply()
	if s := tf.State(conn); s["cluster_id"] != nil || s["ray_version"] != "2.9.3" || s["authentication_mode"] != "disabled" {
		t.Errorf("got %v", s)
	}
	tf.MustPlanNothing()
}

func TestValidateRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config     m
		path, want string
	}{
		"kuberay":            {m{"address": "kuberay://c"}, "address", "kuberay://namespace/name"},
		"no such namespace":  {m{"kuberay": m{"namespace": "NS", "name": "c"}}, "kuberay", `"NS" can't be its namespace`},
		"no such access":     {m{"kuberay": m{"namespace": "ns", "name": "c", "access": "tunnel"}}, "kuberay", `"proxy" or "service"`},
		"two places":         {m{"address": "http://h:8265", "kuberay": m{"namespace": "ns", "name": "c"}}, "kuberay", "dashboard_url"},
		"two RayClusters":    {m{"address": "kuberay://ns/d", "kuberay": m{"namespace": "ns", "name": "c"}}, "kuberay", "another RayCluster"},
		"one, twice":         {m{"address": "kuberay://ns/c", "kuberay": m{"namespace": "ns", "name": "c"}}, "", ""},
		"kuberay as GCS":     {m{"gcs_address": "kuberay://ns/c"}, "gcs_address", "host:6379"},
		"auto":               {m{"address": "auto"}, "address", "must not guess"},
		"gcs as dashboard":   {m{"dashboard_url": "head:6379"}, "dashboard_url", "http(s)://host:8265"},
		"dashboard as gcs":   {m{"gcs_address": "http://head:8265"}, "gcs_address", "host:6379"},
		"password":           {m{"address": "http://u:hunter2@head:8265"}, "address", "user name or password"},
		"constraint":         {m{"required_ray_version": ">= two"}, "required_ray_version", "not a version"},
		"constraint ~>":      {m{"required_ray_version": "~> 2"}, "required_ray_version", "at least two numbers"},
		"negative resource":  {m{"ready_when": m{"resources": m{"GPU": -1}}}, `ready_when.resources["GPU"]`, "at least"},
		"no nodes":           {m{"ready_when": m{"nodes": 0}}, "ready_when.nodes", "at least 1"},
		"timeout, no unit":   {m{"timeouts": m{"create": "5"}}, "timeouts.create", "not a number with a unit"},
		"timeout, negative":  {m{"timeouts": m{"create": "-3s"}}, "timeouts.create", "negative"},
		"timeout of nothing": {m{"timeouts": m{"create": "0s"}}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf := terraform(t, nil)
			tf.Resource(conn, test.config)
			ds := tf.Validate()
			if test.want == "" {
				if ds.HasErrors() {
					t.Error(ds)
				}
				return
			}
			errs := ds.Errors()
			if len(errs) != 1 || errs[0].Path != test.path || !errs.Contains(test.want) {
				t.Errorf("got %v, want one error at %s with %q", errs, test.path, test.want)
			}
			if ds.Contains("hunter2") {
				t.Errorf("the password is shown: %s", ds)
			}
		})
	}
}
