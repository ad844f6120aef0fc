package conn

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Modes of Config.PlanChecks, Config.OnUnreachable and Config.DestroyUnreachable.
const (
	PlanChecksWarn  = "warn"
	PlanChecksError = "error"
	PlanChecksOff   = "off"

	OnUnreachableError = "error"
	OnUnreachableKeep  = "keep"

	DestroyUnreachableError  = "error"
	DestroyUnreachableForget = "forget"
)

// Defaults of Config.
const (
	DefaultRequestTimeout = 30 * time.Second
	DefaultMaxUnreachable = 10 * time.Minute
	DefaultMaxAttempts    = 4
	DefaultMinBackoff     = 250 * time.Millisecond
	DefaultMaxBackoff     = 5 * time.Second
)

// TLS is how a dashboard is trusted and who we are to it.
type TLS struct {
	// CACert, ClientCert and ClientKey are PEM, or the path of a PEM file.
	CACert, ClientCert, ClientKey string
	// ServerName is the name in the server's certificate where it is not the host.
	ServerName         string
	InsecureSkipVerify bool
}

// Credential is what is shown to one address.
type Credential struct {
	Token string
	// TokenFile is read again at each use, so that a rotated token is seen.
	TokenFile string
	// TokenHeader is one of TokenHeaders; empty is the first.
	TokenHeader string
	// Headers go with every HTTP request.
	Headers map[string]string
	TLS     *TLS
}

// TokenHeaders are the headers in which Ray takes a token, the usual one first. The
// other is known since Ray 2.53, for what stands before Ray and takes Authorization
// for itself.
func TokenHeaders() []string { return []string{authorization, rayAuthorization} }

const (
	authorization    = "Authorization"
	rayAuthorization = "X-Ray-Authorization"
)

// Retry is how often what is safe to repeat is tried.
type Retry struct {
	// MaxAttempts counts the first.
	MaxAttempts            int
	MinBackoff, MaxBackoff time.Duration
}

// Config is the provider's configuration. The zero value works with the
// environment alone.
type Config struct {
	// Address wins over RAY_API_SERVER_ADDRESS, which wins over RAY_ADDRESS.
	Address string
	Owner   string
	// Credential is the provider's own. Without a token and a token file the
	// token is RAY_AUTH_TOKEN, or is in the file RAY_AUTH_TOKEN_PATH, or in
	// ~/.ray/auth_token; without headers they are RAY_JOB_HEADERS.
	Credential
	// Credentials are keyed by address as written in resources. An entry replaces
	// the provider's own credential whole.
	Credentials map[string]Credential
	// NoProxy wins over NO_PROXY, in its form.
	NoProxy string
	// Kubernetes is where RayClusters are. What it leaves out is filled from KUBE_HOST,
	// KUBE_CONFIG_PATH and so on; see Pool.Kubernetes.
	Kubernetes     Kubernetes
	RequestTimeout time.Duration
	Retry          Retry
	MaxUnreachable time.Duration
	// MaxActiveJobs is per cluster and process; zero is no limit.
	MaxActiveJobs      int
	DefaultMetadata    map[string]string
	OnUnreachable      string
	DestroyUnreachable string
	PlanChecks         string
	ReadOnly           bool

	// Version is the provider's, for the User-Agent.
	Version string
	// Getenv reads the environment; nil is an empty environment.
	Getenv func(string) string
	// Unknown are the names of the arguments whose values Terraform does not know
	// yet.
	Unknown []string
}

func (c Config) withDefaults() Config {
	if c.Getenv == nil {
		c.Getenv = func(string) string { return "" }
	}
	setDefault(&c.RequestTimeout, DefaultRequestTimeout)
	setDefault(&c.MaxUnreachable, DefaultMaxUnreachable)
	setDefault(&c.Retry.MaxAttempts, DefaultMaxAttempts)
	setDefault(&c.Retry.MinBackoff, DefaultMinBackoff)
	setDefault(&c.Retry.MaxBackoff, max(DefaultMaxBackoff, c.Retry.MinBackoff))
	setDefault(&c.OnUnreachable, OnUnreachableError)
	setDefault(&c.DestroyUnreachable, DestroyUnreachableError)
	setDefault(&c.PlanChecks, PlanChecksWarn)
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// address is the provider's own address as written and the name of its source;
// both are empty where there is none.
func (c Config) address() (written, source string) {
	if c.Address != "" {
		return c.Address, "the provider's address argument"
	}
	for _, name := range []string{"RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"} {
		if v := c.Getenv(name); v != "" {
			return v, "environment variable " + name
		}
	}
	return "", ""
}

// headers are the provider's own headers and the name of their source.
func (c Config) headers() (map[string]string, string, error) {
	if c.Headers != nil {
		return c.Headers, "the provider's headers argument", nil
	}
	raw := c.Getenv("RAY_JOB_HEADERS")
	if raw == "" {
		return nil, "", nil
	}
	var h map[string]string
	if err := json.Unmarshal([]byte(raw), &h); err != nil {
		// The decoder's error may quote a secret of the value: it is left out.
		return nil, "", &ray.Error{Kind: ray.KindInvalid, Op: "read RAY_JOB_HEADERS", Message: `it must be a JSON object of strings such as {"X-Team": "ml"}`}
	}
	return h, "environment variable RAY_JOB_HEADERS", nil
}

// ownToken is the provider's own token where a file or a variable holds it.
func (c Config) ownToken() tokenSource {
	switch {
	case c.Token != "":
		return tokenSource{value: c.Token, name: "the provider's token argument"}
	case c.TokenFile != "":
		return tokenSource{file: c.TokenFile, name: fmt.Sprintf("the provider's token_file %q", c.TokenFile), home: c.home()}
	}
	if v := c.Getenv("RAY_AUTH_TOKEN"); v != "" {
		return tokenSource{value: v, name: "environment variable RAY_AUTH_TOKEN"}
	}
	if f := c.Getenv("RAY_AUTH_TOKEN_PATH"); f != "" {
		return tokenSource{file: f, name: fmt.Sprintf("file %q of environment variable RAY_AUTH_TOKEN_PATH", f), home: c.home()}
	}
	if h := c.home(); h != "" {
		return tokenSource{file: filepath.Join(h, ".ray", "auth_token"), name: "file ~/.ray/auth_token", optional: true}
	}
	return tokenSource{}
}

func (c Config) home() string {
	if runtime.GOOS == "windows" {
		return c.Getenv("USERPROFILE")
	}
	return c.Getenv("HOME")
}

func (c Config) userAgent() string {
	version := c.Version
	if version == "" {
		version = "dev"
	}
	ua := "terraform-provider-ray/" + version + " (+https://github.com/ray-iac/terraform-provider-ray)"
	if more := strings.TrimSpace(c.Getenv("TF_APPEND_USER_AGENT")); more != "" {
		ua += " " + more
	}
	return ua
}

// Environment reads the process's own environment, for Config.Getenv. The zero
// Config has an empty one, so that a test sees nothing of its machine.
func Environment(name string) string { return os.Getenv(name) }

// Problem is an argument that can't be right, whatever the cluster says.
type Problem struct {
	// Path is the argument: "address", or "credentials" with the entry's key and
	// the member after it.
	Path []string
	Err  error
}

// Problems checks what was configured, without dialing. What the environment
// holds is left for its use: RAY_ADDRESS=auto, which Ray sets on its own nodes,
// is no fault of a configuration that writes its addresses.
func (c Config) Problems() []Problem {
	var out []Problem
	add := func(err error, path ...string) {
		if err != nil {
			out = append(out, Problem{Path: path, Err: err})
		}
	}
	if c.Address != "" {
		_, err := ParseAddress(c.Address)
		add(err, "address")
	}
	_, err := c.TLS.config()
	add(err, "tls")
	if !slices.Contains(c.Unknown, "kubernetes") { // a half of a pair is no mistake while the other is unknown
		out = append(out, KubernetesProblems(c.Kubernetes)...)
	}
	for _, key := range sortedKeys(c.Credentials) {
		_, err := ParseAddress(key)
		add(err, "credentials", key)
		_, err = c.Credentials[key].TLS.config()
		add(err, "credentials", key, "tls")
	}
	return out
}
