//go:build unix

package kuberay_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// headOf waits until the operator has made the head ready.
func headOf(t *testing.T, c *kuberay.Client, name kuberay.Name) kuberay.Head {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		head, err := c.Head(ctx, name)
		if err == nil {
			return head
		}
		if !ray.IsKind(err, ray.KindUnavailable) {
			t.Fatalf("while the head starts: %v", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the head is not ready: %v", err)
		}
	}
}

// ask sends a request to a head's dashboard through the API server.
func ask(t *testing.T, c *kuberay.Client, h kuberay.Head, method, path string, body []byte) (*http.Response, error) {
	t.Helper()
	base, transport := c.DashboardProxy(h)
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Ray-Authorization", "Bearer for-ray")
	req.Header.Set("User-Agent", "us")
	resp, err := transport.RoundTrip(req)
	if resp != nil {
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	return resp, err
}

// Requests and answers pass as they are, but for Kubernetes' credentials, which end at
// the API server.
func TestRealDashboardProxy(t *testing.T) {
	t.Parallel()
	c, name, object := rayCluster(t, nil)
	head := headOf(t, c, name)
	if want := (kuberay.Head{Namespace: "default", Service: name.Name + "-head-svc", DashboardPort: "8265"}); head != want {
		t.Errorf("got %+v, want %+v", head, want)
	}
	type seen struct {
		method, uri string
		header      http.Header
		size        int64
	}
	requests := make(chan seen, 1)
	release := make(chan struct{})
	dashboard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		switch {
		case strings.HasPrefix(r.URL.Path, "/stream"):
			_, _ = io.WriteString(w, "first\n")
			_ = http.NewResponseController(w).Flush()
			<-release
			_, _ = io.WriteString(w, "last\n")
			return
		case strings.HasPrefix(r.URL.Path, "/missing"):
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "Job x does not exist")
			return
		case strings.HasPrefix(r.URL.Path, "/refused"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"result": false, "msg": "no"}`)
			return
		}
		requests <- seen{r.Method, r.RequestURI, r.Header, n}
	}))
	defer dashboard.Close()
	if err := object.ServeHead(t.Context(), map[string]string{"dashboard": strings.TrimPrefix(dashboard.URL, "http://")}); err != nil {
		t.Fatal(err)
	}

	if _, err := ask(t, c, head, http.MethodPut, "/api/packages/gcs/a%2Bb.zip?x=1&y=%2F", make([]byte, 8<<20)); err != nil {
		t.Fatal(err)
	}
	got := <-requests
	if got.method != http.MethodPut || got.uri != "/api/packages/gcs/a+b.zip?x=1&y=%2F" || got.size != 8<<20 {
		t.Errorf("got %s %s of %d bytes", got.method, got.uri, got.size)
	}
	if a, r, u := got.header.Get("Authorization"), got.header.Get("X-Ray-Authorization"), got.header.Get("User-Agent"); a != "" || r != "Bearer for-ray" || u != "us" {
		t.Errorf("Ray got Authorization %q, X-Ray-Authorization %q, User-Agent %q", a, r, u)
	}
	for path, want := range map[string]string{"/missing": "404 Job x does not exist", "/refused": `400 {"result": false, "msg": "no"}`} {
		resp, err := ask(t, c, head, http.MethodGet, path, nil)
		if err != nil {
			t.Errorf("%s: Ray's own answer is an error: %v", path, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if got := resp.Status[:3] + " " + string(body); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", path, got, err, want)
		}
	}
	resp, err := ask(t, c, head, http.MethodGet, "/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("first\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first\n" {
		t.Errorf("before the end of the stream: got %q, %v", first, err)
	}
	close(release)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "last\n" {
		t.Errorf("the rest of the stream: got %q, %v", rest, err)
	}
}

// What the API server says by itself is told from what Ray says, with the words that a
// Role would need.
func TestRealDashboardProxy_refusals(t *testing.T) {
	t.Parallel()
	admin, name, object := rayCluster(t, nil)
	s := start(t)
	head := headOf(t, admin, name)
	refused := func(what string, err error, kind ray.Kind, verb, resource, want string) {
		t.Helper()
		e, ok := errors.AsType[*kuberay.Error](err)
		if !ok || !e.Answered() || ray.KindOf(err) != kind || e.Verb != verb || e.Resource != resource || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s, %+v, %v, want %s: %s", what, ray.KindOf(err), e, err, kind, want)
		}
	}
	const proxied, read = "services/proxy", "rayclusters.ray.io"

	_, err := ask(t, admin, head, http.MethodGet, "/api/version", nil)
	refused("no endpoints", err, ray.KindUnavailable, "get", proxied, `no endpoints available for service "`+head.Service+`"`)
	_, err = ask(t, admin, kuberay.Head{Namespace: "default", Service: "nope"}, http.MethodGet, "/api/version", nil)
	refused("no Service", err, ray.KindUnavailable, "get", proxied, `no endpoints available for service "nope"`)
	if err := object.ServeHead(t.Context(), map[string]string{"dashboard": "127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	_, err = ask(t, admin, head, http.MethodPost, "/api/jobs/", []byte("{}"))
	refused("nothing listens", err, ray.KindUnavailable, "create", proxied, "error trying to reach service")

	u, err := s.Account(t.Context(), "default", "proxy-nobody")
	if err != nil {
		t.Fatal(err)
	}
	nobody := client(t, kuberay.Config{ConfigPath: u.Kubeconfig})
	_, err = nobody.Head(t.Context(), name)
	refused("no right to read", err, ray.KindForbidden, "get", read, `cannot get resource "rayclusters"`)
	for method, verb := range map[string]string{http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodDelete: "delete"} {
		_, err = ask(t, nobody, head, method, "/api/jobs/", nil)
		refused("no right to "+verb, err, ray.KindForbidden, verb, proxied, "cannot "+verb+` resource "services/proxy"`)
		if ray.OutcomeUnknown(err) {
			t.Errorf("%s: a refused request is said to have reached Ray: %v", method, err)
		}
	}
	stranger := client(t, kuberay.Config{Host: s.URL, ClusterCACertificate: s.CA, Token: "wrong"})
	_, err = ask(t, stranger, head, http.MethodGet, "/api/version", nil)
	refused("a wrong token", err, ray.KindUnauthenticated, "get", proxied, "Unauthorized")

	_, err = admin.Head(t.Context(), kuberay.Name{Namespace: "default", Name: "nope"})
	refused("no RayCluster", err, ray.KindUnavailable, "get", read, "there is no RayCluster of this name")
	_, err = admin.Head(t.Context(), kuberay.Name{Namespace: "nope", Name: "nope"})
	refused("no namespace", err, ray.KindUnavailable, "get", read, "there is no RayCluster of this name")
	if _, err := object.Patch(t.Context(), kubetest.Op{Op: "add", Path: "/spec/suspend", Value: true}); err != nil {
		t.Fatal(err)
	}
	_, err = admin.Head(t.Context(), name)
	refused("suspended", err, ray.KindUnavailable, "get", read, "it is suspended")
}
