package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// DefaultRequestTimeout is how long a request may make no progress.
const DefaultRequestTimeout = 30 * time.Second

// Limits of what is read of an answer: an error is kept up to maxErrorBody, an
// answer that is decoded in one piece may have maxAnswer. The largest one is
// /nodes?view=summary with about 13 KB a node.
const (
	maxErrorBody = 64 << 10
	maxAnswer    = 256 << 20
)

// Options say how to reach a dashboard.
type Options struct {
	// URL is http(s)://host[:port][/prefix], without credentials, query and
	// fragment. Slashes at its end are ignored.
	URL string
	// HTTP sends the requests; nil is http.DefaultClient. Its transport owns
	// credentials, TLS and proxies. Its Timeout, Jar and CheckRedirect are not used.
	HTTP *http.Client
	// UserAgent is sent with each request: Ray <= 2.51 answers 500 without one, and
	// any Ray refuses writes if it starts with "Mozilla". Default
	// "terraform-provider-ray".
	UserAgent string
	// RequestTimeout is how long a request may make no progress; it runs anew
	// whenever a part of the body is sent or received. Default
	// DefaultRequestTimeout.
	RequestTimeout time.Duration
	// Retry repeats GETs. Writes are never repeated here.
	Retry Retry
}

// Client talks to one dashboard. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	http    *http.Client
	agent   string
	timeout time.Duration
	retry   Retry
	// answered is set by the first answer of Ray. Only after it is a refused
	// connection worth a repetition: before, the address is probably wrong.
	answered atomic.Bool
	// version is the last ray_version seen, as in "2.60.0".
	version atomic.Pointer[string]
}

// New returns a client. It does not dial; the errors are those of a URL that
// can't be one (KindInvalid).
func New(o Options) (*Client, error) {
	invalid := func(format string, args ...any) error {
		return &ray.Error{Kind: ray.KindInvalid, Op: "use the dashboard's address", Message: fmt.Sprintf(format, args...)}
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		// The text of a *url.Error quotes the URL, which may hold a password.
		return nil, invalid("the URL can't be parsed")
	}
	switch {
	case u.User != nil:
		return nil, invalid("the URL must not hold credentials")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, invalid("the scheme must be http or https, not %q", u.Scheme)
	case u.Host == "" || u.Hostname() == "":
		return nil, invalid("the URL has no host")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, invalid("the URL must not have a query or a fragment")
	case strings.HasPrefix(o.UserAgent, "Mozilla"):
		return nil, invalid("Ray refuses writes of user agents that start with Mozilla")
	}
	u = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}
	hc := http.Client{}
	if o.HTTP != nil {
		hc.Transport = o.HTTP.Transport
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &Client{base: u, http: &hc, agent: o.UserAgent, timeout: o.RequestTimeout, retry: o.Retry}
	if c.agent == "" {
		c.agent = "terraform-provider-ray"
	}
	if c.timeout <= 0 {
		c.timeout = DefaultRequestTimeout
	}
	return c, nil
}

// URL returns the base URL, without a slash at its end.
func (c *Client) URL() string { return c.base.String() }

// call is one request and what its answers mean.
type call struct {
	op     string // in the infinitive, for errors: "stop job x"
	method string
	path   string // escaped, below the base URL
	query  url.Values
	json   any       // body of a write, or
	body   io.Reader // a streamed one, of
	size   int64     // so many bytes
	// redact asks Ray >= 2.59 to mask env_vars.
	redact bool
	// missing is what Ray says in a 404 when the object does not exist; a 404 with
	// other words is not Ray's verdict on the object.
	missing string
	// conflict is what Ray says when the object's state forbids the write.
	conflict string
	// since is the first Ray that has the route, for routes that a supported Ray
	// may lack.
	since string
}

func (k call) write() bool { return k.method != http.MethodGet }

// do sends k, repeats it as c.retry allows, and passes the body of a 200 answer
// to handle, which starts over when it is called again.
func (c *Client) do(ctx context.Context, k call, handle func(*http.Response, io.Reader) error) error {
	for n := 0; ; n++ {
		wait, err := c.attempt(ctx, k, handle)
		if err == nil {
			return nil
		}
		if k.write() || n >= c.retry.Max || !c.retryable(err) {
			return err
		}
		if !c.retry.wait(ctx, n, wait) {
			return err
		}
	}
}

// attempt sends k once. The duration is the answer's Retry-After.
func (c *Client) attempt(ctx context.Context, k call, handle func(*http.Response, io.Reader) error) (time.Duration, error) {
	w := newWatch(ctx, c.timeout)
	defer w.stop()
	f := failure{client: c, call: k, ctx: ctx, watch: w}

	upload, err := k.upload(w)
	if err != nil {
		return 0, err
	}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { f.sent.Store(true) }}
	req, err := c.request(httptrace.WithClientTrace(w.ctx, trace), k, upload)
	if err != nil {
		return 0, f.transport(err)
	}
	resp, err := c.http.Do(req)
	if upload != nil && upload.err != nil {
		if resp != nil {
			_ = resp.Body.Close() // nothing depends on the rest
		}
		return 0, f.source(upload.err)
	}
	if err != nil {
		return 0, f.transport(err)
	}
	w.progress()
	defer func() { _ = resp.Body.Close() }()

	body := &progressReader{r: resp.Body, watch: w}
	if resp.StatusCode != http.StatusOK || isHTML(resp.Header, nil) {
		text, _ := io.ReadAll(io.LimitReader(body, maxErrorBody)) // what came is enough
		return retryAfter(resp.Header, time.Now()), f.answer(resp, string(text))
	}
	if err := handle(resp, body); err != nil {
		return 0, f.body(resp, body, err)
	}
	c.answered.Store(true)
	// A connection is only used again if its answer has been read to the end.
	_, _ = io.CopyN(io.Discard, body, maxErrorBody)
	return 0, nil
}

// request builds the request of k.
func (c *Client) request(ctx context.Context, k call, upload *progressReader) (*http.Request, error) {
	u := c.base.String() + k.path
	if len(k.query) > 0 {
		u += "?" + k.query.Encode()
	}
	var body io.Reader
	if upload != nil {
		body = upload
	}
	req, err := http.NewRequestWithContext(ctx, k.method, u, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.agent)
	req.ContentLength = k.size
	switch {
	case k.json != nil:
		req.Header.Set("Content-Type", "application/json")
	case upload != nil:
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	if k.size == 0 {
		req.Body = http.NoBody
	}
	if k.redact && !k.write() {
		req.Header.Set("Sec-Fetch-Mode", "cors")
	}
	return req, nil
}

// upload returns the body of k, or nil, and sets its size.
func (k *call) upload(w *watch) (*progressReader, error) {
	if k.json != nil {
		b, err := json.Marshal(k.json)
		if err != nil {
			return nil, &ray.Error{Kind: ray.KindInvalid, Op: k.op, Message: "the request can't be written as JSON", Err: err}
		}
		k.body, k.size = strings.NewReader(string(b)), int64(len(b))
	}
	if k.body == nil {
		return nil, nil
	}
	return &progressReader{r: k.body, watch: w}, nil
}

// getJSON decodes the answer to k into out.
func (c *Client) getJSON(ctx context.Context, k call, out any) error {
	return c.do(ctx, k, decodeInto(out))
}

// decodeInto returns a handler that decodes an answer of exactly one JSON value.
func decodeInto(out any) func(*http.Response, io.Reader) error {
	return func(_ *http.Response, body io.Reader) error {
		b, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
		if err != nil {
			return err
		}
		if len(b) > maxAnswer {
			return fmt.Errorf("it has more than %d bytes", maxAnswer)
		}
		return json.Unmarshal(b, out)
	}
}

// checkID refuses ids that would address another route: with an empty one GET
// /api/jobs/{id} is the list of all jobs.
func checkID(op, id string) error {
	if id == "" || id == "." || id == ".." {
		return &ray.Error{Kind: ray.KindInvalid, Op: op, Message: fmt.Sprintf("%q can't be the id of a job", id)}
	}
	return nil
}

// errIdle ends a request that made no progress.
var errIdle = errors.New("no progress")
