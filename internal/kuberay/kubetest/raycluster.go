//go:build unix

package kubetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// RayClusterOptions describe a RayCluster.
type RayClusterOptions struct {
	// Namespace is "default" by default; it must exist.
	Namespace string
	Name      string
	// Change changes the manifest before it is sent. Without, it has the autoscaler
	// v2 with idleTimeoutSeconds 120 and the worker groups cpu (minReplicas 1,
	// maxReplicas 5, replicas 2) and gpu (minReplicas 0, maxReplicas 2).
	Change func(manifest Object)
}

// RayCluster is one on a server.
type RayCluster struct {
	Namespace, Name string

	server *Server
}

// CreateRayCluster creates a RayCluster.
func (s *Server) CreateRayCluster(ctx context.Context, opts RayClusterOptions) (*RayCluster, error) {
	c := &RayCluster{Namespace: opts.Namespace, Name: opts.Name, server: s}
	if c.Namespace == "" {
		c.Namespace = "default"
	}
	manifest := c.manifest()
	if opts.Change != nil {
		opts.Change(manifest)
	}
	return c, s.Do(ctx, Request{Method: http.MethodPost, Path: "/apis/ray.io/v1/namespaces/" + c.Namespace + "/rayclusters", Body: manifest}, nil)
}

func (c *RayCluster) manifest() Object {
	return Object{
		"apiVersion": "ray.io/v1", "kind": "RayCluster",
		"metadata": Object{"namespace": c.Namespace, "name": c.Name},
		"spec": Object{
			"rayVersion":              "2.60.0",
			"enableInTreeAutoscaling": true,
			"autoscalerOptions":       Object{"version": "v2", "idleTimeoutSeconds": 120},
			"headGroupSpec":           Object{"rayStartParams": Object{}, "template": podTemplate("ray-head", Object{"cpu": "1", "memory": "2Gi"})},
			"workerGroupSpecs": []any{
				Object{
					"groupName": "cpu", "replicas": 2, "minReplicas": 1, "maxReplicas": 5, "rayStartParams": Object{},
					"template": podTemplate("ray-worker", Object{"cpu": "1", "memory": "1Gi"}),
				},
				Object{
					"groupName": "gpu", "minReplicas": 0, "maxReplicas": 2, "rayStartParams": Object{},
					"template": podTemplate("ray-worker", Object{"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}),
				},
			},
		},
	}
}

func podTemplate(container string, limits Object) Object {
	return Object{"spec": Object{"containers": []any{
		Object{"name": container, "image": "rayproject/ray:2.60.0", "resources": Object{"limits": limits, "requests": limits}},
	}}}
}

// Path is the object's on the server.
func (c *RayCluster) Path() string {
	return "/apis/ray.io/v1/namespaces/" + c.Namespace + "/rayclusters/" + c.Name
}

// Get reads the object.
func (c *RayCluster) Get(ctx context.Context) (Object, error) {
	var object Object
	err := c.server.Do(ctx, Request{Path: c.Path()}, &object)
	return object, err
}

// Scaling is what the RayCluster says of its scaling, in one line: autoscalerOptions as
// JSON, and each worker group as "cpu:2 in 1..5 idle -", with replicas, minReplicas,
// maxReplicas and idleTimeoutSeconds; - is not set.
func (c *RayCluster) Scaling(ctx context.Context) (string, error) {
	object := struct {
		Spec struct {
			AutoscalerOptions json.RawMessage
			WorkerGroupSpecs  []struct {
				GroupName                                              string
				Replicas, MinReplicas, MaxReplicas, IdleTimeoutSeconds *int
			}
		}
	}{}
	if err := c.server.Do(ctx, Request{Path: c.Path()}, &object); err != nil {
		return "", err
	}
	text := func(n *int) string {
		if n == nil {
			return "-"
		}
		return strconv.Itoa(*n)
	}
	var out strings.Builder
	out.Write(object.Spec.AutoscalerOptions)
	for _, g := range object.Spec.WorkerGroupSpecs {
		fmt.Fprintf(&out, " %s:%s in %s..%s idle %s", g.GroupName, text(g.Replicas), text(g.MinReplicas), text(g.MaxReplicas), text(g.IdleTimeoutSeconds))
	}
	return out.String(), nil
}

// Op is an operation of a JSON Patch. Value is left out for remove, and null where
// it is nil for the others.
type Op struct {
	Op, Path string
	Value    any
}

// MarshalJSON writes the operation as RFC 6902 has it.
func (o Op) MarshalJSON() ([]byte, error) {
	object := Object{"op": o.Op, "path": o.Path}
	if o.Op != "remove" {
		object["value"] = o.Value
	}
	return json.Marshal(object)
}

// Patch applies a JSON Patch and returns the object after it.
func (c *RayCluster) Patch(ctx context.Context, ops ...Op) (Object, error) {
	var object Object
	err := c.server.Do(ctx, Request{Method: http.MethodPatch, Path: c.Path(), Body: ops, ContentType: JSONPatch}, &object)
	return object, err
}

// Delete deletes the object and, in the place of the garbage collector, its pods
// and services.
func (c *RayCluster) Delete(ctx context.Context) error {
	if err := c.server.Do(ctx, Request{Method: http.MethodDelete, Path: c.Path()}, nil); err != nil {
		return err
	}
	selector := "?labelSelector=" + url.QueryEscape("ray.io/cluster="+c.Name)
	for _, kind := range []string{"pods", "services"} {
		if err := c.server.Do(ctx, Request{Method: http.MethodDelete, Path: "/api/v1/namespaces/" + c.Namespace + "/" + kind + selector}, nil); err != nil {
			return err
		}
	}
	return nil
}

// WaitFor reads the object until ok.
func (c *RayCluster) WaitFor(ctx context.Context, what string, ok func(Object) error) error {
	return poll(ctx, c.Name+": "+what, func(ctx context.Context) error {
		object, err := c.Get(ctx)
		if err != nil {
			return err
		}
		return ok(object)
	})
}

// Event is one about the RayCluster.
type Event struct {
	Type   string `json:"type"` // Normal or Warning
	Reason string `json:"reason"`
	Note   string `json:"note"`
}

// Events are those about objects of this name, in no order.
func (c *RayCluster) Events(ctx context.Context) ([]Event, error) {
	var list struct{ Items []Event }
	path := "/apis/events.k8s.io/v1/namespaces/" + c.Namespace + "/events?fieldSelector=" + url.QueryEscape("regarding.kind=RayCluster,regarding.name="+c.Name)
	err := c.server.Do(ctx, Request{Path: path}, &list)
	return list.Items, err
}
