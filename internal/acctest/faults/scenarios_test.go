package faults

import (
	"fmt"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// scenarios are the faults that are more than one request's.
func scenarios() []fault {
	return []fault{
		{"kill -9 of Terraform and the provider", func(x *trial) { x.killed(x.work(), (*core.Run).Kill) }},
		{"kill -9 of the provider", func(x *trial) { x.killed(x.work(), (*core.Run).KillProvider) }},
		{"kill -9 of Terraform", func(x *trial) { x.cut(x.work(), func(c *command) { c.KillTerraform() }) }},
		{"kill -9 again and again", func(x *trial) {
			d := x.work()
			for range 3 {
				x.befall(d, func(c *command) { c.kill((*core.Run).Kill) })
			}
			d.settle()
		}},
		{"Ctrl-C", func(x *trial) { x.cut(x.work(), func(c *command) { c.Interrupt() }) }},
		{"Ctrl-C twice", func(x *trial) {
			x.cut(x.work(), func(c *command) {
				c.Interrupt()
				x.wait(x.upTo(100 * time.Millisecond))
				c.Interrupt()
			})
		}},
		{"Ctrl-C, on_interrupt = stop", func(x *trial) {
			d := x.work(config{"on_interrupt": "stop"})
			x.cut(d, func(c *command) { c.Interrupt() })
		}},
		{"Ctrl-C, and the job fails unseen", interruptedAndFailed},
		{"head down for a while", func(x *trial) {
			d := x.work()
			x.befall(d, func(*command) {
				x.fake.Down()
				x.wait(x.upTo(pick(x, 300*time.Millisecond, time.Second, 3*time.Second)))
				x.up()
			})
			d.settle()
		}},
		{"head replaced", func(x *trial) { x.restarted(false) }},
		{"head restarted with Redis", func(x *trial) { x.restarted(true) }},
		{"record deleted after the end", func(x *trial) {
			d := x.work()
			d.clean()
			x.forget(d)
			d.settle()
		}},
		{"record deleted, rerun_on = [MISSING], kill -9", func(x *trial) {
			d := x.desk()
			d.job("ray_job.j0", config{"rerun_on": []any{"MISSING"}})
			d.clean()
			x.forget(d)
			d.ask(d.addresses()...)
			x.killed(d, (*core.Run).Kill)
		}},
		{"head replaced, rerun_on = [CLUSTER_REPLACED], kill -9", func(x *trial) {
			d := x.desk()
			d.job("ray_job.j0", config{"rerun_on": []any{"CLUSTER_REPLACED"}})
			d.clean()
			x.fake.Restart(false)
			d.ask(d.addresses()...)
			x.killed(d, (*core.Run).Kill)
		}},
		{"state lost", func(x *trial) {
			d := x.work()
			d.clean()
			for _, addr := range d.addresses() {
				d.Forget(addr)
			}
			x.killed(d, (*core.Run).Kill)
		}},
		{"two applies race", func(x *trial) { x.race(false) }},
		{"two applies race, one is killed", func(x *trial) { x.race(true) }},
		{"renamed with moved, kill -9", func(x *trial) {
			d := x.desk()
			d.job("ray_job.j0", nil)
			d.clean()
			d.rename("ray_job.j0", "ray_job.k0")
			d.Move("ray_job.j0", "ray_job.k0")
			d.settle()
		}},
		{"renamed without moved, kill -9", func(x *trial) {
			d := x.desk()
			d.job("ray_job.j0", nil)
			d.clean()
			d.rename("ray_job.j0", "ray_job.k0")
			// The plan says that it runs again or, where the create comes first, not.
			d.askAgain("ray_job.k0")
			x.killed(d, (*core.Run).Kill)
		}},
		{"destroyed and created again, kill -9", func(x *trial) {
			d := x.work()
			d.clean()
			if r := d.Destroy(); r.ExitCode() != 0 {
				x.Fatalf("destroy: %s", r.Diagnostics())
			}
			d.ask(d.addresses()...)
			x.killed(d, (*core.Run).Kill)
		}},
		{"create_before_destroy, kill -9", createdBeforeDestroyed},
		{"on_destroy = stop, kill -9", func(x *trial) { x.keeping("stop") }},
		{"on_destroy = abandon, kill -9", func(x *trial) { x.keeping("abandon") }},
		{"retry, kill -9", retried},
		{"retry, the record says FAILED and the job goes on", misjudged},
		{"own submission_id, again after FAILED", ownID},
		{"ignore_failure, state lost, kill -9", func(x *trial) {
			d := x.desk()
			d.job("ray_job.j0", config{"entrypoint": "exit 3", "ignore_failure": true})
			d.clean()
			d.Forget("ray_job.j0")
			x.killed(d, (*core.Run).Kill)
			x.requireOneRun("exit 3")
		}},
	}
}

// work is a desk that is about to have its jobs run, for the first time or again.
func (x *trial) work(more ...config) *desk {
	d := x.desk()
	x.someJobs(d, false)
	for _, addr := range d.addresses() {
		for _, c := range more {
			d.job(addr, c)
		}
	}
	if x.chance(0.4) {
		d.clean()
		x.change(d, false)
	}
	return d
}

// befall applies, and has something happen at a moment that chance chooses.
func (x *trial) befall(d *desk, what func(*command)) *core.Result {
	moment := x.fake.Fail(raytest.Match{Skip: x.IntN(10 + 8*len(d.jobs))}, raytest.Slow(x.upTo(20*time.Millisecond)))
	c := d.begin()
	select {
	case <-moment.Hit():
		x.wait(x.upTo(40 * time.Millisecond))
		what(c)
	case <-c.Done():
		x.missed = true
	}
	x.fake.ClearFaults()
	return d.end(c)
}

func (x *trial) cut(d *desk, how func(*command)) {
	x.befall(d, how)
	d.settle()
}

func (x *trial) killed(d *desk, how func(*core.Run)) {
	x.cut(d, func(c *command) { c.kill(how) })
}

func (x *trial) up() {
	if err := x.fake.Up(); err != nil {
		x.Error(err)
	}
}

// restarted has the head killed, and started again, while an apply is under way.
func (x *trial) restarted(redis bool) {
	d := x.work()
	x.befall(d, func(*command) {
		x.fake.Down()
		x.wait(x.upTo(300 * time.Millisecond))
		x.fake.Restart(redis)
		x.up()
	})
	if redis {
		x.patience = 1 // what ran is FAILED, and an apply that takes it over says so
	}
	d.settle()
}

// forget has others delete the records of jobs that are over.
func (x *trial) forget(d *desk) {
	for _, addr := range d.addresses() {
		if d.jobs[addr]["wait_for"] != "RUNNING" {
			x.fake.Forget(fmt.Sprint(d.State(addr)["submission_id"]))
		}
	}
}

// rename gives a job's block another label.
func (d *desk) rename(from, to string) {
	c := d.jobs[from]
	delete(d.jobs, from)
	d.Remove(from)
	d.jobs[to] = c
	d.job(to, nil)
}

// race has two people apply the same jobs at one time, each with a state of their
// own.
func (x *trial) race(killed bool) {
	a := x.desk()
	a.job("ray_job.j0", nil)
	a.job("ray_job.j1", nil)
	b := x.desk()
	for _, addr := range a.addresses() {
		b.job(addr, a.jobs[addr])
	}
	first := a.begin()
	x.wait(x.upTo(100 * time.Millisecond))
	second := b.begin()
	if killed {
		x.wait(x.upTo(300 * time.Millisecond))
		first.kill((*core.Run).Kill)
	}
	a.end(first)
	if r := b.end(second); r.ExitCode() != 0 {
		x.untruthful("the second of two applies: %s", r.Diagnostics())
	}
	a.settle()
	b.settle()
}

func createdBeforeDestroyed(x *trial) {
	d := x.desk()
	d.job("ray_job.j0", nil)
	cbd := func() { d.Resource("ray_job.j0", d.jobs["ray_job.j0"], core.CreateBeforeDestroy()) }
	cbd()
	d.clean()
	d.job("ray_job.j0", config{"triggers": config{"n": "2"}})
	cbd()
	d.ask("ray_job.j0")
	x.killed(d, (*core.Run).Kill)
}

// keeping replaces jobs whose records, or runs, are left on the cluster.
func (x *trial) keeping(onDestroy string) {
	x.kept = true
	d := x.desk()
	x.someJobs(d, false)
	for _, addr := range d.addresses() {
		// What is abandoned runs on: only that which ends is not an orphan for ever.
		d.job(addr, config{"on_destroy": onDestroy, "wait_for": nil, "entrypoint": "echo " + name(addr) + "; sleep 0.1"})
	}
	d.clean()
	x.change(d, false)
	x.befall(d, func(c *command) { c.kill((*core.Run).Kill) })
	x.adopted(d)
	d.settle()
}

// adopted takes back what was asked for where a kill came between the two halves of
// a replacement: what was destroyed is a SUCCEEDED job that was left on the cluster,
// and that is adopted. The plan has to say so.
func (x *trial) adopted(d *desk) {
	p := d.plan()
	for _, addr := range d.addresses() {
		if d.State(addr) == nil && p.Diagnostics().For(addr).Contains("nothing will run") {
			x.wants[d.entrypoint(addr)] = time.Time{}
		}
	}
}

// play ends the runs of an entrypoint, one after the other, with these outcomes;
// all that come later with the last.
func (x *trial) play(entrypoint string, outcomes ...raytest.Outcome) {
	pause := x.upTo(200 * time.Millisecond)
	done := make(chan struct{})
	x.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		for x.Context().Err() == nil {
			x.wait(pause + 5*time.Millisecond)
			n := -1
			for _, run := range x.runs() {
				if run.Entrypoint != entrypoint {
					continue
				}
				if n++; run.Ended.IsZero() {
					x.fake.Finish(run.ID, outcomes[min(n, len(outcomes)-1)])
				}
			}
		}
	}()
}

const untilFinished = "sleep 3600"

// retried has attempts die with their cluster's part, and the provider killed.
func retried(x *trial) {
	d := x.desk()
	d.job("ray_job.j0", config{"entrypoint": untilFinished, "retry": config{"min_backoff": "1ms", "max_backoff": "50ms"}})
	outcomes := []raytest.Outcome{raytest.SupervisorDied(), raytest.Succeeded()}
	if x.chance(0.5) {
		outcomes = []raytest.Outcome{raytest.SupervisorDied(), raytest.SupervisorDied(), raytest.Succeeded()}
	}
	x.play(untilFinished, outcomes...)
	x.killed(d, (*core.Run).Kill)
}

// misjudged has Ray call a job FAILED that goes on and succeeds.
func misjudged(x *trial) {
	d := x.desk()
	d.job("ray_job.j0", config{"entrypoint": untilFinished, "retry": config{"min_backoff": "1ms", "max_backoff": "50ms"}})
	c := d.begin()
	for len(x.runs()) == 0 {
		x.wait(5 * time.Millisecond)
	}
	id := x.runs()[0].ID
	x.wait(x.upTo(150 * time.Millisecond))
	x.fake.Misjudge(id)
	if x.chance(0.5) {
		x.wait(x.upTo(300 * time.Millisecond))
		c.kill((*core.Run).Kill)
		d.end(c)
		c = d.begin()
	}
	x.wait(x.upTo(2500 * time.Millisecond))
	x.fake.Finish(id, raytest.Succeeded())
	d.end(c)
	d.settle()
}

// ownID runs a job again under the id that its user chose: its record is deleted,
// and the id submitted again.
func ownID(x *trial) {
	d := x.desk()
	d.job("ray_job.j0", config{"name": nil, "submission_id": "mine", "entrypoint": untilFinished})
	x.play(untilFinished, raytest.Failed(1), raytest.Succeeded())
	d.apply()
	if d.Tainted("ray_job.j0") && x.chance(0.3) {
		d.Forget("ray_job.j0")
	}
	switch route := pick(x, deleteJob, postJob, ""); route {
	case "":
		x.killed(d, (*core.Run).Kill)
		return
	default:
		at := x.fake.Fail(raytest.Match{Route: route, Times: pick(x, 1, 2, -1)}, pick(x, raytest.LoseAnswer(), raytest.HalfAnswer(), raytest.ProxyPageAfter(504), raytest.Reset()))
		d.apply()
		x.missed = at.Hits() == 0
		x.fake.ClearFaults()
	}
	d.settle()
}

// interruptedAndFailed: the next apply has to tell of the failure, the one after
// it runs the job again.
func interruptedAndFailed(x *trial) {
	d := x.desk()
	d.job("ray_job.j0", config{"entrypoint": untilFinished})
	x.befall(d, func(c *command) { c.Interrupt() })
	x.patience = 1
	x.play(untilFinished, raytest.Failed(1), raytest.Succeeded())
	d.settle()
}

// requireOneRun is for an entrypoint that fails, as it is meant to.
func (x *trial) requireOneRun(entrypoint string) {
	n := 0
	for _, run := range x.runs() {
		if run.Entrypoint == entrypoint {
			n++
		}
	}
	if n != 1 {
		x.found.duplicates = append(x.found.duplicates, fmt.Sprintf("%q ran %d times and is %s, which was fine", entrypoint, n, ray.JobFailed))
	}
}
