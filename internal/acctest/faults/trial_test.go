package faults

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/process"
	"github.com/ray-iac/terraform-provider-ray/internal/provider"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

type config = map[string]any

// trial is one run of a fault: a head, the people who apply to it, and what they
// asked for.
type trial struct {
	*testing.T
	*rand.Rand
	// fake is the head, where it is no real one.
	fake *raytest.Fake
	// runs are what ran, records what the head has of this trial.
	runs    func() []raytest.Execution
	records func() []ray.Job
	desks   []holder
	// notes is where the entrypoints on a real head write down that they ran.
	notes string
	// struck are the runs on a real head whose supervisor was killed.
	struck map[string]bool
	// owner is the provider's.
	owner string
	// patience is how many applies after the fault may fail, since a job did.
	patience int
	// kept is set where records that no state holds were kept on purpose.
	kept bool
	// missed is set where the fault did not come about.
	missed bool

	mu    sync.Mutex
	asks  map[string][]time.Time // of another run, by entrypoint
	wants map[string]time.Time   // since when the last run that was asked for is due
	found findings
}

// newTrial starts a head. Its monitor lags as a real one's does.
func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	x := bareTrial(t, seed)
	x.fake = raytest.NewFake(raytest.WithMonitorLag(time.Second), raytest.WithStartDelay(x.upTo(30*time.Millisecond)), raytest.WithStopDelay(x.upTo(100*time.Millisecond)),
		raytest.WithStartTimeout(10*time.Second))
	t.Cleanup(x.fake.Close)
	x.runs, x.records = x.fake.Runs, x.fake.Jobs
	if x.chance(0.2) {
		gcs, err := x.fake.ServeGCS()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(gcs.Close)
	}
	return x
}

// bareTrial is a trial without a head.
func bareTrial(t *testing.T, seed uint64) *trial {
	return &trial{T: t, owner: "faults", Rand: rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed)))), asks: map[string][]time.Time{}, wants: map[string]time.Time{}, struck: map[string]bool{}}
}

// upTo is a random time.
func (x *trial) upTo(d time.Duration) time.Duration { return time.Duration(x.Int64N(int64(d) + 1)) }

// chance is true with probability p.
func (x *trial) chance(p float64) bool { return x.Float64() < p }

// pick is one of several.
func pick[T any](x *trial, of ...T) T { return of[x.IntN(len(of))] }

// wait waits, or less where the test ends.
func (x *trial) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.Context().Done():
	}
}

// holder is a working directory.
type holder interface {
	wished() *wishes
	// objects are the resources in the state, by address.
	objects() map[string]map[string]any
}

// wishes are what a configuration asks for.
type wishes struct {
	trial *trial
	jobs  map[string]config // by address
}

func (w *wishes) wished() *wishes { return w }

func (w *wishes) entrypoint(addr string) string { return fmt.Sprint(w.jobs[addr]["entrypoint"]) }

func (w *wishes) addresses() []string { return slices.Sorted(maps.Keys(w.jobs)) }

// ask notes that another run of these jobs is wanted.
func (w *wishes) ask(addrs ...string) {
	w.askAgain(addrs...)
	w.trial.mu.Lock()
	defer w.trial.mu.Unlock()
	for _, addr := range addrs {
		w.trial.wants[w.entrypoint(addr)] = time.Now()
	}
}

// askAgain notes that a run that may have been delivered is asked for once more.
func (w *wishes) askAgain(addrs ...string) {
	w.trial.mu.Lock()
	defer w.trial.mu.Unlock()
	for _, addr := range addrs {
		e := w.entrypoint(addr)
		w.trial.asks[e] = append(w.trial.asks[e], time.Now())
	}
}

// wish notes a job of the configuration.
func (w *wishes) wish(addr string, c config) {
	w.jobs[addr] = c
	w.trial.mu.Lock()
	defer w.trial.mu.Unlock()
	if e := w.entrypoint(addr); w.trial.wants[e].IsZero() {
		w.trial.wants[e] = time.Now()
	}
}

// done reports whether a run is what the job is asked to be.
func (w *wishes) done(addr string, run *raytest.Execution) bool {
	switch {
	case run == nil:
		return false
	case w.jobs[addr]["wait_for"] == "RUNNING":
		// It may have ended after the apply did.
		return run.Ended.IsZero() || run.Status == ray.JobSucceeded || time.Since(run.Ended) < 2*time.Second
	case w.jobs[addr]["ignore_failure"] == true:
		return !run.Ended.IsZero()
	}
	return run.Status == ray.JobSucceeded
}

// truthful checks what a green apply says: each job is as it was asked to be.
func (x *trial) truthful(h holder) {
	w, objects := h.wished(), h.objects()
	for _, addr := range w.addresses() {
		id, status := fmt.Sprint(objects[addr]["submission_id"]), objects[addr]["status"]
		if run := x.lastRun(id); !w.done(addr, run) {
			x.untruthful("a green apply, and %s is %v in the state; its run %s: %+v", addr, status, id, run)
		}
	}
}

// desk is a working directory with a core of its own.
type desk struct {
	*core.Core
	*wishes
	name     string
	commands atomic.Int32
	// again is with what a command asks for another run, until one is green.
	again []core.PlanOption
}

// desk adds a working directory with the provider as main serves it.
func (x *trial) desk() *desk {
	d := &desk{wishes: &wishes{x, map[string]config{}}, name: fmt.Sprintf("desk%d", len(x.desks))}
	d.Core = core.New(x.T, func() tfprotov6.ProviderServer {
		p := provider.New(fmt.Sprintf("%s.%d", d.name, d.commands.Load()))()
		server, wrapped := process.Wrap(providerserver.NewProtocol6(p)())
		closer, closes := p.(io.Closer)
		if !wrapped || !closes {
			x.Error("the provider's server can't be wrapped, or not be closed")
		}
		return processOf{server, closer}
	})
	d.impatient(false)
	x.desks = append(x.desks, d)
	return d
}

// processOf is a provider's server with what ends together with its process.
type processOf struct {
	*process.Server
	io.Closer
}

// impatient configures the provider to wait for an answer no longer than half a
// second, or as long as it does by default.
func (d *desk) impatient(yes bool) {
	provider := config{
		"address": d.trial.fake.URL(), "owner": d.trial.owner, "max_unreachable": "2s",
		"request_retry": config{"min_backoff": "20ms", "max_backoff": "200ms"},
	}
	if yes {
		provider["request_timeout"] = "500ms"
	}
	d.Provider(provider)
}

// job has the desk's configuration hold a job. Its entrypoint is its own, and ends
// well and soon if nothing befalls it.
func (d *desk) job(addr string, more config) {
	c := config{"name": name(addr), "entrypoint": fmt.Sprintf("echo %s; sleep %.3f", name(addr), d.trial.upTo(300*time.Millisecond).Seconds())}
	if old, ok := d.jobs[addr]; ok {
		c = old
	}
	maps.Copy(c, more)
	d.wish(addr, c)
	d.Resource(addr, c)
}

func (d *desk) objects() map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, addr := range d.Addresses() {
		out[addr] = d.State(addr)
	}
	return out
}

// service is a job that is to run, and does not end.
func (d *desk) service(addr string, more config) {
	d.job(addr, config{"entrypoint": "echo " + name(addr) + "; sleep 3600", "wait_for": "RUNNING"})
	d.job(addr, more)
}

// packaged gives jobs a working_dir whose content nobody has uploaded yet.
func (d *desk) packaged(addrs ...string) {
	for _, addr := range addrs {
		dir := d.trial.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "main.py"), fmt.Appendf(nil, "# %d", d.trial.Uint64()), 0o600); err != nil {
			d.trial.Fatal(err)
		}
		d.job(addr, config{"working_dir": dir})
	}
}

func name(addr string) string { return addr[len("ray_job."):] }

// command is a `terraform apply`.
type command struct {
	*core.Run
	desk *desk
	// agent is the User-Agent of its providers.
	agent string
}

// begin starts an apply.
func (d *desk) begin() *command {
	n := d.commands.Add(1)
	if d.again != nil {
		d.askAgain(d.addresses()...)
	}
	return &command{d.StartApply(d.again...), d, fmt.Sprintf("/%s.%d ", d.name, n)}
}

// apply applies.
func (d *desk) apply() *core.Result { return d.end(d.begin()) }

// plan plans.
func (d *desk) plan() *core.Plan {
	d.commands.Add(1)
	return d.Plan()
}

// end waits for an apply to end.
func (d *desk) end(c *command) *core.Result {
	select {
	case <-c.Done():
	case <-time.After(time.Minute):
		d.trial.untruthful("an apply does not end")
		c.KillTerraform()
	}
	r := c.Wait()
	if r.ExitCode() == 0 {
		d.again = nil
		d.trial.truthful(d)
	}
	return r
}

// kill is kill -9 of the provider, and what a kill of more does beside it.
func (c *command) kill(more func(*core.Run)) {
	c.desk.trial.fake.Sever(c.agent)
	more(c.Run)
}

// clean is an apply before the fault.
func (d *desk) clean() {
	d.trial.Helper()
	if r := d.apply(); r.ExitCode() != 0 {
		d.trial.Fatalf("the apply before the fault: exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
}

func (x *trial) untruthful(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.found.untruthful = append(x.found.untruthful, fmt.Sprintf(format, args...))
}

// lastRun is the last run under an id, or nil.
func (x *trial) lastRun(id string) *raytest.Execution {
	var last *raytest.Execution
	for _, run := range x.runs() {
		if run.ID == id && (last == nil || run.Started.After(last.Started)) {
			last = &run
		}
	}
	return last
}

// settle applies again until it is green, and looks whether a plan is empty then.
func (d *desk) settle() {
	for n := 1; ; n++ {
		r := d.apply()
		if r.ExitCode() == 0 {
			break
		}
		if n > d.trial.patience || n == 5 {
			d.trial.untruthful("apply %d after the fault is over: exit code %d\n%s", n, r.ExitCode(), r.Diagnostics())
		}
		if n == 5 {
			return
		}
	}
	if p := d.plan(); p.ExitCode() != 0 {
		d.trial.untruthful("the plan after a green apply: %s\n%s", p, p.Diagnostics())
	}
}

// judge looks at everything that happened once all is settled.
func (x *trial) judge() findings {
	x.Helper()
	x.wait(200 * time.Millisecond) // what was submitted last is given time to begin
	all := x.runs()
	slices.SortStableFunc(all, func(a, b raytest.Execution) int { return a.Started.Compare(b.Started) })
	for i, b := range all {
		for _, a := range all[:i] {
			if a.Entrypoint == b.Entrypoint && a.ClusterID == b.ClusterID && x.repeats(a, b) {
				x.found.duplicates = append(x.found.duplicates, fmt.Sprintf("%s began %s although %+v; asked for at %v", b.ID, b.Started.Format(clock), a, x.asks[b.Entrypoint]))
				break
			}
		}
	}
	held := map[string]bool{}
	for _, h := range x.desks {
		x.hold(h, held)
	}
	x.findOrphans(all, held)
	return x.found
}

const clock = "15:04:05.000"

// repeats reports whether run b repeats a, which nobody wanted.
func (x *trial) repeats(a, b raytest.Execution) bool {
	asked := slices.ContainsFunc(x.asks[b.Entrypoint], func(t time.Time) bool { return t.After(a.Submitted) && t.Before(b.Submitted) })
	if a.Ended.IsZero() || a.Ended.After(b.Started) {
		return !x.kept || !asked
	}
	return a.Status == ray.JobSucceeded && !asked
}

// hold notes the ids that a state holds, and finds what is lost.
func (x *trial) hold(h holder, ids map[string]bool) {
	w, objects := h.wished(), h.objects()
	for _, object := range objects {
		ids[fmt.Sprint(object["submission_id"])] = true
		attempts, _ := object["attempts"].([]any)
		for _, a := range attempts {
			if m, ok := a.(map[string]any); ok {
				ids[fmt.Sprint(m["submission_id"])] = true
			}
		}
	}
	for _, addr := range w.addresses() {
		id, since := fmt.Sprint(objects[addr]["submission_id"]), x.wants[w.entrypoint(addr)]
		if run := x.lastRun(id); !w.done(addr, run) || run.Submitted.Before(since) {
			x.found.lost = append(x.found.lost, fmt.Sprintf("%s holds %q, whose run since %s is %+v", addr, id, since.Format(clock), run))
		}
	}
}

// findOrphans finds runs and records of ours that nobody holds.
func (x *trial) findOrphans(all []raytest.Execution, held map[string]bool) {
	for _, run := range all {
		if run.Ended.IsZero() && !held[run.ID] {
			x.found.orphans = append(x.found.orphans, fmt.Sprintf("%s runs: %+v", run.ID, run))
		}
	}
	for _, job := range x.records() {
		if job.Metadata["terraform.ray-iac/owner"] == x.owner && !held[job.SubmissionID] && (!x.kept || !job.Status.Terminal()) {
			x.found.orphans = append(x.found.orphans, fmt.Sprintf("the record of %s, %s", job.SubmissionID, job.Status))
		}
	}
}
