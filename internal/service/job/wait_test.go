package job_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const gate = "ray_job_wait.all"

// fanOut is n jobs that run until the test ends them, and their ids as references.
func fanOut(tf *core.Core, n int, more config) (ids []any) {
	for i := range n {
		at := fmt.Sprintf("ray_job.shard%03d", i)
		tf.Resource(at, with(config{"name": fmt.Sprintf("shard%03d", i), "entrypoint": forever, "wait_for": "SUBMITTED"}, more))
		ids = append(ids, core.Ref(at+".submission_id"))
	}
	return ids
}

// running waits until n jobs run and returns their ids, sorted.
func running(t *testing.T, fake *raytest.Fake, n int) (ids []string) {
	t.Helper()
	waitFor(t, func() bool {
		ids = nil
		for _, j := range fake.Jobs() {
			if j.Status == ray.JobRunning {
				ids = append(ids, j.SubmissionID)
			}
		}
		return len(ids) == n
	})
	slices.Sort(ids)
	return ids
}

// settled waits until a second of waiting for many jobs takes few requests, as it does
// once each was looked at, and returns those of that second.
func settled(t *testing.T, fake *raytest.Fake) (requests map[string]int) {
	t.Helper()
	const seconds = 20
	for range seconds {
		fake.ResetRequests()
		<-time.After(time.Second)
		requests = fake.Requests()
		lists, looks := requests["GET /api/jobs/"], requests["GET /api/jobs/{id}"]
		if 1 <= lists && lists <= 20 && looks <= 8 {
			return requests
		}
	}
	t.Fatalf("after %d seconds of waiting, one still cost %v", seconds, requests)
	return nil
}

func TestFakeJobWait_manyJobsAndOneGate(t *testing.T) {
	const n = many
	tf, fake := newAlone(t)
	ids := fanOut(tf, n, nil)
	tf.Resource(gate, config{"jobs": ids})
	start := time.Now()
	run := tf.StartApply()
	all := running(t, fake, n)
	submitted := time.Since(start)
	waited := settled(t, fake)
	for _, id := range all {
		fake.Finish(id, raytest.Succeeded())
	}
	ended := time.Now()
	r := run.Wait()
	t.Logf("%d jobs submitted within %s; the wait cost %v in a second; passed %s after the last end", n, submitted, waited, time.Since(ended))
	if r.ExitCode() != 0 {
		t.Fatalf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
	state := tf.State(gate)
	if got, _ := state["statuses"].(map[string]any); len(got) != n || got[all[0]] != "SUCCEEDED" {
		t.Errorf("statuses of %d jobs, want %d", len(got), n)
	}
	requireRuns(t, fake, forever, n)
	// The refreshed jobs are no difference, and one list tells of all of them.
	fake.ResetRequests()
	tf.MustPlanNothing()
	if got := fake.Requests()["GET /api/jobs/"]; got != 1 {
		t.Errorf("the plan listed the jobs %d times, want once; all requests: %v", got, fake.Requests())
	}
	if got := fake.Requests()["GET /api/jobs/{id}"]; got > 16 {
		t.Errorf("the plan asked for %d jobs one by one", got)
	}
}

func TestFakeJobWait_require(t *testing.T) {
	for name, c := range map[string]struct {
		more      config
		succeed   int // of 4, the rest of outcomes
		fail      int
		passes    bool
		succeeded int
	}{
		"all succeed":                             {config{}, 4, 0, true, 4},
		"one of all fails":                        {config{}, 3, 1, false, 0},
		"any, at the first":                       {config{"require": "any"}, 1, 0, true, 1},
		"any, when all but one fail":              {config{"require": "any"}, 1, 3, true, 1},
		"any, when all fail":                      {config{"require": "any"}, 0, 4, false, 0},
		"a number":                                {config{"require": "3"}, 3, 0, true, 3},
		"a number, with a failure":                {config{"require": "3"}, 3, 1, true, 3},
		"too few for a number":                    {config{"require": "3"}, 2, 2, false, 0},
		"fail_fast while others run":              {config{"fail_fast": true}, 0, 1, false, 0},
		"fail_fast, any, one fails and one is ok": {config{"require": "any", "fail_fast": true}, 1, 1, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(gate, with(config{"jobs": fanOut(tf, 4, nil)}, c.more))
			run := tf.StartApply()
			ids := running(t, fake, 4)
			for i := range c.fail {
				fake.Finish(ids[i], raytest.Failed(3))
			}
			for i := range c.succeed {
				fake.Finish(ids[c.fail+i], raytest.Succeeded())
			}
			r := run.Wait()
			if (r.ExitCode() == 0) != c.passes {
				t.Fatalf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
			}
			if !c.passes {
				requireSaid(t, r.Diagnostics().Errors(), "Too few jobs succeeded", ids[0]+" FAILED with exit code 3, JOB_ENTRYPOINT_COMMAND_ERROR")
				if tf.State(gate) != nil {
					t.Errorf("a gate that was not passed is in state: %v", tf.State(gate))
				}
				if p := tf.Plan(); p.Action(gate) != core.Create {
					t.Errorf("the next plan does not wait again: %s", p)
				}
				return
			}
			if got, _ := tf.State(gate)["succeeded"].([]any); len(got) < c.succeeded {
				t.Errorf("succeeded: %v, want at least %d", got, c.succeeded)
			}
			tf.MustPlanNothing()
		})
	}
}

func TestFakeJobWait_errorShowsTheFailedWithinBounds(t *testing.T) {
	tf, fake := newTest(t)
	const secret = "planted-secret"
	for i := range 40 {
		tf.Resource(fmt.Sprintf("ray_job.s%02d", i), config{
			"name": fmt.Sprintf("s%02d", i), "entrypoint": "echo the reason is $KEY; exit 3", "wait_for": "SUBMITTED",
			"runtime_env": config{"env_vars": config{"KEY": secret}},
		})
	}
	var ids []any
	for i := range 40 {
		ids = append(ids, core.Ref(fmt.Sprintf("ray_job.s%02d.submission_id", i)))
	}
	tf.Resource(gate, config{"jobs": ids})
	r := tf.Apply()
	said := r.Diagnostics().Errors().String()
	if n := strings.Count(said, "the reason is (sensitive value)"); n != 5 || strings.Contains(said, secret) {
		t.Errorf("%d tails, want 5 without the secret:\n%s", n, said)
	}
	if n := strings.Count(said, "FAILED with exit code 3"); n != 25 {
		t.Errorf("%d of 40 failed jobs are listed, want 25", n)
	}
	requireSaid(t, r.Diagnostics().Errors(), "0 of 40 jobs succeeded, 40 are required", "... and 15 more")
	// Another apply does not know the secrets: it shows no log that could hold them.
	r = tf.Apply()
	said = r.Diagnostics().Errors().String()
	if strings.Contains(said, secret) || !strings.Contains(said, "its log may show the values of its env_vars") {
		t.Errorf("the second apply says:\n%s", said)
	}
	requireRuns(t, fake, "echo the reason is $KEY; exit 3", 40)
}

func TestFakeJobWait_jobsThatAreGone(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*raytest.Fake, string)
		said    string
	}{
		"record deleted":   {func(f *raytest.Fake, id string) { f.Forget(id) }, "MISSING: Ray has no record of it"},
		"cluster replaced": {func(f *raytest.Fake, _ string) { f.Restart(false) }, "CLUSTER_REPLACED: another cluster answers now"},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(gate, config{"jobs": fanOut(tf, 2, nil), "fail_fast": true})
			run := tf.StartApply()
			ids := running(t, fake, 2)
			waitFor(t, func() bool { return fake.Requests()["GET /api/jobs/{id}"] > 4 })
			c.happens(fake, ids[0])
			r := run.Wait()
			if r.ExitCode() != 1 {
				t.Errorf("exit code %d", r.ExitCode())
			}
			requireSaid(t, r.Diagnostics().Errors(), "Too few jobs succeeded", c.said)
		})
	}
	// A head with Redis that came back under another address calls them RUNNING.
	t.Run("node gone", func(t *testing.T) {
		tf, fake := newTest(t)
		ids := fanOut(tf, 2, nil)
		tf.MustApply()
		fake.Restart(true)
		fake.Fail(raytest.Match{Route: "GET /api/jobs/{id}/logs", Times: -1}, raytest.AnswerWith(500, "text/plain", "Cannot connect to host 10.0.0.1:52365"))
		tf.Resource(gate, config{"jobs": ids})
		r := tf.Apply()
		if r.ExitCode() != 1 {
			t.Errorf("exit code %d", r.ExitCode())
		}
		requireSaid(t, r.Diagnostics().Errors(), "Too few jobs succeeded", "2 ended without success", "RUNNING, but its node is gone")
		if said := r.Diagnostics().Errors(); said.Contains("Not over") {
			t.Errorf("jobs that are dead are told as not over:\n%s", said)
		}
	})
	t.Run("never there", func(t *testing.T) {
		tf, _ := newTest(t)
		tf.Resource(gate, config{"jobs": []any{"nobody"}})
		requireSaid(t, tf.Apply().Diagnostics().Errors(), "nobody MISSING")
	})
}

func TestFakeJobWait_interruptAndDeadline(t *testing.T) {
	t.Run("interrupt", func(t *testing.T) {
		tf, fake := newTest(t)
		tf.Resource(gate, config{"jobs": fanOut(tf, 3, nil)})
		run := tf.StartApply()
		ids := running(t, fake, 3)
		waitFor(t, func() bool { return fake.Requests()["GET /api/jobs/{id}"] > 5 })
		start := time.Now()
		run.Interrupt()
		r := run.Wait()
		if took := time.Since(start); took > soon || r.ExitCode() != 1 || tf.State(gate) != nil {
			t.Errorf("exit code %d after %s, state %v", r.ExitCode(), took, tf.State(gate))
		}
		requireSaid(t, r.Diagnostics().Errors(), "The wait for jobs was interrupted", "The next apply waits on", "Not over: "+strings.Join(ids, ", "))
		for _, id := range ids {
			fake.Finish(id, raytest.Succeeded())
		}
		tf.MustApply()
		tf.MustPlanNothing()
		requireRuns(t, fake, forever, 3)
	})
	t.Run("deadline", func(t *testing.T) {
		tf, fake := newTest(t)
		tf.Resource(gate, config{"jobs": fanOut(tf, 2, nil), "timeouts": config{"create": "2s"}})
		r := tf.Apply()
		if r.ExitCode() != 1 || tf.State(gate) != nil {
			t.Errorf("exit code %d, state %v", r.ExitCode(), tf.State(gate))
		}
		requireSaid(t, r.Diagnostics().Errors(), "The jobs are not over after 2s", "They go on")
		requirePath(t, r.Diagnostics().Errors(), "timeouts")
		requireRuns(t, fake, forever, 2)
	})
	t.Run("lost contact", func(t *testing.T) {
		tf, fake := newTest(t)
		tf.Provider(config{"address": fake.URL(), "owner": "test", "max_unreachable": "300ms", "request_retry": config{"max_attempts": 1}})
		tf.Resource(gate, config{"jobs": fanOut(tf, 2, nil)})
		run := tf.StartApply()
		running(t, fake, 2)
		waitFor(t, func() bool { return fake.Requests()["GET /api/jobs/{id}"] > 3 })
		fake.Down()
		requireSaid(t, run.Wait().Diagnostics().Errors(), "Lost contact while waiting for jobs", "The next apply waits on")
	})
}

// What was passed stays passed; another set of jobs waits again, without those
// that are known to have succeeded.
func TestFakeJobWait_changes(t *testing.T) {
	tf, fake := newTest(t)
	ids := fanOut(tf, 2, config{"entrypoint": "true"})
	tf.Resource(gate, config{"jobs": ids})
	tf.MustApply()
	fake.Restart(false) // Ray forgets them
	tf.MustPlanNothing()

	fake.ResetRequests()
	tf.Resource(gate, config{"jobs": ids, "fail_fast": true, "log_lines": 5, "timeouts": config{"create": "1h"}})
	tf.MustApply()
	if n := fake.Requests(); len(n) != 0 {
		t.Errorf("settings that change no gate asked the cluster: %v", n)
	}

	tf.Resource("ray_job.more", config{"name": "more", "entrypoint": forever, "wait_for": "SUBMITTED"})
	tf.Resource(gate, config{"jobs": append(ids, core.Ref("ray_job.more.submission_id"))})
	run := tf.StartApply()
	more := running(t, fake, 1)[0]
	fake.Finish(more, raytest.Failed(1))
	r := run.Wait()
	requireSaid(t, r.Diagnostics().Errors(), "2 of 3 jobs succeeded, 3 are required", more+" FAILED with exit code 1")
	if got, _ := tf.State(gate)["statuses"].(map[string]any); len(got) != 2 {
		t.Errorf("after a failed update the state is %v, want that of the gate passed before", tf.State(gate))
	}
	if p := tf.Plan(); p.Action(gate) != core.Update {
		t.Errorf("the next plan does not wait again:\n%s", p)
	}
	tf.Resource(gate, config{"jobs": append(ids, core.Ref("ray_job.more.submission_id")), "require": 2})
	tf.MustApply()
	if got, _ := tf.State(gate)["failed"].([]any); len(got) > 1 {
		t.Errorf("failed: %v", got)
	}
	tf.MustPlanNothing()

	// triggers ask about all of them again, and Ray has forgotten two.
	tf.Resource(gate, config{"jobs": append(ids, core.Ref("ray_job.more.submission_id")), "require": 2, "triggers": config{"again": "1"}})
	requireSaid(t, tf.Apply().Diagnostics().Errors(), "MISSING")
}

func TestFakeJobWait_isValidated(t *testing.T) {
	for name, c := range map[string]struct {
		config config
		path   string
		said   string
	}{
		"no such word":         {config{"jobs": []any{"a"}, "require": "most"}, "require", "must be"},
		"none":                 {config{"jobs": []any{"a"}, "require": "0"}, "require", "must be"},
		"more than there are":  {config{"jobs": []any{"a", "b"}, "require": "3"}, "require", "jobs has 2"},
		"any of none":          {config{"jobs": []any{}, "require": "any"}, "require", "jobs has 0"},
		"an empty id":          {config{"jobs": []any{""}}, "jobs", "at least 1"},
		"a duration without s": {config{"jobs": []any{"a"}, "timeouts": config{"create": "5"}}, "timeouts.create", "not a number with a unit"},
	} {
		t.Run(name, func(t *testing.T) {
			tf, _ := newTest(t)
			tf.Resource(gate, c.config)
			p := tf.Plan()
			if p.ExitCode() != 1 {
				t.Errorf("exit code %d, want 1", p.ExitCode())
			}
			requireSaid(t, p.Diagnostics().Errors(), c.said)
			requirePath(t, p.Diagnostics().Errors(), c.path)
		})
	}
	t.Run("no jobs at all are all of them", func(t *testing.T) {
		tf, _ := newTest(t)
		tf.Resource(gate, config{"jobs": []any{}})
		tf.MustApply()
		tf.MustPlanNothing()
	})
}

// The jobs that failed run again by rerun_on, and the gate waits for these only.
func TestFakeJobWait_rerunOnFailed(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(gate, config{"jobs": fanOut(tf, 3, config{"rerun_on": []any{"FAILED"}})})
	run := tf.StartApply()
	ids := running(t, fake, 3)
	fake.Finish(ids[0], raytest.Failed(3))
	fake.Finish(ids[1], raytest.Succeeded())
	fake.Finish(ids[2], raytest.Succeeded())
	if r := run.Wait(); r.ExitCode() != 1 {
		t.Fatalf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
	run = tf.StartApply()
	again := running(t, fake, 1)[0]
	if again != ids[0]+"-2" {
		t.Errorf("%s runs again, want %s-2", again, ids[0])
	}
	fake.Finish(again, raytest.Succeeded())
	if r := run.Wait(); r.ExitCode() != 0 {
		t.Fatalf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
	tf.MustPlanNothing()
	requireRuns(t, fake, forever, 4)
}
