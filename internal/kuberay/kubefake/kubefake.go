// Package kubefake stands in for a Kubernetes API server in tests that must take
// milliseconds. It has the few routes that lead to the head of a RayCluster: the read
// of a RayCluster and the service proxy of its dashboard, with the refusals and the
// texts of a real server, as kubetest showed them. What else Kubernetes does, kubetest
// does for real.
package kubefake

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// Server is a running stand-in.
type Server struct {
	// URL is https://127.0.0.1:port, CA the certificate (PEM) that it shows.
	URL, CA string
	// Token is the only one that it takes.
	Token string

	server *httptest.Server

	mu       sync.Mutex
	clusters map[string]RayCluster // by namespace/name
	denied   map[string]bool       // by verb and resource
	headers  []http.Header
}

// RayCluster is one, and where its head really is.
type RayCluster struct {
	// Spec and Status are those of the object; nil is a RayCluster that an operator has
	// made ready.
	Spec, Status map[string]any
	// Dashboard is the URL to which the service proxy leads; "" is a Service without
	// endpoints.
	Dashboard string
}

// New starts a server without RayClusters.
func New(token string) *Server {
	s := &Server{Token: token, clusters: map[string]RayCluster{}, denied: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apis/ray.io/v1/namespaces/{namespace}/rayclusters/{name}", s.rayCluster)
	mux.HandleFunc("/api/v1/namespaces/{namespace}/services/{service}/proxy/", s.proxy)
	s.server = httptest.NewTLSServer(mux) // client-go sends no credential without TLS
	s.URL = s.server.URL
	s.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw}))
	return s
}

// Close ends the server.
func (s *Server) Close() { s.server.Close() }

// Set makes or changes the RayCluster namespace/name.
func (s *Server) Set(name string, c RayCluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clusters[name] = c
}

// Delete deletes the RayCluster namespace/name and its Service.
func (s *Server) Delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clusters, name)
}

// Deny takes a permission away, as "get rayclusters" or "create services/proxy".
func (s *Server) Deny(permission string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[permission] = true
}

// Headers are those of the requests so far, as they came in.
func (s *Server) Headers() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]http.Header(nil), s.headers...)
}

// admit answers what is not allowed; ok is false then.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, group, resource, name string) (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.headers = append(s.headers, r.Header.Clone())
	if s.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.Token {
		refuse(w, http.StatusUnauthorized, "Unauthorized", "", "Unauthorized")
		return false
	}
	verb := map[string]string{http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodDelete: "delete"}[r.Method]
	if s.denied[verb+" "+resource] {
		object, _, _ := strings.Cut(resource, "/")
		if group != "" {
			object += "." + group
		}
		refuse(w, http.StatusForbidden, "Forbidden", name, fmt.Sprintf("%s %q is forbidden: User \"robot\" cannot %s resource %q in API group %q in the namespace %q",
			object, name, verb, resource, group, r.PathValue("namespace")))
		return false
	}
	return true
}

func (s *Server) rayCluster(w http.ResponseWriter, r *http.Request) {
	namespace, name := r.PathValue("namespace"), r.PathValue("name")
	if !s.admit(w, r, "ray.io", "rayclusters", name) {
		return
	}
	s.mu.Lock()
	c, ok := s.clusters[namespace+"/"+name]
	s.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "NotFound", name, fmt.Sprintf("rayclusters.ray.io %q not found", name))
		return
	}
	if c.Spec == nil {
		c.Spec = map[string]any{}
	}
	if c.Status == nil {
		c.Status = map[string]any{
			"state": "ready", "head": map[string]any{"serviceName": name + "-head-svc"},
			"conditions": []any{map[string]any{"type": "HeadPodReady", "status": "True", "reason": "HeadPodRunningAndReady", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}},
		}
	}
	answer(w, http.StatusOK, map[string]any{
		"apiVersion": "ray.io/v1", "kind": "RayCluster",
		"metadata": map[string]any{"namespace": namespace, "name": name, "uid": "uid-of-" + name}, "spec": c.Spec, "status": c.Status,
	})
}

func (s *Server) proxy(w http.ResponseWriter, r *http.Request) {
	if !s.admit(w, r, "", "services/proxy", r.PathValue("service")) {
		return
	}
	service, port, _ := strings.Cut(r.PathValue("service"), ":")
	s.mu.Lock()
	c := s.clusters[r.PathValue("namespace")+"/"+strings.TrimSuffix(service, "-head-svc")]
	s.mu.Unlock()
	if c.Dashboard == "" || port != "dashboard" { // a Service that is not there has none either
		refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "", fmt.Sprintf("no endpoints available for service %q", service))
		return
	}
	target, err := url.Parse(c.Dashboard)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, rest, _ := strings.Cut(r.URL.EscapedPath(), "/proxy/")
	(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = &url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path + "/" + rest, RawQuery: p.In.URL.RawQuery}
			p.Out.Host = target.Host
			p.Out.Header.Del("Authorization") // the API server takes it for itself
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "", "error trying to reach service: "+err.Error())
		},
	}).ServeHTTP(w, r)
}

// refuse answers with a Status.
func refuse(w http.ResponseWriter, code int, reason, name, message string) {
	status := map[string]any{
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure", "message": message, "reason": reason, "code": code,
	}
	if name != "" {
		status["details"] = map[string]any{"name": name}
	}
	answer(w, code, status)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // who does not wait for the answer needs none
}
