package dashboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

func newClient(t *testing.T, o dashboard.Options) *dashboard.Client {
	t.Helper()
	c, err := dashboard.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newFake(t *testing.T, opts ...raytest.Option) (*raytest.Fake, *dashboard.Client) {
	t.Helper()
	f := raytest.NewFake(opts...)
	t.Cleanup(f.Close)
	return f, newClient(t, dashboard.Options{URL: f.URL()})
}

// recorded is a body that Ray 2.60.0 gave.
func recorded(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "raytest", "testdata", "ray-2.60.0", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// serve is a client of a server that answers all requests so.
func serve(t *testing.T, h http.HandlerFunc) *dashboard.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return newClient(t, dashboard.Options{URL: s.URL, RequestTimeout: 5 * time.Second})
}

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// verdict is what callers decide by.
type verdict struct {
	Kind    ray.Kind
	Status  int
	Unknown bool
}

func verdictOf(t *testing.T, err error) (verdict, string) {
	t.Helper()
	var e *ray.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T) is no *ray.Error", err, err)
	}
	return verdict{e.Kind, e.Status, e.OutcomeUnknown}, e.Message
}

func TestNewRefusesWhatCannotBeADashboard(t *testing.T) {
	t.Parallel()
	for _, o := range []dashboard.Options{
		{URL: ""}, {URL: "ray.example.org:8265"}, {URL: "ray://h:10001"}, {URL: "http://"}, {URL: "http://:8265"}, {URL: "http://h/?a=b"},
		{URL: "http://user:hunter2@h"}, {URL: "http://user:hunter2@h:port"}, {URL: "http://h", UserAgent: "Mozilla/5.0"},
	} {
		_, err := dashboard.New(o)
		if !ray.IsKind(err, ray.KindInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestURLsHaveNoDoubleSlashes(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{"": "", "/": "", "//": "", "/a/b": "/a/b", "/a/b/": "/a/b", "/a%20b": "/a%20b"} {
		var got []string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Method+" "+r.RequestURI)
			w.WriteHeader(http.StatusTeapot)
		}))
		c := newClient(t, dashboard.Options{URL: s.URL + base})
		_, _ = c.Version(t.Context())
		_, _ = c.ListJobs(t.Context(), nil)
		_, _ = c.Job(t.Context(), "a/b ?#%c")
		_, _ = c.Stop(t.Context(), "x")
		_, _ = c.HasPackage(t.Context(), "gcs://p q.zip")
		s.Close()
		if c.URL() != s.URL+want {
			t.Errorf("URL() = %q, want %q", c.URL(), s.URL+want)
		}
		diff := cmp.Diff([]string{
			"GET " + want + "/api/version", "GET " + want + "/api/jobs/", "GET " + want + "/api/jobs/a%2Fb%20%3F%23%25c",
			"POST " + want + "/api/jobs/x/stop", "GET " + want + "/api/packages/gcs/p%20q.zip",
		}, got)
		if diff != "" {
			t.Errorf("%q: %s", base, diff)
		}
	}
}

func TestIDsThatAreOtherRoutesAreRefused(t *testing.T) {
	t.Parallel()
	f, c := newFake(t)
	for _, id := range []string{"", ".", ".."} {
		_, read := c.Job(t.Context(), id)
		_, stop := c.Stop(t.Context(), id)
		_, tail := c.LogTail(t.Context(), id, 1)
		for _, err := range []error{read, stop, tail, c.Delete(t.Context(), id), c.Touch(t.Context(), id), c.Submit(t.Context(), ray.Submission{SubmissionID: id})} {
			if !ray.IsKind(err, ray.KindInvalid) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
	for _, uri := range []string{"", "gcs://", "gcs://a/b", "gcs://..", "s3://a", "https://a/b.zip"} {
		_, err := c.HasPackage(t.Context(), uri)
		if !ray.IsKind(err, ray.KindInvalid) || !ray.IsKind(c.PutPackage(t.Context(), uri, 0, nil), ray.KindInvalid) {
			t.Errorf("%q: %v", uri, err)
		}
	}
	if r := f.Requests(); len(r) != 0 {
		t.Errorf("requests were sent: %v", r)
	}
}

func TestHeadersOfReadsAndWrites(t *testing.T) {
	t.Parallel()
	seen := map[string]http.Header{}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen[r.Method+" "+r.URL.Path] = r.Header.Clone()
		w.WriteHeader(http.StatusTeapot)
	})
	_, _ = c.Version(t.Context())
	_, _ = c.Job(t.Context(), "x")
	_, _ = c.ListJobs(t.Context(), nil)
	_ = c.Submit(t.Context(), ray.Submission{SubmissionID: "x"})
	_ = c.Delete(t.Context(), "x")
	_ = c.PutPackage(t.Context(), "gcs://p", 1, strings.NewReader("x"))
	for route, h := range seen {
		if h.Get("User-Agent") != "terraform-provider-ray" {
			t.Errorf("%s: user agent %q", route, h.Get("User-Agent"))
		}
		masked := route == "GET /api/jobs/x" || route == "GET /api/jobs/"
		if got := h.Get("Sec-Fetch-Mode"); (got == "cors") != masked || (got != "") != masked {
			t.Errorf("%s: Sec-Fetch-Mode %q", route, got)
		}
		if h.Get("Origin") != "" || h.Get("Referer") != "" {
			t.Errorf("%s: looks like a browser: %v", route, h)
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d routes seen", len(seen))
	}
}

func TestClusterIsTolerantToOlderRays(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2.9.3", "2.31.0", "2.60.0"} {
		f, c := newFake(t, raytest.WithVersion(version))
		got, err := c.Cluster(t.Context())
		want := f.Cluster()
		if version == "2.9.3" {
			want.ClusterID, want.SessionName = "", ""
			if _, err := c.ClusterID(t.Context()); !ray.IsKind(err, ray.KindUnsupported) || !strings.Contains(err.Error(), "2.31") {
				t.Errorf("cluster id: %v", err)
			}
		}
		if version == "2.31.0" {
			want.SessionName = ""
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", version, err, diff)
		}
	}
}

func TestNodesAreReadAsRayWritesThem(t *testing.T) {
	t.Parallel()
	c := serve(t, answer(200, "application/json", recorded(t, "nodes-dead.json")))
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes) != 2 {
		t.Fatal(nodes, err)
	}
	dead, head := nodes[0], nodes[1]
	if dead.State != ray.NodeDead || dead.DeathReason != ray.DeathUnexpected ||
		dead.DeathMessage != "health check failed due to missing too many heartbeats" || dead.EndedAt.Before(dead.StartedAt) {
		t.Errorf("the dead one: %+v", dead)
	}
	if dead.Total["my_gpu"] != 2 || dead.Labels["zone"] != "a" || dead.Labels[ray.LabelNodeGroup] != "gpu" {
		t.Errorf("the dead one has %v, labels %v", dead.Total, dead.Labels)
	}
	if !head.Head || !head.Alive() || head.Total[ray.HeadNodeResource] != 1 || head.Available != nil || !head.EndedAt.IsZero() || head.DeathReason != "" {
		t.Errorf("the head: %+v", head)
	}
}

func TestDeathReasons(t *testing.T) {
	t.Parallel()
	for reason, message := range map[string]string{
		ray.DeathExpected: "received SIGTERM", ray.DeathUnexpected: "", ray.DeathDrainPreempted: "spot: gone", ray.DeathDrainIdle: "x",
		ray.DeathUnspecified: "words of its own",
	} {
		f, c := newFake(t, raytest.WithNodes(ray.Node{NodeID: "a", State: ray.NodeDead, DeathReason: reason, DeathMessage: message, Total: ray.Resources{}}))
		_ = f
		nodes, err := c.Nodes(t.Context())
		if err != nil || nodes[0].DeathReason != reason || nodes[0].DeathMessage != message {
			t.Errorf("%s %q: %+v, %v", reason, message, nodes, err)
		}
	}
}

func TestUsageAndGCSAddressComeFromTheSummary(t *testing.T) {
	t.Parallel()
	body := recorded(t, "nodes-summary.json")
	const id = "93ec402a6dfb91d1337099018963b6d18816ebe68bbbd2eea247cfd8"
	for text, want := range map[string]ray.Resources{
		`0.0/2.0 CPU\n0B/23.01GiB memory\n0B/95.37MiB object_store_memory`:                        {"CPU": 2, "memory": 24711487232, "object_store_memory": 1e8},
		`1.5/2.0 CPU\n1.00GiB/23.01GiB memory`:                                                    {"CPU": 0.5, "memory": 24711487232 - 1<<30},
		`1.0/4.0 CPU (0.5 used of 2.0 reserved in placement groups)\n0.0/1.0 accelerator_type:A1`: {"CPU": 1.5, "accelerator_type:A1": 1},
		`words\n1/x CPU`: {},
	} {
		c := serve(t, answer(200, "application/json", strings.Replace(body, `0.0/2.0 CPU\n0B/23.01GiB memory\n0B/95.37MiB object_store_memory`, text, 1)))
		got, err := c.Usage(t.Context())
		if diff := cmp.Diff(map[string]ray.Resources{id: want}, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
		if addr, err := c.GCSAddress(t.Context()); addr != "192.0.2.2:7411" || err != nil {
			t.Errorf("%q, %v", addr, err)
		}
	}
	c := serve(t, answer(200, "application/json", `{"result": true, "data": {"summary": [{"raylet": {"isHeadNode": true, "state": "ALIVE"}}]}}`))
	if _, err := c.GCSAddress(t.Context()); !ray.IsKind(err, ray.KindUnavailable) {
		t.Errorf("before the first report: %v", err)
	}
}

func TestJobIsReadAsRayWritesIt(t *testing.T) {
	t.Parallel()
	code := 3
	for file, want := range map[string]ray.Job{
		"job-pending.json": {
			SubmissionID: "ok-1", Status: ray.JobPending, Entrypoint: "echo hello", StartTime: time.UnixMilli(1795437823746).UTC(),
			Message:  "Job has not started yet. It may be waiting for the runtime environment to be set up.",
			Metadata: map[string]string{"a": "b"}, RuntimeEnv: json.RawMessage(`{"env_vars": {"K": "secret"}}`),
		},
		"job-failed.json": {
			SubmissionID: "ex-3", Status: ray.JobFailed, Entrypoint: "echo boom; exit 3", ErrorType: "JOB_ENTRYPOINT_COMMAND_ERROR",
			Message: "Job entrypoint command failed with exit code 3, last available logs (truncated to 20,000 chars):\n" +
				"2026-11-23 12:43:51,329\tINFO job_manager.py:581 -- Runtime env is setting up.\nboom\nRunning entrypoint for job ex-3: echo boom; exit 3\n",
			StartTime: time.UnixMilli(1795437831326).UTC(), EndTime: time.UnixMilli(1795437833384).UTC(),
			DriverNodeID: "93ec402a6dfb91d1337099018963b6d18816ebe68bbbd2eea247cfd8", DriverExitCode: &code,
		},
	} {
		c := serve(t, answer(200, "application/json", recorded(t, file)))
		got, err := c.Job(t.Context(), want.SubmissionID)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", file, err, diff)
		}
		if _, err := c.Job(t.Context(), "other"); !ray.IsKind(err, ray.KindProtocol) {
			t.Errorf("an answer about another job: %v", err)
		}
	}
}

func TestListDropsForeignRowsUndecoded(t *testing.T) {
	t.Parallel()
	// The foreign rows have members of other types than Ray's: decoding them fails.
	body := `[{"submission_id": "foreign", "status": 5, "metadata": "x"}, {"submission_id": null, "job_id": 7}, ` +
		`{"type": "SUBMISSION", "submission_id": "mine", "status": "RUNNING", "end_time": null, "message": null}]`
	c := serve(t, answer(200, "application/json", body))
	jobs, err := c.ListJobs(t.Context(), func(id string) bool { return id == "mine" })
	if diff := cmp.Diff([]ray.Job{{SubmissionID: "mine", Status: ray.JobRunning}}, jobs); diff != "" || err != nil {
		t.Error(err, diff)
	}
	c = serve(t, answer(200, "application/json", recorded(t, "list-jobs.json")))
	if jobs, err := c.ListJobs(t.Context(), nil); err != nil || len(jobs) != 4 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
	c = serve(t, answer(200, "application/json", "[]"))
	if jobs, err := c.ListJobs(t.Context(), nil); err != nil || jobs == nil || len(jobs) != 0 {
		t.Errorf("%v, %v", jobs, err)
	}
}

func TestJobsHasDriversAndNoRuntimeEnv(t *testing.T) {
	t.Parallel()
	c := serve(t, answer(200, "application/json", recorded(t, "list-drivers.json")))
	jobs, err := c.Jobs(t.Context(), func(j ray.Job) bool { return j.Status == ray.JobRunning })
	want := []ray.Job{{
		JobID: "03000000", Status: ray.JobRunning, Entrypoint: "python driver.py", Metadata: map[string]string{"k": "v"},
		StartTime: time.UnixMilli(1795562921813).UTC(),
	}}
	if diff := cmp.Diff(want, jobs); diff != "" || err != nil {
		t.Error(err, diff)
	}
	c = serve(t, answer(200, "application/json", recorded(t, "list-jobs.json")))
	if jobs, err := c.Jobs(t.Context(), func(j ray.Job) bool { return j.RuntimeEnv == nil }); err != nil || len(jobs) != 4 {
		t.Errorf("%d jobs without a runtime_env, %v", len(jobs), err)
	}
	c = serve(t, answer(200, "application/json", "[{}"))
	if jobs, err := c.Jobs(t.Context(), func(ray.Job) bool { return true }); !ray.IsKind(err, ray.KindProtocol) || jobs != nil {
		t.Errorf("a list that breaks off: %v, %v", jobs, err)
	}
}

func TestLog_errorsOfItsReaderAreTheReaders(t *testing.T) {
	t.Parallel()
	f, c := newFake(t)
	if err := c.Submit(t.Context(), ray.Submission{SubmissionID: "a", Entrypoint: "echo a"}); err != nil {
		t.Fatal(err)
	}
	j, err := c.Job(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("the disk is full")
	if err := c.Log(t.Context(), j, dashboard.AllLines, func(io.Reader) error { return full }); !errors.Is(err, full) || ray.KindOf(err) != ray.KindUnknown {
		t.Errorf("got %v, want %v", err, full)
	}
	f.Fail(raytest.Match{Route: "GET /api/v0/logs/file"}, raytest.HalfAnswer())
	var got []byte
	err = c.Log(t.Context(), j, dashboard.AllLines, func(r io.Reader) (err error) {
		got, err = io.ReadAll(r)
		return err
	})
	if !ray.IsKind(err, ray.KindUnavailable) {
		t.Errorf("half a log: %q, %v, want it unavailable", got, err)
	}
}

func TestListThatBreaksOffIsNoList(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "[", `[{"submission_id": "a"}`, `[{"submission_id": "a"},`, `{"a": 1}`, `[{"submission_id": "a"} {}]`, "null", "[5]"} {
		c := serve(t, answer(200, "application/json", body))
		if jobs, err := c.ListJobs(t.Context(), nil); !ray.IsKind(err, ray.KindProtocol) || jobs != nil {
			t.Errorf("%q: %v, %v", body, jobs, err)
		}
	}
}

func TestLogTail(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2.44.1", "2.60.0"} {
		f, c := newFake(t, raytest.WithVersion(version), raytest.WithCommand("big", raytest.Command{Output: strings.Repeat("1 of many lines\n", 20000)}))
		for id, entrypoint := range map[string]string{"small": "echo a; echo b", "big": "big", "wait": "true"} {
			s := ray.Submission{SubmissionID: id, Entrypoint: entrypoint}
			if id == "wait" {
				s.Resources = ray.Resources{"nowhere": 1}
			}
			if err := c.Submit(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		log := f.Log("small")
		for _, test := range []struct {
			id    string
			lines int
			want  string
		}{
			{"small", 100, log},
			{"small", 1, "Running entrypoint for job small: echo a; echo b\n"},
			{"small", 0, ""},
			{"small", -1, ""},
			{"wait", 10, ""},
			{"big", 20001, strings.Repeat("1 of many lines\n", 20000) + "Running entrypoint for job big: big\n"},
		} {
			if got, err := c.LogTail(t.Context(), test.id, test.lines); got != test.want || err != nil {
				t.Errorf("%s: %d lines of %s: %d bytes, %v; want %d", version, test.lines, test.id, len(got), err, len(test.want))
			}
		}
		f.KillNode(f.Nodes()[0].NodeID)
		if _, err := c.LogTail(t.Context(), "small", 1); err == nil || !strings.Contains(err.Error(), "Agent for node id") {
			t.Errorf("%s: with the driver's node dead: %v", version, err)
		}
	}
}

// A busy head sends an empty log where it lost the agent's error.
func TestLogTail_emptyIsAskedAgain(t *testing.T) {
	t.Parallel()
	f, c := newFake(t)
	if err := c.Submit(t.Context(), ray.Submission{SubmissionID: "a", Entrypoint: "echo a"}); err != nil {
		t.Fatal(err)
	}
	empty := f.Fail(raytest.Match{Route: "GET /api/v0/logs/file", Times: 2}, raytest.AnswerWith(200, "text/plain; charset=utf-8", ""))
	if got, err := c.LogTail(t.Context(), "a", 10); got != f.Log("a") || err != nil || empty.Hits() != 2 {
		t.Errorf("%q, %v after %d empty answers", got, err, empty.Hits())
	}
	empty = f.Fail(raytest.Match{Route: "GET /api/v0/logs/file", Times: -1}, raytest.AnswerWith(200, "text/plain; charset=utf-8", ""))
	if got, err := c.LogTail(t.Context(), "a", 10); got != "" || err != nil || empty.Hits() != 3 {
		t.Errorf("%q, %v after %d empty answers", got, err, empty.Hits())
	}
	f.ClearFaults()
	f.Fail(raytest.Match{Route: "GET /api/v0/logs/file"}, raytest.AnswerWith(200, "text/plain; charset=utf-8", ""))
	f.Fail(raytest.Match{Route: "GET /api/v0/logs/file"}, raytest.AnswerWith(500, "text/plain; charset=utf-8", "A file is not found at: /tmp/ray/x"))
	if got, err := c.LogTail(t.Context(), "a", 10); !ray.IsKind(err, ray.KindNotFound) {
		t.Errorf("%q, %v; want not found", got, err)
	}
}

func TestLogTailIsLimited(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", 999) + "\n"
	_, c := newFake(t, raytest.WithCommand("huge", raytest.Command{Output: strings.Repeat(huge, 5000)}))
	if err := c.Submit(t.Context(), ray.Submission{SubmissionID: "a", Entrypoint: "huge"}); err != nil {
		t.Fatal(err)
	}
	got, err := c.LogTail(t.Context(), "a", 100000)
	if err != nil || len(got) > 1<<20 || len(got) < 1<<20-2000 || !strings.HasPrefix(got, huge) || !strings.HasSuffix(got, "Running entrypoint for job a: huge\n") {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestPackagesAreStreamed(t *testing.T) {
	t.Parallel()
	f, c := newFake(t)
	const uri = "gcs://_ray_pkg_0123456789abcdef.zip"
	if ok, err := c.HasPackage(t.Context(), uri); ok || err != nil || !f.Pinned(uri) {
		t.Errorf("before: %v, %v, pinned %v", ok, err, f.Pinned(uri))
	}
	r, w := io.Pipe()
	go func() {
		for range 100 {
			_, _ = io.WriteString(w, strings.Repeat("z", 1000))
		}
		_ = w.Close()
	}()
	if err := c.PutPackage(t.Context(), uri, 100000, r); err != nil {
		t.Fatal(err)
	}
	if b, _ := f.Package(uri); len(b) != 100000 {
		t.Errorf("%d bytes arrived", len(b))
	}
	if ok, err := c.HasPackage(t.Context(), uri); !ok || err != nil {
		t.Errorf("after: %v, %v", ok, err)
	}
	changed := errors.New("main.py changed while it was read")
	err := c.PutPackage(t.Context(), "gcs://x", 100, io.MultiReader(strings.NewReader("abc"), failing{changed}))
	if !errors.Is(err, changed) || !strings.Contains(err.Error(), "upload package gcs://x") {
		t.Errorf("a source that fails: %v", err)
	}
	if got := f.Packages(); len(got) != 1 {
		t.Errorf("packages %v", got)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestTimeOutsAreIdleOnes(t *testing.T) {
	t.Parallel()
	for pause, want := range map[time.Duration]ray.Kind{
		dashboard.DefaultRequestTimeout - time.Millisecond: ray.KindUnknown, // no error
		dashboard.DefaultRequestTimeout + time.Millisecond: ray.KindTimeout,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, dashboard.Options{URL: "http://h", HTTP: &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
				// As a connection does, it ends with its request.
				if _, err := io.Copy(io.Discard, &slow{r.Context(), r.Body, 0}); err != nil {
					return nil, err
				}
				answer := "[    ]"
				if r.Method != http.MethodGet {
					answer = ""
				}
				body := io.NopCloser(&slow{r.Context(), strings.NewReader(answer), pause})
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, Request: r}, nil
			})}})
			if _, err := c.ListJobs(t.Context(), nil); ray.KindOf(err) != want {
				t.Errorf("an answer with pauses of %s: %v, want kind %q", pause, err, want)
			}
			if err := c.PutPackage(t.Context(), "gcs://x", 6, &slow{t.Context(), strings.NewReader("abcdef"), pause}); ray.KindOf(err) != want {
				t.Errorf("an upload with pauses of %s: %v, want kind %q", pause, err, want)
			}
		})
	}
}

// slow gives what r has, one byte after each pause, until ctx ends.
type slow struct {
	ctx   context.Context
	r     io.Reader
	pause time.Duration
}

func (s *slow) Read(b []byte) (int, error) {
	time.Sleep(s.pause)
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b[:min(len(b), 1)])
}

func TestGETsAreRepeatedAndWritesAreNot(t *testing.T) {
	t.Parallel()
	f := raytest.NewFake()
	t.Cleanup(f.Close)
	c := newClient(t, dashboard.Options{URL: f.URL(), Retry: dashboard.Retry{Max: 2, MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}})
	f.Fail(raytest.Match{Route: "GET /api/version", Times: 2}, raytest.ProxyPage(503))
	if _, err := c.Version(t.Context()); err != nil {
		t.Errorf("after two 503: %v", err)
	}
	f.Fail(raytest.Match{Route: "GET /api/jobs/"}, raytest.HalfAnswer())
	if jobs, err := c.ListJobs(t.Context(), nil); err != nil || len(jobs) != 0 {
		t.Errorf("after half an answer: %v, %v", jobs, err)
	}
	f.Fail(raytest.Match{Route: "GET /cluster_id", Times: -1}, raytest.Reset())
	if _, err := c.ClusterID(t.Context()); !ray.IsKind(err, ray.KindUnavailable) || f.Requests()["GET /cluster_id"] < 3 {
		t.Errorf("%v after %d requests, want 3", err, f.Requests()["GET /cluster_id"])
	}
	f.Fail(raytest.Match{Route: "POST /api/jobs/", Times: -1}, raytest.NoAgent())
	if err := c.Submit(t.Context(), ray.Submission{SubmissionID: "a", Entrypoint: "true"}); !ray.IsKind(err, ray.KindUnavailable) || f.Requests()["POST /api/jobs/"] != 1 {
		t.Errorf("%v after %d requests, want 1", err, f.Requests()["POST /api/jobs/"])
	}
	f.Fail(raytest.Match{Route: "GET /api/jobs/{id}", Times: -1}, raytest.AnswerWith(500, "text/plain", "x"))
	if _, err := c.Job(t.Context(), "a"); err == nil || f.Requests()["GET /api/jobs/{id}"] != 1 {
		t.Errorf("%v after %d requests, want 1", err, f.Requests()["GET /api/jobs/{id}"])
	}
}

func TestRetryObeysTheServerAndTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := newClient(t, dashboard.Options{
			URL: "http://h", Retry: dashboard.Retry{Max: 1, MinBackoff: time.Millisecond},
			HTTP: &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				n++
				if n == 1 {
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(http.StatusTooManyRequests)
				} else {
					_, _ = io.WriteString(w, `{"ray_version": "2.60.0"}`)
				}
				return w.Result(), nil
			})},
		})
		begin := time.Now()
		if _, err := c.Version(t.Context()); err != nil || time.Since(begin) != time.Second {
			t.Errorf("%v after %s, want success after 1 s", err, time.Since(begin))
		}
		n = 0
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begin = time.Now()
		if _, err := c.Version(ctx); !ray.IsKind(err, ray.KindUnavailable) || time.Since(begin) != 0 {
			t.Errorf("%v after %s: the caller has no time for the wait", err, time.Since(begin))
		}
	})
}

func TestRefusedConnectionsAreRepeatedOnceRayHasAnswered(t *testing.T) {
	t.Parallel()
	f := raytest.NewFake()
	t.Cleanup(f.Close)
	dials := 0
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	c := newClient(t, dashboard.Options{URL: f.URL(), HTTP: &http.Client{Transport: tr}, Retry: dashboard.Retry{Max: 3, MinBackoff: time.Millisecond}})
	f.Down()
	if _, err := c.Version(t.Context()); !ray.IsKind(err, ray.KindUnavailable) || dials != 1 {
		t.Errorf("%v, %d dials before any answer, want 1", err, dials)
	}
	if err := f.Up(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Down()
	dials = 0
	if _, err := c.Version(t.Context()); !ray.IsKind(err, ray.KindUnavailable) || dials < 4 {
		t.Errorf("%v, %d dials after an answer, want 4", err, dials)
	}
}

func TestPlacementGroupsAreReadAsRayWritesThem(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]ray.PlacementGroup{
		"placement-pending.json":      {State: ray.PlacementPending, Scheduling: "INFEASIBLE", Bundles: []ray.PlacementBundle{{}, {}}},
		"placement-created.json":      {State: ray.PlacementCreated, Scheduling: "FINISHED", Bundles: []ray.PlacementBundle{{NodeID: "3"}, {NodeID: "4"}}},
		"placement-rescheduling.json": {State: ray.PlacementRescheduling, Scheduling: "INFEASIBLE", Bundles: []ray.PlacementBundle{{}, {NodeID: "3"}}},
	} {
		groups, err := serve(t, answer(200, "application/json", recorded(t, file))).PlacementGroups(t.Context())
		if err != nil || len(groups) != 1 {
			t.Fatal(file, groups, err)
		}
		got := groups[0]
		want.Name, want.Detached = "o/n/g/11111111", true
		if len(got.ID) != 36 {
			t.Errorf("%s: the id is %q", file, got.ID)
		}
		got.ID = ""
		for i := range got.Bundles {
			got.Bundles[i].NodeID = strings.TrimLeft(got.Bundles[i].NodeID, "f0")
			want.Bundles[i].Resources, want.Bundles[i].LabelSelector = ray.Resources{"small": 0.001}, ray.LabelSelector{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
	groups, err := serve(t, answer(200, "application/json", recorded(t, "placement-none.json"))).PlacementGroups(t.Context())
	if err != nil || len(groups) != 0 {
		t.Errorf("none: %v, %v", groups, err)
	}
}
