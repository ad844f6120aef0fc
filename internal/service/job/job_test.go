package job_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/provider"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const (
	addr    = "ray_job.a"
	forever = "sleep 3600"
)

type config = map[string]any

// newTest is Terraform with the provider, and the fake head that it talks to.
func newTest(t *testing.T, opts ...raytest.Option) (*core.Core, *raytest.Fake) {
	t.Helper()
	t.Parallel()
	return newAlone(t, opts...)
}

// newAlone is newTest for a test that keeps the machine busy by itself.
func newAlone(t *testing.T, opts ...raytest.Option) (*core.Core, *raytest.Fake) {
	t.Helper()
	fake := raytest.NewFake(opts...)
	t.Cleanup(fake.Close)
	tf := core.New(t, func() tfprotov6.ProviderServer {
		return providerserver.NewProtocol6(provider.New("test")())()
	})
	tf.Provider(config{"address": fake.URL(), "owner": "test", "max_unreachable": "2s"})
	return tf, fake
}

// with is base with more in it; a nil value takes an argument out.
func with(base config, more config) config {
	out := config{}
	for _, m := range []config{base, more} {
		for k, v := range m {
			out[k] = v
			if v == nil {
				delete(out, k)
			}
		}
	}
	return out
}

func requireRuns(t *testing.T, fake *raytest.Fake, entrypoint string, want int) {
	t.Helper()
	if got := fake.EntrypointExecutions(entrypoint); got != want {
		t.Errorf("entrypoint %q ran %d times, want %d", entrypoint, got, want)
	}
}

func requireState(t *testing.T, tf *core.Core, attribute string, want any) {
	t.Helper()
	if got := tf.State(addr)[attribute]; got != want {
		t.Errorf("%s = %#v in state, want %#v", attribute, got, want)
	}
}

// requireSaid fails unless the diagnostics hold all the texts.
func requireSaid(t *testing.T, said core.Diagnostics, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !said.Contains(s) {
			t.Errorf("nothing says %q in:\n%s", s, said)
		}
	}
}

func requireAction(t *testing.T, p *core.Plan, want core.Action) {
	t.Helper()
	if got := p.Action(addr); got != want {
		t.Errorf("planned %s, want %s\n%s\n%s", got, want, p, p.Diagnostics())
	}
}

func id(tf *core.Core) string {
	s, _ := tf.State(addr)["submission_id"].(string)
	return s
}

func TestFakeJob_runsOnceAndStaysDone(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo hi"})
	tf.MustApply()
	requireState(t, tf, "status", "SUCCEEDED")
	requireState(t, tf, "attempt", int64(1))
	requireState(t, tf, "owner", "test")
	fake.ResetRequests()
	tf.MustPlanNothing()
	if n := fake.Requests(); len(n) != 0 {
		t.Errorf("the plan of a finished job asked the cluster: %v", n)
	}
	// What Ray forgot is no drift.
	fake.Restart(false)
	tf.MustPlanNothing()
	requireRuns(t, fake, "echo hi", 1)
	if got := tf.Identity(addr)["submission_id"]; got != id(tf) {
		t.Errorf("identity %v, want %s", got, id(tf))
	}
}

func TestFakeJob_failureIsAnErrorAndRunsAgain(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo why it failed; exit 3"})
	r := tf.Apply()
	if r.ExitCode() != 1 || !tf.Tainted(addr) {
		t.Fatalf("exit code %d, tainted %t", r.ExitCode(), tf.Tainted(addr))
	}
	requireSaid(t, r.Diagnostics(), `Job "a" FAILED with exit code 3`, "why it failed", "JOB_ENTRYPOINT_COMMAND_ERROR", "The next apply runs it again")
	requireState(t, tf, "driver_exit_code", int64(3))
	first := id(tf)
	requireAction(t, tf.Plan(), core.Replace)
	tf.Apply()
	if got := id(tf); got != first+"-2" {
		t.Errorf("second run is %s, want %s-2", got, first)
	}
	requireRuns(t, fake, "echo why it failed; exit 3", 2)
}

func TestFakeJob_ignoreFailureKeepsTheOutcome(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "exit 3", "ignore_failure": true})
	tf.MustApply()
	requireState(t, tf, "status", "FAILED")
	tf.MustPlanNothing()
	tf.Forget(addr) // a lost state: the failure is taken over, not repeated
	tf.MustApply()
	requireState(t, tf, "status", "FAILED")
	requireRuns(t, fake, "exit 3", 1)
}

func TestFakeJob_replaceRunsAgain(t *testing.T) {
	for _, onDestroy := range []string{"delete", "stop", "abandon"} {
		t.Run(onDestroy, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(addr, config{"name": "a", "entrypoint": "true", "on_destroy": onDestroy})
			tf.MustApply()
			first := id(tf)
			for _, suffix := range []string{"-2", "-3"} {
				tf.MustApply(core.Replacing(addr))
				if got := id(tf); got != first+suffix {
					t.Errorf("replacement is %s, want %s%s", got, first, suffix)
				}
			}
			requireRuns(t, fake, "true", 3)
			tf.Destroy()
			if left := len(fake.Jobs()); (left == 0) != (onDestroy == "delete") {
				t.Errorf("%d records left with on_destroy = %s", left, onDestroy)
			}
		})
	}
}

func TestFakeJob_taintRunsAgain(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "on_destroy": "stop"})
	tf.MustApply()
	tf.Taint(addr)
	p := tf.Plan()
	requireAction(t, p, core.Replace)
	requireSaid(t, p.Diagnostics().Warnings(), `Job "a" will run again`, "is the one in the state", "as the next attempt")
	if p.Diagnostics().Contains("nothing will run") {
		t.Errorf("the plan denies that the job runs again:\n%s", p.Diagnostics())
	}
	tf.MustApply()
	requireRuns(t, fake, "true", 2)
	tf.MustPlanNothing()
}

func TestFakeJob_interruptWaitsOn(t *testing.T) {
	for name, c := range map[string]struct {
		outcome raytest.Outcome
		green   bool
	}{
		"and the job succeeds": {raytest.Succeeded(), true},
		"and the job fails":    {raytest.Failed(1), false},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(addr, config{"name": "a", "entrypoint": forever})
			run := tf.StartApply()
			waitFor(t, func() bool { return len(fake.Jobs()) == 1 })
			start := time.Now()
			run.Interrupt()
			r := run.Wait()
			if took := time.Since(start); took > soon {
				t.Errorf("returned %s after Ctrl-C", took)
			}
			requireSaid(t, r.Diagnostics(), "was interrupted; the job was left running", "ray job stop "+id(tf), "NOT complete")
			if tf.Tainted(addr) || id(tf) == "" {
				t.Fatalf("after Ctrl-C: state %v, tainted %t", tf.State(addr), tf.Tainted(addr))
			}
			// The job ends before anybody looks again: never a green apply on a
			// failed job.
			fake.Finish(id(tf), c.outcome)
			p := tf.Plan()
			requireAction(t, p, core.Update)
			requireSaid(t, p.Diagnostics(), "goes on")
			if p.ExitCode() != 2 {
				t.Errorf("exit code of the plan %d, want 2", p.ExitCode())
			}
			r = tf.Apply()
			if (r.ExitCode() == 0) != c.green {
				t.Fatalf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
			}
			if c.green {
				tf.MustPlanNothing()
				requireRuns(t, fake, forever, 1)
				return
			}
			requireSaid(t, r.Diagnostics(), "FAILED")
			p = tf.Plan()
			requireAction(t, p, core.Replace)
			requireSaid(t, p.Diagnostics(), "did not succeed and will run again")
			tf.Resource(addr, config{"name": "a", "entrypoint": forever, "ignore_failure": true})
			tf.MustApply()
			tf.MustPlanNothing()
			requireRuns(t, fake, forever, 1)
		})
	}
}

// soon is far less than what an interrupted call would have waited for, and more than a
// busy machine adds to the two seconds that it may take.
const soon = 15 * time.Second

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatal("waited a minute for nothing")
		case <-tick.C:
		}
	}
}

func TestFakeJob_killedWhileWaitingIsTakenBack(t *testing.T) {
	for name, kill := range map[string]func(*core.Run){
		"terraform and provider": (*core.Run).Kill,
		"terraform only":         (*core.Run).KillTerraform,
		"provider only":          (*core.Run).KillProvider,
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(addr, config{"name": "a", "entrypoint": forever})
			run := tf.StartApply()
			waitFor(t, func() bool { return len(fake.Jobs()) == 1 })
			kill(run)
			run.Wait()
			if tf.State(addr) != nil {
				t.Fatalf("state after the kill: %v", tf.State(addr))
			}
			p := tf.Plan()
			requireAction(t, p, core.Create)
			requireSaid(t, p.Diagnostics(), "is on the cluster already", "It will be taken over and waited for; nothing is submitted")
			fake.Finish(fake.Jobs()[0].SubmissionID, raytest.Succeeded())
			tf.MustApply()
			requireState(t, tf, "status", "SUCCEEDED")
			requireRuns(t, fake, forever, 1)
			tf.MustPlanNothing()
		})
	}
}

func TestFakeJob_aFinishedRunIsTakenOverAndThePlanSaysSo(t *testing.T) {
	tf, fake := newTest(t)
	tf.Provider(config{"address": fake.URL()}) // no owner
	tf.Resource(addr, config{"name": "a", "entrypoint": "true"})
	tf.MustApply()
	tf.Forget(addr)
	p := tf.Plan()
	requireSaid(t, p.Diagnostics(), "ended SUCCEEDED at", "nothing will run", "change triggers", "The provider has no owner")
	tf.MustApply()
	requireRuns(t, fake, "true", 1)
}

func TestFakeJob_aRunThatFailedUnseenIsShown(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo why it failed; sleep 3600", "timeouts": config{"create": "2s"}})
	requireSaid(t, tf.Apply().Diagnostics().Errors(), "is not over after")
	fake.Finish(fake.Jobs()[0].SubmissionID, raytest.Failed(3))
	requireSaid(t, tf.Plan().Diagnostics().Warnings(), `Job "a" will run again`, "FAILED with exit code 3", "why it failed", "-2")
}

func TestFakeJob_aFailureThatMattersAfterAll(t *testing.T) {
	tf, fake := newTest(t)
	job := config{"name": "a", "entrypoint": "exit 3", "ignore_failure": true}
	tf.Resource(addr, job)
	tf.MustApply()
	fake.Restart(false) // and Ray does not know the job any more
	tf.Resource(addr, with(job, config{"ignore_failure": false}))
	requireAction(t, tf.Plan(), core.Update)
	r := tf.Apply()
	if r.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", r.ExitCode())
	}
	requireSaid(t, r.Diagnostics().Errors(), `Job "a" FAILED with exit code 3`)
	requireState(t, tf, "status", "FAILED")
	requireAction(t, tf.Plan(), core.Replace)
	tf.Resource(addr, job)
	tf.MustApply()
	tf.MustPlanNothing()
	requireRuns(t, fake, "exit 3", 1)
}

func TestFakeJob_nullMembersAreAbsent(t *testing.T) {
	tf, fake := newTest(t)
	job := config{"name": "a", "entrypoint": "true"}
	tf.Resource(addr, with(job, config{
		"triggers": config{"x": nil}, "metadata": config{"x": nil}, "entrypoint_resources": config{"x": nil}, "entrypoint_label_selector": config{"x": nil},
		"runtime_env": config{"env_vars": config{"X": nil}},
	}))
	tf.MustApply()
	first := id(tf)
	tf.Resource(addr, with(job, config{"runtime_env": config{"config": config{}}}))
	if p := tf.Plan(); p.Action(addr) == core.Replace {
		t.Errorf("what says nothing replaces the job:\n%s", p)
	}
	tf.Forget(addr)
	tf.Resource(addr, job)
	tf.MustApply()
	if id(tf) != first {
		t.Errorf("without the null members the job is %s, was %s", id(tf), first)
	}
	requireRuns(t, fake, "true", 1)
}

func TestFakeJob_defaultMetadataIsNoDiff(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "true"})
	tf.MustApply()
	tf.Provider(config{"address": fake.URL(), "owner": "test", "default_metadata": config{"run": "7"}})
	tf.MustPlanNothing()
	tf.MustApply(core.Replacing(addr))
	if all, _ := tf.State(addr)["metadata_all"].(map[string]any); all["run"] != "7" {
		t.Errorf("metadata_all is %v, want run = 7 in it", all)
	}
}

// Core itself refuses the second plan that it makes in an apply.
func TestFakeJob_aDirectoryThatChangesAfterThePlan(t *testing.T) {
	tf, fake := newTest(t)
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "main.py"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before")
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "working_dir": dir})
	p := tf.Plan()
	write("after")
	requireSaid(t, p.Apply().Diagnostics().Errors(), "inconsistent final plan", ".working_dir_hash")
	requireRuns(t, fake, "true", 0)
}

func TestFakeJob_foreignJobUnderTheID(t *testing.T) {
	tf, fake := newTest(t)
	client, err := dashboard.New(dashboard.Options{URL: fake.URL()})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Submit(t.Context(), ray.Submission{SubmissionID: "mine", Entrypoint: "echo theirs"}); err != nil {
		t.Fatal(err)
	}
	tf.Resource(addr, config{"submission_id": "mine", "entrypoint": "true"})
	requireSaid(t, tf.Plan().Diagnostics().Warnings(), "is taken", `entrypoint "echo theirs"`)
	r := tf.Apply()
	if r.ExitCode() != 1 || tf.State(addr) != nil {
		t.Fatalf("exit code %d, state %v", r.ExitCode(), tf.State(addr))
	}
	requireSaid(t, r.Diagnostics().Errors(), "is taken", `entrypoint "echo theirs"`, "Choose another name or submission_id")
	requireRuns(t, fake, "true", 0)
	tf.Provider(config{"address": fake.URL(), "owner": "test", "plan_checks": "error"})
	if p := tf.Plan(); p.ExitCode() != 1 {
		t.Errorf("plan_checks = error: exit code %d, want 1", p.ExitCode())
	}
}

func TestFakeJob_twoResourcesClaimOneJob(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "true"})
	tf.Resource("ray_job.b", config{"name": "a", "entrypoint": "true"})
	p := tf.Plan()
	if p.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", p.ExitCode())
	}
	requireSaid(t, p.Diagnostics().Errors(), "Two resources claim job", "Give each its own name")
	requireRuns(t, fake, "true", 0)
}

// One job more in front of a list moves every other to the next index.
func TestFakeJob_jobsMayChangePlaces(t *testing.T) {
	tf, fake := newTest(t)
	place := func(i int, name string) {
		tf.Resource("ray_job.n["+strconv.Itoa(i)+"]", config{"name": name, "entrypoint": "true"})
	}
	place(0, "a")
	place(1, "b")
	tf.MustApply()
	place(0, "new")
	place(1, "a")
	place(2, "b")
	requireSaid(t, tf.Plan().Diagnostics().Warnings(), "destroyed and created in one plan", "add a moved block")
	tf.MustApply()
	tf.MustPlanNothing()
	if all := fake.Jobs(); len(all) != 3 {
		t.Errorf("Ray has %+v, want three jobs", all)
	}
}

func TestFakeJob_renameWithoutMovedIsWarnedOf(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "true"})
	tf.MustApply()
	tf.Remove(addr)
	tf.Resource("ray_job.b", config{"name": "a", "entrypoint": "true"})
	requireSaid(t, tf.Plan().Diagnostics().Warnings(), "destroyed and created in one plan", "add a moved block")
	tf.Move(addr, "ray_job.b")
	tf.MustPlanNothing()
	requireRuns(t, fake, "true", 1)
}

// Core deletes and creates at one time; one after the other, as they come by name.
func TestFakeJob_renameWithoutMoved(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, from, to string
		runs           int
		said           []string
	}{
		{"the delete first", "ray_job.a", "ray_job.b", 2, nil},
		{"the create first", "ray_job.b", "ray_job.a", 1, []string{"was taken over", "was taken over by its replacement and did not run again"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fake := raytest.NewFake()
			t.Cleanup(fake.Close)
			tf := core.New(t, func() tfprotov6.ProviderServer { return providerserver.NewProtocol6(provider.New("test")())() }, core.Parallelism(1))
			tf.Provider(config{"address": fake.URL(), "owner": "test"})
			job := config{"name": "a", "entrypoint": "true"}
			tf.Resource(test.from, job)
			tf.MustApply()
			tf.Remove(test.from)
			tf.Resource(test.to, job)
			requireSaid(t, tf.MustApply().Diagnostics(), test.said...)
			requireRuns(t, fake, "true", test.runs)
			tf.MustPlanNothing()
			if all := fake.Jobs(); len(all) != 1 || tf.State(test.to)["submission_id"] != all[0].SubmissionID {
				t.Errorf("Ray has %+v, the state holds %v", all, tf.State(test.to)["submission_id"])
			}
		})
	}
}

func TestFakeJob_deadlineForgetsAndTakesBack(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "timeouts": config{"create": "2s"}})
	r := tf.Apply()
	if r.ExitCode() != 1 || tf.State(addr) != nil {
		t.Fatalf("exit code %d, state %v", r.ExitCode(), tf.State(addr))
	}
	requireSaid(t, r.Diagnostics(), `Job "a" is not over after 2s`, "Apply again to take it back", "ray job stop a-")
	fake.Finish(fake.Jobs()[0].SubmissionID, raytest.Succeeded())
	tf.MustApply()
	requireRuns(t, fake, forever, 1)
}

func TestFakeJob_lostContactForgetsAndTakesBack(t *testing.T) {
	tf, fake := newTest(t)
	tf.Provider(config{"address": fake.URL(), "owner": "test", "max_unreachable": "500ms", "request_retry": config{"max_attempts": 1}})
	tf.Resource(addr, config{"name": "a", "entrypoint": forever})
	run := tf.StartApply()
	waitFor(t, func() bool { return fake.Requests()["GET /api/jobs/{id}"] > 0 }) // the submission was answered
	fake.Down()
	r := run.Wait()
	if r.ExitCode() != 1 || tf.State(addr) != nil {
		t.Fatalf("exit code %d, state %v", r.ExitCode(), tf.State(addr))
	}
	requireSaid(t, r.Diagnostics(), "Lost contact while waiting for job", "Apply again to take it back")
	if err := fake.Up(); err != nil {
		t.Fatal(err)
	}
	fake.Finish(fake.Jobs()[0].SubmissionID, raytest.Succeeded())
	tf.MustApply()
	requireRuns(t, fake, forever, 1)
}

func TestFakeJob_lossIsToldApart(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*raytest.Fake, string)
		status  string
		said    string
	}{
		"record deleted":   {func(f *raytest.Fake, id string) { f.Forget(id) }, "MISSING", "Ray has no record"},
		"cluster replaced": {func(f *raytest.Fake, _ string) { f.Restart(false) }, "CLUSTER_REPLACED", "was on a cluster that was replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(addr, config{"name": "a", "entrypoint": forever, "wait_for": "RUNNING", "rerun_on": []any{}})
			tf.MustApply()
			requireState(t, tf, "status", "RUNNING")
			c.happens(fake, id(tf))
			p := tf.Plan()
			requireSaid(t, p.Diagnostics().Warnings(), c.said, "Nothing is run again by itself")
			tf.MustApply()
			requireState(t, tf, "status", c.status)
			requireRuns(t, fake, forever, 1)
			if r := tf.Destroy(); r.ExitCode() != 0 {
				t.Errorf("destroy: %s", r.Diagnostics())
			}
		})
	}
}

func TestFakeJob_destroyLeavesAnotherClustersJobAlone(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "wait_for": "RUNNING"})
	tf.MustApply()
	mine := id(tf)
	fake.Restart(false)
	client, err := dashboard.New(dashboard.Options{URL: fake.URL()})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Submit(t.Context(), ray.Submission{SubmissionID: mine, Entrypoint: forever}); err != nil {
		t.Fatal(err)
	}
	r := tf.Destroy()
	if r.ExitCode() != 0 {
		t.Fatalf("destroy: %s", r.Diagnostics())
	}
	requireSaid(t, r.Diagnostics(), "is not on this cluster any more", "Nothing was stopped or deleted")
	if all := fake.Jobs(); len(all) != 1 || all[0].Status.Terminal() {
		t.Errorf("the other cluster's job was touched: %+v", all)
	}
}

func TestFakeJob_unreachableNeverDropsState(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "wait_for": "RUNNING"})
	tf.MustApply()
	fake.Down()
	p := tf.Plan()
	if p.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", p.ExitCode())
	}
	requireSaid(t, p.Diagnostics().Errors(), "could not be refreshed", "connection refused")
	tf.Provider(config{"address": fake.URL(), "owner": "test", "on_unreachable": "keep"})
	p = tf.Plan()
	if p.ExitCode() != 0 {
		t.Errorf("on_unreachable = keep: exit code %d\n%s", p.ExitCode(), p.Diagnostics())
	}
	requireSaid(t, p.Diagnostics().Warnings(), "is kept as it was")
	requireState(t, tf, "status", "RUNNING")
}

func TestFakeJob_destroyWithoutItsCluster(t *testing.T) {
	tf, fake := newTest(t)
	provider := func(more config) {
		tf.Provider(with(config{"address": fake.URL(), "owner": "test", "request_retry": config{"max_attempts": 1}}, more))
	}
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "wait_for": "RUNNING"})
	tf.MustApply()
	fake.Down()
	provider(config{"on_unreachable": "keep"})
	requireSaid(t, tf.Destroy().Diagnostics().Errors(), `Job "a" was not destroyed`, "connection refused", `destroy_unreachable = "forget"`)
	requireState(t, tf, "status", "RUNNING")
	provider(config{"destroy_unreachable": "forget"})
	requireSaid(t, tf.Destroy().Diagnostics().Errors(), "could not be refreshed", "connection refused")
	requireState(t, tf, "status", "RUNNING")

	// A cluster that answers is not unreachable, whatever it answers.
	if err := fake.Up(); err != nil {
		t.Fatal(err)
	}
	provider(config{"on_unreachable": "keep", "destroy_unreachable": "forget"})
	fake.Fail(raytest.Match{Route: "DELETE /api/jobs/{id}"}, raytest.AnswerWith(403, "text/plain; charset=utf-8", "not for you"))
	requireSaid(t, tf.Destroy().Diagnostics().Errors(), `Job "a" was not destroyed`, "not for you")
	requireState(t, tf, "status", "RUNNING")

	fake.Down()
	r := tf.Destroy()
	requireSaid(t, r.Diagnostics().Warnings(), `Job "a" was not destroyed`, "Terraform forgets it", "it may still be there")
	if r.ExitCode() != 0 || tf.State(addr) != nil {
		t.Errorf("exit code %d, state %v\n%s", r.ExitCode(), tf.State(addr), r.Diagnostics())
	}
}

func TestFakeJob_readOnlyPlansAndRefusesToWrite(t *testing.T) {
	tf, fake := newTest(t)
	tf.Provider(config{"address": fake.URL(), "owner": "test", "read_only": true})
	tf.Resource(addr, config{"name": "a", "entrypoint": "true"})
	requireAction(t, tf.Plan(), core.Create)
	requireSaid(t, tf.Apply().Diagnostics().Errors(), "was not submitted", "read_only = true")
	requireRuns(t, fake, "true", 0)
}

// Every change in this list is an update in place that reaches Ray with nothing,
// or no difference at all.
func TestFakeJob_whatNeverReplaces(t *testing.T) {
	tf, fake := newTest(t)
	dir := directory(t, map[string]string{"a.py": "print(1)"})
	base := config{"name": "a", "entrypoint": "echo 'a b'", "working_dir": dir, "runtime_env_json": `{"env_vars": {"A": "1"}}`}
	tf.Resource(addr, base)
	tf.MustApply()
	for name, change := range map[string]config{
		"log_lines":               {"log_lines": 3},
		"metadata":                {"metadata": config{"team": "ml"}},
		"waits":                   {"wait_for": "running", "timeouts": config{"create": "1h"}, "stop_timeout": "5s", "on_destroy": "stop"},
		"entrypoint as a command": {"entrypoint": nil, "command": []any{"echo", "a b"}},
		"same JSON":               {"runtime_env_json": `{ "env_vars":{"A":"1"} }`},
		"same env as an object":   {"runtime_env_json": nil, "runtime_env": config{"env_vars": config{"A": "1"}}},
		"same content elsewhere":  {"working_dir": directory(t, map[string]string{"a.py": "print(1)"})},
		"excludes without effect": {"excludes": []any{"*.nothing"}},
		"empty maps":              {"triggers": config{}, "entrypoint_resources": config{}},
	} {
		tf.Resource(addr, with(base, change))
		p := tf.Plan()
		if a := p.Action(addr); a != core.Update && a != core.NoOp {
			t.Errorf("%s: planned %s because of %v", name, a, p.RequiresReplace(addr))
		}
		fake.ResetRequests()
		tf.MustApply()
		if n := fake.Requests(); len(n) != 0 {
			t.Errorf("%s: asked the cluster: %v", name, n)
		}
		tf.MustPlanNothing()
		tf.Resource(addr, base)
		tf.MustApply()
	}
	if got := len(fake.Jobs()); got != 1 {
		t.Errorf("%d jobs, want 1", got)
	}
}

func TestFakeJob_whatReplaces(t *testing.T) {
	tf, fake := newTest(t)
	dir := directory(t, map[string]string{"a.py": "print(1)"})
	base := config{"name": "a", "entrypoint": "true", "working_dir": dir, "triggers": config{"n": "1"}}
	tf.Resource(addr, base)
	tf.MustApply()
	for path, change := range map[string]config{
		"name":                      {"name": "b"},
		"submission_id":             {"submission_id": "own"},
		"entrypoint":                {"entrypoint": "echo"},
		"command":                   {"entrypoint": nil, "command": []any{"echo"}},
		"working_dir":               {"working_dir": "https://example.com/a.zip"},
		"working_dir_hash":          {"working_dir": directory(t, map[string]string{"a.py": "print(2)"})},
		"runtime_env":               {"runtime_env": config{"env_vars": config{"A": "2"}}},
		"runtime_env_json":          {"runtime_env_json": `{"env_vars":{"A":"2"}}`},
		"triggers":                  {"triggers": config{"n": "2"}},
		"entrypoint_num_cpus":       {"entrypoint_num_cpus": 1},
		"entrypoint_num_gpus":       {"entrypoint_num_gpus": 1},
		"entrypoint_memory":         {"entrypoint_memory": 1},
		"entrypoint_resources":      {"entrypoint_resources": config{"x": 1}},
		"entrypoint_label_selector": {"entrypoint_label_selector": config{"x": "y"}},
	} {
		tf.Resource(addr, with(base, change))
		p := tf.Plan()
		requireAction(t, p, core.Replace)
		if got := p.RequiresReplace(addr); len(got) != 1 || got[0] != path {
			t.Errorf("%s: replaced because of %v", path, got)
		}
	}
	if got := len(fake.Jobs()); got != 1 {
		t.Errorf("%d jobs, want 1", got)
	}
}

func TestFakeJob_unknownInputsPlanAndRun(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": core.Later("echo late"), "triggers": config{"x": core.Later("1")}, "runtime_env": config{"env_vars": config{"A": core.Later("b")}}})
	tf.MustApply()
	requireRuns(t, fake, "echo late", 1)
}

// directory writes a tree.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFakeJob_packageIsUploadedOnce(t *testing.T) {
	tf, fake := newTest(t)
	dir := directory(t, map[string]string{"a.py": "print(1)", "lib/b.py": "x = 1"})
	for _, name := range []string{"a", "b", "c"} {
		tf.Resource("ray_job."+name, config{"name": name, "entrypoint": "true", "working_dir": dir})
	}
	tf.MustApply()
	uri, _ := tf.State(addr)["package_uri"].(string)
	if len(fake.Packages()) != 1 || !strings.HasPrefix(uri, "gcs://_ray_pkg_") {
		t.Errorf("packages %v, package_uri %q", fake.Packages(), uri)
	}
	if got := fake.Requests()["PUT /api/packages/gcs/{id}"]; got != 1 {
		t.Errorf("%d uploads of one package, want 1", got)
	}
	tf.MustPlanNothing()
	if err := os.WriteFile(filepath.Join(dir, "a.py"), []byte("print(2)"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := tf.Plan()
	requireAction(t, p, core.Replace)
	if got := p.RequiresReplace(addr); len(got) != 1 || got[0] != "working_dir_hash" {
		t.Errorf("replaced because of %v", got)
	}
}

func TestFakeJob_directoryFaults(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "working_dir": gone})
	p := tf.Plan()
	requireAction(t, p, core.Create)
	requireSaid(t, p.Diagnostics().Warnings(), "is not there yet", gone)
	requireSaid(t, tf.Apply().Diagnostics().Errors(), "can't be packaged", gone)
	requireRuns(t, fake, "true", 0)

	for name, c := range map[string]struct {
		files map[string]string
		said  string
	}{
		"everything ignored": {map[string]string{".gitignore": "*\n", "a.py": ""}, "empty"},
		"state file":         {map[string]string{"a.py": "", "terraform.tfstate": "{}"}, "excludes"},
	} {
		tf.Resource(addr, config{"name": "a", "entrypoint": "true", "working_dir": directory(t, c.files)})
		p := tf.Plan()
		if p.ExitCode() != 1 {
			t.Errorf("%s: exit code %d, want 1", name, p.ExitCode())
		}
		requireSaid(t, p.Diagnostics().Errors(), "can't be packaged", c.said)
	}

	// In state already, a directory that went away is only a warning: an error
	// would stand in the way of a destroy.
	dir := directory(t, map[string]string{"a.py": ""})
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "working_dir": dir})
	tf.MustApply()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	p = tf.MustPlanNothing()
	requireSaid(t, p.Diagnostics().Warnings(), "can't be packaged")
}

func TestFakeJob_linksThatGoInACircle(t *testing.T) {
	tf, _ := newTest(t)
	dir := directory(t, map[string]string{"a.py": ""})
	if err := os.Symlink("..", filepath.Join(dir, "up")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".", filepath.Join(dir, "here")); err != nil {
		t.Fatal(err)
	}
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "working_dir": dir})
	p := tf.Plan()
	if p.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", p.ExitCode())
	}
	requireSaid(t, p.Diagnostics().Errors(), "can't be packaged", "excludes")
}

func TestFakeJob_aRayThatIsTooOld(t *testing.T) {
	tf, fake := newTest(t, raytest.WithVersion("2.40.0"))
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "entrypoint_label_selector": config{"x": "y"}})
	requireSaid(t, tf.Plan().Diagnostics().Warnings(), "needs a newer Ray", "needs Ray >= 2.54.0", "runs 2.40.0")
	requireSaid(t, tf.Apply().Diagnostics().Errors(), "needs Ray >= 2.54.0", "runs 2.40.0")
	requireRuns(t, fake, "true", 0)
	tf.Resource(addr, config{"name": "a", "entrypoint": "true"})
	tf.MustApply()
	requireState(t, tf, "status", "SUCCEEDED")
	tf.MustPlanNothing()
}

// Ray 2.9 to 2.30 tells no cluster id over HTTP.
func TestFakeJob_aRayWithoutAClusterID(t *testing.T) {
	tf, fake := newTest(t, raytest.WithVersion("2.20.0"))
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "wait_for": "RUNNING", "rerun_on": []any{}})
	tf.MustApply()
	requireState(t, tf, "cluster_id", nil)
	tf.MustPlanNothing()
	fake.Restart(false)
	tf.MustApply()
	requireState(t, tf, "status", "MISSING")
	if r := tf.Destroy(); r.ExitCode() != 0 {
		t.Errorf("destroy: %s", r.Diagnostics())
	}
}

func TestFakeJob_faultsOfTheConnectionAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*raytest.Fake)
		config  func(*raytest.Fake) config
		said    []string
	}{
		"dashboard down":   {func(f *raytest.Fake) { f.Down() }, nil, []string{"connection refused", "8265 is the dashboard"}},
		"wrong scheme":     {nil, func(f *raytest.Fake) config { return config{"address": "ftp://host:1"} }, []string{"http(s)://host:8265"}},
		"https to http":    {nil, func(f *raytest.Fake) config { return config{"address": strings.Replace(f.URL(), "http:", "https:", 1)} }, []string{"TLS", "scheme"}},
		"unknown host":     {nil, func(*raytest.Fake) config { return config{"address": "http://no-such-host.invalid:8265"} }, []string{"no-such-host.invalid", "spelling of the host"}},
		"page of a proxy":  {func(f *raytest.Fake) { f.Fail(raytest.Match{Times: -1}, raytest.ProxyPage(502)) }, nil, []string{"502"}},
		"half a JSON":      {func(f *raytest.Fake) { f.Fail(raytest.Match{Route: "GET /api/jobs/", Times: -1}, raytest.HalfJSON()) }, nil, []string{"not what this provider expects"}},
		"kuberay address":  {nil, func(*raytest.Fake) config { return config{"address": "kuberay://ns/name"} }, []string{"o Kubernetes is configured", "config_path"}},
		"auto is no place": {nil, func(*raytest.Fake) config { return config{"address": "auto"} }, []string{"auto"}},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			if c.happens != nil {
				c.happens(fake)
			}
			if c.config != nil {
				tf.Provider(with(config{"owner": "test", "max_unreachable": "1s"}, c.config(fake)))
			} else {
				tf.Provider(config{"address": fake.URL(), "owner": "test", "max_unreachable": "1s", "request_retry": config{"max_attempts": 1}})
			}
			tf.Resource(addr, config{"name": "a", "entrypoint": "true"})
			r := tf.Apply()
			if r.ExitCode() != 1 || tf.State(addr) != nil {
				t.Errorf("exit code %d, state %v", r.ExitCode(), tf.State(addr))
			}
			requireSaid(t, r.Diagnostics().Errors(), c.said...)
			requireRuns(t, fake, "true", 0)
		})
	}
}

func TestFakeJob_tokenFaultsAreToldApart(t *testing.T) {
	tf, fake := newTest(t, raytest.WithToken("right"))
	tf.Resource(addr, config{"name": "a", "entrypoint": "true"})
	tf.Provider(config{"address": fake.URL(), "owner": "test", "token_file": filepath.Join(t.TempDir(), "none")})
	requireSaid(t, tf.Apply().Diagnostics().Errors(), "token_file")
	tf.Provider(config{"address": fake.URL(), "owner": "test", "token": "wrong-token"})
	wrong := tf.Apply().Diagnostics().Errors()
	requireSaid(t, wrong, "403", "Invalid authentication token", "the provider's token argument")
	if strings.Contains(wrong.String(), "wrong-token") {
		t.Errorf("the message shows the token:\n%s", wrong)
	}
	tf.Provider(config{"address": fake.URL(), "owner": "test", "token": "right"})
	tf.MustApply()
	requireRuns(t, fake, "true", 1)
}

func TestFakeJob_importsWithAndWithoutAStamp(t *testing.T) {
	tf, fake := newTest(t)
	base := config{"name": "a", "entrypoint": "echo $A", "runtime_env": config{"env_vars": config{"A": "b"}}, "triggers": config{"x": "y"}}
	tf.Resource(addr, base)
	tf.MustApply()
	ours := id(tf)
	digest := tf.State(addr)["inputs_digest"]
	tf.Forget(addr)
	if d := tf.Import(addr, ours); d.HasErrors() {
		t.Fatal(d)
	}
	p := tf.Plan()
	if a := p.Action(addr); a != core.Update && a != core.NoOp {
		t.Errorf("import with a stamp: planned %s because of %v", a, p.RequiresReplace(addr))
	}
	tf.MustApply()
	tf.MustPlanNothing()
	requireState(t, tf, "inputs_digest", digest)
	requireRuns(t, fake, "echo $A", 1)

	client, err := dashboard.New(dashboard.Options{URL: fake.URL()})
	if err != nil {
		t.Fatal(err)
	}
	theirs := ray.Submission{SubmissionID: "theirs", Entrypoint: "echo theirs", RuntimeEnv: map[string]any{"env_vars": map[string]string{"P": "secret-value"}}}
	if err := client.Submit(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	tf.Forget(addr)
	if d := tf.ImportIdentity(addr, map[string]any{"submission_id": "theirs"}); d.HasErrors() {
		t.Fatal(d)
	}
	if strings.Contains(string(tf.RawState(addr)), "secret-value") {
		t.Errorf("the import wrote an environment variable's value into state: %s", tf.RawState(addr))
	}
	tf.Resource(addr, config{"name": "their-job", "entrypoint": "echo theirs", "runtime_env": config{"env_vars": config{"P": "secret-value"}}})
	requireAction(t, tf.Plan(), core.Update)
	tf.MustApply()
	tf.MustPlanNothing()
	requireRuns(t, fake, "echo theirs", 1)

	tf.Forget(addr)
	requireSaid(t, tf.Import(addr, "nobody"), `There is no job "nobody" to take over`)
	requireSaid(t, tf.Import(addr, "a/b"), "Not a submission id")
}

func TestFakeJob_strengthenedWaitWaits(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "wait_for": "SUBMITTED"})
	tf.MustApply()
	fake.Finish(id(tf), raytest.Succeeded())
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "wait_for": "SUCCEEDED"})
	tf.MustApply()
	requireState(t, tf, "status", "SUCCEEDED")
	tf.MustPlanNothing()
	requireRuns(t, fake, forever, 1)
}

// A plan of very many running jobs takes a handful of requests.
func TestFakeJob_manyAreRefreshedByOneList(t *testing.T) {
	tf, fake := newTest(t)
	for i := range 60 {
		name := "job" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		tf.Resource("ray_job."+name, config{"name": name, "entrypoint": forever, "wait_for": "SUBMITTED"})
	}
	tf.MustApply()
	fake.ResetRequests()
	if p := tf.Plan(); p.ExitCode() == 1 {
		t.Fatal(p.Diagnostics())
	}
	n := fake.Requests()
	if n["GET /api/jobs/"] != 1 || n["GET /api/jobs/{id}"] > 16 {
		t.Errorf("requests of a plan of 60 running jobs: %v, want one list and at most 16 single look-ups", n)
	}
}

func TestFakeJob_badInput(t *testing.T) {
	tf, _ := newTest(t)
	ok := config{"name": "a", "entrypoint": "true"}
	for name, c := range map[string]struct {
		change config
		path   string
		said   string
	}{
		"one and a half GPUs":    {config{"entrypoint_num_gpus": 1.5}, "entrypoint_num_gpus", "a whole number above 1"},
		"next to no CPU":         {config{"entrypoint_num_cpus": 0.00001}, "entrypoint_num_cpus", "at least 0.0001"},
		"negative resource":      {config{"entrypoint_resources": config{"a": -1}}, `entrypoint_resources["a"]`, "at least 0"},
		"no label key":           {config{"entrypoint_label_selector": config{"a b": "x"}}, `entrypoint_label_selector["a b"]`, "key of a label"},
		"no label selector":      {config{"entrypoint_label_selector": config{"a": "in(b"}}, `entrypoint_label_selector["a"]`, "in(a,b)"},
		"negative deadline":      {config{"timeouts": config{"create": "-3s"}}, "timeouts.create", "negative"},
		"deadline without unit":  {config{"timeouts": config{"create": "5"}}, "timeouts.create", "not a number with a unit"},
		"packages twice":         {config{"runtime_env": config{"pip": config{"packages": []any{"a"}, "requirements_file": "r.txt"}}}, "runtime_env.pip.packages", "requirements_file"},
		"no packages":            {config{"runtime_env": config{"uv": config{"uv_check": true}}}, "runtime_env.uv.packages", "requirements_file"},
		"conda twice":            {config{"runtime_env": config{"conda": config{"name": "a", "environment_file": "e.yml"}}}, "runtime_env.conda.environment_file", "name"},
		"file among packages":    {config{"runtime_env": config{"pip": config{"packages": []any{"-r requirements.txt"}}}}, "runtime_env.pip.packages", "names a file of this machine"},
		"file among uv's":        {config{"runtime_env": config{"uv": config{"packages": []any{"./lib"}}}}, "runtime_env.uv.packages", "names a file of this machine"},
		"file among JSON's":      {config{"runtime_env_json": `{"pip":["-r requirements.txt"]}`}, "runtime_env_json", "names a file of this machine in [0]"},
		"file as conda's name":   {config{"runtime_env": config{"conda": config{"name": "environment.yml"}}}, "runtime_env.conda.name", "environment_file"},
		"path of a jar":          {config{"runtime_env_json": `{"java_jars":["/a.jar"]}`}, "runtime_env_json", "[0] is a path"},
		"variable without name":  {config{"runtime_env": config{"env_vars": config{"": "x"}}}, "runtime_env.env_vars", "can't be set"},
		"variable with a =":      {config{"runtime_env": config{"env_vars": config{"A=B": "x"}}}, "runtime_env.env_vars", "can't be set"},
		"NUL in a variable":      {config{"runtime_env": config{"env_vars": config{"A": "x\x00"}}}, "runtime_env.env_vars", "no NUL"},
		"= in JSON's variable":   {config{"runtime_env_json": `{"env_vars":{"A=B":"c"}}`}, "runtime_env_json", "can't be set"},
		"= in a hidden variable": {config{"env_vars_wo": config{"A=B": "x"}, "env_vars_wo_version": "1"}, "env_vars_wo", "can't be set"},
		"own id of a driver":     {config{"submission_id": "02000000"}, "submission_id", "ids of eight hex digits"},
		"unicode name":           {config{"name": "jöb"}, "name", "must begin with a letter or digit"},
		"unicode in an own id":   {config{"submission_id": "jöb"}, "submission_id", "undeletable records"},
		"long own id":            {config{"submission_id": strings.Repeat("x", 241)}, "submission_id", "at most 128"},
		"dots in an own id":      {config{"submission_id": "../x"}, "submission_id", "undeletable records"},
		"empty own id":           {config{"submission_id": ""}, "submission_id", "must begin"},
		"no retry":               {config{"retry": config{"max_attempts": 0}}, "retry.max_attempts", "between 1 and 1000"},
		"fewer retries":          {config{"retry": config{"max_attempts": -1}}, "retry.max_attempts", "between 1 and 1000"},
		"no time to set up":      {config{"runtime_env": config{"config": config{"setup_timeout_seconds": 0}}}, "runtime_env.config.setup_timeout_seconds", "at least 1"},
		"file of pip":            {config{"runtime_env_json": `{"pip":"requirements.txt"}`}, "runtime_env_json", "looked for on the cluster"},
		"file of pip, inside":    {config{"runtime_env_json": `{"pip":{"packages":"requirements.txt"}}`}, "runtime_env_json", "looked for on the cluster"},
		"file of conda":          {config{"runtime_env_json": `{"conda":"environment.yml"}`}, "runtime_env_json", "looked for on the cluster"},
		"path of a module":       {config{"runtime_env_json": `{"py_modules":["https://host/m.zip","./lib"]}`}, "runtime_env_json", "[1] is a path"},
		"URI of no module":       {config{"runtime_env_json": `{"py_modules":["ftp://host/m.zip"]}`}, "runtime_env_json", "no scheme"},
		"number as module":       {config{"runtime_env_json": `{"py_modules":[1]}`}, "runtime_env_json", "list of strings"},
		"text as modules":        {config{"runtime_env_json": `{"py_modules":"s3://b/m.zip"}`}, "runtime_env_json", "list of strings"},
		"number as pip":          {config{"runtime_env_json": `{"pip":1}`}, "runtime_env_json", "list of strings"},
		"text as a flag":         {config{"runtime_env_json": `{"uv":{"packages":["a"],"uv_check":"yes"}}`}, "runtime_env_json", "true or false"},
		"pip of nothing":         {config{"runtime_env_json": `{"pip":{"pip_check":true}}`}, "runtime_env_json", "lacks the field packages"},
		"unknown field of pip":   {config{"runtime_env_json": `{"pip":{"packages":["a"],"index":"x"}}`}, "runtime_env_json", `no field "index"`},
		"list as conda":          {config{"runtime_env_json": `{"conda":["a"]}`}, "runtime_env_json", "name of an environment"},
		"list as image":          {config{"runtime_env_json": `{"image_uri":["a"]}`}, "runtime_env_json", "must be a string"},
		"time as text":           {config{"runtime_env_json": `{"config":{"setup_timeout_seconds":"600"}}`}, "runtime_env_json", "number of seconds"},
		"variables as a list":    {config{"runtime_env_json": `{"env_vars":["A=1"]}`}, "runtime_env_json", "not an object"},
		"no name":                {config{"name": nil}, "name", "A job needs a name"},
		"slash in the name":      {config{"name": "a/b"}, "name", "must begin with a letter or digit"},
		"dots first":             {config{"name": "../x"}, "name", "must begin with a letter or digit"},
		"long name":              {config{"name": strings.Repeat("x", 97)}, "name", "at most 96"},
		"empty name":             {config{"name": ""}, "name", "must begin"},
		"own id with a slash":    {config{"submission_id": "a/b"}, "submission_id", "undeletable records"},
		"no entrypoint":          {config{"entrypoint": nil}, "entrypoint", "entrypoint"},
		"entrypoint and command": {config{"command": []any{"true"}}, "entrypoint", "command"},
		"empty entrypoint":       {config{"entrypoint": ""}, "entrypoint", "at least 1"},
		"CPU as a resource":      {config{"entrypoint_resources": config{"CPU": 1}}, `entrypoint_resources["CPU"]`, "CPU"},
		"negative CPUs":          {config{"entrypoint_num_cpus": -1}, "entrypoint_num_cpus", "at least 0"},
		"reserved metadata":      {config{"metadata": config{"terraform.ray-iac/owner": "x"}}, `metadata["terraform.ray-iac/owner"]`, "Reserved metadata key"},
		"metadata of Ray's":      {config{"metadata": config{"job_submission_id": "x"}}, `metadata["job_submission_id"]`, "Ray sets"},
		"no JSON":                {config{"runtime_env_json": "{"}, "runtime_env_json", "JSON"},
		"JSON but no object":     {config{"runtime_env_json": "[]"}, "runtime_env_json", "not a JSON object"},
		"working_dir in JSON":    {config{"runtime_env_json": `{"working_dir":"."}`}, "runtime_env_json", "Set the attribute working_dir"},
		"twice":                  {config{"runtime_env_json": `{"pip":["a"]}`, "runtime_env": config{"pip": config{"packages": []any{"a"}}}}, "runtime_env_json", "set twice"},
		"pip and conda":          {config{"runtime_env": config{"pip": config{"packages": []any{"a"}}, "conda": config{"name": "x"}}}, "runtime_env", "can't be combined"},
		"number as env var":      {config{"runtime_env_json": `{"env_vars":{"A":1}}`}, "runtime_env_json", "is not a string"},
		"wait for what":          {config{"wait_for": "DONE"}, "wait_for", "SUCCEEDED"},
		"duration without unit":  {config{"stop_timeout": "5"}, "stop_timeout", "not a number with a unit"},
		"negative duration":      {config{"stop_timeout": "-3s"}, "stop_timeout", "negative"},
		"excludes alone":         {config{"excludes": []any{"x"}}, "excludes", "working_dir"},
		"null in the command":    {config{"entrypoint": nil, "command": []any{"true", nil}}, "command", "null"},
		"null in the excludes":   {config{"working_dir": ".", "excludes": []any{nil}}, "excludes", "null"},
		"rerun with an own id":   {config{"submission_id": "x", "rerun_on": []any{"FAILED"}}, "rerun_on", "can't be combined"},
		"rerun on what":          {config{"rerun_on": []any{"LOST"}}, "rerun_on[...]", "CLUSTER_REPLACED"},
		"interrupt and do what":  {config{"on_interrupt": "kill"}, "on_interrupt", "leave"},
		"start limit, no wait":   {config{"start_timeout": "1m", "wait_for": "SUBMITTED"}, "start_timeout", "needs a wait"},
		"time limit, no wait":    {config{"execution_timeout": "1m", "wait_for": "submitted"}, "execution_timeout", "needs wait_for"},
		"time limit, half wait":  {config{"execution_timeout": "1m", "wait_for": "RUNNING"}, "execution_timeout", "needs wait_for"},
		"no time at all":         {config{"execution_timeout": "0s"}, "execution_timeout", "nothing"},
		"start without unit":     {config{"start_timeout": "5"}, "start_timeout", "not a number with a unit"},
	} {
		tf.Resource(addr, with(ok, c.change))
		errs := tf.Validate().Errors()
		requireSaid(t, errs, c.said)
		requireAt(t, name, errs, c.path)
	}
}

// Ray 2.60 fails a job that has an image and more.
func TestFakeJob_imageWithMoreIsAWarning(t *testing.T) {
	tf, _ := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "working_dir": ".", "runtime_env": config{"image_uri": "x", "pip": config{"packages": []any{"a"}}}})
	requireSaid(t, tf.Validate().Warnings(), "image_uri can't be combined with pip, working_dir")
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "runtime_env": config{"image_uri": "x", "env_vars": config{"A": "1"}}})
	if said := tf.Validate(); len(said) != 0 {
		t.Errorf("an image with variables alone:\n%s", said)
	}
}

// requireAt fails unless one of the diagnostics is about the attribute at path.
func requireAt(t *testing.T, name string, said core.Diagnostics, path string) {
	t.Helper()
	for _, d := range said {
		if d.Path == path {
			return
		}
	}
	t.Errorf("%s: nothing at %s in:\n%s", name, path, said)
}
