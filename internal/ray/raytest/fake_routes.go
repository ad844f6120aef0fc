package raytest

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

//go:embed testdata/ray-2.60.0
var bodies embed.FS

// recorded is a body that Ray 2.60.0 gave.
func recorded(name string) string {
	b, err := bodies.ReadFile("testdata/ray-2.60.0/" + name)
	if err != nil {
		panic("raytest: " + err.Error())
	}
	return string(b)
}

func (f *Fake) serveVersion(*request) answer {
	o := object{{"version", "4"}, {"ray_version", f.versionS}, {"ray_commit", "b7f4259e944bf6959f721b106adc366ddfa0c356"}, {"session_name", f.session}}
	if !f.since(35) {
		o = o.without("session_name")
	}
	return jsonAnswer(o)
}

func (f *Fake) serveAuthenticationMode(*request) answer {
	return jsonAnswer(object{{"authentication_mode", f.mode()}})
}

func (f *Fake) serveClusterID(*request) answer {
	return jsonAnswer(envelope("Fetched cluster id", object{{"clusterId", f.clusterID}}))
}

func envelope(msg string, data any) object {
	return object{{"result", true}, {"msg", msg}, {"data", data}}
}

func (f *Fake) serveMetadata(*request) answer {
	return jsonAnswer(envelope("", object{
		{"rayVersion", f.versionS}, {"pythonVersion", "3.13.0"}, {"rayInitCluster", false},
		{"gitCommit", "b7f4259e944bf6959f721b106adc366ddfa0c356"}, {"os", "linux"},
		{"sessionStartTimestampMs", f.started.UnixMilli()}, {"libcVersion", "glibc:2.36"},
	}))
}

func (f *Fake) serveNodes(r *request) answer {
	rows := []any{}
	for _, n := range f.nodes {
		row := object{
			{"node_id", n.NodeID}, {"node_ip", n.IP}, {"is_head_node", n.Head}, {"state", httpState(n)}, {"state_message", stateMessage(n)},
			{"node_name", n.Name}, {"resources_total", resources(n.Total)}, {"labels", labels(n.Labels)},
		}
		if d := strings.ToLower(r.URL.Query().Get("detail")); d == "true" || d == "1" {
			row = append(row, member{"start_time_ms", ms(n.StartedAt)}, member{"end_time_ms", ms(n.EndedAt)})
		}
		rows = append(rows, row)
	}
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		limit = 100
	}
	shown := rows[:min(len(rows), limit)]
	return jsonAnswer(envelope("", object{{"result", object{
		{"total", len(rows)}, {"num_after_truncation", len(rows)}, {"num_filtered", len(rows)}, {"result", shown},
		{"partial_failure_warning", ""}, {"warnings", nil},
	}}}))
}

// serveActors has the supervisors of jobs, each the one actor of its name.
func (f *Fake) serveActors(r *request) answer {
	q, rows := r.URL.Query(), []any{}
	for _, id := range f.order {
		name := "_ray_internal_job_actor_" + id
		if q.Get("filter_keys") == "name" && q.Get("filter_values") != name {
			continue
		}
		rows = append(rows, object{
			{"actor_id", actorID(id)}, {"class_name", "JobSupervisor"}, {"state", f.jobs[id].supervisor()}, {"job_id", "01000000"},
			{"name", name}, {"node_id", orNull(f.jobs[id].node)}, {"pid", 4711}, {"ray_namespace", "SUPERVISOR_ACTOR_RAY_NAMESPACE"},
		})
	}
	return jsonAnswer(envelope("", object{{"result", object{
		{"total", len(f.order)}, {"num_after_truncation", len(f.order)}, {"num_filtered", len(rows)}, {"result", rows},
		{"partial_failure_warning", ""}, {"warnings", nil},
	}}}))
}

func actorID(submissionID string) string {
	sum := sha256.Sum256([]byte(submissionID))
	return hex.EncodeToString(sum[:12]) + "01000000"
}

// supervisor is the state of the actor that runs the entrypoint.
func (j *fakeJob) supervisor() string {
	switch {
	case j.status.Terminal() || j.stale:
		return "DEAD"
	case j.status == ray.JobPending:
		return "PENDING_CREATION"
	}
	return "ALIVE"
}

// httpState is a node's state as far as the state API knows it.
func httpState(n ray.Node) string {
	if n.State == ray.NodeDead {
		return "DEAD"
	}
	return "ALIVE"
}

// stateMessage is compose_state_message of ray.dashboard.utils.
func stateMessage(n ray.Node) any {
	words := map[string]string{
		ray.DeathExpected: "Expected termination", ray.DeathUnexpected: "Unexpected termination",
		ray.DeathDrainPreempted: "Terminated due to preemption", ray.DeathDrainIdle: "Terminated due to idle (no Ray activity)",
	}[n.DeathReason]
	if words != "" && n.DeathMessage != "" {
		words += ": "
	}
	return orNull(words + n.DeathMessage)
}

func resources(r ray.Resources) object {
	o := object{}
	for _, name := range r.Names() {
		o = append(o, member{name, r[name]})
	}
	return o
}

func labels(l map[string]string) object {
	o := object{}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		o = append(o, member{name, l[name]})
	}
	return o
}

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// serveSummary has of /nodes only what a client can use: the rest of the 13 KB a
// node is physical statistics, and names that Ray mangles.
func (f *Fake) serveSummary(r *request) answer {
	if v := r.URL.Query().Get("view"); v != "summary" {
		return answer{http.StatusInternalServerError, kindJSON, recorded("node-view.json")}
	}
	rows, logical := []any{}, object{}
	for _, n := range f.nodes {
		rows = append(rows, object{
			{"now", float64(f.clock().UnixMilli()) / 1000}, {"hostname", n.Hostname}, {"ip", n.IP},
			{"raylet", object{
				{"nodeId", n.NodeID}, {"nodeManagerAddress", n.IP},
				{"resourcesTotal", object{{"memory", n.Total["memory"]}, {"objectStoreMemory", n.Total["object_store_memory"]}}},
				{"nodeName", n.Name}, {"startTimeMs", strconv.FormatInt(ms(n.StartedAt), 10)}, {"isHeadNode", n.Head}, {"state", httpState(n)},
			}},
			{"cmdline", []any{"raylet", "--node_ip_address=" + n.IP, "--gcs-address=" + f.gcsAddress, "--session-name=" + f.session}},
		})
		if n.State != ray.NodeDead {
			logical = append(logical, member{n.NodeID, usage(n)})
		}
	}
	return jsonAnswer(envelope("Node summary fetched.", object{{"summary", rows}, {"nodeLogicalResources", logical}}))
}

// usage is parse_usage of ray.autoscaler._private.util.
func usage(n ray.Node) string {
	lines := []string{}
	for _, name := range n.Total.Names() {
		used := 0.0
		if a, ok := n.Available[name]; ok {
			used = n.Total[name] - a
		}
		switch {
		case strings.Contains(name, ray.ResourceNodeNamePrefix):
		case name == "memory" || name == "object_store_memory":
			lines = append(lines, formatMemory(used)+"/"+formatMemory(n.Total[name])+" "+name)
		default:
			lines = append(lines, pyFloat(used)+"/"+pyFloat(n.Total[name])+" "+name)
		}
	}
	return strings.Join(lines, "\n")
}

// formatMemory is format_memory of ray.autoscaler._private.util.
func formatMemory(b float64) string {
	for _, u := range []struct {
		name  string
		bytes float64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if b >= u.bytes {
			return strconv.FormatFloat(b/u.bytes, 'f', 2, 64) + u.name
		}
	}
	return strconv.FormatFloat(b, 'f', 0, 64) + "B"
}

func (f *Fake) serveList(r *request) answer {
	rows := make([]any, 0, len(f.order))
	for _, id := range f.order {
		rows = append(rows, f.row(f.jobs[id], f.browser(r)))
	}
	return jsonAnswer(rows)
}

func (f *Fake) serveJob(r *request) answer {
	j := f.jobs[r.id]
	if j == nil {
		return unknownJob(r.id)
	}
	return jsonAnswer(f.row(j, f.browser(r)))
}

func (f *Fake) serveSubmit(r *request) answer {
	v, err := parseJSON(r.body)
	req, ok := v.(object)
	if err != nil || !ok {
		return crashed()
	}
	req = slices.DeleteFunc(req, func(m member) bool { return m.value == nil })
	if a, refused := f.validate(req); refused {
		return a
	}
	f.reconcile()
	id, _ := req.get("submission_id").(string)
	if id == "" {
		id = "raysubmit_" + randomHex(8)
	}
	if f.jobs[id] != nil {
		return text(http.StatusInternalServerError, strings.ReplaceAll(recorded("job-duplicate.txt"), "ok-1", id))
	}
	f.submit(id, req)
	f.settle()
	return jsonAnswer(object{{"job_id", id}, {"submission_id", id}})
}

// requestMember is a member of JobSubmitRequest: the types that its value, and its
// value's values, may have, since which Ray 2.minor it is there, and the body that
// Ray gave for other types.
type requestMember struct {
	name, kind, inner  string
	minor              int
	wrong, wrongInside string
}

// members are in the order in which Ray checks them.
var members = []requestMember{
	{"entrypoint", "str", "", 0, "bad-entry5.txt", ""},
	{"submission_id", "str", "", 0, "bad-id5.txt", ""},
	{"job_id", "str", "", 0, "bad-jobid5.txt", ""},
	{"runtime_env", "dict", "", 0, "bad-renv.txt", ""},
	{"metadata", "dict", "str", 0, "bad-metastr.txt", "bad-meta.txt"},
	{"entrypoint_num_cpus", "int float bool", "", 2, "bad-cpus.txt", ""},
	{"entrypoint_num_gpus", "int float bool", "", 2, "bad-gpus.txt", ""},
	{"entrypoint_memory", "int bool", "", 8, "bad-mem.txt", ""},
	{"entrypoint_resources", "dict", "int float bool", 2, "bad-res.txt", "bad-resval.txt"},
	{"entrypoint_label_selector", "dict", "str", 54, "bad-labelsel.txt", "bad-label.txt"},
}

var gotClass = regexp.MustCompile(`got <class '\w+'>`)

// validate is parse_and_validate_request: first that all members are known, then
// their types.
func (f *Fake) validate(req object) (answer, bool) {
	bad := func(file, kind string) (answer, bool) {
		return text(http.StatusBadRequest, gotClass.ReplaceAllString(recorded(file), "got <class '"+kind+"'>")), true
	}
	for _, m := range req {
		known := slices.ContainsFunc(members, func(k requestMember) bool { return k.name == m.name && f.since(k.minor) })
		if !known {
			return text(http.StatusBadRequest, strings.ReplaceAll(recorded("bad-unknown.txt"), "'bogus'", "'"+m.name+"'")), true
		}
	}
	if req.get("entrypoint") == nil {
		return text(http.StatusBadRequest, recorded("bad-noentry.txt")), true
	}
	for _, k := range members {
		v := req.get(k.name)
		if v == nil {
			continue
		}
		if t := pyType(v); !slices.Contains(strings.Fields(k.kind), t) {
			return bad(k.wrong, t)
		}
		if o, ok := v.(object); ok && k.inner != "" {
			for _, m := range o {
				if t := pyType(m.value); !slices.Contains(strings.Fields(k.inner), t) {
					return bad(k.wrongInside, t)
				}
			}
		}
	}
	return answer{}, false
}

func (f *Fake) serveStop(r *request) answer {
	j := f.jobs[r.id]
	if j == nil {
		return unknownJob(r.id)
	}
	// false where there is no supervisor: over, or lost in a restart.
	stopping := !j.status.Terminal() && !j.stale
	f.reconcile()
	if stopping && j.stopAt.IsZero() {
		j.stopAt = f.clock().Add(f.stopDelay)
	}
	return jsonAnswer(object{{"stopped", stopping}})
}

func (f *Fake) serveDelete(r *request) answer {
	j := f.jobs[r.id]
	if j == nil {
		return unknownJob(r.id)
	}
	f.reconcile()
	if !j.over() {
		body := strings.ReplaceAll(recorded("delete-running.txt"), "'sl-1'", "'"+r.id+"'")
		return text(http.StatusInternalServerError, strings.ReplaceAll(body, "state RUNNING", "state "+string(j.status)))
	}
	f.remove(r.id) // the log stays
	return jsonAnswer(object{{"deleted", true}})
}

func (f *Fake) serveLogs(r *request) answer {
	j := f.jobs[r.id]
	if j == nil {
		return unknownJob(r.id)
	}
	if j.node == "" {
		return jsonAnswer(object{{"logs", ""}})
	}
	f.reconcile()
	return jsonAnswer(object{{"logs", f.logs[f.logKey(j.node, r.id)]}})
}

// serveLogFile is get_logs of state_head.py. Ray <= 2.44 flags each chunk and
// answers 200 to everything.
func (f *Fake) serveLogFile(r *request) answer {
	q := r.URL.Query()
	if q.Get("node_id") == "" {
		return crashed() // also with a submission_id: GetLogOptions refuses it
	}
	a := f.logFile(q.Get("node_id"), q.Get("filename"), q.Get("lines"))
	if f.since(45) {
		return a
	}
	if a.status != http.StatusOK {
		return answer{http.StatusOK, "text/plain", "0Closing HTTP stream due to internal server error.\n" + a.body}
	}
	return answer{http.StatusOK, "text/plain", flag(a.body)}
}

// flag puts "1" before each block of 64 KiB.
func flag(s string) string {
	const block = 64 << 10
	var b strings.Builder
	for ; s != ""; s = s[min(len(s), block):] {
		b.WriteString("1" + s[:min(len(s), block)])
	}
	return b.String()
}

func (f *Fake) logFile(node, file, lines string) answer {
	if !slices.ContainsFunc(f.nodes, func(n ray.Node) bool { return n.NodeID == node && n.State != ray.NodeDead }) {
		return text(http.StatusInternalServerError, strings.Replace(recorded("logfile-nonode.txt"), "ffff", node, 1))
	}
	id := strings.TrimSuffix(strings.TrimPrefix(file, "job-driver-"), ".log")
	log, ok := f.logs[f.logKey(node, id)]
	if !ok || file != "job-driver-"+id+".log" {
		return text(http.StatusInternalServerError, fmt.Sprintf("A file is not found at: /tmp/ray/%s/logs/%s", f.session, file))
	}
	n, err := strconv.Atoi(lines)
	if err != nil {
		n = 1000
	}
	if n > 0 { // 0 and -1 are the whole file
		log = lastLines(log, n, len(log))
	}
	return answer{http.StatusOK, "text/plain", log}
}

// pin is RAY_RUNTIME_ENV_TEMPORARY_REFERENCE_EXPIRATION_S.
const pin = 600 * time.Second

func (f *Fake) serveHasPackage(r *request) answer {
	uri := "gcs://" + r.id
	f.pins[uri] = f.clock().Add(pin)
	if _, ok := f.packages[uri]; !ok {
		return text(http.StatusNotFound, "Package "+uri+" does not exist")
	}
	return answer{http.StatusOK, "", ""}
}

func (f *Fake) servePutPackage(r *request) answer {
	f.packages["gcs://"+r.id] = r.body
	return answer{http.StatusOK, "", ""}
}

// Log is what the log file of an id holds.
func (f *Fake) Log(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	node := ""
	if j := f.jobs[id]; j != nil {
		node = j.node
	}
	return f.logs[f.logKey(node, id)]
}

// TruncateLog empties a job's log, as somebody does who makes room on the disk: on
// 2.60.0 the entrypoint goes on at the file's new end.
func (f *Fake) TruncateLog(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	if j := f.jobs[id]; j != nil {
		f.logs[f.logKey(j.node, id)] = ""
	}
}

// RequestRoutes returns the routes that were asked for, sorted, for messages.
func (f *Fake) RequestRoutes() []string {
	r := f.Requests()
	routes := make([]string, 0, len(r))
	for k := range r {
		routes = append(routes, k)
	}
	sort.Strings(routes)
	return routes
}
