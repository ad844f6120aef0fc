package raytest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// Target is a dashboard to be checked.
type Target struct {
	// URL is its address, with prefix.
	URL string
	// HTTP sends the requests, with credentials where the target wants them; nil is
	// http.DefaultClient.
	HTTP *http.Client
	// Own is true where nobody else uses the target: the suite then leaves a job
	// behind that waits for a resource that does not exist.
	Own bool
	// Settle is how long after the end of a job its monitor has surely ended:
	// WithMonitorLag. Default 3 s.
	Settle time.Duration
	// Misjudge makes the record of a running job say FAILED, as Ray's agent does
	// that can't reach the job's supervisor. Nil leaves the check out.
	Misjudge func(t *testing.T, id string)
}

// Conformance checks that a dashboard does what this repository believes of Ray
// >= 2.54. It runs on the fake and on real heads, so that the one can stand for the
// other. It takes some seconds on a real one.
func Conformance(t *testing.T, target Target) {
	t.Helper()
	c, err := dashboard.New(dashboard.Options{URL: target.URL, HTTP: target.HTTP})
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{target: target, client: c, id: "conf-" + randomHex(5)}
	for _, check := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"says who it is", s.identity},
		{"is strict with slashes", s.slashes},
		{"shows nodes by Ray's own names", s.nodes},
		{"runs a job", s.runs},
		{"refuses an id twice", s.duplicate},
		{"shows how an entrypoint failed", s.fails},
		{"stops, then deletes", s.stops},
		{"lets a job go on that it calls FAILED", s.misjudges},
		{"appends to the log of a re-used id", s.appends},
		{"brings back a record deleted too soon", s.haunts},
		{"keeps a job waiting for resources, even when stopped", s.waits},
		{"knows what it does not know", s.unknown},
		{"refuses malformed submissions", s.malformed},
		{"refuses browsers' writes only", s.browsers},
		{"keeps packages", s.packages},
	} {
		t.Run(check.name, check.run)
	}
}

type suite struct {
	target Target
	client *dashboard.Client
	id     string
}

func (s *suite) identity(t *testing.T) {
	a, err := s.client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a != b {
		t.Errorf("two answers: %+v, %+v", a, b)
	}
	if !regexp.MustCompile(`^[0-9a-f]{56}$`).MatchString(a.ClusterID) {
		t.Errorf("cluster id %q, want 56 hex digits", a.ClusterID)
	}
	if !strings.HasPrefix(a.SessionName, "session_20") || a.StartedAt.IsZero() || a.PythonVersion == "" {
		t.Errorf("got %+v, want a session, its start and a Python version", a)
	}
	if _, ok := ray.ParseVersion(a.RayVersion); !ok {
		t.Errorf("Ray version %q", a.RayVersion)
	}
	if a.AuthenticationMode != "disabled" && a.AuthenticationMode != "token" {
		t.Errorf("authentication mode %q", a.AuthenticationMode)
	}
}

// raw sends a request as it is and returns status and body.
func (s *suite) raw(t *testing.T, method, path, body string, header ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(s.target.URL, "/")+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	hc := s.target.HTTP
	if hc == nil {
		hc = http.DefaultClient
	}
	resp, err := hc.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (s *suite) slashes(t *testing.T) {
	for _, path := range []string{"/api/jobs", "//api/jobs/", "/api/nothing"} {
		if status, body := s.raw(t, http.MethodGet, path, ""); status != http.StatusNotFound || body != recorded("unknown-path.txt") {
			t.Errorf("GET %s: %d %q, want 404 %q", path, status, body, recorded("unknown-path.txt"))
		}
	}
	if status, body := s.raw(t, http.MethodPatch, "/api/jobs/", ""); status != http.StatusMethodNotAllowed || body != recorded("method.txt") {
		t.Errorf("PATCH: %d %q", status, body)
	}
}

func (s *suite) nodes(t *testing.T) {
	nodes, err := s.client.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var head ray.Node
	for _, n := range nodes {
		if n.Head && n.Alive() {
			head = n
		}
	}
	if head.Total[ray.HeadNodeResource] != 1 || head.Total["CPU"] <= 0 || head.Total["object_store_memory"] <= 0 {
		t.Errorf("the head has %v, want CPU, object_store_memory and %s", head.Total, ray.HeadNodeResource)
	}
	if head.Labels[ray.LabelNodeID] != head.NodeID || head.StartedAt.IsZero() {
		t.Errorf("the head is %+v, want its label and start", head)
	}
	// The text and the command line come from a report that is some seconds late.
	s.eventually(t, "usage and the address of the GCS", func() bool {
		usage, err := s.client.Usage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		addr, err := s.client.GCSAddress(t.Context())
		if err != nil && !ray.IsKind(err, ray.KindUnavailable) {
			t.Fatal(err)
		}
		_, ok := usage[head.NodeID]["CPU"]
		return ok && strings.Contains(addr, ":")
	})
}

// eventually waits until ok is true.
func (s *suite) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(90 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

func (s *suite) submit(t *testing.T, sub ray.Submission) {
	t.Helper()
	if err := s.client.Submit(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
}

// until waits until the job has one of the states, and returns it.
func (s *suite) until(t *testing.T, id string, want ...ray.JobStatus) (j ray.Job) {
	t.Helper()
	s.eventually(t, id+" to be "+string(want[0]), func() bool {
		var err error
		if j, err = s.client.Job(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(want, j.Status) {
			return true
		}
		if j.Status.Terminal() {
			t.Fatalf("%s is %s (%s), want %v", id, j.Status, j.Message, want)
		}
		return false
	})
	return j
}

func (s *suite) runs(t *testing.T) {
	id := s.id + "-run"
	s.submit(t, ray.Submission{
		Entrypoint: "echo hello $WHO", SubmissionID: id, Metadata: map[string]string{"a": "b"},
		RuntimeEnv: map[string]any{"env_vars": map[string]string{"WHO": "world"}},
	})
	j := s.until(t, id, ray.JobSucceeded)
	if j.SubmissionID != id || j.Entrypoint != "echo hello $WHO" || j.Metadata["a"] != "b" || j.Message != msgSucceeded {
		t.Errorf("got %+v", j)
	}
	if j.JobID != "" {
		t.Errorf("job id %q of an entrypoint without a driver", j.JobID)
	}
	if j.DriverExitCode == nil || *j.DriverExitCode != 0 || j.ErrorType != "" || j.DriverNodeID == "" {
		t.Errorf("exit code %v, error type %q, node %q; want 0, none, the head's", j.DriverExitCode, j.ErrorType, j.DriverNodeID)
	}
	if j.StartTime.IsZero() || j.EndTime.Before(j.StartTime) {
		t.Errorf("from %v to %v", j.StartTime, j.EndTime)
	}
	if v, _ := s.client.Version(t.Context()); !mustVersion(v.RayVersion).Less(ray.Version{2, 59, 0}) {
		if got := string(j.RuntimeEnv); strings.Contains(got, "world") || !strings.Contains(got, ray.Redacted) {
			t.Errorf("runtime_env %s, want the value masked", got)
		}
	}
	log, err := s.client.LogTail(t.Context(), id, 10)
	if err != nil || !strings.Contains(log, "hello world\n") {
		t.Errorf("log %q, %v", log, err)
	}
	if one, err := s.client.LogTail(t.Context(), id, 1); err != nil || strings.Count(one, "\n") != 1 {
		t.Errorf("last line %q, %v", one, err)
	}
	for lines, want := range map[int]int{dashboard.AllLines: 3, 100: 3, 1: 1} {
		var text strings.Builder
		err := s.client.Log(t.Context(), j, lines, func(r io.Reader) error {
			_, err := io.Copy(&text, r)
			return err
		})
		if got := text.String(); strings.Count(got, "\n") != want || !strings.HasSuffix(log, got) || err != nil {
			t.Errorf("%d lines of the log: %q, %v, want the last %d of %q", lines, got, err, want, log)
		}
	}
	jobs, err := s.client.ListJobs(t.Context(), func(k string) bool { return k == id })
	if err != nil || len(jobs) != 1 || jobs[0].Status != ray.JobSucceeded {
		t.Errorf("list: %v, %v", jobs, err)
	}
	jobs, err = s.client.Jobs(t.Context(), func(k ray.Job) bool { return k.SubmissionID == id })
	if err != nil || len(jobs) != 1 || jobs[0].Status != ray.JobSucceeded || jobs[0].Metadata["a"] != "b" || jobs[0].RuntimeEnv != nil {
		t.Errorf("list: %+v, %v", jobs, err)
	}
	if stopping, err := s.client.Stop(t.Context(), id); stopping || err != nil {
		t.Errorf("stop of a job that is over: %v, %v; want false", stopping, err)
	}
	if err := s.client.Touch(t.Context(), id); err != nil {
		t.Error(err)
	}
}

func mustVersion(s string) ray.Version {
	v, _ := ray.ParseVersion(s)
	return v
}

func (s *suite) duplicate(t *testing.T) {
	id := s.id + "-dup"
	s.submit(t, ray.Submission{Entrypoint: "true", SubmissionID: id})
	err := s.client.Submit(t.Context(), ray.Submission{Entrypoint: "true", SubmissionID: id})
	var e *ray.Error
	if !errors.As(err, &e) || e.Kind != ray.KindConflict || e.Status != http.StatusBadRequest || e.OutcomeUnknown {
		t.Fatalf("got %#v", err)
	}
	want := "ValueError: Job with submission_id " + id + " already exists. Please use a different submission_id."
	if e.Message != want {
		t.Errorf("got %q, want %q", e.Message, want)
	}
}

func (s *suite) fails(t *testing.T) {
	id := s.id + "-exit"
	s.submit(t, ray.Submission{Entrypoint: "echo boom; exit 3", SubmissionID: id})
	j := s.until(t, id, ray.JobFailed)
	if j.DriverExitCode == nil || *j.DriverExitCode != 3 || j.ErrorType != "JOB_ENTRYPOINT_COMMAND_ERROR" {
		t.Errorf("exit code %v, error type %q", j.DriverExitCode, j.ErrorType)
	}
	if want := "Job entrypoint command failed with exit code 3"; !strings.HasPrefix(j.Message, want) || !strings.Contains(j.Message, "boom\n") {
		t.Errorf("message %q", j.Message)
	}
}

func (s *suite) stops(t *testing.T) {
	id := s.id + "-stop"
	s.submit(t, ray.Submission{Entrypoint: "sleep 300", SubmissionID: id})
	s.until(t, id, ray.JobRunning)
	if err := s.client.Delete(t.Context(), id); !ray.IsKind(err, ray.KindConflict) || ray.OutcomeUnknown(err) {
		t.Errorf("delete of a running job: %v, want a conflict", err)
	}
	if stopping, err := s.client.Stop(t.Context(), id); !stopping || err != nil {
		t.Errorf("stop: %v, %v; want true", stopping, err)
	}
	j := s.until(t, id, ray.JobStopped)
	if j.DriverExitCode != nil || j.ErrorType != "" || j.Message != msgStopped {
		t.Errorf("exit code %v, error type %q, message %q", j.DriverExitCode, j.ErrorType, j.Message)
	}
	if err := s.client.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Delete(t.Context(), id); !ray.IsKind(err, ray.KindNotFound) {
		t.Errorf("second delete: %v, want not found", err)
	}
	if _, err := s.client.Job(t.Context(), id); !ray.IsKind(err, ray.KindNotFound) {
		t.Errorf("read after delete: %v, want not found", err)
	}
}

// misjudges shows what becomes of a job that Ray calls FAILED although it goes on.
func (s *suite) misjudges(t *testing.T) {
	if s.target.Misjudge == nil {
		t.Log("left out: nobody can change the target's records")
		return
	}
	alive := func(id string) bool {
		alive, err := s.client.SupervisorAlive(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return alive
	}
	for name, check := range map[string]struct {
		entrypoint string
		over       func(ray.Job) bool
	}{
		"succeeds": {"sleep 8", func(j ray.Job) bool { return strings.HasSuffix(strings.TrimSpace(j.Message), "FAILED -> SUCCEEDED") }},
		"fails":    {"sleep 8; exit 5", func(j ray.Job) bool { return j.DriverExitCode != nil && *j.DriverExitCode == 5 }},
		"stops":    {"sleep 300", func(j ray.Job) bool { return strings.HasSuffix(strings.TrimSpace(j.Message), "FAILED -> STOPPED") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := s.id + "-mis-" + name
			s.submit(t, ray.Submission{Entrypoint: check.entrypoint, SubmissionID: id})
			s.until(t, id, ray.JobRunning)
			s.target.Misjudge(t, id)
			if j := s.until(t, id, ray.JobFailed); j.DriverExitCode != nil || !alive(id) {
				t.Errorf("right after: %+v, alive %t; want no exit code, and a supervisor", j, alive(id))
			}
			if name == "stops" {
				if stopping, err := s.client.Stop(t.Context(), id); !stopping || err != nil {
					t.Errorf("stop: %v, %v; want true", stopping, err)
				}
			}
			s.eventually(t, "its supervisor to die", func() bool { return !alive(id) })
			if j := s.until(t, id, ray.JobFailed); !check.over(j) {
				t.Errorf("in the end: %+v", j)
			}
		})
	}
}

// settle waits until Ray no longer monitors a job that is over.
func (s *suite) settle(t *testing.T, j ray.Job) {
	t.Helper()
	d := s.target.Settle
	if d == 0 {
		d = 3 * time.Second
	}
	s.eventually(t, "the monitor of "+j.SubmissionID+" to end", func() bool { return time.Since(j.EndTime) > d })
}

// haunts shows that a record that is deleted right after the job's end comes back.
func (s *suite) haunts(t *testing.T) {
	if !s.target.Own {
		t.Log("left out: the target is used by others")
		return
	}
	id := s.id + "-ghost"
	s.submit(t, ray.Submission{Entrypoint: "true", SubmissionID: id, Metadata: map[string]string{"a": "b"}})
	s.until(t, id, ray.JobSucceeded)
	if err := s.client.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	var j ray.Job
	s.eventually(t, "the deleted record to come back", func() (back bool) {
		var err error
		j, err = s.client.Job(t.Context(), id)
		if err != nil && !ray.IsKind(err, ray.KindNotFound) {
			t.Fatal(err)
		}
		return err == nil
	})
	if j.Status != ray.JobFailed || j.ErrorType != "JOB_SUPERVISOR_ACTOR_DIED" || j.Entrypoint != "Entrypoint not found." ||
		j.Metadata != nil || !j.StartTime.IsZero() || !strings.HasPrefix(j.Message, msgDied) {
		t.Errorf("it came back as %+v", j)
	}
	s.settle(t, j)
	if err := s.client.Delete(t.Context(), id); err != nil {
		t.Error(err)
	}
}

func (s *suite) appends(t *testing.T) {
	id := s.id + "-again"
	for _, word := range []string{"first", "second"} {
		s.submit(t, ray.Submission{Entrypoint: "echo " + word, SubmissionID: id})
		j := s.until(t, id, ray.JobSucceeded)
		if word == "first" {
			s.settle(t, j)
			if err := s.client.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	log, err := s.client.LogTail(t.Context(), id, 100)
	if err != nil || !strings.Contains(log, "first\n") || !strings.Contains(log, "second\n") || strings.Count(log, "Runtime env is setting up") != 2 {
		t.Errorf("log %q, %v; want both runs", log, err)
	}
}

func (s *suite) waits(t *testing.T) {
	if !s.target.Own {
		t.Log("left out: the target is used by others")
		return
	}
	id := s.id + "-wait"
	s.submit(t, ray.Submission{Entrypoint: "true", SubmissionID: id, Resources: ray.Resources{"nowhere": 1}})
	s.eventually(t, "the message about resources", func() bool { return s.until(t, id, ray.JobPending).Message == msgResources })
	if log, err := s.client.LogTail(t.Context(), id, 10); log != "" || err != nil {
		t.Errorf("log %q, %v; want none", log, err)
	}
	if stopping, err := s.client.Stop(t.Context(), id); !stopping || err != nil {
		t.Errorf("stop: %v, %v; want true", stopping, err)
	}
	s.until(t, id, ray.JobPending)
	if err := s.client.Delete(t.Context(), id); !ray.IsKind(err, ray.KindConflict) {
		t.Errorf("delete: %v, want a conflict", err)
	}
}

func (s *suite) unknown(t *testing.T) {
	ctx, id := t.Context(), s.id+"-nope"
	_, read := s.client.Job(ctx, id)
	_, stop := s.client.Stop(ctx, id)
	_, tail := s.client.LogTail(ctx, id, 1)
	for op, err := range map[string]error{"read": read, "stop": stop, "delete": s.client.Delete(ctx, id), "tail": tail, "touch": s.client.Touch(ctx, id)} {
		if !ray.IsKind(err, ray.KindNotFound) || ray.OutcomeUnknown(err) {
			t.Errorf("%s: %v, want not found", op, err)
		}
	}
	nodes, err := s.client.Nodes(ctx)
	if err != nil || len(nodes) == 0 {
		t.Fatalf("nodes %v, %v", nodes, err)
	}
	var node string
	for _, n := range nodes {
		if n.Head && n.Alive() {
			node = n.NodeID
		}
	}
	for want, q := range map[string]url.Values{
		"A file is not found at: ":                 {"node_id": {node}, "filename": {"job-driver-" + id + ".log"}},
		"Agent for node id: ffff doesn't exist.":   {"node_id": {"ffff"}, "filename": {"job-driver-" + id + ".log"}},
		"500 Internal Server Error\n\nServer got ": {"submission_id": {id}},
	} {
		status, body := s.raw(t, http.MethodGet, "/api/v0/logs/file?"+q.Encode(), "")
		// A busy head loses an agent's error now and then: an empty log is left.
		for n := 0; status == http.StatusOK && body == "" && q.Has("filename") && n < 5; n++ {
			status, body = s.raw(t, http.MethodGet, "/api/v0/logs/file?"+q.Encode(), "")
		}
		if status != http.StatusInternalServerError || !strings.HasPrefix(body, want) {
			t.Errorf("log of %v: %d %q, want 500 %q", q, status, body, want)
		}
	}
}

// malformed are submissions that Ray refuses, and the bodies that it gives.
var malformed = []struct{ name, body, file string }{
	{"no entrypoint", `{}`, "bad-noentry.txt"},
	{"entrypoint", `{"entrypoint":5,"submission_id":"x1"}`, "bad-entry5.txt"},
	{"submission_id", `{"entrypoint":"true","submission_id":5}`, "bad-id5.txt"},
	{"job_id", `{"entrypoint":"true","job_id":5}`, "bad-jobid5.txt"},
	{"metadata", `{"entrypoint":"true","submission_id":"x1","metadata":"a"}`, "bad-metastr.txt"},
	{"metadata value", `{"entrypoint":"true","submission_id":"x1","metadata":{"a":1}}`, "bad-meta.txt"},
	{"runtime_env", `{"entrypoint":"true","submission_id":"x1","runtime_env":"x"}`, "bad-renv.txt"},
	{"memory", `{"entrypoint":"true","submission_id":"x1","entrypoint_memory":1.5}`, "bad-mem.txt"},
	{"cpus", `{"entrypoint":"true","submission_id":"x1","entrypoint_num_cpus":"1"}`, "bad-cpus.txt"},
	{"gpus", `{"entrypoint":"true","submission_id":"x1","entrypoint_num_gpus":"1"}`, "bad-gpus.txt"},
	{"resources", `{"entrypoint":"true","submission_id":"x1","entrypoint_resources":"1"}`, "bad-res.txt"},
	{"resources value", `{"entrypoint":"true","submission_id":"x1","entrypoint_resources":{"a":"1"}}`, "bad-resval.txt"},
	{"selector", `{"entrypoint":"true","submission_id":"x1","entrypoint_label_selector":"a"}`, "bad-labelsel.txt"},
	{"selector value", `{"entrypoint":"true","submission_id":"x1","entrypoint_label_selector":{"a":1}}`, "bad-label.txt"},
	{"unknown member", `{"entrypoint":"true","submission_id":"x1","bogus":1}`, "bad-unknown.txt"},
	{"list", `[]`, "bad-array.txt"},
	{"no JSON", `{bad`, "bad-array.txt"},
}

func (s *suite) malformed(t *testing.T) {
	last := func(text string) string {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		return lines[len(lines)-1]
	}
	for _, m := range malformed {
		want := http.StatusBadRequest
		if m.file == "bad-array.txt" {
			want = http.StatusInternalServerError
		}
		status, body := s.raw(t, http.MethodPost, "/api/jobs/", m.body, "Content-Type", "application/json")
		if status != want || last(body) != last(recorded(m.file)) {
			t.Errorf("%s: %d %q, want %d %q", m.name, status, last(body), want, last(recorded(m.file)))
		}
	}
}

func (s *suite) browsers(t *testing.T) {
	body := `{"entrypoint":"true","submission_id":"` + s.id + `-browser"}`
	for _, h := range [][]string{{"Origin", "http://a"}, {"Referer", "http://a"}, {"Sec-Fetch-Mode", "cors"}, {"User-Agent", "Mozilla/5.0"}} {
		if status, text := s.raw(t, http.MethodPost, "/api/jobs/", body, h...); status != http.StatusMethodNotAllowed || text != recorded("bad-browser.txt") {
			t.Errorf("POST with %v: %d %q", h, status, text)
		}
		if status, _ := s.raw(t, http.MethodGet, "/api/version", "", h...); status != http.StatusOK {
			t.Errorf("GET with %v: %d", h, status)
		}
	}
	if _, err := s.client.Job(t.Context(), s.id+"-browser"); !ray.IsKind(err, ray.KindNotFound) {
		t.Errorf("a refused submission: %v, want not found", err)
	}
}

func (s *suite) packages(t *testing.T) {
	uri := "gcs://_ray_pkg_" + randomHex(8) + ".zip"
	if ok, err := s.client.HasPackage(t.Context(), uri); ok || err != nil {
		t.Fatalf("before: %v, %v", ok, err)
	}
	for _, body := range []string{"PK one", "PK two, over it"} {
		if err := s.client.PutPackage(t.Context(), uri, int64(len(body)), strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := s.client.HasPackage(t.Context(), uri); !ok || err != nil {
		t.Errorf("after: %v, %v", ok, err)
	}
	big := io.LimitReader(zeros{}, maxBody+1)
	err := s.client.PutPackage(t.Context(), "gcs://_ray_pkg_"+randomHex(8)+".zip", maxBody+1, big)
	var e *ray.Error
	if !errors.As(err, &e) || e.Kind != ray.KindInvalid || e.Status != http.StatusRequestEntityTooLarge || e.Message != recorded("pkg-big.txt") {
		t.Errorf("a byte too large: %v", err)
	}
}

// zeros is an endless stream of zeros.
type zeros struct{}

// Read fills b with zeros.
func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
