package raytest

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

func newFake(t *testing.T, opts ...Option) (*Fake, *dashboard.Client) {
	t.Helper()
	f := NewFake(opts...)
	t.Cleanup(f.Close)
	return f, newClient(t, f)
}

func newClient(t *testing.T, f *Fake) *dashboard.Client {
	t.Helper()
	c, err := dashboard.New(dashboard.Options{URL: f.URL(), HTTP: &http.Client{Transport: bearer(f.token)}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bearer adds a token to requests, unless it is empty.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+string(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}

// call returns the status and body of a request without a body.
func call(t *testing.T, f *Fake, method, path string, header ...string) (int, string) {
	t.Helper()
	s := &suite{target: Target{URL: f.URL()}}
	return s.raw(t, method, path, "", header...)
}

func submit(t *testing.T, c *dashboard.Client, id, entrypoint string) {
	t.Helper()
	if err := c.Submit(t.Context(), ray.Submission{SubmissionID: id, Entrypoint: entrypoint}); err != nil {
		t.Fatal(err)
	}
}

func statusOf(t *testing.T, c *dashboard.Client, id string) ray.JobStatus {
	t.Helper()
	j, err := c.Job(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return j.Status
}

var varying = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`[0-9a-f]{56}`), "NODE"},
	{regexp.MustCompile(`\b\d{13}\b`), "MILLIS"},
	{regexp.MustCompile(`http://[0-9.]+:\d+`), "AGENT"},
	{regexp.MustCompile(`\b\d+\.\d+\.\d+\.\d+\b`), "IP"},
	{regexp.MustCompile(`session_[-_0-9a-f]+`), "SESSION"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}`), "TIME"},
	{regexp.MustCompile(`"resources_total": \{[^}]*\}`), "RESOURCES"},
}

// varyingPlacement is what differs beside that in the rows of placement groups: how
// many removed ones there were, and how often it was tried to place one.
var varyingPlacement = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`[0-9a-f]{36}`), "GROUP"},
	{regexp.MustCompile(`"\d{19}"`), "NANOS"},
	{regexp.MustCompile(`_us": "[1-9]\d*"`), `_us": MICROS`},
	{regexp.MustCompile(`"creator_job_id": "\d{8}"`), "JOB"},
	{regexp.MustCompile(`"total": \d+, "num_after_truncation": \d+`), "TOTAL"},
	{regexp.MustCompile(`"scheduling_attempt": \d+`), "ATTEMPT"},
}

func TestPlacementGroupsAreRaysByteForByte(t *testing.T) {
	t.Parallel()
	clock := NewClock()
	f, _ := newFake(t, WithClock(clock.Now))
	check := func(file string) {
		t.Helper()
		_, got := call(t, f, http.MethodGet, "/api/v0/placement_groups?detail=true&limit=10000&filter_keys=state&filter_predicates=!%3D&filter_values=REMOVED")
		want, got := fixed(recorded(file)), fixed(got)
		for _, v := range varyingPlacement {
			want, got = v.pattern.ReplaceAllString(want, v.with), v.pattern.ReplaceAllString(got, v.with)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, -recorded +fake:\n%s", file, diff)
		}
	}
	worker := ray.Node{Total: ray.Resources{"small": 1}}
	bundle := ray.PlacementBundle{Resources: ray.Resources{"small": 0.001}}
	f.Drive(func(d Driver) {
		if err := d.CreatePlacementGroup("o/n/g/11111111", []ray.PlacementBundle{bundle, bundle}); err != nil {
			t.Error(err)
		}
	})
	check("placement-pending.json")
	first := f.AddNode(worker)
	check("placement-pending.json") // all of its bundles or none
	f.AddNode(worker)
	check("placement-created.json")
	f.KillNode(first)
	check("placement-rescheduling.json")
	f.AddNode(worker)
	if got := f.PlacementGroups(); len(got) != 1 || got[0].State != ray.PlacementCreated || got[0].Placed() != 2 {
		t.Errorf("got %+v, want it whole on another node", got)
	}
	f.Drive(func(d Driver) {
		err := d.CreatePlacementGroup("o/n/g/11111111", []ray.PlacementBundle{bundle})
		if err == nil || !strings.Contains(err.Error(), "already exists") {
			t.Errorf("a second group of the name: %v", err)
		}
		if err := d.RemovePlacementGroup("o/n/g/11111111"); err != nil {
			t.Error(err)
		}
		if d.HasPlacementGroup("o/n/g/11111111") {
			t.Error("it is there after it was removed")
		}
	})
	check("placement-none.json")
}

// fixed replaces what differs from head to head.
func fixed(s string) string {
	for _, v := range varying {
		s = v.pattern.ReplaceAllString(s, v.with)
	}
	return s
}

func TestBodiesAreRaysByteForByte(t *testing.T) {
	t.Parallel()
	clock := NewClock()
	f, c := newFake(t, WithClock(clock.Now), WithStartDelay(time.Second))
	if err := c.Submit(t.Context(), ray.Submission{
		Entrypoint: "echo hello", SubmissionID: "ok-1", Metadata: map[string]string{"a": "b"},
		RuntimeEnv: map[string]any{"env_vars": map[string]string{"K": "secret"}},
	}); err != nil {
		t.Fatal(err)
	}
	check := func(method, path, file string, header ...string) {
		t.Helper()
		_, got := call(t, f, method, path, header...)
		if diff := cmp.Diff(fixed(recorded(file)), fixed(got)); diff != "" {
			t.Errorf("%s %s, -recorded +fake:\n%s", method, path, diff)
		}
	}
	check(http.MethodGet, "/api/jobs/ok-1", "job-pending.json")
	clock.Advance(time.Second)
	check(http.MethodGet, "/api/jobs/ok-1", "job-succeeded.json")
	check(http.MethodGet, "/api/jobs/ok-1", "job-redacted.json", "Sec-Fetch-Mode", "cors")

	submit(t, c, "sl-1", "sleep 60")
	clock.Advance(2 * time.Second)
	check(http.MethodGet, "/api/jobs/sl-1", "job-running.json")
	check(http.MethodDelete, "/api/jobs/sl-1", "delete-running.txt")
	check(http.MethodPost, "/api/jobs/sl-1/stop", "stop.json")
	check(http.MethodGet, "/api/jobs/sl-1", "job-stopped.json")
	check(http.MethodPost, "/api/jobs/sl-1/stop", "stop-over.json")
	check(http.MethodDelete, "/api/jobs/sl-1", "delete.json")
	check(http.MethodPost, "/api/jobs/nope/stop", "stop-unknown.txt")

	submit(t, c, "ex-3", "echo boom; exit 3")
	clock.Advance(time.Second)
	check(http.MethodGet, "/api/jobs/ex-3", "job-failed.json")
	node := f.Nodes()[0].NodeID
	check(http.MethodGet, "/api/v0/logs/file?node_id="+node+"&filename=job-driver-ex-3.log&lines=2", "logfile.txt")
	check(http.MethodGet, "/api/v0/logs/file?node_id=ffff&filename=job-driver-ex-3.log&lines=2", "logfile-nonode.txt")

	if err := c.Submit(t.Context(), ray.Submission{Entrypoint: "true", SubmissionID: "stuck", Resources: ray.Resources{"nothere": 1}}); err != nil {
		t.Fatal(err)
	}
	check(http.MethodGet, "/api/jobs/stuck", "job-stuck.json")

	check(http.MethodGet, "/api/version", "version.json")
	check(http.MethodGet, "/cluster_id", "cluster-id.json")
	check(http.MethodGet, "/api/authentication_mode", "authentication-mode.json")
	check(http.MethodGet, "/api/v0/cluster_metadata", "cluster-metadata.json")
	check(http.MethodGet, "/api/v0/nodes?detail=true", "nodes.json")
	check(http.MethodGet, "/api/packages/gcs/_ray_pkg_0123456789abcdef.zip", "pkg-missing.txt")
	check(http.MethodGet, "/nodes", "node-view.json")
}

func TestRefusedSubmissionsHaveRaysTraceback(t *testing.T) {
	t.Parallel()
	f := NewFake()
	t.Cleanup(f.Close)
	s := &suite{target: Target{URL: f.URL()}}
	for _, m := range malformed {
		if _, got := s.raw(t, http.MethodPost, "/api/jobs/", m.body); got != recorded(m.file) {
			t.Errorf("%s: %s", m.name, cmp.Diff(recorded(m.file), got))
		}
	}
}

func TestClockDrivesJobs(t *testing.T) {
	t.Parallel()
	clock := NewClock()
	f, c := newFake(t, WithClock(clock.Now), WithStartDelay(2*time.Second), WithStopDelay(3*time.Second))
	submit(t, c, "a", "echo one; sleep 10; echo two; exit 4")
	for _, step := range []struct {
		after time.Duration
		want  ray.JobStatus
		log   string
	}{
		{0, ray.JobPending, ""},
		{2 * time.Second, ray.JobRunning, "one\n"},
		{9 * time.Second, ray.JobRunning, "one\n"},
		{time.Second, ray.JobFailed, "two\n"},
	} {
		clock.Advance(step.after)
		if got := statusOf(t, c, "a"); got != step.want || !strings.Contains(f.Log("a"), step.log) {
			t.Errorf("%s, log %q; want %s, %q", got, f.Log("a"), step.want, step.log)
		}
	}
	submit(t, c, "b", "sleep infinity")
	clock.Advance(time.Hour)
	if _, err := c.Stop(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if got := statusOf(t, c, "b"); got != ray.JobRunning {
		t.Errorf("right after the stop: %s", got)
	}
	clock.Advance(3 * time.Second)
	if got := statusOf(t, c, "b"); got != ray.JobStopped {
		t.Errorf("3 s after the stop: %s", got)
	}
	if n := f.Executions("a"); n != 1 {
		t.Errorf("a ran %d times", n)
	}
}

func TestHeldJobsRunWhenTold(t *testing.T) {
	t.Parallel()
	f, c := newFake(t, WithHeldJobs())
	submit(t, c, "a", "sleep infinity")
	if got := statusOf(t, c, "a"); got != ray.JobPending || f.Executions("a") != 0 {
		t.Errorf("%s, ran %d times", got, f.Executions("a"))
	}
	if !f.Start("a") || statusOf(t, c, "a") != ray.JobRunning || !f.Finish("a", Failed(-9)) {
		t.Error("start, then finish")
	}
	j, err := c.Job(t.Context(), "a")
	if err != nil || j.Status != ray.JobFailed || j.DriverExitCode == nil || *j.DriverExitCode != -9 {
		t.Errorf("%+v, %v", j, err)
	}
	if f.Finish("a", Succeeded()) || f.Start("a") {
		t.Error("a job that is over was started or finished again")
	}
}

func TestStopDoesNotKeepAPendingJobFromRunning(t *testing.T) {
	t.Parallel()
	f, c := newFake(t, WithHeldJobs())
	submit(t, c, "a", "sleep 100")
	if stopping, err := c.Stop(t.Context(), "a"); !stopping || err != nil {
		t.Fatal(stopping, err)
	}
	if got := statusOf(t, c, "a"); got != ray.JobPending {
		t.Errorf("after stop: %s", got)
	}
	f.Start("a")
	if got := statusOf(t, c, "a"); got != ray.JobStopped || f.Executions("a") != 1 {
		t.Errorf("%s, ran %d times; want STOPPED, 1", got, f.Executions("a"))
	}
}

func TestAnIDUsedAgainTooSoonIsFailedByTheOldMonitor(t *testing.T) {
	t.Parallel()
	clock := NewClock()
	f, c := newFake(t, WithClock(clock.Now), WithMonitorLag(time.Second))
	for _, step := range []struct {
		after time.Duration
		want  ray.JobStatus
	}{{0, ray.JobSucceeded}, {500 * time.Millisecond, ray.JobFailed}, {2 * time.Second, ray.JobSucceeded}} {
		clock.Advance(step.after)
		f.Forget("a")
		submit(t, c, "a", "true")
		if got := statusOf(t, c, "a"); got != step.want {
			t.Errorf("%s after the end of the one before: %s, want %s", step.after, got, step.want)
		}
	}
	if n := f.Executions("a"); n != 2 {
		t.Errorf("ran %d times, want 2", n)
	}
}

func TestRestartWithoutRedisForgetsEverything(t *testing.T) {
	t.Parallel()
	f, c := newFake(t)
	submit(t, c, "a", "true")
	if err := c.PutPackage(t.Context(), "gcs://p.zip", 1, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	before := f.Cluster()
	f.Down()
	if _, err := c.Version(t.Context()); !ray.IsKind(err, ray.KindUnavailable) {
		t.Errorf("while down: %v", err)
	}
	f.Restart(false)
	if err := f.Up(); err != nil {
		t.Fatal(err)
	}
	after, err := c.Cluster(t.Context())
	if err != nil || after.ClusterID == before.ClusterID || after.SessionName == before.SessionName {
		t.Errorf("%+v after %+v, %v", after, before, err)
	}
	if _, err := c.Job(t.Context(), "a"); !ray.IsKind(err, ray.KindNotFound) {
		t.Errorf("job: %v", err)
	}
	if ok, err := c.HasPackage(t.Context(), "gcs://p.zip"); ok || err != nil {
		t.Errorf("package: %v, %v", ok, err)
	}
}

func TestRestartWithRedisLeavesAStaleRunning(t *testing.T) {
	t.Parallel()
	f, c := newFake(t)
	submit(t, c, "a", "sleep infinity")
	before := f.Cluster()
	f.Restart(true)
	if after := f.Cluster(); after.ClusterID != before.ClusterID || after.SessionName != before.SessionName {
		t.Errorf("%+v after %+v", after, before)
	}
	if got := statusOf(t, c, "a"); got != ray.JobRunning {
		t.Errorf("untouched: %s", got)
	}
	if err := c.Touch(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	j, err := c.Job(t.Context(), "a")
	if err != nil || j.Status != ray.JobFailed || j.ErrorType != "JOB_SUPERVISOR_ACTOR_START_FAILURE" {
		t.Errorf("touched: %+v, %v", j, err)
	}
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes) != 2 || nodes[0].State != ray.NodeDead || !nodes[0].Head || !nodes[1].Alive() {
		t.Errorf("%+v, %v", nodes, err)
	}
}

func TestOlderRaysLackWhatCameLater(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version string
		want    map[string]int // status by path
		session bool
	}{
		{"2.9.3", map[string]int{"/cluster_id": 404, "/api/authentication_mode": 404}, false},
		{"2.31.0", map[string]int{"/cluster_id": 200, "/api/authentication_mode": 404}, false},
		{"2.40.0", map[string]int{"/cluster_id": 200, "/api/authentication_mode": 404}, true},
		{"2.52.0", map[string]int{"/cluster_id": 200, "/api/authentication_mode": 200}, true},
	} {
		f, c := newFake(t, WithVersion(test.version))
		for path, want := range test.want {
			if got, _ := call(t, f, http.MethodGet, path); got != want {
				t.Errorf("%s %s: %d, want %d", test.version, path, got, want)
			}
		}
		v, err := c.Version(t.Context())
		if err != nil || v.RayVersion != test.version || (v.SessionName != "") != test.session {
			t.Errorf("%s: %+v, %v", test.version, v, err)
		}
		err = c.Submit(t.Context(), ray.Submission{Entrypoint: "true", SubmissionID: "a", LabelSelector: map[string]string{"a": "b"}})
		if !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), "entrypoint_label_selector") {
			t.Errorf("%s: a selector: %v", test.version, err)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	f := NewFake(WithToken("T"), WithMonitorLag(time.Second))
	t.Cleanup(f.Close)
	for _, test := range []struct {
		header []string
		status int
		body   string
	}{
		{nil, 401, "Unauthorized: Missing authentication token"},
		{[]string{"Authorization", "Bearer T"}, 200, ""},
		{[]string{"X-Ray-Authorization", "Bearer T"}, 200, ""},
		{[]string{"Authorization", "bearer T"}, 403, "Forbidden: Invalid authentication token"},
		{[]string{"Authorization", "Bearer X", "X-Ray-Authorization", "Bearer T"}, 403, "Forbidden: Invalid authentication token"},
	} {
		got, body := call(t, f, http.MethodGet, "/api/version", test.header...)
		if got != test.status || (test.body != "" && body != test.body) {
			t.Errorf("%v: %d %q, want %d %q", test.header, got, body, test.status, test.body)
		}
	}
	if got, body := call(t, f, http.MethodGet, "/api/authentication_mode"); got != 200 || body != `{"authentication_mode": "token"}` {
		t.Errorf("%d %s", got, body)
	}
	Conformance(t, Target{URL: f.URL(), HTTP: &http.Client{Transport: bearer("T")}, Own: true, Settle: 1200 * time.Millisecond})
}

func TestFrozenAgentRunsTheJobLater(t *testing.T) {
	t.Parallel()
	f, c := newFake(t)
	i := f.Fail(Match{Route: "POST /api/jobs/", ID: "a"}, FreezeAgent())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Submit(ctx, ray.Submission{Entrypoint: "true", SubmissionID: "a"}) }()
	<-i.Hit()
	cancel()
	if err := <-done; !ray.IsKind(err, ray.KindCanceled) || !ray.OutcomeUnknown(err) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Job(t.Context(), "a"); !ray.IsKind(err, ray.KindNotFound) {
		t.Errorf("before the thaw: %v", err)
	}
	i.Thaw()
	if got := statusOf(t, c, "a"); got != ray.JobSucceeded || f.Executions("a") != 1 {
		t.Errorf("after the thaw: %s, ran %d times", got, f.Executions("a"))
	}
}

func TestFaultsHitWhatTheyMatch(t *testing.T) {
	t.Parallel()
	f, c := newFake(t)
	i := f.Fail(Match{Route: "GET /api/version", Skip: 1, Times: 2}, ProxyPage(502))
	var got []bool
	for range 4 {
		_, err := c.Version(t.Context())
		got = append(got, err == nil)
	}
	if diff := cmp.Diff([]bool{true, false, false, true}, got); diff != "" || i.Hits() != 2 {
		t.Errorf("%d hits, %s", i.Hits(), diff)
	}
	if n := f.Requests()["GET /api/version"]; n != 4 {
		t.Errorf("%d requests counted, want 4", n)
	}
}

func TestOverlappingSubmitsAreCounted(t *testing.T) {
	t.Parallel()
	f, c := newFake(t)
	i := f.Fail(Match{Route: "POST /api/jobs/"}, FreezeAgent())
	done := make(chan error)
	go func() { done <- c.Submit(t.Context(), ray.Submission{Entrypoint: "true", SubmissionID: "a"}) }()
	<-i.Hit()
	submit(t, c, "b", "true")
	if f.OverlappingSubmits() != 0 {
		t.Error("another id counts as an overlap")
	}
	submit(t, c, "a", "true")
	if f.OverlappingSubmits() != 1 {
		t.Error("the overlap was not counted")
	}
	i.Thaw()
	if err := <-done; !ray.IsKind(err, ray.KindConflict) {
		t.Errorf("the late one: %v, want a conflict", err)
	}
	if n := f.Executions("a"); n != 1 {
		t.Errorf("ran %d times", n)
	}
}

func TestShell(t *testing.T) {
	t.Parallel()
	commands := map[string]Command{"python": {Output: "x\n", ExitCode: 2, Takes: time.Second}}
	for entrypoint, want := range map[string]script{
		"true":                    {},
		"":                        {},
		"false":                   {exit: 1},
		"exit 3":                  {exit: 3},
		"false && exit 3":         {exit: 1},
		"false || exit 3":         {exit: 3},
		"false; true":             {},
		"sleep 1.5 && false":      {ends: 1500 * time.Millisecond, exit: 1},
		"sleep infinity; exit 3":  {ends: forever},
		"echo 'a; b' $X":          {steps: []step{{0, "a; b 1\n"}}},
		"python train.py; exit 0": {steps: []step{{time.Second, "x\n"}}, ends: time.Second},
		`echo '$X' "$X y"  z`:     {steps: []step{{0, "$X 1 y z\n"}}},
		"python train.py":         {steps: []step{{time.Second, "x\n"}}, ends: time.Second, exit: 2},
		"nosuch":                  {steps: []step{{0, "/bin/sh: 1: nosuch: not found\n"}}, exit: 127},
	} {
		if diff := cmp.Diff(want, run(entrypoint, map[string]string{"X": "1"}, commands, Driver{}), cmp.AllowUnexported(script{}, step{})); diff != "" {
			t.Errorf("%q: %s", entrypoint, diff)
		}
	}
}

func TestPythonsJSON(t *testing.T) {
	t.Parallel()
	in := `{"b": [1, 2.50, true, null], "a": {"\u00e9\ud83d\ude00": "\"\\\n\u0001/<"}}`
	v, err := parseJSON([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if got := pyJSON(v); got != in {
		t.Errorf("got %s, want %s", got, in)
	}
	for _, bad := range []string{"", "{bad", "[1", "{} {}", `{"a":`} {
		if v, err := parseJSON([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, v)
		}
	}
}

func TestFakeEndsWithRequestsInFlight(t *testing.T) {
	t.Parallel()
	f := NewFake()
	c := newClient(t, f)
	i := f.Fail(Match{}, FreezeAgent())
	done := make(chan error)
	go func() {
		_, err := c.Version(t.Context())
		done <- err
	}()
	<-i.Hit()
	f.Close()
	if err := <-done; err == nil {
		t.Error("an answer from a closed fake")
	}
	if _, err := http.Post(f.URL(), "", io.NopCloser(strings.NewReader(""))); err == nil {
		t.Error("a closed fake listens")
	}
}

func TestARecordDeletedTooSoonComesBack(t *testing.T) {
	t.Parallel()
	clock := NewClock()
	f, c := newFake(t, WithClock(clock.Now), WithMonitorLag(time.Second))
	submit(t, c, "a", "true")
	for _, step := range []struct {
		after time.Duration
		there bool
	}{{0, true}, {0, false}, {time.Second, true}, {time.Second, true}, {0, false}, {time.Hour, false}} {
		clock.Advance(step.after)
		_, err := c.Job(t.Context(), "a")
		if (err == nil) != step.there {
			t.Fatalf("after %s: %v, want there %v", step.after, err, step.there)
		}
		if clock.Now().Sub(f.Cluster().StartedAt) == time.Second {
			_, got := call(t, f, http.MethodGet, "/api/jobs/a")
			want := strings.ReplaceAll(recorded("job-ghost.json"), "del-true-0", "a")
			long := regexp.MustCompile(`(before finishing this task\.)[^"]*`)
			if diff := cmp.Diff(fixed(long.ReplaceAllString(want, "$1")), fixed(got)); diff != "" {
				t.Errorf("-recorded +fake:\n%s", diff)
			}
			continue // it stays
		}
		if step.there {
			if err := c.Delete(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestRunsTellWhatHappenedWhateverBecameOfRecords(t *testing.T) {
	t.Parallel()
	clock := NewClock()
	f, api := newFake(t, WithClock(clock.Now))
	submit(t, api, "done", "true")
	submit(t, api, "live", "sleep 60")
	first, began := f.Cluster().ClusterID, clock.Now()
	clock.Advance(time.Second)
	f.Restart(false)
	submit(t, api, "live", "sleep 60")
	want := []Execution{
		{ID: "done", Entrypoint: "true", ClusterID: first, Submitted: began, Started: began, Ended: began, Status: ray.JobSucceeded},
		{ID: "live", Entrypoint: "sleep 60", ClusterID: first, Submitted: began, Started: began, Ended: clock.Now(), Status: ray.JobFailed},
		{ID: "live", Entrypoint: "sleep 60", ClusterID: f.Cluster().ClusterID, Submitted: clock.Now(), Started: clock.Now()},
	}
	if diff := cmp.Diff(want, f.Runs()); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

func TestNothingArrivesOfASeveredProcess(t *testing.T) {
	t.Parallel()
	f, _ := newFake(t)
	f.Sever("killed/1 ")
	for agent, want := range map[string]int{"killed/1 (x)": 0, "killed/11 (x)": 1} {
		f.ResetRequests()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL()+"/api/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", agent)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if got := f.Requests()["GET /api/version"]; got != want || (err == nil) != (want == 1) {
			t.Errorf("%s: %d requests arrived, error %v; want %d", agent, got, err, want)
		}
	}
}
