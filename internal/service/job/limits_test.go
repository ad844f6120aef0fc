package job_test

import (
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

// asMain has the provider served as main serves it, so that it learns of StopProvider.
func asMain(t *testing.T, tf *core.Core) {
	t.Helper()
	tf.Install(func() tfprotov6.ProviderServer {
		server, ok := process.Wrap(providerserver.NewProtocol6(provider.New("test")())())
		if !ok {
			t.Error("the provider's server can't be wrapped")
		}
		return server
	})
}

func TestFakeJob_startTimeoutSaysWhatTheJobWaitedFor(t *testing.T) {
	tf, fake := newTest(t)
	gcs, err := fake.ServeGCS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gcs.Close)
	gcs.Update(func(s *raytest.GCSState) { s.Kill = func(id string) { fake.Finish(id, raytest.SupervisorDied()) } })
	// With retries, since what the provider stopped is not to be run again.
	job := config{"name": "a", "entrypoint": "true", "entrypoint_resources": config{"nowhere": 1}, "start_timeout": "300ms", "retry": config{"min_backoff": "1ms"}}
	tf.Resource(addr, job)
	r := tf.Apply()
	if r.ExitCode() != 1 || !tf.Tainted(addr) {
		t.Fatalf("exit code %d, tainted %t\n%s", r.ExitCode(), tf.Tainted(addr), r.Diagnostics())
	}
	requireSaid(t, r.Diagnostics().Errors(), `Job "a" did not start after 300ms and was stopped`,
		"It may be waiting for resources (CPUs, GPUs, memory, custom resources) to become available",
		"No node can hold the entrypoint", "asks for nowhere 1", "The next apply runs it again")
	requireState(t, tf, "status", "FAILED") // as Ray calls it where the supervisor got no node
	requireRuns(t, fake, "true", 0)
	if n := len(fake.Jobs()); n != 1 {
		t.Errorf("Ray has %d jobs, want one", n)
	}
	requireAction(t, tf.Plan(), core.Replace)
	tf.Resource(addr, with(job, config{"ignore_failure": true}))
	tf.MustApply()
	requireState(t, tf, "attempt", int64(2))
	tf.MustPlanNothing()
}

// Without a GCS Ray can't be made to stop a job that waits for a node.
func TestFakeJob_aStopThatDoesNotSucceedIsToldAndTheJobTakenBack(t *testing.T) {
	tf, fake := newTest(t, raytest.WithHeldJobs())
	job := config{"name": "a", "entrypoint": forever, "start_timeout": "200ms", "stop_timeout": "300ms"}
	tf.Resource(addr, with(job, config{"ignore_failure": true}))
	r := tf.Apply()
	if r.ExitCode() != 1 || tf.State(addr) != nil {
		t.Fatalf("exit code %d, state %v", r.ExitCode(), tf.State(addr))
	}
	requireSaid(t, r.Diagnostics().Errors(), `Job "a" did not start after 200ms, and it did not stop in time`,
		"Job has not started yet", "is still PENDING 300ms after it was asked to stop", "It is not in the state. Apply again to take it back")
	// Ray stops it when it starts at last.
	mine := fake.Jobs()[0].SubmissionID
	fake.Start(mine)
	if got := fake.Jobs()[0].Status; got != ray.JobStopped {
		t.Fatalf("the job is %s", got)
	}
	tf.Resource(addr, with(job, config{"wait_for": "SUBMITTED", "start_timeout": nil}))
	tf.MustApply()
	if got := id(tf); got != mine+"-2" {
		t.Errorf("the next run is %s, want %s-2", got, mine)
	}
}

func TestFakeJob_executionTimeoutStopsTheJob(t *testing.T) {
	tf, fake := newTest(t, raytest.WithStopDelay(200*time.Millisecond))
	const entrypoint = "echo began; sleep 3600"
	job := config{"name": "a", "entrypoint": entrypoint, "execution_timeout": "300ms"}
	tf.Resource(addr, job)
	r := tf.Apply()
	if r.ExitCode() != 1 || !tf.Tainted(addr) {
		t.Fatalf("exit code %d, tainted %t\n%s", r.ExitCode(), tf.Tainted(addr), r.Diagnostics())
	}
	requireSaid(t, r.Diagnostics().Errors(), `Job "a" was still RUNNING after 300ms and was stopped`, "began", "The next apply runs it again")
	requireState(t, tf, "status", "STOPPED")
	if got := fake.Jobs()[0].Status; got != ray.JobStopped {
		t.Errorf("on the cluster it is %s", got)
	}
	requireAction(t, tf.Plan(), core.Replace)
	tf.Resource(addr, with(job, config{"execution_timeout": "1h", "wait_for": "SUCCEEDED"}))
	run := tf.StartApply()
	waitFor(t, func() bool { return fake.EntrypointExecutions(entrypoint) == 2 })
	all := fake.Jobs()
	fake.Finish(all[len(all)-1].SubmissionID, raytest.Succeeded())
	if r := run.Wait(); r.ExitCode() != 0 {
		t.Errorf("the next apply: %s", r.Diagnostics())
	}
	tf.MustPlanNothing()
}

func TestFakeJob_executionTimeoutCountsOverAnInterruptedWait(t *testing.T) {
	tf, fake := newTest(t)
	job := config{"name": "a", "entrypoint": forever, "execution_timeout": "6s"}
	tf.Resource(addr, job)
	run := tf.StartApply()
	waitFor(t, func() bool { return len(fake.Jobs()) == 1 })
	began := time.Now()
	waitFor(t, func() bool { return fake.Requests()["GET /api/jobs/{id}"] > 1 }) // the apply has seen it run
	run.Interrupt()
	run.Wait()
	requireState(t, tf, "status", "RUNNING")
	pause(t, 6*time.Second-time.Since(began))
	start := time.Now()
	r := tf.Apply()
	if took := time.Since(start); took > 6*time.Second {
		t.Errorf("the second apply gave the job %s more", took)
	}
	requireSaid(t, r.Diagnostics().Errors(), "was still RUNNING after 6s and was stopped")
	requireAction(t, tf.Plan(), core.Replace)
	requireRuns(t, fake, forever, 1)
}

func TestFakeJob_interruptStops(t *testing.T) {
	job := config{"name": "a", "entrypoint": forever, "on_interrupt": "stop"}
	start := func(t *testing.T, opts ...raytest.Option) (*core.Core, *raytest.Fake, *core.Run) {
		tf, fake := newTest(t, opts...)
		asMain(t, tf)
		tf.Resource(addr, job)
		run := tf.StartApply()
		waitFor(t, func() bool { return len(fake.Jobs()) == 1 })
		return tf, fake, run
	}
	interrupt := func(t *testing.T, run *core.Run) *core.Result {
		t.Helper()
		began := time.Now()
		run.Interrupt()
		r := run.Wait()
		if took := time.Since(began); took > soon {
			t.Errorf("returned %s after Ctrl-C", took)
		}
		return r
	}
	t.Run("and the job stops", func(t *testing.T) {
		tf, fake, run := start(t, raytest.WithStopDelay(200*time.Millisecond))
		r := interrupt(t, run)
		requireSaid(t, r.Diagnostics().Errors(), `interrupted while it waited for job "a"; the job was stopped`, "The next apply runs the job again")
		requireState(t, tf, "status", "STOPPED")
		if got := fake.Jobs()[0].Status; got != ray.JobStopped || !tf.Tainted(addr) {
			t.Errorf("the job is %s, tainted %t", got, tf.Tainted(addr))
		}
		requireAction(t, tf.Plan(), core.Replace)
	})
	t.Run("and the job takes long to stop", func(t *testing.T) {
		tf, fake, run := start(t, raytest.WithStopDelay(time.Hour))
		r := interrupt(t, run)
		requireSaid(t, r.Diagnostics().Errors(), "it did not stop in time", "still RUNNING", "It is not in the state", "Apply again to take it back")
		if tf.State(addr) != nil {
			t.Errorf("state %v", tf.State(addr))
		}
		// It ends by itself before it is killed: the work is done, and not repeated.
		fake.Finish(fake.Jobs()[0].SubmissionID, raytest.Succeeded())
		tf.MustApply()
		requireState(t, tf, "status", "SUCCEEDED")
		requireRuns(t, fake, forever, 1)
	})
	for name, c := range map[string]struct {
		stops  time.Duration
		said   string
		status string
		next   core.Action
	}{
		"in an update": {0, "the job was stopped", "STOPPED", core.Replace},
		"in an update, and the job takes long to stop": {time.Hour, "it did not stop in time", "RUNNING", core.Update},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t, raytest.WithStopDelay(c.stops))
			asMain(t, tf)
			tf.Resource(addr, with(job, config{"on_interrupt": "leave"}))
			run := tf.StartApply()
			waitFor(t, func() bool { return len(fake.Jobs()) == 1 })
			interrupt(t, run)
			tf.Resource(addr, job)
			requireAction(t, tf.Plan(), core.Update)
			fake.ResetRequests()
			run = tf.StartApply()
			waitFor(t, func() bool { return fake.Requests()["GET /api/jobs/{id}"] > 2 }) // of which one is the refresh
			requireSaid(t, interrupt(t, run).Diagnostics().Errors(), c.said)
			requireState(t, tf, "status", c.status)
			requireAction(t, tf.Plan(), c.next)
			requireRuns(t, fake, forever, 1)
		})
	}
	for name, kill := range map[string]func(*core.Run){"terraform killed": (*core.Run).KillTerraform, "both killed": (*core.Run).Kill} {
		t.Run(name, func(t *testing.T) {
			tf, fake, run := start(t)
			kill(run)
			run.Wait()
			pause(t, time.Second)
			if got := fake.Jobs()[0].Status; got != ray.JobRunning {
				t.Errorf("the job is %s although nobody asked to stop it", got)
			}
			if n := fake.Requests()["POST /api/jobs/{id}/stop"]; n != 0 {
				t.Errorf("%d stops", n)
			}
			fake.Finish(fake.Jobs()[0].SubmissionID, raytest.Succeeded())
			tf.MustApply()
			requireRuns(t, fake, forever, 1)
		})
	}
	t.Run("with a wait for a status that is there", func(t *testing.T) {
		tf, fake := newTest(t)
		asMain(t, tf)
		tf.Resource(addr, with(job, config{"wait_for": "RUNNING"}))
		tf.MustApply()
		if got := fake.Jobs()[0].Status; got != ray.JobRunning {
			t.Errorf("the job is %s", got)
		}
	})
}

// pause lets real time pass, which the provider goes by.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// An interrupted wait may be interrupted again, and looked at by plans and refreshes,
// as often as one likes: the verdict comes in the end.
func TestFakeJob_interruptedAgainAndAgain(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": forever})
	for range 3 {
		fake.ResetRequests()
		run := tf.StartApply()
		waitFor(t, func() bool { return fake.Requests()["GET /api/jobs/{id}"] > 2 }) // one of which is a refresh
		run.Interrupt()
		requireSaid(t, run.Wait().Diagnostics().Warnings(), "was interrupted; the job was left running")
		if tf.Tainted(addr) || id(tf) == "" {
			t.Fatalf("state %v, tainted %t", tf.State(addr), tf.Tainted(addr))
		}
		requireAction(t, tf.Plan(), core.Update)
	}
	fake.Finish(id(tf), raytest.Failed(7))
	tf.MustApply(core.RefreshOnly())
	requireState(t, tf, "status", "FAILED")
	requireAction(t, tf.Plan(), core.Update) // nothing green: the verdict is still to come
	requireSaid(t, tf.Apply().Diagnostics().Errors(), `Job "a" FAILED with exit code 7`)
	requireAction(t, tf.Plan(), core.Replace)
	requireRuns(t, fake, forever, 1)
}

func TestFakeJob_interruptedBeforeItIsSubmitted(t *testing.T) {
	tf, fake := newTest(t)
	list := fake.Fail(raytest.Match{Route: "GET /api/jobs/", Skip: 1}, raytest.FreezeAgent())
	tf.Resource(addr, config{"name": "a", "entrypoint": forever})
	run := tf.StartApply()
	<-list.Hit()
	run.Interrupt()
	list.Thaw()
	r := run.Wait()
	if r.ExitCode() != 1 || tf.State(addr) != nil {
		t.Errorf("exit code %d, state %v", r.ExitCode(), tf.State(addr))
	}
	requireSaid(t, r.Diagnostics().Errors(), "was not submitted; nothing ran")
	requireRuns(t, fake, forever, 0)
}

func TestFakeJob_aLossOfContactThatEndsInTimeIsNone(t *testing.T) {
	tf, fake := newTest(t)
	tf.Provider(config{"address": fake.URL(), "owner": "test", "max_unreachable": "20s"})
	tf.Resource(addr, config{"name": "a", "entrypoint": forever})
	run := tf.StartApply()
	waitFor(t, func() bool { return len(fake.Jobs()) == 1 })
	fake.Down()
	pause(t, time.Second)
	if err := fake.Up(); err != nil {
		t.Fatal(err)
	}
	fake.Finish(fake.Jobs()[0].SubmissionID, raytest.Succeeded())
	if r := run.Wait(); r.ExitCode() != 0 {
		t.Errorf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
	tf.MustPlanNothing()
	requireRuns(t, fake, forever, 1)
}

func TestFakeJob_maxActiveJobs(t *testing.T) {
	tf, fake := newTest(t)
	tf.Provider(config{"address": fake.URL(), "owner": "test", "max_active_jobs": 2})
	place := func(i int, more config) {
		name := "j" + string(rune('0'+i))
		tf.Resource("ray_job."+name, with(config{"name": name, "entrypoint": forever}, more))
	}
	for i := range 4 {
		place(i, config{"wait_for": "SUBMITTED", "timeouts": config{"create": "2s"}})
	}
	r := tf.Apply()
	if r.ExitCode() != 1 || len(fake.Jobs()) != 2 || len(tf.Addresses()) != 2 {
		t.Fatalf("exit code %d, %d jobs, %v in state\n%s", r.ExitCode(), len(fake.Jobs()), tf.Addresses(), r.Diagnostics())
	}
	requireSaid(t, r.Diagnostics().Errors(), "was not submitted; nothing ran", "2 jobs of this apply are active on the cluster, and the provider's max_active_jobs is 2")
	// Another apply counts anew, and the jobs before it make room as they end.
	for i := range 4 {
		place(i, config{"wait_for": "SUBMITTED"})
	}
	place(4, config{"wait_for": "SUBMITTED"})
	run := tf.StartApply()
	waitFor(t, func() bool { return len(fake.Jobs()) == 4 })
	pause(t, 300*time.Millisecond)
	if n := len(fake.Jobs()); n != 4 {
		t.Errorf("%d jobs, want 4: the fifth has no turn", n)
	}
	run.Interrupt()
	r = run.Wait()
	requireSaid(t, r.Diagnostics().Errors(), "was not submitted; nothing ran")
	if n := len(fake.Jobs()); n != 4 {
		t.Errorf("%d jobs after the interrupt, want 4", n)
	}
	run = tf.StartApply()
	for _, j := range fake.Jobs() {
		fake.Finish(j.SubmissionID, raytest.Succeeded())
	}
	if r := run.Wait(); r.ExitCode() != 0 {
		t.Errorf("the last apply: %s", r.Diagnostics())
	}
	requireRuns(t, fake, forever, 5)
}
