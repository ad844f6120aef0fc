package raytest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// fakeJob is a submission.
type fakeJob struct {
	id, entrypoint       string
	metadata, runtimeEnv any
	script               script
	submitted            time.Time
	startAt              time.Time // zero: not by itself
	startedAt, stopAt    time.Time
	endedAt              time.Time
	written              int // steps of script whose output is in the log
	node                 string
	fits                 string // the first node that meets its requirements
	status               ray.JobStatus
	message, errorType   string
	exit                 *int
	// stale is a job that was not over when the head came back with its Redis.
	stale bool
	// watched is set where the agent of the head that came back looks after it.
	watched bool
	// run is the entrypoint's, once it began.
	run *Execution
	// misjudged is when the record was made to say FAILED of a job that goes on.
	misjudged time.Time
}

// over reports whether the record says so.
func (j *fakeJob) over() bool { return j.status.Terminal() || !j.misjudged.IsZero() }

// Messages of Ray 2.60.0, each in a recorded body.
const (
	msgSettingUp    = "Job has not started yet. It may be waiting for the runtime environment to be set up."
	msgResources    = "Job has not started yet. It may be waiting for resources (CPUs, GPUs, memory, custom resources) to become available."
	msgStartTimeout = "Job supervisor actor failed to start within %.1f seconds. This timeout can be configured by setting the environment variable RAY_JOB_START_TIMEOUT_SECONDS."
	msgRunning      = "Job is currently running."
	msgSucceeded    = "Job finished successfully."
	msgStopped      = "Job was intentionally stopped."
	msgFailed       = "Job entrypoint command failed with exit code %d, last available logs (truncated to 20,000 chars):\n%s"
	msgDied         = "Job supervisor actor died: The actor died unexpectedly before finishing this task."
	msgNoActor      = "Unexpected error occurred: failed to get job supervisor."
	msgMisjudged    = "Unexpected error occurred: "
)

// Outcome is how a job ends.
type Outcome struct {
	// Status is STOPPED, SUCCEEDED or FAILED.
	Status ray.JobStatus
	// ExitCode is nil where the entrypoint did not end by itself.
	ExitCode *int
	// ErrorType and Message default to what Ray gives for the status and code.
	ErrorType, Message string
}

// Succeeded is the outcome of exit code 0.
func Succeeded() Outcome { return Outcome{Status: ray.JobSucceeded, ExitCode: new(int)} }

// Failed is the outcome of another exit code; -9 is a kill -9.
func Failed(exitCode int) Outcome { return Outcome{Status: ray.JobFailed, ExitCode: &exitCode} }

// SupervisorDied is what Ray tells of a job whose supervisor was killed. The real
// message goes on with the actor's ids.
func SupervisorDied() Outcome {
	return Outcome{Status: ray.JobFailed, ErrorType: "JOB_SUPERVISOR_ACTOR_DIED", Message: msgDied}
}

// Start lets a PENDING job run. It is false for other jobs.
func (f *Fake) Start(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.settle()
	j := f.jobs[id]
	if j == nil || j.status != ray.JobPending {
		return false
	}
	j.startAt = now
	f.advance(j, now)
	return true
}

// Finish ends a job now. It is false for a job that is unknown or over.
func (f *Fake) Finish(id string, o Outcome) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.settle()
	j := f.jobs[id]
	if j == nil || j.status.Terminal() {
		return false
	}
	f.end(j, now, o)
	return true
}

// Misjudge lets Ray's agent call a running job FAILED because it could not ask the
// job's supervisor, which goes on with the entrypoint, as after a failed RPC that the
// agent's ray.kill did not follow (job_manager.py, _monitor_job_internal). It is
// false for a job that is unknown or not RUNNING. What follows was seen on 2.60.0 with
// a record that was overwritten so: the supervisor is ALIVE until the entrypoint ends
// and can be stopped; an exit code other than 0 gets into the record, any other end is
// refused there.
func (f *Fake) Misjudge(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.settle()
	j := f.jobs[id]
	if j == nil || j.status != ray.JobRunning || j.over() {
		return false
	}
	j.misjudged = now
	return true
}

// Forget removes a job's record, as another user's delete does.
func (f *Fake) Forget(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	f.remove(id)
}

func (f *Fake) remove(id string) {
	if back := f.ended[id].Add(f.lag); f.jobs[id] != nil && f.clock().Before(back) {
		f.ghosts[id] = back
	}
	delete(f.jobs, id)
	f.order = slices.DeleteFunc(f.order, func(o string) bool { return o == id })
}

// Executions is how often an entrypoint ran under the submission id, over all
// records of it.
func (f *Fake) Executions(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	return f.executions[id]
}

// EntrypointExecutions is how often the entrypoint ran, under any id.
func (f *Fake) EntrypointExecutions(entrypoint string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	return f.entrypoints[entrypoint]
}

// Execution is one run of an entrypoint: what happened, whatever became of records.
type Execution struct {
	ID, Entrypoint string
	// ClusterID is the cluster that it ran on.
	ClusterID string
	// Submitted is when Ray took the submission.
	Submitted time.Time
	Started   time.Time
	// Ended is zero while it runs. A head takes what runs on it down with it.
	Ended time.Time
	// Status is how it ended: SUCCEEDED where the entrypoint said so itself.
	Status ray.JobStatus
}

// end notes the end of a run that has begun.
func (e *Execution) end(at time.Time, s ray.JobStatus) {
	if e != nil && e.Ended.IsZero() {
		e.Ended, e.Status = at, s
	}
}

// Runs returns every run of every entrypoint, also those of clusters that were
// replaced, in the order in which they were seen to begin.
func (f *Fake) Runs() []Execution {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	out := make([]Execution, len(f.runs))
	for i, run := range f.runs {
		out[i] = *run
	}
	return out
}

// OverlappingSubmits is how often a POST of an id came while another POST of that
// id was in flight.
func (f *Fake) OverlappingSubmits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.overlaps
}

// Jobs returns all submissions, in order of submission.
func (f *Fake) Jobs() []ray.Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	jobs := make([]ray.Job, 0, len(f.order))
	for _, id := range f.order {
		j := f.jobs[id].shown()
		out := ray.Job{
			SubmissionID: j.id, Status: j.status, Entrypoint: j.entrypoint, Message: j.message, ErrorType: j.errorType,
			StartTime: j.submitted, EndTime: j.endedAt, DriverNodeID: j.node, DriverExitCode: j.exit,
		}
		if m, ok := j.metadata.(object); ok {
			out.Metadata = stringMap(m)
		}
		if j.runtimeEnv != nil {
			out.RuntimeEnv = []byte(pyJSON(j.runtimeEnv))
		}
		jobs = append(jobs, out)
	}
	return jobs
}

func stringMap(v any) map[string]string {
	out := map[string]string{}
	if o, ok := v.(object); ok {
		for _, m := range o {
			out[m.name] = fmt.Sprint(m.value)
		}
	}
	return out
}

// submit takes in a validated request.
func (f *Fake) submit(id string, req object) {
	now := f.clock()
	entrypoint, _ := req.get("entrypoint").(string) // it was validated
	j := &fakeJob{
		id: id, entrypoint: entrypoint, metadata: req.get("metadata"), runtimeEnv: req.get("runtime_env"),
		submitted: now, startAt: now.Add(f.delay), status: ray.JobPending, message: msgSettingUp,
	}
	var fits bool
	j.fits, fits = f.fits(req)
	switch {
	case !fits:
		j.startAt, j.message = time.Time{}, msgResources
	case f.hold:
		j.startAt = time.Time{}
	}
	f.jobs[id] = j
	f.order = append(f.order, id)
	if ended, ok := f.ended[id]; ok && now.Before(ended.Add(f.lag)) {
		defer f.end(j, now, SupervisorDied())
	}
	// A re-used id appends to the old log.
	f.log(j, now.UTC().Format("2006-01-02 15:04:05,000")+"\tINFO job_manager.py:581 -- Runtime env is setting up.\n")
}

// fits finds the first node that has, in total, what the entrypoint asks for. What
// others use is not counted.
func (f *Fake) fits(req object) (node string, ok bool) {
	need := ray.Resources{}
	for name, v := range map[string]any{
		"CPU": req.get("entrypoint_num_cpus"), "GPU": req.get("entrypoint_num_gpus"), "memory": req.get("entrypoint_memory"),
	} {
		need[name] = number(v)
	}
	if r, ok := req.get("entrypoint_resources").(object); ok {
		for _, m := range r {
			need[m.name] = number(m.value)
		}
	}
	i := slices.IndexFunc(f.nodes, func(n ray.Node) bool {
		for name, v := range need {
			if n.Total[name] < v {
				return false
			}
		}
		return n.State != ray.NodeDead
	})
	if i < 0 {
		return "", false
	}
	return f.nodes[i].NodeID, true
}

// place is the node that the job's driver starts on: the head, unless its
// requirements led it elsewhere.
func (f *Fake) place(j *fakeJob) string {
	for _, n := range f.nodes {
		if n.NodeID == j.fits && !n.Head && n.State != ray.NodeDead {
			return j.fits
		}
	}
	return f.head().NodeID
}

// log writes to the job's log on the node of its driver; what the agent writes
// before there is one is on the head.
func (f *Fake) log(j *fakeJob, text string) { f.logs[f.logKey(j.node, j.id)] += text }

// logKey names a log. Those on the head outlive it: its disk does.
func (f *Fake) logKey(node, id string) string {
	for _, n := range f.nodes {
		if n.NodeID == node && !n.Head {
			return node + "/" + id
		}
	}
	return id
}

// settle brings all jobs to the present, which it returns.
func (f *Fake) settle() time.Time {
	now := f.clock()
	for _, id := range f.order {
		f.advance(f.jobs[id], now)
	}
	for id, back := range f.ghosts {
		if back.After(now) {
			continue
		}
		delete(f.ghosts, id)
		if f.jobs[id] == nil {
			f.jobs[id] = &fakeJob{id: id, entrypoint: "Entrypoint not found."}
			f.order = append(f.order, id)
			f.end(f.jobs[id], back, SupervisorDied())
			delete(f.ended, id) // nothing monitors it
		}
	}
	f.schedule()
	return now
}

// run begins the job's entrypoint.
func (f *Fake) run(j *fakeJob) script {
	var env map[string]string
	if r, ok := j.runtimeEnv.(object); ok {
		env = stringMap(r.get("env_vars"))
	}
	return run(j.entrypoint, env, f.commands, Driver{f})
}

func (f *Fake) advance(j *fakeJob, now time.Time) {
	limit := j.submitted.Add(f.startTimeout)
	inTime := !j.stale && !j.startAt.IsZero() && j.startAt.Before(limit)
	if (!j.stale || j.watched) && j.status == ray.JobPending && !inTime && !limit.After(now) {
		f.end(j, now, Outcome{Status: ray.JobFailed, ErrorType: "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", Message: fmt.Sprintf(msgStartTimeout, f.startTimeout.Seconds())})
	}
	if j.stale || j.status.Terminal() {
		return
	}
	if j.status == ray.JobPending && !j.startAt.IsZero() && !j.startAt.After(now) {
		j.status, j.message, j.startedAt, j.node = ray.JobRunning, msgRunning, j.startAt, f.place(j)
		f.executions[j.id]++
		f.entrypoints[j.entrypoint]++
		j.run = &Execution{ID: j.id, Entrypoint: j.entrypoint, ClusterID: f.clusterID, Submitted: j.submitted, Started: j.startedAt}
		f.runs = append(f.runs, j.run)
		j.script = f.run(j)
		f.write(j, j.startedAt)
		// The supervisor's line comes after what the entrypoint writes at once.
		f.log(j, fmt.Sprintf("Running entrypoint for job %s: %s\n", j.id, j.entrypoint))
	}
	if j.status != ray.JobRunning {
		return
	}
	stops := !j.stopAt.IsZero() && !j.stopAt.After(now)
	if ends := j.startedAt.Add(j.script.ends); j.script.ends >= 0 && !ends.After(now) && (!stops || !ends.After(j.stopAt)) {
		f.write(j, ends)
		o := Failed(j.script.exit)
		if j.script.exit == 0 {
			o = Succeeded()
		}
		f.end(j, ends, o)
		return
	}
	if stops {
		// A stop while PENDING does not keep the entrypoint from running: on 2.60.0 it
		// began when the resources came, and was stopped within a second.
		at := j.stopAt
		if at.Before(j.startedAt) {
			at = j.startedAt
		}
		f.write(j, at)
		f.end(j, at, Outcome{Status: ray.JobStopped})
		return
	}
	f.write(j, now)
}

// write puts what the entrypoint has written by now into the log.
func (f *Fake) write(j *fakeJob, now time.Time) {
	for ; j.written < len(j.script.steps) && !j.startedAt.Add(j.script.steps[j.written].after).After(now); j.written++ {
		f.log(j, j.script.steps[j.written].output)
	}
}

// shown is the job as its record has it.
func (j *fakeJob) shown() *fakeJob {
	if j.misjudged.IsZero() || j.status.Terminal() {
		return j
	}
	out := *j
	out.status, out.endedAt = ray.JobFailed, j.misjudged
	out.message, out.errorType = msgMisjudged, "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE"
	return &out
}

func (f *Fake) end(j *fakeJob, at time.Time, o Outcome) {
	j.run.end(at, o.Status)
	if !j.misjudged.IsZero() && (o.Status != ray.JobFailed || o.ExitCode == nil) {
		message := strings.ReplaceAll(recorded("job-overruled.txt"), "SUCCEEDED", string(o.Status))
		o = Outcome{Status: ray.JobFailed, ErrorType: "JOB_ENTRYPOINT_COMMAND_START_ERROR", Message: message}
	}
	f.ended[j.id] = at
	j.status, j.endedAt, j.exit, j.message, j.errorType = o.Status, at, o.ExitCode, o.Message, o.ErrorType
	if j.message == "" {
		switch {
		case o.Status == ray.JobSucceeded:
			j.message = msgSucceeded
		case o.Status == ray.JobStopped:
			j.message = msgStopped
		case o.ExitCode != nil:
			j.message = fmt.Sprintf(msgFailed, *o.ExitCode, lastLines(f.logs[f.logKey(j.node, j.id)], 10, 20000))
		}
	}
	if j.errorType == "" && o.Status == ray.JobFailed && o.ExitCode != nil {
		j.errorType = "JOB_ENTRYPOINT_COMMAND_ERROR"
	}
	if !f.since(51) {
		j.errorType = "" // the values came with Ray 2.51
	}
}

// reconcile is what an agent does when it is first asked about a job: it looks for
// the supervisors of jobs that are not over, and fails those that have none, those that
// are PENDING only once they had time to start.
func (f *Fake) reconcile() {
	now := f.clock()
	for _, j := range f.jobs {
		j.watched = j.stale
		if j.stale && j.status == ray.JobRunning {
			j.stale = false
			f.end(j, now, Outcome{Status: ray.JobFailed, ErrorType: "JOB_SUPERVISOR_ACTOR_START_FAILURE", Message: msgNoActor})
		}
	}
}

// head is the living head node, or one without id.
func (f *Fake) head() ray.Node {
	for _, n := range f.nodes {
		if n.Head && n.State != ray.NodeDead {
			return n
		}
	}
	return ray.Node{}
}

// lastLines returns the last n lines of s, at most most bytes.
func lastLines(s string, n, most int) string {
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	s = strings.Join(lines[max(0, len(lines)-n):], "")
	return s[max(0, len(s)-most):]
}

// row is a job as GET /api/jobs/{id} of Ray 2.60.0 writes it.
func (f *Fake) row(j *fakeJob, redact bool) object {
	j = j.shown()
	env := j.runtimeEnv
	if redact && f.since(59) {
		env = redactEnv(env)
	}
	var address, node, exit, start, end any
	if j.node != "" {
		address, node = "http://"+f.head().IP+":52365", j.node
	}
	if j.exit != nil {
		exit = *j.exit
	}
	if !j.submitted.IsZero() {
		start = j.submitted.UnixMilli()
	}
	if !j.endedAt.IsZero() {
		end = j.endedAt.UnixMilli()
	}
	return object{
		{"type", "SUBMISSION"}, {"job_id", nil}, {"submission_id", j.id}, {"driver_info", nil}, {"status", string(j.status)},
		{"entrypoint", j.entrypoint}, {"message", orNull(j.message)}, {"error_type", orNull(j.errorType)},
		{"start_time", start}, {"end_time", end}, {"metadata", j.metadata}, {"runtime_env", env},
		{"driver_agent_http_address", address}, {"driver_node_id", node}, {"driver_exit_code", exit},
	}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func redactEnv(env any) any {
	o, ok := env.(object)
	if !ok {
		return env
	}
	out := slices.Clone(o)
	for i, m := range out {
		if vars, ok := m.value.(object); ok && m.name == "env_vars" {
			masked := object{}
			for _, v := range vars {
				masked = append(masked, member{v.name, ray.Redacted})
			}
			out[i].value = masked
		}
	}
	return out
}

func number(v any) float64 {
	if n, ok := v.(interface{ Float64() (float64, error) }); ok {
		if f, err := n.Float64(); err == nil {
			return f
		}
		return math.Inf(1)
	}
	return 0
}
