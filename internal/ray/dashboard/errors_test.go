package dashboard_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// The operations that an answer is given to.
var operations = map[string]func(context.Context, *dashboard.Client) error{
	"version": func(ctx context.Context, c *dashboard.Client) error { _, err := c.Version(ctx); return err },
	"mode":    func(ctx context.Context, c *dashboard.Client) error { _, err := c.AuthenticationMode(ctx); return err },
	"cluster": func(ctx context.Context, c *dashboard.Client) error { _, err := c.ClusterID(ctx); return err },
	"nodes":   func(ctx context.Context, c *dashboard.Client) error { _, err := c.Nodes(ctx); return err },
	"read":    func(ctx context.Context, c *dashboard.Client) error { _, err := c.Job(ctx, "nope"); return err },
	"list":    func(ctx context.Context, c *dashboard.Client) error { _, err := c.ListJobs(ctx, nil); return err },
	"submit": func(ctx context.Context, c *dashboard.Client) error {
		return c.Submit(ctx, ray.Submission{SubmissionID: "nope", Entrypoint: "true"})
	},
	"stop":   func(ctx context.Context, c *dashboard.Client) error { _, err := c.Stop(ctx, "nope"); return err },
	"delete": func(ctx context.Context, c *dashboard.Client) error { return c.Delete(ctx, "nope") },
	"has": func(ctx context.Context, c *dashboard.Client) error {
		_, err := c.HasPackage(ctx, "gcs://nope")
		return err
	},
	"serve":  func(ctx context.Context, c *dashboard.Client) error { _, err := c.Serve(ctx); return err },
	"deploy": func(ctx context.Context, c *dashboard.Client) error { return c.DeployServe(ctx, []byte(`{}`)) },
	"put": func(ctx context.Context, c *dashboard.Client) error {
		return c.PutPackage(ctx, "gcs://nope", 1, strings.NewReader("x"))
	},
}

func TestAnswersAreTranslated(t *testing.T) {
	t.Parallel()
	const text, html, js = "text/plain; charset=utf-8", "text/html", "application/json"
	page := "<html>\n<head><title> 502 Bad\n Gateway &amp; more</title></head></html>"
	long := strings.Repeat("x", 100<<10)
	for _, test := range []struct {
		name, op    string
		status      int
		kind, body  string
		want        verdict
		message     string
		wholeInside string
	}{
		// Ray's own, as recorded.
		{"unknown job", "read", 404, text, "Job nope does not exist", verdict{ray.KindNotFound, 404, false}, "Job nope does not exist", ""},
		{"unknown job", "stop", 404, text, recorded(t, "stop-unknown.txt"), verdict{ray.KindNotFound, 404, false}, "Job nope does not exist", ""},
		{"duplicate", "submit", 500, text, recorded(t, "job-duplicate.txt"), verdict{ray.KindConflict, 400, false},
			"ValueError: Job with submission_id ok-1 already exists. Please use a different submission_id.", "job_manager.py"},
		{"not over", "delete", 500, text, recorded(t, "delete-running.txt"), verdict{ray.KindConflict, 500, false},
			"RuntimeError: Attempted to delete job 'sl-1', but it is in a non-terminal state RUNNING.", ""},
		{"not over", "delete", 500, text, recorded(t, "delete-pending.txt"), verdict{ray.KindConflict, 500, false},
			"RuntimeError: Attempted to delete job 'sl-1', but it is in a non-terminal state PENDING.", ""},
		{"wrong selector", "submit", 500, text, recorded(t, "bad-labelsyntax.txt"), verdict{ray.KindInvalid, 400, false}, "ValueError: Invalid label key name", ""},
		{"unknown member", "submit", 400, text, recorded(t, "bad-unknown.txt"), verdict{ray.KindInvalid, 400, false},
			"TypeError: JobSubmitRequest.__init__() got an unexpected keyword argument 'bogus'", ""},
		{"a crash", "submit", 500, text, recorded(t, "bad-array.txt"), verdict{ray.KindServer, 500, true}, "Internal Server Error: Server got itself in trouble", ""},
		{"a crash", "read", 500, text, recorded(t, "bad-array.txt"), verdict{ray.KindServer, 500, false}, "Internal Server Error: Server got itself in trouble", ""},
		{"browser guard", "submit", 405, text, recorded(t, "bad-browser.txt"), verdict{ray.KindInvalid, 405, false}, "Something on the way adds an Origin", ""},
		{"package too large", "put", 413, text, recorded(t, "pkg-big.txt"), verdict{ray.KindInvalid, 413, false}, "Maximum request body size 104857600 exceeded.", ""},
		{"no route", "cluster", 404, text, recorded(t, "unknown-path.txt"), verdict{ray.KindUnsupported, 404, false}, "this needs Ray >= 2.31", ""},
		{"no agent", "submit", 500, text, "No available agent to submit job, please try again later.", verdict{ray.KindUnavailable, 500, false}, "No available agent", ""},
		{"a number beside autoscaling", "deploy", 400, text, recorded(t, "serve-num-replicas.txt"), verdict{ray.KindInvalid, 400, false},
			"applications.1.deployments.0: Manually setting num_replicas is not allowed when autoscaling_config is provided.", "input_value"},
		{"scaled from outside", "deploy", 400, text, recorded(t, "serve-external-scaler.txt"), verdict{ray.KindInvalid, 400, false}, "applications.0: external_scaler_enabled is set to True", ""},
		{"a policy that is nowhere", "deploy", 500, text, recorded(t, "serve-policy.txt"), verdict{ray.KindServer, 500, true}, "ModuleNotFoundError: No module named 'nomod'", ""},
		{"no Serve", "serve", 501, text, "Serve dependencies are not installed. Please run `pip install \"ray[serve]\"`.", verdict{ray.KindUnsupported, 501, false}, "ray[serve]", ""},
		{"no Serve", "deploy", 501, text, "Serve dependencies are not installed. Please run `pip install \"ray[serve]\"`.", verdict{ray.KindUnsupported, 501, false}, "ray[serve]", ""},
		{"no agent on old Python", "submit", 500, text, "Traceback (most recent call last):\nTimeoutError: Failed to get head node agent within 10 seconds. x",
			verdict{ray.KindUnavailable, 500, false}, "Failed to get head node agent", ""},
		{"no token", "version", 401, text, "Unauthorized: Missing authentication token", verdict{ray.KindUnauthenticated, 401, false}, "Unauthorized: Missing", ""},
		{"wrong token", "submit", 403, text, "Forbidden: Invalid authentication token", verdict{ray.KindForbidden, 403, false}, "Forbidden: Invalid", ""},
		{"too many requests", "nodes", 429, text, "Max number of in-progress requests=100 reached", verdict{ray.KindUnavailable, 429, false}, "Max number", ""},
		{"an agent that fails", "stop", 500, text, "RuntimeError: Request failed with status code 500: Traceback:\nKeyError: 'x'.",
			verdict{ray.KindServer, 500, true}, "KeyError: 'x'", ""},
		{"an id that the agent has no route for", "delete", 500, text, "RuntimeError: Request failed with status code 404: 404: Not Found.",
			verdict{ray.KindServer, 404, false}, "404: Not Found", ""},
		{"a record that went in between", "delete", 500, text, "RuntimeError: Request failed with status code 404: Job nope does not exist.",
			verdict{ray.KindNotFound, 404, false}, "Job nope does not exist", ""},

		// "Not found" drops objects: only Ray's own words count.
		{"404 of a route", "read", 404, text, "404: Not Found", verdict{ray.KindProtocol, 404, false}, "404: Not Found", ""},
		{"404 about another job", "read", 404, text, "Job nope2 does not exist", verdict{ray.KindProtocol, 404, false}, "nope2", ""},
		{"404 of Kubernetes", "read", 404, js, `{"kind":"Status","message":"services \"ray\" not found"}`, verdict{ray.KindProtocol, 404, false}, "is the address, with its path", ""},
		{"404 page", "read", 404, html, page, verdict{ray.KindProtocol, 404, false}, `titled "502 Bad Gateway & more"`, ""},
		{"404 page", "cluster", 404, html, page, verdict{ray.KindProtocol, 404, false}, "HTML", ""},
		{"404 of a package", "has", 404, text, "404: Not Found", verdict{ray.KindProtocol, 404, false}, "", ""},
		{"404 elsewhere", "mode", 404, html, page, verdict{ray.KindProtocol, 404, false}, "", ""},
		{"a user's words", "submit", 500, text, "already exists\nRuntimeError: no", verdict{ray.KindServer, 500, true}, "RuntimeError: no", ""},

		// Others on the way.
		{"502 page", "read", 502, html, page, verdict{ray.KindUnavailable, 502, false}, "502 Bad Gateway", ""},
		{"502 page", "submit", 502, html, page, verdict{ray.KindUnavailable, 502, true}, "502 Bad Gateway", ""},
		{"504 text", "stop", 504, text, "upstream request timeout", verdict{ray.KindUnavailable, 504, true}, "upstream request timeout", ""},
		{"500 page", "submit", 500, html, page, verdict{ray.KindProtocol, 500, true}, "HTML", ""},
		{"login page", "version", 200, html, "<!doctype html><title>Sign in</title>", verdict{ray.KindProtocol, 200, false}, `titled "Sign in"`, ""},
		{"login page", "submit", 200, html, "<title>Sign in</title>", verdict{ray.KindProtocol, 200, true}, `titled "Sign in"`, ""},
		{"403 page", "version", 403, html, "<title>no</title>", verdict{ray.KindForbidden, 403, false}, `titled "no"`, ""},
		{"page without its type", "version", 500, text, "<HTML><body>", verdict{ray.KindProtocol, 500, false}, "HTML", ""},
		{"plain HTTP to nginx' TLS", "version", 400, html, "<title>400 The plain HTTP request was sent to HTTPS port</title>", verdict{ray.KindTLS, 400, false}, "use https://", ""},
		{"no content", "stop", 204, "", "", verdict{ray.KindProtocol, 204, true}, "No Content", ""},
		{"half a JSON", "version", 200, js, `{"version": "4", "ray_`, verdict{ray.KindProtocol, 200, false}, "not what Ray gives", ""},
		{"half a JSON", "submit", 200, js, `{"job_id": "no`, verdict{ray.KindProtocol, 200, true}, "not what Ray gives", ""},
		{"another JSON", "version", 200, js, `{"a": 1}`, verdict{ray.KindProtocol, 0, false}, "ray_version", ""},
		{"another JSON", "submit", 200, js, `{"a": 1}`, verdict{ray.KindProtocol, 0, true}, "", ""},
		{"another JSON", "stop", 200, js, `{"a": 1}`, verdict{ray.KindProtocol, 0, true}, "stopped", ""},
		{"another JSON", "delete", 200, js, `{"a": 1}`, verdict{ray.KindProtocol, 0, true}, "deleted", ""},
		{"another JSON", "nodes", 200, js, `{"a": 1}`, verdict{ray.KindProtocol, 0, false}, "0 of 0 nodes", ""},
		{"another JSON", "read", 200, js, `{"a": 1}`, verdict{ray.KindProtocol, 0, false}, "another job", ""},
		{"words for a package", "has", 200, text, "welcome", verdict{ray.KindProtocol, 200, false}, "welcome", ""},
		{"a long text", "read", 500, text, long, verdict{ray.KindServer, 500, false}, "xxx", long[:64<<10]},
	} {
		t.Run(test.op+" "+test.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, answer(test.status, test.kind, test.body))
			err := operations[test.op](t.Context(), c)
			got, message := verdictOf(t, err)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
			if !strings.Contains(message, test.message) || len(message) > 3000 {
				t.Errorf("message %q, want %q", message, test.message)
			}
			var a *dashboard.Answer
			if errors.As(err, &a) && (a.Status != test.status || !strings.Contains(a.Body, test.wholeInside) || len(a.Body) > 64<<10) {
				t.Errorf("answer %d with %d bytes", a.Status, len(a.Body))
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	followed := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	t.Cleanup(other.Close)
	f, c := newFake(t)
	f.Fail(raytest.Match{Times: -1}, raytest.RedirectTo(other.URL+"/login?state=hunter2"))
	for op, try := range operations {
		err := try(t.Context(), c)
		got, message := verdictOf(t, err)
		if got != (verdict{ray.KindProtocol, 302, false}) || !strings.Contains(message, other.URL) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", op, err)
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
}

// listen is the address of a server that does this with connections.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				serve(c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// drain reads a request: a client that is answered while it writes may notice the
// failed write first.
func drain(c net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

func TestConnectionsThatFail(t *testing.T) {
	t.Parallel()
	closed := listen(t, func(net.Conn) {})
	// A gRPC server's first frame: what a Ray 2.60 GCS answers to HTTP/1.
	grpc := listen(t, func(c net.Conn) {
		drain(c)
		_, _ = c.Write([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x3f\x00\x01"))
	})
	alert := listen(t, func(c net.Conn) {
		drain(c)
		_, _ = c.Write([]byte("\x15\x03\x01\x00\x02\x02\x46"))
	})
	silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshakes are meant to fail
	tls.StartTLS()
	t.Cleanup(tls.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, test := range []struct {
		name, url string
		want      verdict // of a submit; of reads the outcome is never unknown
		message   string
	}{
		{"nobody listens", "http://127.0.0.1:1", verdict{ray.KindUnavailable, 0, false}, "refused"},
		{"closed at once", "http://" + closed, verdict{ray.KindUnavailable, 0, true}, ""},
		{"gRPC", "http://" + grpc, verdict{ray.KindProtocol, 0, true}, "does not speak HTTP"},
		{"no name", "http://ray.invalid:8265", verdict{ray.KindDNS, 0, false}, "ray.invalid"},
		{"plain to TLS", "http://" + tls.Listener.Addr().String(), verdict{ray.KindTLS, 400, false}, "use https://"},
		{"plain to TLS that alerts", "http://" + alert, verdict{ray.KindTLS, 0, true}, "use https://"},
		{"TLS to plain", strings.Replace(plain.URL, "http", "https", 1), verdict{ray.KindTLS, 0, false}, "use http://"},
		{"unknown authority", tls.URL, verdict{ray.KindTLS, 0, false}, "x509"},
		{"silence", "http://" + silent, verdict{ray.KindTimeout, 0, true}, "no progress for 3s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			idle := 20 * time.Second
			if test.name == "silence" {
				idle = 3 * time.Second // to connect in, too: before that the outcome is known
			}
			c := newClient(t, dashboard.Options{URL: test.url, RequestTimeout: idle})
			for _, op := range []string{"submit", "read"} {
				err := operations[op](t.Context(), c)
				got, message := verdictOf(t, err)
				want := test.want
				want.Unknown = want.Unknown && op == "submit"
				if got != want || !strings.Contains(message, test.message) || !strings.Contains(err.Error(), test.url) {
					t.Errorf("%s: %+v %v", op, got, err)
				}
			}
		})
	}
}

func TestFaultsOfTheFakeAreTranslated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault raytest.Fault
		want  verdict
		ran   int
	}{
		{raytest.LoseAnswer(), verdict{ray.KindUnavailable, 0, true}, 1},
		{raytest.Reset(), verdict{ray.KindUnavailable, 0, true}, 0},
		{raytest.HalfAnswer(), verdict{ray.KindUnavailable, 0, true}, 1},
		{raytest.HalfJSON(), verdict{ray.KindProtocol, 200, true}, 1},
		{raytest.NoAgent(), verdict{ray.KindUnavailable, 500, false}, 0},
		{raytest.ProxyPage(502), verdict{ray.KindUnavailable, 502, true}, 0},
		{raytest.ProxyPageAfter(504), verdict{ray.KindUnavailable, 504, true}, 1},
		{raytest.FreezeAgent(), verdict{ray.KindTimeout, 0, true}, 0},
		{raytest.Slow(time.Minute), verdict{ray.KindTimeout, 0, true}, 0},
	} {
		t.Run(test.fault.String(), func(t *testing.T) {
			t.Parallel()
			f := raytest.NewFake()
			t.Cleanup(f.Close)
			idle := 20 * time.Second
			if test.want.Kind == ray.KindTimeout {
				idle = 3 * time.Second
			}
			c := newClient(t, dashboard.Options{URL: f.URL(), RequestTimeout: idle})
			f.Fail(raytest.Match{Route: "POST /api/jobs/"}, test.fault)
			err := operations["submit"](t.Context(), c)
			if got, _ := verdictOf(t, err); got != test.want || f.Executions("nope") != test.ran {
				t.Errorf("%+v, ran %d times, %v; want %+v, %d", got, f.Executions("nope"), err, test.want, test.ran)
			}
		})
	}
}

func TestCallersAreObeyed(t *testing.T) {
	t.Parallel()
	f, c := newFake(t)
	for op, try := range operations {
		write := op == "submit" || op == "stop" || op == "delete" || op == "put" || op == "deploy"
		for cause, kind := range map[error]ray.Kind{context.Canceled: ray.KindCanceled, context.DeadlineExceeded: ray.KindTimeout} {
			frozen := f.Fail(raytest.Match{}, raytest.FreezeAgent())
			begin := time.Now()
			err := try(endsWith{t.Context(), frozen.Hit(), cause}, c)
			// The client's own time limit is a KindTimeout too.
			if got, _ := verdictOf(t, err); got != (verdict{kind, 0, write}) || time.Since(begin) >= dashboard.DefaultRequestTimeout {
				t.Errorf("%s: %+v after %s: %v", op, got, time.Since(begin), err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, _ := verdictOf(t, try(ctx, c)); got != (verdict{ray.KindCanceled, 0, false}) {
			t.Errorf("%s with an ended context: %+v", op, got)
		}
	}
}

// endsWith is a context that ends by err when done is closed: here when the request
// has reached the server, for which a short deadline may leave no time.
type endsWith struct {
	context.Context
	done <-chan struct{}
	err  error
}

func (c endsWith) Done() <-chan struct{} { return c.done }

func (c endsWith) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

func TestErrorsOfTheTransportKeepTheirKind(t *testing.T) {
	t.Parallel()
	cause := &ray.Error{Kind: ray.KindUnauthenticated, Op: "read token file", Message: "no such file"}
	c := newClient(t, dashboard.Options{URL: "http://h", HTTP: &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("credentials: %w", cause)
	})}})
	got, message := verdictOf(t, operations["submit"](t.Context(), c))
	if got != (verdict{ray.KindUnauthenticated, 0, false}) || message != "no such file" {
		t.Errorf("%+v %s", got, message)
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
