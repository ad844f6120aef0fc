package dashboard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Answer is an answer that was not the wanted one, as the cause in a *ray.Error.
type Answer struct {
	// Status is the HTTP status on the wire.
	Status int
	// Body is the text, up to 64 KiB. It may quote the request.
	Body string
	// Credential says, in words, which credential the request went with, where the
	// transport told it in CredentialHeader.
	Credential string
}

// CredentialHeader is set on an answer by a transport that adds credentials. It
// never travels: such a transport overwrites what a server sends.
const CredentialHeader = "X-Credential-Sent"

// Error returns the status and the body.
func (a *Answer) Error() string { return fmt.Sprintf("HTTP %d: %s", a.Status, a.Body) }

// failure makes the *ray.Error of a call that failed.
type failure struct {
	client *Client
	call   call
	ctx    context.Context
	watch  *watch
	// sent is set once there was a connection that the request may have gone out
	// on. Dialling, resolving and TLS handshakes come before it.
	sent atomic.Bool
}

func (f *failure) error(kind ray.Kind, message string, cause error) *ray.Error {
	return &ray.Error{Kind: kind, Op: f.call.op, Address: f.client.URL(), Message: message, Err: cause}
}

// answer translates an answer that is not a 200 with Ray's own kind of body.
func (f *failure) answer(resp *http.Response, text string) error {
	e := f.error(ray.KindUnknown, "", &Answer{Status: resp.StatusCode, Body: text, Credential: resp.Header.Get(CredentialHeader)})
	e.Status = resp.StatusCode
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e.Kind = ray.KindProtocol
		e.Message = "the answer is a redirect" + redirectTarget(resp) +
			"; it is not followed, because credentials would go with it: is a proxy or a login page in front of Ray?"
		return e
	}
	f.translate(e, resp, text)
	return e
}

func redirectTarget(resp *http.Response) string {
	u, err := resp.Location()
	if err != nil || u.Host == "" {
		return ""
	}
	return " to " + u.Scheme + "://" + u.Host // path and query may hold secrets
}

// Texts by which Ray says what its status does not. Each is in a recorded body
// of package raytest, testdata/ray-2.60.0.
const (
	textNoAgent     = "No available agent"                   // Ray's source, job_head.py
	textNoAgentOld  = "Failed to get head node agent within" // the same on Python <= 3.10
	textBrowser     = "not allowed for browser traffic"
	textNoRoute     = "404: Not Found"
	textNoFile      = "A file is not found at"
	textNoNodeAgent = "Agent for node id"
	textTLSPort     = "HTTP request to an HTTPS server"           // Go's servers
	textTLSPortNgx  = "plain HTTP request was sent to HTTPS port" // nginx
	textExists      = "already exists"                            // job_manager.py, submit_job
	textNotOver     = "but it is in a non-terminal state"         // job_manager.py, delete_job
	textNoJob       = "Job %s does not exist"                     // job_head.py
	textNoPackage   = "Package %s does not exist"                 // job_head.py
	textNoServe     = "Serve dependencies are not installed"      // serve_head.py
	textValidation  = " for ServeDeploySchema"                    // pydantic: "2 validation errors for ServeDeploySchema"
)

// wrapped finds the status of the agent in what the head makes of it:
// "RuntimeError: Request failed with status code 400: Traceback ...".
var wrapped = regexp.MustCompile(`Request failed with status code (\d{3}): `)

// translate is the one function that reads Ray's texts. It sets all of e but
// Op, Address and Err.
func (f *failure) translate(e *ray.Error, resp *http.Response, text string) {
	inner := text
	agent := false
	if m := wrapped.FindStringSubmatchIndex(text); m != nil && e.Status == http.StatusInternalServerError {
		e.Status, _ = strconv.Atoi(text[m[2]:m[3]])
		inner, agent = strings.TrimSuffix(strings.TrimSpace(text[m[1]:]), "."), true
	}
	page := isHTML(resp.Header, []byte(text))
	e.Message = lastLine(inner)
	if page {
		e.Message = fmt.Sprintf("the answer is a page of HTML%s, so it is not Ray's: is a proxy on the way, and is the path right?", title(text))
	}
	e.Kind = kindOfStatus(e.Status)
	// Only statuses of 500 and more leave open what a write did; the head's 500
	// with an agent's 4xx inside does not.
	e.OutcomeUnknown = f.call.write() && (e.Status >= 500 || e.Status == http.StatusRequestTimeout || e.Status < 300)

	k := f.call
	switch {
	case strings.Contains(text, textTLSPort), strings.Contains(text, textTLSPortNgx):
		e.Kind, e.Message = ray.KindTLS, "the port speaks TLS: use https:// in the address"
	case page:
		if e.Kind == ray.KindNotFound || e.Kind == ray.KindServer || e.Kind == ray.KindUnknown {
			e.Kind = ray.KindProtocol
		}
	case k.conflict != "" && e.Status >= 400 && agent && strings.Contains(e.Message, k.conflict):
		e.Kind, e.OutcomeUnknown = ray.KindConflict, false
	case strings.Contains(text, textNoAgent), strings.Contains(text, textNoAgentOld):
		// The head gives up before it has passed anything on.
		e.Kind, e.OutcomeUnknown = ray.KindUnavailable, false
	case strings.HasPrefix(text, textNoServe):
		e.Kind, e.OutcomeUnknown = ray.KindUnsupported, false
	case e.Status == http.StatusBadRequest && strings.Contains(text, textValidation):
		e.Message = invalidConfig(text)
	case strings.HasPrefix(text, textNoFile):
		e.Kind = ray.KindNotFound
	case strings.HasPrefix(text, textNoNodeAgent):
		e.Kind = ray.KindUnavailable
	case e.Status == http.StatusNotFound:
		f.notFound(e, inner, agent)
	case strings.Contains(text, textBrowser):
		e.Message += " Something on the way adds an Origin, Referer or Sec-Fetch header, by which Ray takes the request for a browser's: let the proxy remove them."
	}
	if e.Message == "" {
		e.Message = http.StatusText(e.Status)
	}
}

// notFound decides what a 404 is about.
func (f *failure) notFound(e *ray.Error, text string, agent bool) {
	text = strings.TrimSpace(text)
	switch {
	case f.call.missing != "" && text == f.call.missing:
	case agent:
		// The head has the record, the agent has no such route: ids with a slash.
		e.Kind = ray.KindServer
	case f.call.since != "" && text == textNoRoute:
		e.Kind, e.Message = ray.KindUnsupported, "this needs Ray >= "+f.call.since
	default:
		e.Kind = ray.KindProtocol
		e.Message = fmt.Sprintf("the answer %q is not what Ray's dashboard says there: is the address, with its path, that of a dashboard?", clip(text))
	}
}

func kindOfStatus(status int) ray.Kind {
	switch status {
	case http.StatusUnauthorized:
		return ray.KindUnauthenticated
	case http.StatusForbidden:
		return ray.KindForbidden
	case http.StatusNotFound:
		return ray.KindNotFound
	case http.StatusRequestTimeout:
		return ray.KindTimeout
	case http.StatusConflict:
		return ray.KindConflict
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ray.KindUnavailable
	}
	switch {
	case status >= 500:
		return ray.KindServer
	case status >= 400:
		return ray.KindInvalid
	}
	return ray.KindProtocol
}

// body translates what a 200 answer's handler found. A *ray.Error of the handler
// stays as it is.
func (f *failure) body(resp *http.Response, body *progressReader, err error) error {
	var e *ray.Error
	if errors.As(err, &e) {
		return err
	}
	if body.err != nil {
		f.sent.Store(true)
		return f.transport(fmt.Errorf("the connection broke in the middle of the answer: %w", body.err))
	}
	e = f.error(ray.KindProtocol, "the answer is not what Ray gives there: "+err.Error(), err)
	e.Status, e.OutcomeUnknown = resp.StatusCode, f.call.write()
	return e
}

// source is the error of an upload's own reader. What was sent is cut off before
// the announced length, so that Ray did not take it.
func (f *failure) source(err error) error {
	if f.ctx.Err() != nil || f.watch.idled() {
		return f.transport(err)
	}
	return fmt.Errorf("%s: %w", f.call.op, err)
}

// transport translates an error of a request that got no whole answer.
func (f *failure) transport(err error) error {
	if own, ok := errors.AsType[*ray.Error](err); ok { // of a transport that adds credentials, or leads through a proxy
		e := *own
		e.Op, e.Address, e.Err = f.call.op, f.client.URL(), err
		// What a proxy refused by itself has not reached Ray.
		e.OutcomeUnknown = f.call.write() && f.sent.Load() && (own.Status == 0 || own.Status >= 500)
		return &e
	}
	if u := new(url.Error); errors.As(err, &u) && u.Err != nil {
		err = u.Err // the rest repeats method and URL
	}
	kind, message := f.kindOf(err)
	e := f.error(kind, message, err)
	e.OutcomeUnknown = f.call.write() && f.sent.Load()
	return e
}

// kindOf classifies a transport's error. Go has no types for some of them; those
// texts are net/http's.
func (f *failure) kindOf(err error) (ray.Kind, string) {
	switch {
	case f.watch.idled():
		return ray.KindTimeout, fmt.Sprintf("no progress for %s", f.client.timeout)
	case errors.Is(f.ctx.Err(), context.DeadlineExceeded):
		return ray.KindTimeout, "the time for it was over before an answer came"
	case f.ctx.Err() != nil:
		return ray.KindCanceled, "given up by the caller"
	}
	text := err.Error()
	var (
		dns    *net.DNSError
		record tls.RecordHeaderError
		cert   *tls.CertificateVerificationError
		host   x509.HostnameError
		author x509.UnknownAuthorityError
		alert  tls.AlertError
		timed  net.Error
	)
	switch {
	case errors.As(err, &dns):
		return ray.KindDNS, text
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return ray.KindTLS, "the port does not speak TLS: use http:// in the address (Ray's dashboard itself has no TLS)"
	case errors.As(err, &author), errors.As(err, &host), errors.As(err, &cert), errors.As(err, &alert), strings.Contains(text, "tls: "):
		return ray.KindTLS, text
	case strings.Contains(text, `malformed HTTP response "\x15\x03`): // a TLS alert record
		return ray.KindTLS, "the port speaks TLS: use https:// in the address"
	// readLoopPeekFailLocked: a server that speaks first, as a gRPC server does,
	// and is faster than the request.
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "readLoopPeekFailLocked"):
		return ray.KindProtocol, "what listens there does not speak HTTP: is this the port of the dashboard (8265), not that of the GCS (6379) or the Ray Client (10001)?"
	case errors.As(err, &timed) && timed.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return ray.KindTimeout, text
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return ray.KindUnavailable, text
	}
	var op *net.OpError
	if errors.As(err, &op) || strings.Contains(text, "connection") {
		return ray.KindUnavailable, text
	}
	return ray.KindUnknown, text
}

// lastLine returns the last line that says something: of a traceback, the
// exception.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	// "500 Internal Server Error\n\nServer got itself in trouble": aiohttp's words for
	// a handler that crashed.
	if len(lines) == 3 && strings.HasPrefix(lines[0], "500 ") {
		return "Internal Server Error: " + lines[2]
	}
	return clip(strings.TrimSpace(lines[len(lines)-1]))
}

// clip shortens s to what fits in a message.
func clip(s string) string {
	const most = 2000
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + " ..."
}

// isHTML reports whether an answer is a page: by its type, or its first bytes.
func isHTML(h http.Header, body []byte) bool {
	if strings.HasPrefix(strings.ToLower(h.Get("Content-Type")), "text/html") {
		return true
	}
	start := strings.ToLower(strings.TrimSpace(string(body[:min(len(body), 100)])))
	return strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html")
}

var titleTag = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// title returns the page's title as " titled ...", or "".
func title(page string) string {
	m := titleTag.FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return fmt.Sprintf(" titled %q", clip(strings.Join(strings.Fields(html.UnescapeString(m[1])), " ")))
}
