package conn

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// tokenSource is where a token comes from. The zero value has none.
type tokenSource struct {
	value, file string
	// name says it in messages.
	name string
	// optional is a file that need not exist.
	optional bool
	// home is what ~ stands for in file.
	home string
}

// read returns the token, or "" where there is none. A file is read each time: a
// rotated token must not need a new process.
func (t tokenSource) read() (string, error) {
	if t.file == "" {
		return strings.TrimSpace(t.value), nil
	}
	b, err := os.ReadFile(expandHome(t.file, t.home))
	switch {
	case err == nil && strings.TrimSpace(string(b)) != "":
		return strings.TrimSpace(string(b)), nil
	case err == nil && t.optional, errors.Is(err, fs.ErrNotExist) && t.optional:
		return "", nil
	case err == nil:
		err = errors.New("it is empty")
	}
	return "", &ray.Error{Kind: ray.KindInvalid, Op: "read the token", Message: fmt.Sprintf("%s: %v", t.name, err), Err: err}
}

func expandHome(name, home string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok && home != "" {
		return filepath.Join(home, rest)
	}
	return name
}

// credential is what one endpoint is shown.
type credential struct {
	token tokenSource
	// tokenHeader is the header in which HTTP carries the token.
	tokenHeader string
	headers     map[string]string
	tls         *TLS
	// why says in messages why there is no credential; empty where there is one.
	why string
	// err is a configuration that can't be used; it is met at the first request.
	err error
}

// describe says, without any secret, what was sent: the end of "sent: ".
func (c credential) describe(token string) string {
	var parts []string
	switch {
	case c.hasHeader(c.tokenHeader):
		parts = append(parts, "the header "+c.tokenHeader+" of headers was sent, and no token beside it")
	case token != "":
		parts = append(parts, "the token came from "+c.token.name)
	case c.why != "":
		parts = append(parts, "no token was sent: "+c.why)
	case c.token.optional:
		parts = append(parts, "no token was sent: none is configured, and there is none in "+c.token.name)
	case c.token.name != "":
		parts = append(parts, "no token was sent: "+c.token.name+" holds none")
	default:
		parts = append(parts, "no token was sent: none is configured")
	}
	if len(c.headers) > 0 {
		parts = append(parts, "headers sent: "+strings.Join(sortedKeys(c.headers), ", "))
	}
	return strings.Join(parts, "; ")
}

func (c credential) hasHeader(name string) bool {
	for k := range c.headers {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

func (c credential) tlsConfig() (*tls.Config, error) { return c.tls.config() }

// ownCredential is the provider's own.
func (c Config) ownCredential() credential {
	headers, _, err := c.headers()
	return credential{token: c.ownToken(), tokenHeader: cmp.Or(c.TokenHeader, authorization), headers: headers, tls: c.TLS, err: err}
}

// entryCredential is that of an entry of credentials.
func (c Config) entryCredential(key string, e Credential) credential {
	cred := credential{tokenHeader: cmp.Or(e.TokenHeader, authorization), headers: e.Headers, tls: e.TLS}
	switch {
	case e.Token != "":
		cred.token = tokenSource{value: e.Token, name: fmt.Sprintf("credentials[%q].token", key)}
	case e.TokenFile != "":
		cred.token = tokenSource{file: e.TokenFile, name: fmt.Sprintf("credentials[%q].token_file", key), home: c.home()}
	default:
		cred.why = fmt.Sprintf("credentials[%q] has none, and the provider's own does not go there", key)
	}
	return cred
}

// endpoint is a place to call, and how it became known.
type endpoint struct {
	addr Address
	// written is true for what the user wrote, false for what a cluster reported.
	written bool
	// head is true for the head of the RayCluster that the user wrote: Kubernetes, which
	// the user trusts, says that it is there.
	head bool
}

// credentialFor decides what is shown to ep, a place of the cluster that the user
// knows as primary. These few lines are all that keeps a token from going where
// it does not belong.
func (p *Pool) credentialFor(primary Address, ep endpoint) credential {
	if ep.head {
		ep = endpoint{addr: primary, written: true}
	}
	if ep.written {
		if e, ok := p.entries[ep.addr.String()]; ok {
			return p.cfg.entryCredential(e.key, e.Credential)
		}
	}
	samePlace := ep.addr == primary || (primary.Form != FormKubeRay && sameHost(ep.addr.Host, primary.Host))
	if !ep.written && primary.Scheme == "https" && ep.addr.Scheme != "https" {
		return credential{why: fmt.Sprintf("%s was discovered and is not encrypted, and the credential is for %s: write the address to have it sent", ep.addr, primary)}
	}
	if e, ok := p.entries[primary.String()]; ok {
		if samePlace {
			return p.cfg.entryCredential(e.key, e.Credential)
		}
		return credential{why: fmt.Sprintf("credentials[%q] is for %s only; add an entry for %s", e.key, primary.place(), ep.addr)}
	}
	own, hasOwn := p.own.addr, p.own.written != ""
	switch {
	case hasOwn && primary.String() == own.String() && samePlace:
		return p.cfg.ownCredential()
	case hasOwn && ep.written && ep.addr.String() == own.String():
		return p.cfg.ownCredential()
	case hasOwn && primary.String() == own.String():
		return credential{why: fmt.Sprintf("the provider's own is for %s only; add an entry for %s to the provider's credentials", own.place(), ep.addr)}
	case hasOwn:
		return credential{why: fmt.Sprintf("the provider's own goes only to its own address (%s, from %s); add an entry for %s to the provider's credentials", p.own.shown(), p.own.source, ep.addr)}
	case ep.written || samePlace:
		return p.cfg.ownCredential()
	}
	return credential{why: fmt.Sprintf("%s was reported by the cluster and is another host than %s, which the credential is for", ep.addr, primary.place())}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
