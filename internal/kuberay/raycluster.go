package kuberay

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// rayClusters is the custom resource. v1alpha1, which is served too, lacks fields that
// matter here.
var rayClusters = schema.GroupVersionResource{Group: "ray.io", Version: "v1", Resource: "rayclusters"}

// RayCluster is what one read of a RayCluster told.
type RayCluster struct {
	Name Name
	// UID is the object's, and another one's after it was made anew.
	UID string

	meta   metav1.ObjectMeta
	spec   spec
	status status
}

// The fields of a RayCluster that are read here. What is null or absent is nil.
type spec struct {
	RayVersion              string             `json:"rayVersion"`
	EnableInTreeAutoscaling bool               `json:"enableInTreeAutoscaling"`
	AutoscalerOptions       *autoscalerOptions `json:"autoscalerOptions"`
	Suspend                 bool               `json:"suspend"`
	ManagedBy               string             `json:"managedBy"`
	UpgradeStrategy         struct {
		Type string `json:"type"`
	} `json:"upgradeStrategy"`
	HeadGroupSpec struct {
		HeadService struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		} `json:"headService"`
		Template struct {
			Spec struct {
				Containers []struct {
					Env []struct {
						Name  string `json:"name"`
						Value string `json:"value"`
					} `json:"env"`
					Ports []struct {
						Name          string `json:"name"`
						ContainerPort int    `json:"containerPort"`
					} `json:"ports"`
				} `json:"containers"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"headGroupSpec"`
	WorkerGroupSpecs []workerGroup `json:"workerGroupSpecs"`
}

type autoscalerOptions struct {
	Version            string  `json:"version"`
	IdleTimeoutSeconds *int64  `json:"idleTimeoutSeconds"`
	UpscalingMode      *string `json:"upscalingMode"`
}

type workerGroup struct {
	GroupName          string `json:"groupName"`
	Replicas           *int64 `json:"replicas"`
	MinReplicas        *int64 `json:"minReplicas"`
	MaxReplicas        *int64 `json:"maxReplicas"`
	IdleTimeoutSeconds *int64 `json:"idleTimeoutSeconds"`
	NumOfHosts         *int64 `json:"numOfHosts"`
	Suspend            bool   `json:"suspend"`
}

type status struct {
	ObservedGeneration  int64              `json:"observedGeneration"`
	State               string             `json:"state"`
	MinWorkerReplicas   int64              `json:"minWorkerReplicas"`
	MaxWorkerReplicas   int64              `json:"maxWorkerReplicas"`
	ReadyWorkerReplicas int64              `json:"readyWorkerReplicas"`
	Conditions          []metav1.Condition `json:"conditions"`
	Head                struct {
		ServiceName string `json:"serviceName"`
	} `json:"head"`
}

// RayCluster reads one. An error of KindNotFound is a RayCluster that is not there, one
// of KindUnsupported a Kubernetes without KubeRay.
func (c *Client) RayCluster(ctx context.Context, name Name) (*RayCluster, error) {
	k := call{op: fmt.Sprintf("read RayCluster %s", name), verb: "get", resource: "rayclusters.ray.io", namespace: name.Namespace}
	o, err := c.api.Resource(rayClusters).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return nil, c.translate(ctx, k, err)
	}
	return c.parse(k, o)
}

func (c *Client) parse(k call, o *unstructured.Unstructured) (*RayCluster, error) {
	var parsed struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Spec     spec              `json:"spec"`
		Status   status            `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &parsed); err != nil {
		return nil, &Error{&ray.Error{Kind: ray.KindProtocol, Op: k.op, Address: c.Host(), Message: "the object is no RayCluster of ray.io/v1: " + err.Error(), Err: err}, k.verb, k.resource, k.namespace}
	}
	return &RayCluster{
		Name: Name{o.GetNamespace(), o.GetName()}, UID: string(o.GetUID()),
		meta: parsed.Metadata, spec: parsed.Spec, status: parsed.Status,
	}, nil
}

// Deleting reports whether the RayCluster is being deleted.
func (r *RayCluster) Deleting() bool { return r.meta.DeletionTimestamp != nil }

// Groups are the names of the worker groups, in their order.
func (r *RayCluster) Groups() []string {
	var names []string
	for _, g := range r.spec.WorkerGroupSpecs {
		names = append(names, g.GroupName)
	}
	return names
}

// Lacks says why r has not just one worker group of this name; empty where it has.
func (r *RayCluster) Lacks(group string) string {
	switch {
	case r.index(group) >= 0:
		return ""
	case slices.Contains(r.Groups(), group):
		return "the RayCluster has more than one group of this name"
	}
	return "the RayCluster has no such group; " + r.groups()
}

// groups is Groups for the end of a sentence.
func (r *RayCluster) groups() string {
	if names := r.Groups(); len(names) > 0 {
		return "its groups are " + strings.Join(names, ", ")
	}
	return "it has no worker groups"
}

// index is where a group is; -1 where there is none, or more than one.
func (r *RayCluster) index(group string) int {
	is := func(g workerGroup) bool { return g.GroupName == group }
	i := slices.IndexFunc(r.spec.WorkerGroupSpecs, is)
	if i < 0 || slices.ContainsFunc(r.spec.WorkerGroupSpecs[i+1:], is) {
		return -1
	}
	return i
}

// hosts is how many pods one replica of a group is.
func (g workerGroup) hosts() int64 {
	if g.NumOfHosts == nil {
		return 1
	}
	return *g.NumOfHosts
}

// Controller is the RayService or RayJob that made the RayCluster and writes its spec,
// as "RayService ml/llm"; empty where none did.
func (r *RayCluster) Controller() string {
	kind, name := r.meta.Labels["ray.io/originated-from-crd"], r.meta.Labels["ray.io/originated-from-cr-name"]
	if owner := metav1.GetControllerOfNoCopy(&r.meta); owner != nil {
		kind, name = owner.Kind, owner.Name
	}
	if kind == "" || kind == "RayCluster" {
		return ""
	}
	return fmt.Sprintf("%s %s/%s", kind, r.Name.Namespace, name)
}

// Deployers are the programs that hold a copy of the RayCluster and write it back, by
// the marks that they leave on what they made, as "Helm release ray".
func (r *RayCluster) Deployers() []string {
	var out []string
	add := func(what string, values map[string]string, key string) {
		if v := values[key]; v != "" {
			out = append(out, what+" "+v)
		}
	}
	labels, annotations := r.meta.Labels, r.meta.Annotations
	add("Helm release", annotations, "meta.helm.sh/release-name")
	if id, _, _ := strings.Cut(annotations["argocd.argoproj.io/tracking-id"], ":"); id != "" {
		out = append(out, "Argo CD application "+id)
	} else {
		add("Argo CD application", labels, "argocd.argoproj.io/instance")
	}
	add("Flux kustomization", labels, "kustomize.toolkit.fluxcd.io/name")
	add("Flux HelmRelease", labels, "helm.toolkit.fluxcd.io/name")
	return out
}
