//go:build unix

package kuberay_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// server is one API server with the operator for all tests of the package; it ends with
// the process.
var server = sync.OnceValues(func() (*kubetest.Server, error) {
	return kubetest.Start(context.Background(), kubetest.Options{Operator: true})
})

func start(t *testing.T) *kubetest.Server {
	t.Helper()
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rayCluster is a new RayCluster with two worker groups, and a client of its server.
func rayCluster(t *testing.T, change func(kubetest.Object)) (*kuberay.Client, kuberay.Name, *kubetest.RayCluster) {
	t.Helper()
	s := start(t)
	name := strings.ToLower(strings.NewReplacer("TestReal", "", "_", "-", "/", "-").Replace(t.Name()))
	c, err := s.CreateRayCluster(t.Context(), kubetest.RayClusterOptions{Name: name, Change: change})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context())) })
	if err := c.WaitFor(t.Context(), "the operator to see it", func(o kubetest.Object) error {
		if status, _ := o["status"].(kubetest.Object); status["observedGeneration"] == nil {
			return errors.New("it has no status")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return client(t, kuberay.Config{ConfigPath: s.Admin.Kubeconfig}), kuberay.Name{Namespace: "default", Name: name}, c
}

func client(t *testing.T, c kuberay.Config) *kuberay.Client {
	t.Helper()
	out, err := kuberay.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func values(t *testing.T, text string) kuberay.Values {
	t.Helper()
	var out kuberay.Values
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// spec is what the RayCluster says of scaling now.
func spec(t *testing.T, c *kubetest.RayCluster) string {
	t.Helper()
	s, err := c.Scaling(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRealEnforce(t *testing.T) {
	t.Parallel()
	c, name, object := rayCluster(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	want := values(t, `{"workerGroupSpecs": {"cpu": {"minReplicas": 3, "maxReplicas": 9, "idleTimeoutSeconds": 45}}, "autoscalerOptions": {"idleTimeoutSeconds": 90, "upscalingMode": "Conservative"}}`)
	var said []string
	_, old, err := c.Enforce(ctx, name, kuberay.Change{Want: want}, kuberay.Wait{Workers: true, Waiting: func(r []string) { said = append(said, r...) }})
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(old); string(b) != `{"autoscalerOptions":{"idleTimeoutSeconds":120,"upscalingMode":null},"workerGroupSpecs":{"cpu":{"idleTimeoutSeconds":null,"maxReplicas":5,"minReplicas":1}}}` {
		t.Errorf("what was there before: %s", b)
	}
	if got := spec(t, object); got != `{"idleTimeoutSeconds":90,"upscalingMode":"Conservative","version":"v2"} cpu:2 in 3..9 idle 45 gpu:0 in 0..2 idle -` {
		t.Errorf("got %s", got)
	}
	t.Log(said)
	// Nothing is left to write, nothing to wait for.
	if _, old, err := c.Enforce(ctx, name, kuberay.Change{Want: want}, kuberay.Wait{Workers: true}); err != nil || len(old) > 0 {
		t.Errorf("again: wrote over %v, %v", old, err)
	}
	if _, _, err := c.Enforce(ctx, name, kuberay.Change{Want: old}, kuberay.Wait{}); err != nil {
		t.Fatal(err)
	}
	if got := spec(t, object); got != `{"idleTimeoutSeconds":120,"version":"v2"} cpu:2 in 1..5 idle - gpu:0 in 0..2 idle -` {
		t.Errorf("put back: %s", got)
	}
}

// The API server takes what the operator refuses.
func TestRealEnforce_putsBackWhatTheOperatorRefuses(t *testing.T) {
	t.Parallel()
	c, name, object := rayCluster(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := spec(t, object)
	_, old, err := c.Enforce(ctx, name, kuberay.Change{Want: values(t, `{"workerGroupSpecs": {"cpu": {"minReplicas": 50}}}`)}, kuberay.Wait{})
	if !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), "minReplicas 50 greater than maxReplicas 5") || !strings.Contains(err.Error(), "was put back") || len(old) > 0 {
		t.Errorf("wrote over %v, %v", old, err)
	}
	if got := spec(t, object); got != before {
		t.Errorf("left %s", got)
	}
	// The event of the refusal stays, and is not taken for one of the next change.
	if _, _, err := c.Enforce(ctx, name, kuberay.Change{Want: values(t, `{"workerGroupSpecs": {"cpu": {"minReplicas": 4}}}`)}, kuberay.Wait{}); err != nil {
		t.Error(err)
	}
}

// Ray's own autoscaler code writes by index and without a guard, and the operator writes
// the status: nobody loses anything.
func TestRealScale_beside300PatchesOfTheAutoscaler(t *testing.T) {
	t.Parallel()
	c, name, object := rayCluster(t, nil)
	const patches = 300
	autoscaler, err := object.StartAutoscaler(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer autoscaler.Close()
	if _, err := autoscaler.Config(t.Context()); err != nil { // it is up
		t.Fatal(err)
	}
	raced := make(chan error, 1)
	go func() { raced <- autoscaler.Race(t.Context(), "cpu", patches) }()
	writes := 0
	for done := false; !done; {
		select {
		case err := <-raced:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		want := kuberay.Values{{Group: "cpu", Key: kuberay.MinReplicas}: int64(writes % 2), {Group: "cpu", Key: kuberay.MaxReplicas}: int64(6 + writes%3)}
		now, old, err := c.Scale(t.Context(), name, kuberay.Change{Want: want})
		if err != nil {
			t.Fatalf("write %d: %v", writes, err)
		}
		for f, v := range want {
			if got, _ := now.Value(f); got != v {
				t.Fatalf("write %d: %s is %v, want %v", writes, f, got, v)
			}
		}
		if len(old) > 0 {
			writes++
		}
	}
	if writes < 50 {
		t.Errorf("only %d writes beside %d patches", writes, patches)
	}
	o, err := object.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	group := o["spec"].(kubetest.Object)["workerGroupSpecs"].([]any)[0].(kubetest.Object)
	if got := fmt.Sprint(group["replicas"], group["minReplicas"], group["maxReplicas"]); got != fmt.Sprint(patches, (writes-1)%2, 6+(writes-1)%3) {
		t.Errorf("in the end: %s after %d writes", got, writes)
	}
	t.Logf("%d writes beside %d patches", writes, patches)
}

// An answer that was lost is not written twice, and not taken for a conflict.
func TestRealScale_lostAnswer(t *testing.T) {
	t.Parallel()
	_, name, object := rayCluster(t, nil)
	s := start(t)
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var (
		patches atomic.Int32
		between func() // the patch and its answer, that is lost
		down    atomic.Bool
	)
	proxy := httputil.NewSingleHostReverseProxy(target)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.CA))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	proxy.Transport = transport
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method == http.MethodPatch && patches.Add(1) == 1 {
			if between != nil {
				between()
			}
			return errors.New("cut off")
		}
		if down.Load() {
			r.StatusCode = http.StatusServiceUnavailable
		}
		return nil
	}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	front := httptest.NewTLSServer(proxy)
	defer front.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
	c := client(t, kuberay.Config{Host: front.URL, Token: s.Admin.Token, ClusterCACertificate: ca})
	now, old, err := c.Scale(t.Context(), name, kuberay.Change{Want: values(t, `{"workerGroupSpecs": {"gpu": {"maxReplicas": 7}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(old); string(b) != `{"workerGroupSpecs":{"gpu":{"maxReplicas":2}}}` || patches.Load() != 1 {
		t.Errorf("wrote over %s with %d patches", b, patches.Load())
	}
	if v, _ := now.Value(kuberay.Field{Group: "gpu", Key: kuberay.MaxReplicas}); v != int64(7) {
		t.Errorf("maxReplicas is %v: %s", v, spec(t, object))
	}

	// What was written over is known also where somebody else wrote before the next look.
	patches.Store(0)
	between = func() {
		if _, err := object.Patch(t.Context(), kubetest.Op{Op: "add", Path: "/spec/workerGroupSpecs/1/maxReplicas", Value: 9}); err != nil {
			t.Error(err)
		}
	}
	_, old, err = c.Scale(t.Context(), name, kuberay.Change{
		Want: values(t, `{"workerGroupSpecs": {"gpu": {"maxReplicas": 8}}}`), Planned: values(t, `{"workerGroupSpecs": {"gpu": {"maxReplicas": 7}}}`),
	})
	if conflict, ok := errors.AsType[*kuberay.ConflictError](err); !ok || conflict.Found != int64(9) {
		t.Errorf("somebody else's write: %v", err)
	}
	if b, _ := json.Marshal(old); string(b) != `{"workerGroupSpecs":{"gpu":{"maxReplicas":7}}}` {
		t.Errorf("wrote over %s", b)
	}

	// Where nobody answers any more, it is known what was seen, and may have been written over.
	patches.Store(0)
	between = func() { down.Store(true) }
	now, old, err = c.Scale(t.Context(), name, kuberay.Change{Want: values(t, `{"workerGroupSpecs": {"gpu": {"maxReplicas": 8}}}`)})
	if !ray.IsUnreachable(err) || now == nil {
		t.Errorf("saw %v, %v", now, err)
	}
	if b, _ := json.Marshal(old); string(b) != `{"workerGroupSpecs":{"gpu":{"maxReplicas":9}}}` {
		t.Errorf("may have written over %s", b)
	}
}

func TestRealScale_dryRunAndSchema(t *testing.T) {
	t.Parallel()
	c, name, object := rayCluster(t, nil)
	before := spec(t, object)
	if _, _, err := c.Scale(t.Context(), name, kuberay.Change{Want: values(t, `{"workerGroupSpecs": {"gpu": {"maxReplicas": 7}}}`), DryRun: true}); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Scale(t.Context(), name, kuberay.Change{Want: values(t, `{"autoscalerOptions": {"upscalingMode": "Fast"}}`), DryRun: true}); !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), `supported values: "Default", "Aggressive", "Conservative"`) {
		t.Error(err)
	}
	// Written with validation Strict: what the custom resource does not have is not dropped.
	if _, _, err := c.Scale(t.Context(), name, kuberay.Change{Want: values(t, `{"workerGroupSpecs": {"gpu": {"priority": 3}}}`)}); !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), "priority") {
		t.Error(err)
	}
	if got := spec(t, object); got != before {
		t.Errorf("was %s, is %s", before, got)
	}
}

func TestRealRayCluster_notThere(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := client(t, kuberay.Config{ConfigPath: s.Admin.Kubeconfig})
	if _, err := c.RayCluster(t.Context(), kuberay.Name{Namespace: "default", Name: "nope"}); !ray.IsKind(err, ray.KindNotFound) || !strings.Contains(err.Error(), `"nope" not found`) {
		t.Error(err)
	}
	bare, err := kubetest.Start(t.Context(), kubetest.Options{NoCRDs: true})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	c = client(t, kuberay.Config{ConfigPath: bare.Admin.Kubeconfig})
	if _, err := c.RayCluster(t.Context(), kuberay.Name{Namespace: "default", Name: "nope"}); !ray.IsKind(err, ray.KindUnsupported) || !strings.Contains(err.Error(), "KubeRay") {
		t.Error(err)
	}
	if err := bare.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RayCluster(t.Context(), kuberay.Name{Namespace: "default", Name: "nope"}); !ray.IsKind(err, ray.KindUnavailable) {
		t.Error(err)
	}
}

// Who may not is told what would be needed; who may not list pods waits by the status.
func TestRealEnforce_asWhoMayLittle(t *testing.T) {
	t.Parallel()
	_, name, object := rayCluster(t, nil)
	s := start(t)
	rule := func(verbs ...string) kubetest.Rule {
		return kubetest.Rule{APIGroups: []string{"ray.io"}, Resources: []string{"rayclusters"}, Verbs: verbs}
	}
	account := func(user string, rules ...kubetest.Rule) *kuberay.Client {
		u, err := s.Account(t.Context(), "default", user, rules...)
		if err != nil {
			t.Fatal(err)
		}
		return client(t, kuberay.Config{ConfigPath: u.Kubeconfig})
	}
	want := kuberay.Change{Want: values(t, `{"workerGroupSpecs": {"cpu": {"minReplicas": 3}}}`)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, _, err := account("little-nobody").Enforce(ctx, name, want, kuberay.Wait{})
	if e, ok := errors.AsType[*kuberay.Error](err); !ok || !ray.IsKind(err, ray.KindForbidden) || e.Verb != "get" || e.Resource != "rayclusters.ray.io" || e.Namespace != "default" {
		t.Errorf("a user without rights: %v", err)
	}
	_, _, err = account("little-reader", rule("get")).Enforce(ctx, name, want, kuberay.Wait{})
	if e, ok := errors.AsType[*kuberay.Error](err); !ok || !ray.IsKind(err, ray.KindForbidden) || e.Verb != "patch" {
		t.Errorf("a reader: %v", err)
	}
	if _, _, err := account("little-writer", rule("get", "patch")).Enforce(ctx, name, want, kuberay.Wait{Workers: true}); err != nil {
		t.Errorf("a writer: %v: %s", err, spec(t, object))
	}
	var ready int
	if err := object.WaitFor(ctx, "workers", func(o kubetest.Object) error {
		status, _ := o["status"].(kubetest.Object)
		n, _ := status["readyWorkerReplicas"].(float64)
		if ready = int(n); ready < 3 {
			return fmt.Errorf("%d ready", ready)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	wrong := client(t, kuberay.Config{Host: s.URL, ClusterCACertificate: s.CA, Token: "wrong"})
	if _, err := wrong.RayCluster(ctx, name); !ray.IsKind(err, ray.KindUnauthenticated) {
		t.Errorf("a wrong token: %v", err)
	}
	untrusted := client(t, kuberay.Config{Host: s.URL, Token: s.Admin.Token})
	if _, err := untrusted.RayCluster(ctx, name); !ray.IsKind(err, ray.KindTLS) {
		t.Errorf("an unknown CA: %v", err)
	}
}

// A wait that ends says what is missing.
func TestRealEnforce_workersThatNeverCome(t *testing.T) {
	t.Parallel()
	c, name, _ := rayCluster(t, func(o kubetest.Object) {
		gpu := o["spec"].(kubetest.Object)["workerGroupSpecs"].([]any)[1].(kubetest.Object)
		gpu["template"].(kubetest.Object)["spec"].(kubetest.Object)["nodeSelector"] = kubetest.Object{"no": "such"}
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errors.New("enough"))
	defer cancel()
	_, old, err := c.Enforce(ctx, name, kuberay.Change{Want: values(t, `{"workerGroupSpecs": {"gpu": {"minReplicas": 1}}}`)}, kuberay.Wait{Workers: true})
	if wait, ok := errors.AsType[*kuberay.WaitError](err); !ok || len(old) == 0 || len(wait.Reasons) != 1 || !strings.HasPrefix(wait.Reasons[0], "group gpu: 0 of 1 workers ready (pod ") {
		t.Errorf("wrote over %v, %v", old, err)
	}
}
