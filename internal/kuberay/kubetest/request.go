//go:build unix

package kubetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
)

// The content types of patches.
const (
	JSONPatch  = "application/json-patch+json"
	MergePatch = "application/merge-patch+json"
	ApplyPatch = "application/apply-patch+yaml"
)

// Object is a Kubernetes object, or a part of one, as decoded from JSON.
type Object = map[string]any

// Request is one to the API server. The provider's client is not used: what it is
// tested against should not depend on it.
type Request struct {
	// Method is GET by default.
	Method string
	// Path begins with a slash and may have a query.
	Path string
	// User is the admin by default.
	User User
	// Body is encoded as JSON, except for []byte; ContentType is JSON by default.
	Body        any
	ContentType string
	// Header holds further headers.
	Header http.Header
}

// StatusError is an answer that is no success.
type StatusError struct {
	Method, Path string
	// Code is the status of HTTP.
	Code int
	// Reason and Message are the server's, where it answered with a Status object;
	// Body is the whole answer.
	Reason, Message string
	Body            []byte
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: %d %s: %s", e.Method, e.Path, e.Code, e.Reason, e.Message)
}

// HasStatus reports whether err is an answer with this status.
func HasStatus(err error, code int) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Code == code
}

// Do sends a request and decodes the answer into out, unless that is nil; an
// answer that is no success is a *StatusError.
func (s *Server) Do(ctx context.Context, r Request, out any) error {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.User.Name == "" {
		r.User = s.Admin
	}
	body, ok := r.Body.([]byte)
	if !ok && r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, s.URL+r.Path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	maps.Copy(req.Header, r.Header)
	if r.User.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.User.Token)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	client, err := s.clientFor(r.User)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		failed := &StatusError{Method: r.Method, Path: r.Path, Code: resp.StatusCode, Message: string(text), Body: text}
		var status struct{ Kind, Reason, Message string }
		if json.Unmarshal(text, &status) == nil && status.Kind == "Status" {
			failed.Reason, failed.Message = status.Reason, status.Message
		}
		return failed
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// apply creates or updates the object at path.
func (s *Server) apply(ctx context.Context, path string, object Object) error {
	return s.Do(ctx, Request{Method: http.MethodPatch, Path: path + "?fieldManager=kubetest&force=true", Body: object, ContentType: ApplyPatch}, nil)
}

// CreateNamespace creates a namespace; it may exist already. No controller would
// end the deletion of one.
func (s *Server) CreateNamespace(ctx context.Context, name string) error {
	return s.apply(ctx, "/api/v1/namespaces/"+name, Object{"apiVersion": "v1", "kind": "Namespace", "metadata": Object{"name": name}})
}

// InstallCRDs installs KubeRay's custom resource definition of RayClusters and
// returns when they are served.
func (s *Server) InstallCRDs(ctx context.Context) error {
	return s.installCRDs(ctx, "rayclusters")
}

// installCRDs installs the custom resource definitions with these plurals and
// returns when the resources are served.
func (s *Server) installCRDs(ctx context.Context, plurals ...string) error {
	for _, plural := range plurals {
		text, err := os.ReadFile(filepath.Join(s.bin, "crds", "ray.io_"+plural+".yaml"))
		if err != nil {
			return fmt.Errorf("%w: `make kube` puts it there", err)
		}
		create := Request{Method: http.MethodPost, Path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Body: text, ContentType: "application/yaml"}
		if err := s.Do(ctx, create, nil); err != nil {
			return err
		}
	}
	for _, plural := range plurals {
		err := poll(ctx, plural+" to be served", func(ctx context.Context) error {
			return s.Do(ctx, Request{Path: "/apis/ray.io/v1/" + plural}, nil)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
