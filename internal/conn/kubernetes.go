package conn

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Kubernetes is which Kubernetes KubeRay runs in, and who we are to it.
type Kubernetes = kuberay.Config

// KubernetesExec is a command that prints credentials for it.
type KubernetesExec = kuberay.Exec

// Ways to the head of a RayCluster.
const (
	// AccessProxy goes through the API server's service proxy: wherever the API
	// server can be reached, and HTTP only.
	AccessProxy = "proxy"
	// AccessService goes to the head's service by its name, which resolves inside of
	// the Kubernetes cluster only.
	AccessService = "service"
)

// KubeRay is a RayCluster as the user wrote it. Access is one of the Access
// constants, or empty for AccessProxy.
type KubeRay struct{ Namespace, Name, Access string }

// String is the address that says the same.
func (k KubeRay) String() string { return "kuberay://" + k.Namespace + "/" + k.Name }

// Check is the error of a RayCluster that can't be one, or that contradicts the
// address written beside it; address may be empty.
func (k KubeRay) Check(address string) error {
	_, err := k.address(address)
	return err
}

func (k KubeRay) address(beside string) (Address, error) {
	a := Address{Form: FormKubeRay, RayCluster: kuberay.Name{Namespace: k.Namespace, Name: k.Name}}
	wrong := func(format string, args ...any) (Address, error) {
		return Address{}, &ray.Error{Kind: ray.KindInvalid, Op: fmt.Sprintf("use the RayCluster %q", a.RayCluster), Message: fmt.Sprintf(format, args...)}
	}
	for _, part := range []struct{ what, value string }{{"namespace", k.Namespace}, {"name", k.Name}} {
		if why := CheckKubeName(part.value); why != "" {
			return wrong("%q can't be its %s: %s", part.value, part.what, why)
		}
	}
	if k.Access != "" && k.Access != AccessProxy && k.Access != AccessService {
		return wrong("access must be %q or %q, not %q", AccessProxy, AccessService, k.Access)
	}
	if beside == "" {
		return a, nil
	}
	switch other, err := ParseAddress(beside); {
	case err != nil:
		return Address{}, err
	case other.Form != FormKubeRay:
		return wrong("the address %s beside it says where the cluster is in another way: leave one of them out, or write the address of its dashboard as dashboard_url", other)
	case other != a:
		return wrong("the address %s beside it is of another RayCluster: leave one of them out", other)
	}
	return a, nil
}

// NoKubernetesError is a RayCluster asked for where no Kubernetes is configured.
type NoKubernetesError struct{}

// Error says what to write.
func (NoKubernetesError) Error() string {
	return `no Kubernetes is configured: write kubernetes = { config_path = "~/.kube/config", config_context = "..." } in the provider's configuration, or host with a token, or in_cluster = true, or set KUBE_CONFIG_PATH; KUBECONFIG and the default kubeconfig are not looked at, since they may name another cluster`
}

// Kubernetes is the client of the Kubernetes that is configured, made when it is
// first asked for. Its errors are an *UnknownError, a NoKubernetesError, and those
// of a configuration that can't be used.
func (p *Pool) Kubernetes() (*kuberay.Client, error) {
	if n, ok := p.UnknownArgument("kubernetes"); ok {
		return nil, &UnknownError{n}
	}
	p.kubeMu.Lock()
	defer p.kubeMu.Unlock()
	if p.kube != nil {
		return p.kube, nil
	}
	cfg, err := p.cfg.kubernetes()
	if err != nil {
		return nil, err
	}
	// An error is not kept: the same apply may write the missing file.
	kube, err := kuberay.New(cfg)
	if err != nil {
		return nil, err
	}
	p.kube = kube
	p.onClose(kube.Close)
	return kube, nil
}

// kubernetes is what was configured, filled up from the environment under the
// names of the helm and kubernetes providers. What names another cluster than the
// written arguments, or shows it another user, is not taken from there.
func (c Config) kubernetes() (Kubernetes, error) {
	k := c.Kubernetes
	k.UserAgent, k.Timeout, k.Proxy = c.userAgent(), c.RequestTimeout, c.proxy()
	if !k.Configured() {
		k.ConfigPath, k.Host = c.Getenv("KUBE_CONFIG_PATH"), c.Getenv("KUBE_HOST")
	}
	switch {
	case !k.Configured():
		return k, NoKubernetesError{}
	case k.InCluster:
		return k, firstProblem(kubernetesProblems(k))
	case k.ConfigPath != "":
		setDefault(&k.ConfigContext, c.Getenv("KUBE_CTX"))
		k.ConfigPath = expandHome(k.ConfigPath, c.home())
	}
	if !authenticates(k) {
		k.Token, k.ClientCertificate, k.ClientKey = c.Getenv("KUBE_TOKEN"), c.Getenv("KUBE_CLIENT_CERT_DATA"), c.Getenv("KUBE_CLIENT_KEY_DATA")
	}
	if !k.Insecure {
		setDefault(&k.ClusterCACertificate, c.Getenv("KUBE_CLUSTER_CA_CERT_DATA"))
	}
	if v := c.Getenv("KUBE_INSECURE"); v != "" && k.ClusterCACertificate == "" {
		insecure, err := strconv.ParseBool(v)
		if err != nil {
			return k, kubernetesError("read environment variable KUBE_INSECURE", "it must be true or false, not %q", v)
		}
		k.Insecure = k.Insecure || insecure
	}
	setDefault(&k.TLSServerName, c.Getenv("KUBE_TLS_SERVER_NAME"))
	setDefault(&k.ProxyURL, c.Getenv("KUBE_PROXY_URL"))
	return k, firstProblem(kubernetesProblems(k))
}

func authenticates(k Kubernetes) bool {
	return k.Token != "" || k.ClientCertificate != "" || k.ClientKey != "" || k.Exec != nil
}

// KubernetesProblems checks what was written, without reading a file.
func KubernetesProblems(k Kubernetes) []Problem {
	out := kubernetesProblems(k)
	if k.ConfigContext != "" && (k.Host != "" || k.InCluster) {
		out = append(out, kubernetesProblem("config_context", "it is a context of a kubeconfig, and none is used with host and in_cluster"))
	}
	return out
}

// kubernetesProblems are those of arguments and environment together.
func kubernetesProblems(k Kubernetes) []Problem {
	var out []Problem
	add := func(member, format string, args ...any) {
		out = append(out, kubernetesProblem(member, format, args...))
	}
	if k.InCluster {
		for _, other := range []struct{ name, value string }{
			{"config_path", k.ConfigPath}, {"host", k.Host}, {"token", k.Token}, {"cluster_ca_certificate", k.ClusterCACertificate},
			{"client_certificate", k.ClientCertificate}, {"client_key", k.ClientKey}, {"tls_server_name", k.TLSServerName}, {"proxy_url", k.ProxyURL},
		} {
			if other.value != "" {
				add(other.name, "in_cluster takes everything from the pod that Terraform runs in: leave one of them out")
			}
		}
		if k.Exec != nil {
			add("exec", "in_cluster takes the pod's own service account: leave one of them out")
		}
		if k.Insecure {
			add("insecure", "in_cluster has the pod's own certificate of the API server: leave one of them out")
		}
		return out
	}
	if k.Host != "" && k.ConfigPath != "" {
		add("host", "host (KUBE_HOST) and config_path (KUBE_CONFIG_PATH) each name a Kubernetes cluster: leave one of them out")
	}
	var ways []string
	for _, way := range []struct {
		name string
		set  bool
	}{{"token", k.Token != ""}, {"client_certificate", k.ClientCertificate != "" || k.ClientKey != ""}, {"exec", k.Exec != nil}} {
		if way.set {
			ways = append(ways, way.name)
		}
	}
	if len(ways) > 1 {
		add(ways[0], "%s each say who we are: write one of them", strings.Join(ways, " and "))
	}
	switch {
	case k.ClientCertificate != "" && k.ClientKey == "":
		add("client_certificate", "it needs client_key")
	case k.ClientCertificate == "" && k.ClientKey != "":
		add("client_key", "it needs client_certificate")
	}
	if k.Insecure && k.ClusterCACertificate != "" {
		add("insecure", "it accepts any certificate, and cluster_ca_certificate says which: leave one of them out")
	}
	for _, pem := range []struct{ name, value string }{
		{"cluster_ca_certificate", k.ClusterCACertificate}, {"client_certificate", k.ClientCertificate}, {"client_key", k.ClientKey},
	} {
		if pem.value != "" && !strings.Contains(pem.value, "-----BEGIN") {
			add(pem.name, "it is not PEM, which begins with -----BEGIN: clouds and kubeconfigs give it in base64, as in base64decode(...); read a file with file(...)")
		}
	}
	return out
}

func kubernetesProblem(member, format string, args ...any) Problem {
	return Problem{Path: []string{"kubernetes", member}, Err: kubernetesError("use kubernetes."+member, format, args...)}
}

func kubernetesError(op, format string, args ...any) error {
	return &ray.Error{Kind: ray.KindInvalid, Op: op, Message: fmt.Sprintf(format, args...)}
}

func firstProblem(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return problems[0].Err
}
