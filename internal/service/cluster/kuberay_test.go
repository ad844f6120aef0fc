package cluster_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubefake"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const rayCluster = "ml/ray"

// kubernetes is a stand-in for an API server with a RayCluster whose head is a fake.
func kubernetes(t *testing.T) (*kubefake.Server, *raytest.Fake) {
	t.Helper()
	head := fake(t, raytest.WithToken("for-ray"))
	k := kubefake.New("for-kubernetes")
	t.Cleanup(k.Close)
	k.Set(rayCluster, kubefake.RayCluster{Dashboard: head.URL()})
	return k, head
}

func providerOf(k *kubefake.Server) m {
	return m{"token": "for-ray", "kubernetes": m{"host": k.URL, "cluster_ca_certificate": k.CA, "token": "for-kubernetes"}, "request_retry": m{"max_attempts": 1}}
}

func TestConnectionToARayCluster(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]m{
		"address": {"address": "kuberay://ml/ray"},
		"kuberay": {"kuberay": m{"namespace": "ml", "name": "ray"}},
		"access":  {"kuberay": m{"namespace": "ml", "name": "ray", "access": "proxy"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, head := kubernetes(t)
			tf := terraform(t, nil)
			tf.Provider(providerOf(k))
			tf.Resource(conn, config)
			tf.Resource("ray_job.j", m{"name": "j", "entrypoint": "true", "cluster": core.Ref(conn + ".cluster")})
			tf.Data("data.ray_nodes.n", m{"cluster": core.Ref(conn + ".cluster")})
			tf.MustApply()
			s := tf.State(conn)
			written := m{"address": nil, "dashboard_url": nil, "gcs_address": nil, "client_address": nil, "kuberay": nil}
			maps.Copy(written, config)
			if r, ok := config["kuberay"].(m); ok {
				written["kuberay"] = m{"namespace": r["namespace"], "name": r["name"], "access": r["access"]}
			}
			wants := m{
				"id": "kuberay://ml/ray", "cluster_id": head.Cluster().ClusterID, "gcs_address_effective": nil, "autoscaler": "unknown", "ready": true,
				"dashboard_url_effective": k.URL + "/api/v1/namespaces/ml/services/ray-head-svc:dashboard/proxy", "cluster": written,
			}
			for name, want := range wants {
				if diff := cmp.Diff(want, s[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			if got := tf.State("ray_job.j")["status"]; got != "SUCCEEDED" || head.EntrypointExecutions("true") != 1 {
				t.Errorf("the job: got status %v, %d runs", got, head.EntrypointExecutions("true"))
			}
			tf.MustPlanNothing()
			if r := tf.Destroy(); r.ExitCode() != 0 {
				t.Errorf("destroy: %s", r.Diagnostics())
			}
		})
	}
}

func TestConnectionWaitsForTheHeadOfARayCluster(t *testing.T) {
	t.Parallel()
	k, head := kubernetes(t)
	k.Delete(rayCluster)
	tf := terraform(t, nil)
	tf.Provider(providerOf(k))
	config := m{"address": "kuberay://ml/ray", "ready_when": m{"nodes": 1}, "timeouts": m{"create": "3s"}}
	tf.Resource(conn, config)
	mustContain(t, tf.Apply().Diagnostics().Errors(), "is not ready after 3s", "there is no RayCluster of this name in the namespace", "kubectl get pods -n ml")
	k.Set(rayCluster, kubefake.RayCluster{Dashboard: head.URL(), Status: map[string]any{"conditions": []any{
		map[string]any{"type": "HeadPodReady", "status": "False", "reason": "ContainersNotReady", "message": "image pull"},
	}}})
	mustContain(t, tf.Apply().Diagnostics().Errors(), "its head pod is not ready: ContainersNotReady: image pull")
	config["timeouts"] = m{"create": "20s"}
	tf.Resource(conn, config)
	run := tf.StartApply()
	k.Set(rayCluster, kubefake.RayCluster{Dashboard: head.URL()})
	if r := run.Wait(); r.ExitCode() != 0 {
		t.Error(r.Diagnostics())
	}
}

func TestRayClusterThatWasMadeAnew(t *testing.T) {
	t.Parallel()
	k, head := kubernetes(t)
	tf := terraform(t, nil)
	tf.Provider(providerOf(k))
	tf.Resource(conn, m{"address": "kuberay://ml/ray"})
	tf.MustApply()

	k.Delete(rayCluster)
	plan := tf.Plan()
	mustContain(t, plan.Diagnostics().Errors(), "could not be refreshed", "there is no RayCluster")
	if r := tf.Destroy(core.NoRefresh()); r.ExitCode() != 0 {
		t.Errorf("destroy: %s", r.Diagnostics())
	}

	k.Set(rayCluster, kubefake.RayCluster{Dashboard: head.URL()})
	tf.MustApply()
	head.Restart(false)
	plan = tf.Plan()
	mustContain(t, plan.Diagnostics().Warnings(), "The cluster kuberay://ml/ray was replaced")
	if got := plan.After(conn)["cluster_id"]; got != head.Cluster().ClusterID {
		t.Errorf("planned cluster_id: got %v", got)
	}
	tf.MustApply()
	tf.MustPlanNothing()
}

func TestKubernetesRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config  m
		happens func(*kubefake.Server, m)
		path    string
		want    []string
	}{
		"no Kubernetes":          {m{"address": "kuberay://ml/ray"}, func(_ *kubefake.Server, p m) { delete(p, "kubernetes") }, "address", []string{"o Kubernetes is configured", "config_path"}},
		"no Kubernetes, kuberay": {m{"kuberay": m{"namespace": "ml", "name": "ray"}}, func(_ *kubefake.Server, p m) { delete(p, "kubernetes") }, "kuberay", []string{"o Kubernetes is configured"}},
		"read":                   {m{"address": "kuberay://ml/ray"}, func(k *kubefake.Server, _ m) { k.Deny("get rayclusters") }, "", []string{"a Role in namespace ml must allow get on rayclusters.ray.io", "kubectl auth can-i get rayclusters.ray.io -n ml"}},
		"proxy":                  {m{"address": "kuberay://ml/ray"}, func(k *kubefake.Server, _ m) { k.Deny("get services/proxy") }, "", []string{"must allow get on services/proxy"}},
		"no file":                {m{"address": "kuberay://ml/ray"}, func(_ *kubefake.Server, p m) { p["kubernetes"] = m{"config_path": "/does/not/exist"} }, "address", []string{"/does/not/exist", "no such file"}},
		"API server is down":     {m{"address": "kuberay://ml/ray"}, func(k *kubefake.Server, _ m) { k.Close() }, "address", []string{"connection refused", "This is about the API server, not about Ray"}},
		"another user":           {m{"address": "kuberay://ml/ray"}, func(k *kubefake.Server, _ m) { k.Token = "other" }, "", []string{"does not accept the credentials of the provider's kubernetes argument"}},
		"no token for Ray":       {m{"address": "kuberay://ml/ray"}, func(_ *kubefake.Server, p m) { delete(p, "token") }, "", []string{"Missing authentication token", "This cluster wants a token"}},
		"no such RayCluster":     {m{"address": "kuberay://ml/ray"}, func(k *kubefake.Server, _ m) { k.Delete(rayCluster) }, "address", []string{"there is no RayCluster of this name in the namespace"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, _ := kubernetes(t)
			tf := terraform(t, nil)
			p := providerOf(k)
			test.happens(k, p)
			tf.Provider(p)
			tf.Resource(conn, test.config)
			errs := tf.Apply().Diagnostics().Errors()
			mustContain(t, errs, test.want...)
			if len(errs) != 1 || errs[0].Path != test.path {
				t.Errorf("got %v, want one error at %q", errs, test.path)
			}
		})
	}
}

func TestUnknownKubernetes(t *testing.T) {
	t.Parallel()
	k, _ := kubernetes(t)
	tf := terraform(t, nil)
	p := providerOf(k)
	p["kubernetes"] = m{"host": core.Later(k.URL), "cluster_ca_certificate": k.CA, "token": "for-kubernetes"}
	tf.Provider(p)
	tf.Resource(conn, m{"kuberay": m{"namespace": "ml", "name": "ray"}})
	tf.MustApply()
	tf.Data("data.ray_nodes.n", m{"cluster": m{"address": "kuberay://ml/ray"}})
	mustContain(t, tf.Plan().Diagnostics().Errors(), `The provider's argument "kubernetes" is not known before apply`)
}

// States of a release whose cluster had no member kuberay are read as if it were null.
func TestStateWithoutKubeRay(t *testing.T) {
	t.Parallel()
	f := fake(t)
	tf := terraform(t, nil)
	tf.Resource(conn, m{"address": f.URL()})
	tf.Resource("ray_job.j", m{"name": "j", "entrypoint": "true", "cluster": core.Ref(conn + ".cluster")})
	tf.MustApply()
	for _, addr := range []string{conn, "ray_job.j"} {
		var state m
		if err := json.Unmarshal(tf.RawState(addr), &state); err != nil {
			t.Fatal(err)
		}
		delete(state, "kuberay")
		cluster, ok := state["cluster"].(m)
		if _, has := cluster["kuberay"]; !ok || !has {
			t.Fatalf("%s: got cluster %v, want one with kuberay", addr, state["cluster"])
		}
		delete(cluster, "kuberay")
		old, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(old), "kuberay") {
			t.Fatalf("%s: %s", addr, old)
		}
		tf.SetRawState(addr, 0, old, tf.Private(addr))
	}
	tf.MustPlanNothing()
	if n := f.EntrypointExecutions("true"); n != 1 {
		t.Errorf("the job ran %d times, want once", n)
	}
}
