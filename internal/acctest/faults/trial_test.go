package faults

import (
	"fmt"
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
	fake  *raytest.Fake
	desks []*desk
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
	x := &trial{T: t, Rand: rand.New(rand.NewPCG(seed, 0)), asks: map[string][]time.Time{}, wants: map[string]time.Time{}}
	x.fake = raytest.NewFake(raytest.WithMonitorLag(time.Second), raytest.WithStartDelay(x.upTo(30*time.Millisecond)), raytest.WithStopDelay(x.upTo(100*time.Millisecond)))
	t.Cleanup(x.fake.Close)
	if x.chance(0.5) {
		gcs, err := x.fake.ServeGCS()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(gcs.Close)
	}
	return x
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

// desk is a working directory, at which somebody applies.
type desk struct {
	*core.Core
	trial    *trial
	name     string
	commands atomic.Int32
	jobs     map[string]config // by address
	// again is with what a command asks for another run, until one is green.
	again []core.PlanOption
}

// desk adds a working directory with the provider as main serves it.
func (x *trial) desk() *desk {
	d := &desk{trial: x, name: fmt.Sprintf("desk%d", len(x.desks)), jobs: map[string]config{}}
	d.Core = core.New(x.T, func() tfprotov6.ProviderServer {
		version := fmt.Sprintf("%s.%d", d.name, d.commands.Load())
		server, ok := process.Wrap(providerserver.NewProtocol6(provider.New(version)())())
		if !ok {
			x.Error("the provider's server can't be wrapped")
		}
		return server
	})
	d.impatient(false)
	x.desks = append(x.desks, d)
	return d
}

// impatient configures the provider to wait for an answer no longer than half a
// second, or as long as it does by default.
func (d *desk) impatient(yes bool) {
	provider := config{
		"address": d.trial.fake.URL(), "owner": "faults", "max_unreachable": "2s",
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
	d.jobs[addr] = c
	d.Resource(addr, c)
	d.trial.mu.Lock()
	defer d.trial.mu.Unlock()
	if entrypoint := d.entrypoint(addr); d.trial.wants[entrypoint].IsZero() {
		d.trial.wants[entrypoint] = time.Now()
	}
}

// service is a job that is to run, and does not end.
func (d *desk) service(addr string, more config) {
	d.job(addr, config{"entrypoint": "echo " + name(addr) + "; sleep 3600", "wait_for": "RUNNING"})
	d.job(addr, more)
}

// packaged gives a job a working_dir.
func (d *desk) packaged(addr string) {
	dir := d.trial.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.py"), []byte(addr), 0o600); err != nil {
		d.trial.Fatal(err)
	}
	d.job(addr, config{"working_dir": dir})
}

func name(addr string) string { return addr[len("ray_job."):] }

func (d *desk) entrypoint(addr string) string { return fmt.Sprint(d.jobs[addr]["entrypoint"]) }

func (d *desk) addresses() []string {
	var out []string
	for addr := range d.jobs {
		out = append(out, addr)
	}
	slices.Sort(out)
	return out
}

// ask notes that another run of these jobs is wanted. One that is asked for again
// before it was delivered is still one.
func (d *desk) ask(addrs ...string) {
	d.trial.mu.Lock()
	defer d.trial.mu.Unlock()
	now := time.Now()
	for _, addr := range addrs {
		e := d.entrypoint(addr)
		d.trial.asks[e] = append(d.trial.asks[e], now)
		if d.again == nil {
			d.trial.wants[e] = now
		}
	}
}

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
		d.ask(d.addresses()...)
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
		d.truthful()
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

// truthful checks what a green apply says: each job is as it was asked to be.
func (d *desk) truthful() {
	for _, addr := range d.addresses() {
		id, status := fmt.Sprint(d.State(addr)["submission_id"]), d.State(addr)["status"]
		if run := d.trial.lastRun(id); !d.done(addr, run) {
			d.trial.untruthful("a green apply, and %s is %v in the state; its run %s: %+v", addr, status, id, run)
		}
	}
}

// done reports whether a run is what the job is asked to be.
func (d *desk) done(addr string, run *raytest.Execution) bool {
	switch {
	case run == nil:
		return false
	case d.jobs[addr]["wait_for"] == "RUNNING":
		return run.Ended.IsZero() || run.Status == ray.JobSucceeded || !run.Ended.IsZero() && time.Since(run.Ended) < time.Second
	case d.jobs[addr]["ignore_failure"] == true:
		return !run.Ended.IsZero()
	}
	return run.Status == ray.JobSucceeded
}

// lastRun is the last run under an id, or nil.
func (x *trial) lastRun(id string) *raytest.Execution {
	var last *raytest.Execution
	for _, run := range x.fake.Runs() {
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
	all := x.fake.Runs()
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
	for _, d := range x.desks {
		d.held(held)
	}
	x.findOrphans(all, held)
	return x.found
}

const clock = "15:04:05.000"

// repeats reports whether run b repeats a, which nobody wanted.
func (x *trial) repeats(a, b raytest.Execution) bool {
	asked := slices.ContainsFunc(x.asks[b.Entrypoint], func(t time.Time) bool { return t.After(a.Started) && t.Before(b.Started) })
	if a.Ended.IsZero() || a.Ended.After(b.Started) {
		return !x.kept || !asked
	}
	return a.Status == ray.JobSucceeded && !asked
}

// held notes the ids that the desk's state holds, and finds what is lost.
func (d *desk) held(ids map[string]bool) {
	for _, addr := range d.Addresses() {
		state := d.State(addr)
		ids[fmt.Sprint(state["submission_id"])] = true
		attempts, _ := state["attempts"].([]any)
		for _, a := range attempts {
			if m, ok := a.(map[string]any); ok {
				ids[fmt.Sprint(m["submission_id"])] = true
			}
		}
	}
	for _, addr := range d.addresses() {
		id, since := fmt.Sprint(d.State(addr)["submission_id"]), d.trial.wants[d.entrypoint(addr)]
		if run := d.trial.lastRun(id); !d.done(addr, run) || run.Started.Before(since) {
			d.trial.found.lost = append(d.trial.found.lost, fmt.Sprintf("%s holds %q, whose run since %s is %+v", addr, id, since.Format(clock), run))
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
	for _, job := range x.fake.Jobs() {
		if job.Metadata["terraform.ray-iac/owner"] == "faults" && !held[job.SubmissionID] && (!x.kept || !job.Status.Terminal()) {
			x.found.orphans = append(x.found.orphans, fmt.Sprintf("the record of %s, %s", job.SubmissionID, job.Status))
		}
	}
}
