package raytest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// answer is what a route gives.
type answer struct {
	status int
	kind   string // content type
	body   string
}

const (
	kindJSON = "application/json; charset=utf-8"
	kindText = "text/plain; charset=utf-8"
)

func jsonAnswer(v any) answer          { return answer{http.StatusOK, kindJSON, pyJSON(v)} }
func text(status int, s string) answer { return answer{status, kindText, s} }
func crashed() answer                  { return text(http.StatusInternalServerError, recorded("bad-array.txt")) }
func unknownJob(id string) answer      { return text(http.StatusNotFound, "Job "+id+" does not exist") }
func (a answer) write(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = []string{a.kind}
	if a.kind == "" {
		h["Content-Type"] = nil // also keeps Go from guessing one
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("Server", "Python/3.13 aiohttp/3.14.5")
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body) // the client may be gone
}

// request is what routes see of a request.
type request struct {
	*http.Request
	route  string // method and pattern, as Requests counts
	id     string // of a job, or of a package
	body   []byte
	tooBig bool
}

// maxBody is the most that a dashboard takes: client_max_size of
// http_server_head.py. More is a 413.
const maxBody = 100 << 20

// ServeHTTP serves the dashboard.
func (f *Fake) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	r := &request{Request: hr}
	if f.isSevered(r.UserAgent()) {
		abort(w, true)
		return
	}
	serve := f.route(r)
	f.mu.Lock()
	f.requests[r.route]++
	f.mu.Unlock()

	body, err := io.ReadAll(io.LimitReader(hr.Body, maxBody+1))
	if err != nil {
		panic(http.ErrAbortHandler) // the client broke off: Ray's handlers do not run either
	}
	r.body, r.tooBig = body, len(body) > maxBody
	done := f.watchSubmit(r)

	act := func() answer {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.settle()
		if a, refused := f.guard(r); refused {
			return a
		}
		return serve(r)
	}
	if i := f.fault(r); i != nil {
		defer i.after.Done()
		defer done()
		i.fault.serve(f, i, w, r, act)
		return
	}
	defer done()
	act().write(w)
}

// route finds the route of r, sets r.route and r.id, and returns what serves it. It
// is as strict with slashes as aiohttp is: /api/jobs and //api/jobs/ are 404.
func (f *Fake) route(r *request) func(*request) answer {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), f.prefix)
	if !ok {
		r.route = r.Method + " (outside the prefix)"
		return notFound
	}
	type route struct {
		pattern string
		minor   int // since Ray 2.minor
		methods map[string]func(*request) answer
	}
	for _, t := range []route{
		{"/api/version", 0, get(f.serveVersion)},
		{"/api/authentication_mode", 52, get(f.serveAuthenticationMode)},
		{"/cluster_id", 31, get(f.serveClusterID)},
		{"/api/v0/cluster_metadata", 4, get(f.serveMetadata)},
		{"/api/v0/nodes", 0, get(f.serveNodes)},
		{"/api/v0/actors", 0, get(f.serveActors)},
		{"/api/v0/placement_groups", 0, get(f.servePlacementGroups)},
		{"/api/serve/applications/", 4, map[string]func(*request) answer{http.MethodGet: f.serveServe, http.MethodPut: f.serveDeploy}},
		{"/api/v0/logs/file", 0, get(f.serveLogFile)},
		{"/nodes", 0, get(f.serveSummary)},
		{"/api/jobs/", 0, map[string]func(*request) answer{http.MethodGet: f.serveList, http.MethodPost: f.serveSubmit}},
		{"/api/jobs/{id}", 0, map[string]func(*request) answer{http.MethodGet: f.serveJob, http.MethodDelete: f.serveDelete}},
		{"/api/jobs/{id}/stop", 0, map[string]func(*request) answer{http.MethodPost: f.serveStop}},
		{"/api/jobs/{id}/logs", 0, get(f.serveLogs)},
		{"/api/packages/gcs/{id}", 0, map[string]func(*request) answer{http.MethodGet: f.serveHasPackage, http.MethodPut: f.servePutPackage}},
	} {
		id, ok := match(t.pattern, path)
		if !ok || !f.since(t.minor) {
			continue
		}
		r.route, r.id = r.Method+" "+t.pattern, id
		if serve, ok := t.methods[r.Method]; ok {
			return serve
		}
		return func(*request) answer { return text(http.StatusMethodNotAllowed, "405: Method Not Allowed") }
	}
	r.route = r.Method + " (unknown)"
	return notFound
}

func get(serve func(*request) answer) map[string]func(*request) answer {
	return map[string]func(*request) answer{http.MethodGet: serve}
}

func notFound(*request) answer { return text(http.StatusNotFound, "404: Not Found") }

// match matches an escaped path with a pattern that may hold one {id}.
func match(pattern, path string) (id string, ok bool) {
	before, after, has := strings.Cut(pattern, "{id}")
	if !has {
		return "", path == pattern
	}
	rest, ok := strings.CutPrefix(path, before)
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, after)
	if !ok || rest == "" || strings.Contains(rest, "/") {
		return "", false
	}
	id, err := url.PathUnescape(rest)
	return id, err == nil
}

// guard is what stands before all routes: tokens, then the browser guard.
func (f *Fake) guard(r *request) (answer, bool) {
	if f.token != "" && r.route != "GET /api/authentication_mode" {
		h := r.Header.Get("Authorization")
		if h == "" && f.since(53) {
			h = r.Header.Get("X-Ray-Authorization")
		}
		switch h {
		case "Bearer " + f.token:
		case "":
			return text(http.StatusUnauthorized, "Unauthorized: Missing authentication token"), true
		default:
			return text(http.StatusForbidden, "Forbidden: Invalid authentication token"), true
		}
	}
	if r.Method != http.MethodGet && f.browser(r) {
		return text(http.StatusMethodNotAllowed, fmt.Sprintf("'%s' method not allowed for browser traffic.", r.Method)), true
	}
	if _, sent := r.Header["User-Agent"]; !sent && !f.since(52) {
		return crashed(), true // KeyError in is_browser_request
	}
	if r.tooBig {
		return text(http.StatusRequestEntityTooLarge, recorded("pkg-big.txt")), true
	}
	return answer{}, false
}

// browser is is_browser_request of ray.dashboard.optional_utils.
func (f *Fake) browser(r *request) bool {
	if strings.HasPrefix(r.UserAgent(), "Mozilla") {
		return true
	}
	if !f.since(52) {
		return false
	}
	for _, h := range []string{
		"Referer", "Origin", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site", "Sec-Fetch-User",
		"Access-Control-Request-Method", "Access-Control-Request-Headers",
	} {
		if _, sent := r.Header[h]; sent {
			return true
		}
	}
	return false
}

// watchSubmit notes POSTs of one id that overlap. The returned function ends the
// note.
func (f *Fake) watchSubmit(r *request) func() {
	if r.route != "POST /api/jobs/" {
		return func() {}
	}
	v, _ := parseJSON(r.body)
	o, _ := v.(object)
	id, _ := o.get("submission_id").(string)
	if id == "" {
		return func() {}
	}
	r.id = id
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.submitting[id] > 0 {
		f.overlaps++
	}
	f.submitting[id]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.submitting[id]--
	}
}
