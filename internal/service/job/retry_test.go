package job_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// quick is a retry without a pause.
var quick = config{"exit_codes": []any{3}, "min_backoff": "1ms", "max_backoff": "1ms"}

// lastJob waits until the cluster has had n jobs and returns the last one's id.
func lastJob(t *testing.T, fake *raytest.Fake, n int) string {
	t.Helper()
	waitFor(t, func() bool {
		all := fake.Jobs()
		return len(all) == n && all[n-1].Status == ray.JobRunning
	})
	return fake.Jobs()[n-1].SubmissionID
}

func attempts(tf *core.Core) string {
	var out []string
	list, _ := tf.State(addr)["attempts"].([]any)
	for _, a := range list {
		m, _ := a.(map[string]any)
		s := fmt.Sprintf("%s %s", m["submission_id"], m["status"])
		if m["driver_exit_code"] != nil {
			s += fmt.Sprintf(" %v", m["driver_exit_code"])
		}
		if m["error_type"] != nil {
			s += fmt.Sprintf(" %s", m["error_type"])
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestFakeJob_retriesWithinTheApply(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "retry": quick, "checkpoint_path": "s3://b/run"})
	run := tf.StartApply()
	first := lastJob(t, fake, 1)
	fake.Finish(first, raytest.SupervisorDied())
	fake.Finish(lastJob(t, fake, 2), raytest.Failed(3))
	fake.Finish(lastJob(t, fake, 3), raytest.Succeeded())
	r := run.Wait()
	if r.ExitCode() != 0 {
		t.Fatalf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
	requireSaid(t, r.Diagnostics().Warnings(), `Job "a" ran 3 times`, first+" FAILED, JOB_SUPERVISOR_ACTOR_DIED", first+"-2 FAILED, exit code 3")
	requireState(t, tf, "submission_id", first+"-3")
	requireState(t, tf, "attempt", int64(3))
	requireState(t, tf, "status", "SUCCEEDED")
	if want := fmt.Sprintf("%[1]s FAILED JOB_SUPERVISOR_ACTOR_DIED; %[1]s-2 FAILED 3 JOB_ENTRYPOINT_COMMAND_ERROR; %[1]s-3 SUCCEEDED 0", first); attempts(tf) != want {
		t.Errorf("attempts:\n%s\nwant\n%s", attempts(tf), want)
	}
	for i, job := range fake.Jobs() {
		if env := string(job.RuntimeEnv); !strings.Contains(env, fmt.Sprintf(`"TF_RAY_ATTEMPT": "%d"`, i+1)) || !strings.Contains(env, `"TF_RAY_CHECKPOINT_PATH": "s3://b/run"`) {
			t.Errorf("run %d is told %s", i+1, env)
		}
	}
	requireRuns(t, fake, forever, 3)
	tf.MustPlanNothing()
	if r := tf.Destroy(); r.ExitCode() != 0 || len(fake.Jobs()) != 0 {
		t.Errorf("after destroy: %v\n%s", fake.Jobs(), r.Diagnostics())
	}
}

func TestFakeJob_theLastAttemptsErrorListsThemAll(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo why; exit 3", "retry": with(quick, config{"max_attempts": 2})})
	r := tf.Apply()
	if r.ExitCode() != 1 || !tf.Tainted(addr) {
		t.Fatalf("exit code %d, tainted %t", r.ExitCode(), tf.Tainted(addr))
	}
	base := strings.TrimSuffix(id(tf), "-2")
	requireSaid(t, r.Diagnostics().Errors(), "FAILED with exit code 3", "why", "Attempts:\n  "+base+" FAILED, exit code 3", base+"-2 FAILED, exit code 3")
	requireRuns(t, fake, "echo why; exit 3", 2)
	// max_attempts counts within one apply; the records of the last one go.
	tf.Apply()
	requireRuns(t, fake, "echo why; exit 3", 4)
	if want := base + "-3 FAILED 3 JOB_ENTRYPOINT_COMMAND_ERROR; " + base + "-4 FAILED 3 JOB_ENTRYPOINT_COMMAND_ERROR"; attempts(tf) != want || len(fake.Jobs()) != 2 {
		t.Errorf("attempts %s, want %s; Ray has %d", attempts(tf), want, len(fake.Jobs()))
	}
}

func TestFakeJob_isNotRetried(t *testing.T) {
	for name, c := range map[string]struct {
		outcome raytest.Outcome
		more    config
	}{
		"stopped by a person":        {raytest.Outcome{Status: ray.JobStopped}, nil},
		"an exit code not listed":    {raytest.Failed(4), nil},
		"error types without this":   {raytest.SupervisorDied(), config{"retry": with(quick, config{"error_types": []any{"RUNTIME_ENV_SETUP_FAILURE"}})}},
		"without retry":              {raytest.SupervisorDied(), config{"retry": nil}},
		"one attempt is all":         {raytest.Failed(3), config{"retry": with(quick, config{"max_attempts": 1})}},
		"an exit code by its signal": {raytest.Failed(-9), nil},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(addr, with(config{"name": "a", "entrypoint": forever, "retry": quick}, c.more))
			run := tf.StartApply()
			fake.Finish(lastJob(t, fake, 1), c.outcome)
			if r := run.Wait(); r.ExitCode() != 1 || r.Diagnostics().Contains("Attempts:") {
				t.Errorf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
			}
			requireRuns(t, fake, forever, 1)
		})
	}
}

func TestFakeJob_ignoreFailureRetriesFirst(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "exit 3", "retry": quick, "ignore_failure": true})
	tf.MustApply()
	requireState(t, tf, "status", "FAILED")
	requireRuns(t, fake, "exit 3", 3)
	tf.MustPlanNothing()
}

// Ctrl-C while the next attempt is waited for starts none.
func TestFakeJob_interruptedBetweenAttempts(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "exit 3", "retry": config{"exit_codes": []any{3}, "min_backoff": "1h", "max_backoff": "1h"}})
	run := tf.StartApply()
	waitFor(t, func() bool {
		return fake.EntrypointExecutions("exit 3") == 1 && fake.Requests()["GET /api/jobs/{id}/logs"]+fake.Requests()["GET /api/v0/logs/file"] > 0
	})
	start := time.Now()
	run.Interrupt()
	r := run.Wait()
	if took := time.Since(start); took > soon || r.ExitCode() != 1 {
		t.Errorf("exit code %d after %s", r.ExitCode(), took)
	}
	requireSaid(t, r.Diagnostics().Errors(), "FAILED with exit code 3", "was not run again", "before the next attempt was submitted")
	requireRuns(t, fake, "exit 3", 1)
	if !tf.Tainted(addr) {
		t.Error("not tainted: the next apply would not run it again")
	}
}

func TestFakeJob_timeIsUpBetweenAttempts(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{
		"name": "a", "entrypoint": "exit 3", "timeouts": config{"create": "2s"},
		"retry": config{"exit_codes": []any{3}, "min_backoff": "1h", "max_backoff": "1h"},
	})
	r := tf.Apply()
	if r.ExitCode() != 1 || !tf.Tainted(addr) {
		t.Errorf("exit code %d, tainted %t", r.ExitCode(), tf.Tainted(addr))
	}
	requireSaid(t, r.Diagnostics().Errors(), "or its time was up, before the next attempt")
	requireRuns(t, fake, "exit 3", 1)
}

// Whatever is lost or dies between two attempts, none runs twice, and the next
// apply goes on with what is there.
func TestFakeJob_retryFaults(t *testing.T) {
	submit := raytest.Match{Route: "POST /api/jobs/", Skip: 1}
	for name, c := range map[string]struct {
		fault raytest.Fault
		runs  int
	}{
		"the answer is lost":       {raytest.LoseAnswer(), 2},
		"a proxy gives up":         {raytest.ProxyPageAfter(504), 2},
		"the connection is reset":  {raytest.Reset(), 2},
		"there is no agent":        {raytest.NoAgent(), 2},
		"the proxy has no backend": {raytest.ProxyPage(502), 2},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			fake.Fail(submit, c.fault)
			tf.Resource(addr, config{"name": "a", "entrypoint": forever, "retry": quick})
			run := tf.StartApply()
			fake.Finish(lastJob(t, fake, 1), raytest.Failed(3))
			fake.Finish(lastJob(t, fake, 2), raytest.Succeeded())
			if r := run.Wait(); r.ExitCode() != 0 {
				t.Errorf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
			}
			requireRuns(t, fake, forever, c.runs)
			if n := fake.OverlappingSubmits(); n != 0 {
				t.Errorf("%d submits overlapped", n)
			}
		})
	}
	t.Run("the answer is lost for good", func(t *testing.T) {
		tf, fake := newTest(t)
		lost := fake.Fail(submit, raytest.FreezeAgent())
		tf.Provider(config{"address": fake.URL(), "owner": "test", "max_unreachable": "300ms", "request_retry": config{"max_attempts": 1}})
		tf.Resource(addr, config{"name": "a", "entrypoint": forever, "retry": quick})
		run := tf.StartApply()
		fake.Finish(lastJob(t, fake, 1), raytest.Failed(3))
		<-lost.Hit()
		fake.Down()
		lost.Thaw() // the job is there
		r := run.Wait()
		if r.ExitCode() != 1 || tf.State(addr) != nil {
			t.Fatalf("exit code %d, state %v", r.ExitCode(), tf.State(addr))
		}
		requireSaid(t, r.Diagnostics().Errors(), "It is not known whether", "Apply again: it is taken over")
		if err := fake.Up(); err != nil {
			t.Fatal(err)
		}
		fake.Finish(lastJob(t, fake, 2), raytest.Succeeded())
		tf.MustApply()
		requireRuns(t, fake, forever, 2)
		if !strings.Contains(attempts(tf), "FAILED") || len(strings.Split(attempts(tf), "; ")) != 2 {
			t.Errorf("attempts %s, want the failed one too", attempts(tf))
		}
		tf.Destroy()
		if left := fake.Jobs(); len(left) != 0 {
			t.Errorf("left after destroy: %+v", left)
		}
	})
}

func TestFakeJob_killedBetweenAttempts(t *testing.T) {
	for name, kill := range map[string]func(*core.Run){
		"terraform and provider": (*core.Run).Kill,
		"terraform only":         (*core.Run).KillTerraform,
		"provider only":          (*core.Run).KillProvider,
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(addr, config{"name": "a", "entrypoint": forever, "retry": with(quick, config{"min_backoff": "300ms", "max_backoff": "300ms"})})
			run := tf.StartApply()
			first := lastJob(t, fake, 1)
			fake.Finish(first, raytest.Failed(3))
			kill(run)
			run.Wait()
			if tf.State(addr) != nil {
				t.Fatalf("state after the kill: %v", tf.State(addr))
			}
			second := tf.StartApply()
			fake.Finish(lastJob(t, fake, 2), raytest.Succeeded())
			if r := second.Wait(); r.ExitCode() != 0 {
				t.Fatalf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
			}
			requireState(t, tf, "submission_id", first+"-2")
			requireRuns(t, fake, forever, 2)
			tf.MustPlanNothing()
			tf.Destroy()
			if left := fake.Jobs(); len(left) != 0 {
				t.Errorf("left after destroy: %+v", left)
			}
		})
	}
}

// An update that waits on retries too: another submission comes to be the job.
func TestFakeJob_anUpdateThatWaitsOnRetries(t *testing.T) {
	for name, endsFirst := range map[string]bool{"ended before the plan": true, "ends while it waits": false} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(addr, config{"name": "a", "entrypoint": forever, "retry": quick})
			run := tf.StartApply()
			first := lastJob(t, fake, 1)
			run.Interrupt()
			run.Wait()
			if endsFirst {
				fake.Finish(first, raytest.Failed(3))
			}
			p := tf.Plan()
			requireAction(t, p, core.Update)
			again := p.StartApply()
			if !endsFirst {
				waitFor(t, func() bool { return fake.Requests()["GET /api/jobs/{id}"] > 3 })
				fake.Finish(first, raytest.Failed(3))
			}
			fake.Finish(lastJob(t, fake, 2), raytest.Succeeded())
			if r := again.Wait(); r.ExitCode() != 0 {
				t.Fatalf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
			}
			requireState(t, tf, "submission_id", first+"-2")
			requireState(t, tf, "status", "SUCCEEDED")
			if got := tf.Identity(addr)["submission_id"]; got != first+"-2" {
				t.Errorf("identity %v, want %s-2", got, first)
			}
			if n := len(strings.Split(attempts(tf), "; ")); n != 2 {
				t.Errorf("attempts: %s", attempts(tf))
			}
			tf.MustPlanNothing()
			requireRuns(t, fake, forever, 2)
		})
	}
}

// A record that says FAILED of a job that goes on is not believed: no second run
// beside it, and its real end counts.
func TestFakeJob_misjudgedJobIsWaitedFor(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "retry": quick})
	run := tf.StartApply()
	first := lastJob(t, fake, 1)
	fake.Misjudge(first)
	waitFor(t, func() bool { return fake.Requests()["GET /api/v0/actors"] > 1 })
	fake.Finish(first, raytest.Succeeded())
	if r := run.Wait(); r.ExitCode() != 0 {
		t.Fatalf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
	requireState(t, tf, "status", "SUCCEEDED")
	requireRuns(t, fake, forever, 1)
	tf.MustPlanNothing()
}

func TestFakeJob_retryAndCheckpointNeverReplace(t *testing.T) {
	tf, fake := newTest(t)
	base := config{"name": "a", "entrypoint": "true"}
	tf.Resource(addr, base)
	tf.MustApply()
	fake.ResetRequests()
	tf.Resource(addr, with(base, config{"retry": quick, "checkpoint_path": "/ckpt"}))
	requireAction(t, tf.Plan(), core.Update)
	tf.MustApply()
	if n := fake.Requests(); len(n) != 0 {
		t.Errorf("a change of retry asked the cluster: %v", n)
	}
	tf.MustPlanNothing()
	// Nor do they name another job: a lost state finds the run that was without.
	tf.Forget(addr)
	tf.MustApply()
	requireRuns(t, fake, "true", 1)
}

func TestFakeJob_importDoesNotSeeWhatTheJobWasTold(t *testing.T) {
	tf, _ := newTest(t)
	c := config{"name": "a", "entrypoint": "true", "runtime_env": config{"env_vars": config{"A": "b"}}, "retry": quick, "checkpoint_path": "/ckpt"}
	tf.Resource(addr, c)
	tf.MustApply()
	was := id(tf)
	tf.Forget(addr)
	tf.Import(addr, was)
	tf.MustApply()
	tf.MustPlanNothing()
	if id(tf) != was {
		t.Errorf("imported %s, and it became %s", was, id(tf))
	}
}

func TestFakeJob_retryIsValidated(t *testing.T) {
	for name, c := range map[string]struct {
		more config
		path string
		said string
	}{
		"no attempts":              {config{"retry": config{"max_attempts": 0}}, "retry.max_attempts", "between 1 and"},
		"less than no attempts":    {config{"retry": config{"max_attempts": -1}}, "retry.max_attempts", "between 1 and"},
		"duration without a unit":  {config{"retry": config{"min_backoff": "5"}}, "retry.min_backoff", "not a number with a unit"},
		"negative duration":        {config{"retry": config{"max_backoff": "-3s"}}, "retry.max_backoff", "negative"},
		"backoff the wrong way":    {config{"retry": config{"min_backoff": "10s", "max_backoff": "5s"}}, "retry.min_backoff", "longer than"},
		"success as a failure":     {config{"retry": config{"exit_codes": []any{0}}}, "retry.exit_codes", "0"},
		"nothing to retry":         {config{"retry": config{"error_types": []any{}}}, "retry.error_types", "retries nothing"},
		"an id of its own":         {config{"retry": config{}, "submission_id": "mine", "name": nil}, "retry", "submission_id"},
		"nobody waits":             {config{"retry": config{}, "wait_for": "submitted"}, "retry", "needs a wait"},
		"the provider's variable":  {config{"runtime_env": config{"env_vars": config{"TF_RAY_ATTEMPT": "1"}}}, "runtime_env.env_vars", "reserved"},
		"the same in JSON":         {config{"runtime_env_json": `{"env_vars": {"TF_RAY_CHECKPOINT_PATH": "x"}}`}, "runtime_env_json", "reserved"},
		"an empty checkpoint_path": {config{"checkpoint_path": ""}, "checkpoint_path", "at least 1"},
	} {
		t.Run(name, func(t *testing.T) {
			tf, _ := newTest(t)
			tf.Resource(addr, with(config{"name": "a", "entrypoint": "true"}, c.more))
			p := tf.Plan()
			if p.ExitCode() != 1 {
				t.Errorf("exit code %d, want 1", p.ExitCode())
			}
			requireSaid(t, p.Diagnostics().Errors(), c.said)
			requirePath(t, p.Diagnostics().Errors(), c.path)
		})
	}
	t.Run("a type that Ray does not have", func(t *testing.T) {
		tf, _ := newTest(t)
		tf.Resource(addr, config{"name": "a", "entrypoint": "true", "retry": config{"error_types": []any{"JOB_SUPERVISOR_DIED"}}})
		p := tf.Plan()
		requireSaid(t, p.Diagnostics().Warnings(), `Ray has no error type "JOB_SUPERVISOR_DIED"`, "JOB_SUPERVISOR_ACTOR_DIED")
	})
}

func TestFakeJob_retryNeedsErrorTypes(t *testing.T) {
	tf, fake := newTest(t, raytest.WithVersion("2.50.0"))
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "retry": config{}})
	requireSaid(t, tf.Plan().Diagnostics().Warnings(), "needs Ray >= 2.51")
	if r := tf.Apply(); r.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", r.ExitCode())
	}
	requireRuns(t, fake, "true", 0)
	tf.Resource(addr, config{"name": "a", "entrypoint": "exit 3", "retry": quick})
	tf.Apply()
	requireRuns(t, fake, "exit 3", 3)
}

// requirePath fails unless a diagnostic is about the attribute.
func requirePath(t *testing.T, said core.Diagnostics, path string) {
	t.Helper()
	for _, d := range said {
		if d.Path == path || strings.HasPrefix(d.Path, path+"[") {
			return
		}
	}
	t.Errorf("no diagnostic is about %s:\n%s", path, said)
}
