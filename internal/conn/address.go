package conn

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

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
)

// forms is what every message about a wrong address ends with.
const forms = "write http(s)://host:8265[/prefix] (dashboard), host:6379 (GCS) or ray://host:10001 (Ray Client)"

// Address is a parsed address. Its String is the normal form: two ways to write
// one address are equal by it.
type Address struct {
	Form Form
	// Scheme is http or https, or empty.
	Scheme string
	// Host is lower case, without brackets.
	Host string
	// Port is always set.
	Port string
	// Path is the prefix of a dashboard behind a proxy, without a final slash.
	Path string
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
		return Address{}, invalid(s, "kuberay:// addresses are not supported yet: write the address of the RayCluster's head service, for example http://<name>-head-svc.<namespace>:8265")
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
	}
	return ""
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
