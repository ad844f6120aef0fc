package kuberay

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Head is where the head of a RayCluster is served.
type Head struct {
	// Namespace and Service name the Service that the operator made for it.
	Namespace, Service string
	// DashboardPort is the dashboard's on the Service.
	DashboardPort string
}

// Host is the Service's name, which resolves inside of the Kubernetes cluster.
func (h Head) Host() string { return h.Service + "." + h.Namespace + ".svc" }

// Names that KubeRay gives (ray-operator, utils/constant.go and util.go).
const (
	dashboardPortName = "dashboard"
	dashboardPort     = 8265
	headPodReady      = "HeadPodReady"
)

var serviceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Head finds the head of a RayCluster. It is an error of KindUnavailable, which says
// why, where there is no RayCluster of that name or its head is not ready: nothing
// answers there now, and that may change.
func (c *Client) Head(ctx context.Context, name Name) (Head, error) {
	k := call{op: fmt.Sprintf("find the head of RayCluster %s", name), verb: "get", resource: "rayclusters.ray.io", namespace: name.Namespace}
	unavailable := func(why string, cause error) (Head, error) {
		return Head{}, &Error{&ray.Error{Kind: ray.KindUnavailable, Op: k.op, Address: c.Host(), Message: why, Err: cause}, k.verb, k.resource, k.namespace}
	}
	r, err := c.RayCluster(ctx, name)
	if ray.IsKind(err, ray.KindNotFound) {
		return unavailable("there is no RayCluster of this name in the namespace", err)
	}
	if err != nil {
		return Head{}, err
	}
	if why := r.headMissing(); why != "" {
		return unavailable(why, nil)
	}
	service := cmp.Or(r.status.Head.ServiceName, r.spec.HeadGroupSpec.HeadService.Metadata.Name, name.Name+"-head-svc")
	if !serviceName.MatchString(service) {
		// A dot or a slash would lead out of the namespace, and the token with it.
		return unavailable(fmt.Sprintf("its status names %q as the head's service, which is no name of a service", service), nil)
	}
	return Head{Namespace: name.Namespace, Service: service, DashboardPort: strconv.Itoa(r.dashboardPort())}, nil
}

// headMissing says why the head can't be asked, or "". An operator before KubeRay 1.3
// writes no conditions.
func (r *RayCluster) headMissing() string {
	switch {
	case r.meta.DeletionTimestamp != nil:
		return "it is being deleted"
	case r.spec.Suspend:
		return "it is suspended (spec.suspend), so that it has no pods"
	case r.status.State == "" && len(r.status.Conditions) == 0 && r.status.Head.ServiceName == "":
		if r.spec.ManagedBy != "" && r.spec.ManagedBy != "ray.io/kuberay-operator" {
			return fmt.Sprintf("it is managed by %s and not by the KubeRay operator here, and has no head", r.spec.ManagedBy)
		}
		return "no KubeRay operator has taken it up: is one running that watches the namespace?"
	}
	for _, c := range r.status.Conditions {
		if c.Type == headPodReady && c.Status != metav1.ConditionTrue {
			return "its head pod is not ready: " + strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
		}
	}
	return ""
}

// dashboardPort is what the operator makes the Service's from: the ports of the head's
// first container, and its own defaults where that has none.
func (r *RayCluster) dashboardPort() int {
	if containers := r.spec.HeadGroupSpec.Template.Spec.Containers; len(containers) > 0 {
		for _, p := range containers[0].Ports {
			if p.Name == dashboardPortName {
				return p.ContainerPort
			}
		}
	}
	return dashboardPort
}

// DashboardProxy is the URL of a head's dashboard behind the API server's service
// proxy, and the transport that leads there, with our credentials for Kubernetes. They
// end at the API server, in the header Authorization; what is for Ray has to travel in
// another.
func (c *Client) DashboardProxy(h Head) (string, http.RoundTripper) {
	u := strings.TrimRight(c.Host(), "/") + "/api/v1/namespaces/" + url.PathEscape(h.Namespace) + "/services/" + url.PathEscape(h.Service) + ":" + dashboardPortName + "/proxy"
	return u, &proxy{client: c, namespace: h.Namespace}
}

// proxy tells answers of the API server from those of what is behind it.
type proxy struct {
	client    *Client
	namespace string
}

// RoundTrip sends req. An answer of the API server's own is an *Error: the dashboard was
// not reached.
func (p *proxy) RoundTrip(req *http.Request) (*http.Response, error) {
	k := call{
		op: "reach the dashboard through the API server", verb: verbOf(req.Method), resource: "services/proxy", namespace: p.namespace,
		write: req.Method != http.MethodGet,
	}
	resp, err := p.client.http.Transport.RoundTrip(req)
	switch {
	case err != nil && req.Context().Err() != nil:
		return nil, err // the caller knows why it gave up
	case err != nil:
		return nil, p.client.translate(req.Context(), k, err)
	}
	if resp.StatusCode < 400 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return resp, nil
	}
	body := bufio.NewReaderSize(resp.Body, maxStatus)
	start, _ := body.Peek(maxStatus) // what reading meets, the reader of the rest meets too
	if said := statusOf(start); said != nil {
		_ = resp.Body.Close() // it has told all
		err := p.client.translate(req.Context(), k, said)
		if e, ok := errors.AsType[*Error](err); ok && apierrors.IsNotFound(said) {
			// There is no such Service. To who asks Ray for a job, KindNotFound would be about
			// the job.
			e.err.Kind, e.err.Message = ray.KindUnavailable, said.ErrStatus.Message
		}
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{body, resp.Body}
	return resp, nil
}

// maxStatus is more than the API server says in an error.
const maxStatus = 16 << 10

// statusOf is the failure that the API server answers with, or nil for what is not its
// own.
func statusOf(body []byte) *apierrors.StatusError {
	var s metav1.Status
	if err := json.Unmarshal(body, &s); err == nil && s.Kind == "Status" && s.APIVersion == "v1" && s.Status == metav1.StatusFailure {
		return &apierrors.StatusError{ErrStatus: s}
	}
	return nil
}

// verbOf is the word of a Role for an HTTP method.
func verbOf(method string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	}
	return strings.ToLower(method)
}
