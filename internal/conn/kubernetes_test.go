package conn

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubefake"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const pem = "-----BEGIN CERTIFICATE-----\nx"

func TestKubernetesIsWrittenOrInTheEnvironment(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		written Kubernetes
		env     []string
		want    Kubernetes
	}{
		"file of the environment":   {Kubernetes{}, []string{"KUBE_CONFIG_PATH", "/e", "KUBE_CTX", "c"}, Kubernetes{ConfigPath: "/e", ConfigContext: "c"}},
		"host of the environment":   {Kubernetes{}, []string{"KUBE_HOST", "https://e", "KUBE_TOKEN", "t"}, Kubernetes{Host: "https://e", Token: "t"}},
		"written file":              {Kubernetes{ConfigPath: "/w"}, []string{"KUBE_CONFIG_PATH", "/e", "KUBE_HOST", "https://e"}, Kubernetes{ConfigPath: "/w"}},
		"written host, its secrets": {Kubernetes{Host: "https://w"}, []string{"KUBE_HOST", "https://e", "KUBE_CONFIG_PATH", "/e", "KUBE_CTX", "c", "KUBE_CLIENT_CERT_DATA", pem, "KUBE_CLIENT_KEY_DATA", pem, "KUBE_CLUSTER_CA_CERT_DATA", pem}, Kubernetes{Host: "https://w", ClientCertificate: pem, ClientKey: pem, ClusterCACertificate: pem}},
		"another user is written":   {Kubernetes{Host: "https://w", Exec: &KubernetesExec{Command: "aws"}}, []string{"KUBE_TOKEN", "t"}, Kubernetes{Host: "https://w", Exec: &KubernetesExec{Command: "aws"}}},
		"another trust is written":  {Kubernetes{Host: "https://w", Insecure: true}, []string{"KUBE_CLUSTER_CA_CERT_DATA", pem}, Kubernetes{Host: "https://w", Insecure: true}},
		"trust is written":          {Kubernetes{Host: "https://w", ClusterCACertificate: pem}, []string{"KUBE_INSECURE", "true"}, Kubernetes{Host: "https://w", ClusterCACertificate: pem}},
		"insecure":                  {Kubernetes{Host: "https://w"}, []string{"KUBE_INSECURE", "true", "KUBE_TLS_SERVER_NAME", "n", "KUBE_PROXY_URL", "http://p"}, Kubernetes{Host: "https://w", Insecure: true, TLSServerName: "n", ProxyURL: "http://p"}},
		"the pod's own":             {Kubernetes{InCluster: true}, []string{"KUBE_HOST", "https://e", "KUBE_TOKEN", "t", "KUBE_PROXY_URL", "http://p"}, Kubernetes{InCluster: true}},
		"at home":                   {Kubernetes{ConfigPath: "~/k"}, []string{"HOME", "/h", "USERPROFILE", "/h"}, Kubernetes{ConfigPath: filepath.Join("/h", "k")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Config{Kubernetes: test.written, Getenv: env(test.env...)}.kubernetes()
			if err != nil {
				t.Fatal(err)
			}
			got.UserAgent, got.Timeout, got.Proxy = "", 0, nil
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestKubernetesOfTheEnvironmentThatCannotBe(t *testing.T) {
	t.Parallel()
	for want, vars := range map[string][]string{
		"no Kubernetes is configured": {"KUBECONFIG", "/k", "HOME", "/h", "KUBE_TOKEN", "hunter2"},
		"KUBE_INSECURE":               {"KUBE_HOST", "https://e", "KUBE_INSECURE", "perhaps"},
		"each name a Kubernetes":      {"KUBE_HOST", "https://e", "KUBE_CONFIG_PATH", "/e"},
		"not PEM":                     {"KUBE_HOST", "https://e", "KUBE_CLUSTER_CA_CERT_DATA", "LS0t"},
		"needs client_key":            {"KUBE_HOST", "https://e", "KUBE_CLIENT_CERT_DATA", pem},
		"token and client_certificate each say who we are": {"KUBE_HOST", "https://e", "KUBE_TOKEN", "hunter2", "KUBE_CLIENT_CERT_DATA", pem, "KUBE_CLIENT_KEY_DATA", pem},
	} {
		pool := NewPool(Config{Getenv: env(vars...)})
		for where, err := range map[string]error{
			"client":  func() error { _, err := pool.Kubernetes(); return err }(),
			"cluster": func() error { _, err := pool.Cluster(Target{Address: "kuberay://ns/name"}); return err }(),
		} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s, %v: got %v, want %q", where, vars, err, want)
			}
		}
		// Another cluster needs none.
		if _, err := pool.Cluster(Target{Address: "http://h:1"}); err != nil {
			t.Errorf("%v: %v", vars, err)
		}
	}
}

func TestMissingKubeconfigIsAskedForAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config")
	pool := NewPool(Config{Kubernetes: Kubernetes{ConfigPath: file}})
	defer pool.Close()
	if _, err := pool.Kubernetes(); !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v, want an error that names the file", err)
	}
	config := "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nclusters: [{name: a, cluster: {server: 'https://a.example:6443'}}]\nusers: [{name: a, user: {token: t}}]\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := pool.Kubernetes()
	if err != nil || first.Host() != "https://a.example:6443" {
		t.Fatalf("got %v, %v", first, err)
	}
	if second, err := pool.Kubernetes(); err != nil || second != first {
		t.Errorf("got another client, %v", err)
	}
	other := NewPool(Config{Kubernetes: Kubernetes{ConfigPath: file, ConfigContext: "b"}})
	if _, err := other.Kubernetes(); err == nil || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("a context that is not there: got %v", err)
	}
}

func TestUnknownKubernetes(t *testing.T) {
	t.Parallel()
	pool := NewPool(Config{Address: "http://h:1", Unknown: []string{"kubernetes"}})
	for target, want := range map[Target]bool{
		{}:                               false,
		{Address: "http://other:1"}:      false,
		{Address: "kuberay://ns/name"}:   true,
		{KubeRay: KubeRay{"n", "c", ""}}: true,
	} {
		_, err := pool.Cluster(target)
		if _, ok := err.(*UnknownError); ok != want { //nolint:errorlint // it is not wrapped
			t.Errorf("%+v: got %v, want unknown: %v", target, err, want)
		}
	}
	if _, err := pool.Kubernetes(); err == nil || !strings.Contains(err.Error(), `"kubernetes" is not known`) {
		t.Errorf("got %v", err)
	}
}

func TestTargetOfARayCluster(t *testing.T) {
	t.Parallel()
	pool := NewPool(Config{Address: "http://h:1", Kubernetes: Kubernetes{Host: "https://k"}})
	one := kuberay.Name{Namespace: "ns", Name: "c"}
	same, err := pool.Cluster(Target{Address: "kuberay://ns/c"})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []Target{
		{Address: "kuberay://ns/c/"}, {KubeRay: KubeRay{Namespace: "ns", Name: "c"}}, {KubeRay: KubeRay{"ns", "c", AccessProxy}},
		{Address: "kuberay://ns/c", KubeRay: KubeRay{Namespace: "ns", Name: "c"}},
	} {
		c, err := pool.Cluster(target)
		if err != nil || c != same {
			t.Errorf("%+v: got another cluster, %v", target, err)
		}
	}
	if name, ok := same.RayCluster(); name != one || !ok || same.Address() != "kuberay://ns/c" || same.NeedsSession() {
		t.Errorf("got %v, %v, %s", name, ok, same.Address())
	}
	if c, err := pool.Cluster(Target{KubeRay: KubeRay{"ns", "c", AccessService}}); err != nil || c == same {
		t.Errorf("another way is the same cluster object: %v", err)
	}
	if c, err := pool.Cluster(Target{}); err != nil {
		t.Error(err)
	} else if name, ok := c.RayCluster(); ok {
		t.Errorf("a dashboard's address is of RayCluster %s", name)
	}
	for want, target := range map[string]Target{
		"dashboard_url":             {Address: "http://h:1", KubeRay: KubeRay{Namespace: "ns", Name: "c"}},
		"another RayCluster":        {Address: "kuberay://ns/d", KubeRay: KubeRay{Namespace: "ns", Name: "c"}},
		`"proxy" or "service"`:      {KubeRay: KubeRay{"ns", "c", "tunnel"}},
		`"NS" can't be its name`:    {KubeRay: KubeRay{Namespace: "NS", Name: "c"}},
		`"" can't be its name`:      {KubeRay: KubeRay{Namespace: "ns"}},
		"host and port":             {Address: "h", KubeRay: KubeRay{Namespace: "ns", Name: "c"}},
		"gcs_address \"kuberay://c": {Address: "kuberay://ns/c", GCSAddress: "kuberay://c/d"},
	} {
		if _, err := pool.Cluster(target); !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", target, err, want)
		}
	}
}

// kubernetes is a stand-in for an API server with the RayCluster ml/ray, whose head is
// a fake that wants the token "for-ray".
func kubernetes(t *testing.T) (*kubefake.Server, *raytest.Fake) {
	t.Helper()
	head := raytest.NewFake(raytest.WithToken("for-ray"), raytest.WithPrefix(""))
	t.Cleanup(head.Close)
	k := kubefake.New("for-kubernetes")
	t.Cleanup(k.Close)
	k.Set("ml/ray", kubefake.RayCluster{Dashboard: head.URL()})
	return k, head
}

func TestDashboardThroughTheAPIServer(t *testing.T) {
	t.Parallel()
	k, head := kubernetes(t)
	c := clusterOf(t, Config{
		Kubernetes:  Kubernetes{Host: k.URL, ClusterCACertificate: k.CA, Token: "for-kubernetes"},
		Credentials: map[string]Credential{"kuberay://ml/ray": {Token: "for-ray", Headers: map[string]string{"X-Team": "a"}}},
	}, Target{Address: "kuberay://ml/ray"})
	info, err := c.Info(t.Context())
	if err != nil || info.ClusterID != head.Cluster().ClusterID {
		t.Fatalf("got %+v, %v", info, err)
	}
	nodes, source, err := c.Nodes(t.Context())
	if err != nil || source != SourceHTTP || len(nodes) != 1 {
		t.Errorf("got %d nodes from %s, %v", len(nodes), source, err)
	}
	d, err := c.Dashboard(t.Context())
	if want := k.URL + "/api/v1/namespaces/ml/services/ray-head-svc:dashboard/proxy"; err != nil || d.URL() != want {
		t.Errorf("got %v, %v, want %s", d, err, want)
	}
	if _, err := c.GCS(t.Context()); !ray.IsKind(err, ray.KindUnsupported) || !strings.Contains(err.Error(), "write gcs_address") {
		t.Errorf("the GCS: got %v", err)
	}
	for i, h := range k.Headers() {
		ours, rays, team := h.Get("Authorization"), h.Get("X-Ray-Authorization"), h.Get("X-Team")
		if ours != "Bearer for-kubernetes" {
			t.Errorf("request %d: got Authorization %q", i, ours)
		}
		// The first one reads the RayCluster: it is Kubernetes' own.
		if forRay := i > 0; (rays == "Bearer for-ray") != forRay || (team == "a") != forRay {
			t.Errorf("request %d: got X-Ray-Authorization %q, X-Team %q", i, rays, team)
		}
	}
}

func TestRefusalsBeforeTheHead(t *testing.T) {
	t.Parallel()
	condition := func(status, reason, message string) map[string]any {
		return map[string]any{
			"head":       map[string]any{"serviceName": "ray-head-svc"},
			"conditions": []any{map[string]any{"type": "HeadPodReady", "status": status, "reason": reason, "message": message}},
		}
	}
	for name, test := range map[string]struct {
		happens func(*kubefake.Server)
		config  func(*Config)
		kind    ray.Kind
		want    string
	}{
		"no such RayCluster": {func(k *kubefake.Server) { k.Delete("ml/ray") }, nil, ray.KindUnavailable, "there is no RayCluster of this name"},
		"no operator": {func(k *kubefake.Server) { k.Set("ml/ray", kubefake.RayCluster{Status: map[string]any{}}) }, nil,
			ray.KindUnavailable, "no KubeRay operator has taken it up"},
		"elsewhere": {func(k *kubefake.Server) {
			k.Set("ml/ray", kubefake.RayCluster{Spec: map[string]any{"managedBy": "kueue.x-k8s.io/multikueue"}, Status: map[string]any{}})
		}, nil, ray.KindUnavailable, "it is managed by kueue.x-k8s.io/multikueue"},
		"suspended": {func(k *kubefake.Server) { k.Set("ml/ray", kubefake.RayCluster{Spec: map[string]any{"suspend": true}}) }, nil,
			ray.KindUnavailable, "it is suspended"},
		"head not ready": {func(k *kubefake.Server) {
			k.Set("ml/ray", kubefake.RayCluster{Status: condition("False", "ContainersNotReady", "containers with unready status: [ray-head]")})
		}, nil, ray.KindUnavailable, "its head pod is not ready: ContainersNotReady: containers with unready status: [ray-head]"},
		"another place for a service": {func(k *kubefake.Server) {
			k.Set("ml/ray", kubefake.RayCluster{Status: map[string]any{"head": map[string]any{"serviceName": "evil.example/x"}}})
		}, nil, ray.KindUnavailable, "no name of a service"},
		"no endpoints": {func(k *kubefake.Server) { k.Set("ml/ray", kubefake.RayCluster{}) }, nil,
			ray.KindUnavailable, `no endpoints available for service "ray-head-svc"`},
		"nothing listens": {func(k *kubefake.Server) { k.Set("ml/ray", kubefake.RayCluster{Dashboard: "http://127.0.0.1:1"}) }, nil,
			ray.KindUnavailable, "error trying to reach service"},
		"not allowed to read": {func(k *kubefake.Server) { k.Deny("get rayclusters") }, nil,
			ray.KindForbidden, `cannot get resource "rayclusters" in API group "ray.io"`},
		"not allowed to pass": {func(k *kubefake.Server) { k.Deny("get services/proxy") }, nil,
			ray.KindForbidden, `cannot get resource "services/proxy"`},
		"not known to Kubernetes": {nil, func(c *Config) { c.Kubernetes.Token = "wrong" }, ray.KindUnauthenticated, "401"},
		"not known to Ray":        {nil, func(c *Config) { c.Credentials = nil }, ray.KindUnauthenticated, "Missing authentication token"},
		"a header of Kubernetes": {nil, func(c *Config) {
			c.Credentials = map[string]Credential{"kuberay://ml/ray": {Headers: map[string]string{"authorization": "Basic x"}}}
		}, ray.KindInvalid, "takes the header Authorization for itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, _ := kubernetes(t)
			if test.happens != nil {
				test.happens(k)
			}
			cfg := Config{
				Kubernetes:  Kubernetes{Host: k.URL, ClusterCACertificate: k.CA, Token: "for-kubernetes"},
				Credentials: map[string]Credential{"kuberay://ml/ray": {Token: "for-ray"}},
				Retry:       Retry{MaxAttempts: 1},
			}
			if test.config != nil {
				test.config(&cfg)
			}
			_, err := clusterOf(t, cfg, Target{Address: "kuberay://ml/ray"}).Info(t.Context())
			if ray.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %s: %v, want %s: %s", ray.KindOf(err), err, test.kind, test.want)
			}
		})
	}
}

// What the API server refuses has not reached Ray: nobody need look whether a job was
// submitted.
func TestRefusedWriteThroughTheAPIServerWasNotMade(t *testing.T) {
	t.Parallel()
	k, head := kubernetes(t)
	k.Deny("create services/proxy")
	c := clusterOf(t, Config{Kubernetes: Kubernetes{Host: k.URL, ClusterCACertificate: k.CA, Token: "for-kubernetes"}, Credential: Credential{Token: "for-ray"}}, Target{Address: "kuberay://ml/ray"})
	d, err := c.Dashboard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = d.Submit(t.Context(), ray.Submission{SubmissionID: "a", Entrypoint: "true"})
	if !ray.IsKind(err, ray.KindForbidden) || ray.OutcomeUnknown(err) {
		t.Errorf("got %v, outcome unknown: %v", err, ray.OutcomeUnknown(err))
	}
	if n := head.EntrypointExecutions("true"); n != 0 {
		t.Errorf("it ran %d times", n)
	}
}

func TestServiceIsReachedByItsName(t *testing.T) {
	t.Parallel()
	k := kubefake.New("for-kubernetes")
	defer k.Close()
	ports := map[string]any{"headGroupSpec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
		map[string]any{"name": "ray-head", "ports": []any{map[string]any{"name": "dashboard", "containerPort": 8266}}},
	}}}}}
	k.Set("ml/ray", kubefake.RayCluster{})
	k.Set("ml/ports", kubefake.RayCluster{Spec: ports})
	k.Set("ml/old", kubefake.RayCluster{Status: map[string]any{"state": "ready"}})
	pool := NewPool(Config{Kubernetes: Kubernetes{Host: k.URL, ClusterCACertificate: k.CA, Token: "for-kubernetes"}})
	defer pool.Close()
	for name, want := range map[string]string{
		"ray": "http://ray-head-svc.ml.svc:8265", "ports": "http://ports-head-svc.ml.svc:8266", "old": "http://old-head-svc.ml.svc:8265",
	} {
		c, err := pool.Cluster(Target{KubeRay: KubeRay{"ml", name, AccessService}})
		if err != nil {
			t.Fatal(err)
		}
		if d, err := c.Dashboard(t.Context()); err != nil || d.URL() != want {
			t.Errorf("%s: got %v, %v, want %s", name, d, err, want)
		}
	}
	// The GCS is looked for at the same Service, which alone gets the token.
	c := clusterOf(t, Config{}, Target{Address: "http://other:8265"})
	service := endpoint{addr: Address{Host: "ray-head-svc.ml.svc"}, head: true}
	got := c.candidates(service, "10.0.0.5:6379", FormGCS)
	want := []endpoint{{addr: parse(t, "ray-head-svc.ml.svc:6379"), head: true}, {addr: parse(t, "10.0.0.5:6379")}}
	if !slices.Equal(got, want) {
		t.Errorf("places of the GCS: got %+v, want %+v", got, want)
	}
}

func TestCredentialOfARayCluster(t *testing.T) {
	t.Parallel()
	primary := parse(t, "kuberay://ml/ray")
	service := parse(t, "http://ray-head-svc.ml.svc:8265")
	own := Config{Credential: Credential{Token: "own"}}
	ownAt := Config{Address: "kuberay://ml/ray", Credential: Credential{Token: "own"}}
	entry := Config{Credential: Credential{Token: "own"}, Credentials: map[string]Credential{"kuberay://ml/ray": {Token: "entry"}}}
	elsewhere := Config{Address: "http://h:1", Credential: Credential{Token: "own"}}
	for name, test := range map[string]struct {
		cfg  Config
		ep   endpoint
		want string
	}{
		"own":                         {own, endpoint{addr: primary, written: true}, "own"},
		"own, service":                {own, endpoint{addr: service, head: true}, "own"},
		"provider's address":          {ownAt, endpoint{addr: service, head: true}, "own"},
		"entry":                       {entry, endpoint{addr: primary, written: true}, "entry"},
		"entry, service":              {entry, endpoint{addr: service, head: true}, "entry"},
		"entry, written GCS":          {entry, endpoint{addr: parse(t, "gcs:6379"), written: true}, ""},
		"reported by Ray":             {own, endpoint{addr: parse(t, "10.0.0.1:6379")}, ""},
		"provider's address is other": {elsewhere, endpoint{addr: service, head: true}, ""},
	} {
		cred := NewPool(test.cfg).credentialFor(primary, test.ep)
		got, err := cred.token.read()
		if err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q (%s)", name, got, err, test.want, cred.describe(got))
		}
		if got == "" && !strings.Contains(cred.why, "kuberay://ml/ray") && !strings.Contains(cred.why, "http://h:1") {
			t.Errorf("%s: %q does not say where it goes", name, cred.why)
		}
	}
}

func TestTokenHeader(t *testing.T) {
	t.Parallel()
	var got http.Header
	server := newRecorder(t)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		server.ServeHTTP(w, r)
	})
	c := clusterOf(t, Config{Address: server.URL, Credential: Credential{
		Token: "for-ray", TokenHeader: "X-Ray-Authorization", Headers: map[string]string{"Authorization": "Basic proxy"},
	}}, Target{})
	d, err := c.Dashboard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Version(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got.Get("Authorization") != "Basic proxy" || got.Get("X-Ray-Authorization") != "Bearer for-ray" {
		t.Errorf("got %v", got)
	}
}
