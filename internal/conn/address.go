package conn

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Form is what an address speaks.
type Form int

const (
	// FormHTTP is the dashboard: http(s)://host:8265[/prefix].
	FormHTTP Form = iota + 1
	// FormGCS is the GCS: host:6379.
	FormGCS
	// FormClient is the Ray Client server: ray://host:10001.
	FormClient
	// FormKubeRay is a RayCluster in Kubernetes: kuberay://namespace/name.
	FormKubeRay
)

// forms is what every message about a wrong address ends with.
const forms = "write http(s)://host:8265[/prefix] (dashboard), host:6379 (GCS), ray://host:10001 (Ray Client) or kuberay://namespace/name (RayCluster)"

// Example is how an address of the form is written; "" for what is no form.
func (f Form) Example() string {
	return map[Form]string{
		FormHTTP: "http(s)://host:8265[/prefix]", FormGCS: "host:6379", FormClient: "ray://host:10001", FormKubeRay: "kuberay://namespace/name",
	}[f]
}

// Address is a parsed address. Its String is the normal form: two ways to write
// one address are equal by it.
type Address struct {
	Form Form
	// Scheme is http or https, or empty.
	Scheme string
	// Host is lower case, without brackets.
	Host string
	// Port is always set where there is a host.
	Port string
	// Path is the prefix of a dashboard behind a proxy, without a final slash.
	Path string
	// RayCluster is set in place of all these for FormKubeRay.
	RayCluster kuberay.Name
}

// ParseAddress reads one of the address forms. Its errors are of KindInvalid and
// name the forms; they never repeat a password.
func ParseAddress(s string) (Address, error) {
	switch {
	case s == "":
		return Address{}, invalid(s, "it is empty: "+forms)
	case s == "auto", s == "local":
		return Address{}, invalid(s, fmt.Sprintf("%q means a Ray on this machine to Ray itself, which Terraform must not guess: %s", s, forms))
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return Address{}, invalid(strings.TrimSpace(s), "it holds white space or control characters")
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return parseHostPort(s, s, FormGCS, "")
	}
	switch strings.ToLower(scheme) {
	case "http", "https":
		return parseURL(s)
	case "ray":
		return parseHostPort(s, strings.TrimSuffix(rest, "/"), FormClient, "10001")
	case "kuberay":
		return parseKubeRay(s, strings.TrimSuffix(rest, "/"))
	}
	return Address{}, invalid(redact(s), fmt.Sprintf("unknown scheme %q: %s", scheme, forms))
}

func parseURL(s string) (Address, error) {
	u, err := url.Parse(s)
	if err != nil {
		// The error of url.Parse repeats the whole URL, user info included.
		return Address{}, invalid(redact(s), "it is no URL: "+forms)
	}
	switch {
	case u.User != nil:
		return Address{}, invalid(redact(s), "it holds a user name or password, which would end up in the state: use the provider's token, headers or credentials")
	case u.Hostname() == "":
		return Address{}, invalid(s, "it has no host: "+forms)
	case u.RawQuery != "" || u.Fragment != "":
		return Address{}, invalid(redact(s), "it has a query or a fragment: only a path prefix may follow the host")
	}
	a := Address{Form: FormHTTP, Scheme: strings.ToLower(u.Scheme), Host: strings.ToLower(u.Hostname()), Port: u.Port()}
	a.Path = strings.TrimRight(u.EscapedPath(), "/")
	if a.Port == "" {
		a.Port = map[string]string{"http": "80", "https": "443"}[a.Scheme]
	}
	if !validPort(a.Port) {
		return Address{}, invalid(s, fmt.Sprintf("port %q is not between 1 and 65535", a.Port))
	}
	return a, nil
}

func parseHostPort(s, hostport string, form Form, defaultPort string) (Address, error) {
	if strings.ContainsAny(hostport, "/?#@") {
		return Address{}, invalid(redact(s), "only a host and a port are expected here: "+forms)
	}
	host, port, err := net.SplitHostPort(hostport)
	if err != nil && defaultPort != "" {
		host, port, err = net.SplitHostPort(hostport + ":" + defaultPort)
	}
	if err != nil || host == "" {
		return Address{}, invalid(s, "it has no host and port: "+forms)
	}
	if !validPort(port) {
		return Address{}, invalid(s, fmt.Sprintf("port %q is not between 1 and 65535", port))
	}
	return Address{Form: form, Host: strings.ToLower(host), Port: port}, nil
}

func parseKubeRay(s, rest string) (Address, error) {
	namespace, name, ok := strings.Cut(rest, "/")
	if !ok {
		return Address{}, invalid(redact(s), "it has no name: write kuberay://namespace/name")
	}
	for _, part := range []struct{ what, value string }{{"namespace", namespace}, {"name of a RayCluster", name}} {
		if why := CheckKubeName(part.value); why != "" {
			return Address{}, invalid(redact(s), fmt.Sprintf("%q can't be the %s: %s", redact(part.value), part.what, why))
		}
	}
	return Address{Form: FormKubeRay, RayCluster: kuberay.Name{Namespace: namespace, Name: name}}, nil
}

var kubeName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// CheckKubeName says why s can't be the name of a namespace or a RayCluster in
// Kubernetes, or "".
func CheckKubeName(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > 63:
		return "it has more than 63 characters"
	case !kubeName.MatchString(s):
		return "names in Kubernetes are of lower-case letters, digits and -, and begin and end with a letter or digit"
	}
	return ""
}

func validPort(p string) bool {
	n, err := strconv.Atoi(p)
	return err == nil && n > 0 && n < 65536
}

// redact drops what stands before an @, which may be a password.
func redact(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	} else {
		scheme += "://"
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = "...@" + rest[i+1:]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i] + "..."
	}
	return scheme + rest
}

func invalid(s, why string) error {
	return &ray.Error{Kind: ray.KindInvalid, Op: fmt.Sprintf("use address %q", s), Message: why}
}

// HostPort is host:port, an IPv6 host in brackets.
func (a Address) HostPort() string { return net.JoinHostPort(a.Host, a.Port) }

// String is the address in its normal form.
func (a Address) String() string {
	switch a.Form {
	case FormHTTP:
		// The zone of an IPv6 address is escaped in a URL.
		host := strings.ReplaceAll(a.Host, "%", "%25")
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if (a.Scheme == "http" && a.Port != "80") || (a.Scheme == "https" && a.Port != "443") {
			host += ":" + a.Port
		}
		return a.Scheme + "://" + host + a.Path
	case FormClient:
		return "ray://" + a.HostPort()
	case FormGCS:
		return a.HostPort()
	case FormKubeRay:
		return "kuberay://" + a.RayCluster.String()
	}
	return ""
}

// place is what a credential is for, in words.
func (a Address) place() string {
	if a.Form == FormKubeRay {
		return a.String()
	}
	return "the host " + a.Host
}

// at is the same kind of place on another host.
func (a Address) at(host string) Address {
	a.Host = host
	return a
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}

// sameHost treats all names of this machine's loopback as one.
func sameHost(a, b string) bool {
	return strings.EqualFold(a, b) || (isLoopback(a) && isLoopback(b))
}
