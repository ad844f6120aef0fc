package core

import (
	"slices"
	"sync"
)

// Result is what an apply or a destroy did.
type Result struct {
	plan   *Plan
	diags  Diagnostics
	exit   int
	killed bool
}

// Plan returns the plan that was applied.
func (r *Result) Plan() *Plan { return r.plan }

// ExitCode is 0, or 1 after an error, or -1 when Terraform was killed.
func (r *Result) ExitCode() int { return r.exit }

// Killed tells whether Terraform was killed.
func (r *Result) Killed() bool { return r.killed }

// Diagnostics returns what the command printed, the plan's included.
func (r *Result) Diagnostics() Diagnostics { return r.diags }

// Run is a command that is under way.
type Run struct {
	core   *Core
	done   chan struct{}
	result *Result

	mu      sync.Mutex
	procs   []*process
	halting bool
	killing bool
}

// StartApply begins `terraform apply -auto-approve`.
func (c *Core) StartApply(opts ...PlanOption) *Run {
	return c.begin(func(run *Run) *Result {
		plan := c.plan(run, opts)
		if plan.ExitCode() == 1 || run.dead() {
			return run.finish(&Result{plan: plan, diags: plan.diags, exit: 1})
		}
		return c.apply(run, plan)
	})
}

// Apply is `terraform apply -auto-approve`: a plan, and then the apply in
// another provider process.
func (c *Core) Apply(opts ...PlanOption) *Result {
	c.t.Helper()
	return c.StartApply(opts...).Wait()
}

// Destroy is `terraform destroy -auto-approve`.
func (c *Core) Destroy(opts ...PlanOption) *Result {
	c.t.Helper()
	return c.Apply(append(opts, Destroying())...)
}

// StartApply begins `terraform apply PLANFILE`.
func (p *Plan) StartApply() *Run {
	return p.core.begin(func(run *Run) *Result { return p.core.apply(run, p) })
}

// Apply is `terraform apply PLANFILE`. Its diagnostics are without those of
// the plan.
func (p *Plan) Apply() *Result {
	p.core.t.Helper()
	return p.StartApply().Wait()
}

func (c *Core) begin(f func(*Run) *Result) *Run {
	run := &Run{core: c, done: make(chan struct{})}
	go func() {
		defer close(run.done)
		run.result = f(run)
	}()
	return run
}

// Wait waits for the command to end.
func (r *Run) Wait() *Result {
	r.core.t.Helper()
	<-r.done
	if r.result == nil {
		r.core.t.FailNow() // the reason was logged where it happened
	}
	return r.result
}

// Done is closed when the command has ended.
func (r *Run) Done() <-chan struct{} { return r.done }

// Interrupt is Ctrl-C: StopProvider, then the cancelled context of every call
// in flight; what has not begun is not begun. A second one ends Terraform at
// once, and what calls in flight return is lost.
func (r *Run) Interrupt() {
	r.mu.Lock()
	again := r.halting
	r.halting = true
	procs := slices.Clone(r.procs)
	r.mu.Unlock()
	if again {
		r.KillTerraform()
		return
	}
	for _, p := range procs {
		p.interrupt()
	}
}

// Kill is kill -9 of Terraform and the provider at one moment: nothing more
// is written, and no context is cancelled.
func (r *Run) Kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.halting, r.killing = true, true
	for _, p := range r.procs {
		p.kill()
	}
}

// KillTerraform is kill -9 of Terraform only: nothing more is written, and the
// broken connection cancels the provider's calls without a StopProvider.
func (r *Run) KillTerraform() {
	r.Kill()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.procs {
		p.cancel()
	}
}

// KillProvider is kill -9 of the provider only: every call ends in "Plugin
// did not respond" and Terraform writes the state it has.
func (r *Run) KillProvider() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.procs {
		p.kill()
	}
}

// attach makes a process one of the run's; false when the run is over. A nil
// run is one that nobody interrupts.
func (r *Run) attach(p *process) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.halting {
		p.kill()
		return false
	}
	r.procs = []*process{p}
	return true
}

func (r *Run) halted() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.halting
}

func (r *Run) dead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.killing
}

func (r *Run) finish(res *Result) *Result {
	if r.dead() {
		res.killed, res.exit = true, -1
	}
	return res
}
