package kuberay

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Config says which Kubernetes cluster is meant, and who we are to it. Without
// ConfigPath, Host and InCluster there is none: neither KUBECONFIG nor ~/.kube/config
// is looked at, since the cluster that they happen to name may be a wrong one.
type Config struct {
	// ConfigPath is a kubeconfig file, ConfigContext one of its contexts where it is
	// not the current one. What is set besides wins over the file.
	ConfigPath, ConfigContext string
	// Host is the API server's URL.
	Host string
	// Token is a bearer token.
	Token string
	// ClusterCACertificate, ClientCertificate and ClientKey are PEM.
	ClusterCACertificate, ClientCertificate, ClientKey string
	// Exec is a command that prints credentials, as those of the clouds.
	Exec *Exec
	// Insecure does not verify the server's certificate.
	Insecure bool
	// TLSServerName is the name in the server's certificate where it is not the host.
	TLSServerName string
	ProxyURL      string
	// Proxy is the choice of a proxy where neither ProxyURL nor the file names one;
	// nil is the choice by the process's environment.
	Proxy func(*http.Request) (*url.URL, error)
	// InCluster takes the service account of the pod that this runs in.
	InCluster bool

	UserAgent string
	// Timeout is that of one request; zero is none.
	Timeout time.Duration
	// Warn is told what the API server warns of; nil drops it.
	Warn func(ctx context.Context, text string)
}

// Exec is a client-go credential plugin.
type Exec struct {
	APIVersion, Command string
	Args                []string
	Env                 map[string]string
}

// Configured reports whether c names a Kubernetes cluster.
func (c Config) Configured() bool { return c.ConfigPath != "" || c.Host != "" || c.InCluster }

// Client is a client of one Kubernetes API server. It is safe for concurrent use.
type Client struct {
	config *rest.Config
	http   *http.Client
	api    dynamic.Interface
}

// New makes a client. It reads the files that c names and dials nothing. Its errors are
// of ray.KindInvalid.
func New(c Config) (*Client, error) {
	config, err := c.rest()
	if err != nil {
		return nil, &ray.Error{Kind: ray.KindInvalid, Op: "use the kubernetes configuration", Message: err.Error(), Err: err}
	}
	if config.Proxy == nil {
		config.Proxy = c.Proxy
	}
	config.UserAgent = c.UserAgent
	config.Timeout = c.Timeout
	// client-go's own limit of 5 requests a second makes 50 patches take 10 s. The
	// server has its own, and answers 429, which client-go obeys.
	config.QPS = -1
	config.WarningHandlerWithContext = warnings(func(ctx context.Context, text string) {
		if c.Warn != nil {
			c.Warn(ctx, text)
		}
	})
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, &ray.Error{Kind: ray.KindInvalid, Op: "use the kubernetes configuration", Message: err.Error(), Err: err}
	}
	api, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, &ray.Error{Kind: ray.KindInvalid, Op: "use the kubernetes configuration", Message: err.Error(), Err: err}
	}
	return &Client{config, client, api}, nil
}

// Close ends idle connections.
func (c *Client) Close() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }

func (c Config) rest() (*rest.Config, error) {
	if c.InCluster {
		return rest.InClusterConfig()
	}
	overrides := &clientcmd.ConfigOverrides{
		CurrentContext: c.ConfigContext,
		ClusterInfo: api.Cluster{
			CertificateAuthorityData: []byte(c.ClusterCACertificate),
			InsecureSkipTLSVerify:    c.Insecure,
			TLSServerName:            c.TLSServerName,
			ProxyURL:                 c.ProxyURL,
		},
		AuthInfo: api.AuthInfo{
			Token:                 c.Token,
			ClientCertificateData: []byte(c.ClientCertificate),
			ClientKeyData:         []byte(c.ClientKey),
		},
	}
	if c.Host != "" {
		tls := c.ClusterCACertificate != "" || c.ClientCertificate != "" || c.Insecure
		host, _, err := rest.DefaultServerURL(c.Host, "", schema.GroupVersion{}, tls)
		if err != nil {
			return nil, err
		}
		overrides.ClusterInfo.Server = host.String()
	}
	if c.Exec != nil {
		exec := &api.ExecConfig{APIVersion: c.Exec.APIVersion, Command: c.Exec.Command, Args: c.Exec.Args, InteractiveMode: api.IfAvailableExecInteractiveMode}
		for name, value := range c.Exec.Env {
			exec.Env = append(exec.Env, api.ExecEnvVar{Name: name, Value: value})
		}
		overrides.AuthInfo.Exec = exec
	}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&clientcmd.ClientConfigLoadingRules{ExplicitPath: c.ConfigPath}, overrides).ClientConfig()
}

// Host is the API server's URL, without credentials.
func (c *Client) Host() string {
	u, err := url.Parse(c.config.Host)
	if err != nil || u.Host == "" {
		return c.config.Host
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

type warnings func(ctx context.Context, text string)

// HandleWarningHeaderWithContext drops code and agent, which are always 299 and "-".
func (w warnings) HandleWarningHeaderWithContext(ctx context.Context, _ int, _ string, text string) {
	w(ctx, text)
}

// Name is where a RayCluster is.
type Name struct{ Namespace, Name string }

// String is namespace/name.
func (n Name) String() string { return fmt.Sprintf("%s/%s", n.Namespace, n.Name) }
