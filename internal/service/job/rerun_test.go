package job_test

import (
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// What a job came to, whether it is run again for it, and why the plan says so.
func TestFakeJob_rerunOn(t *testing.T) {
	succeeds := func(f *raytest.Fake, id string) { f.Finish(id, raytest.Succeeded()) }
	fails := func(f *raytest.Fake, id string) { f.Finish(id, raytest.Failed(3)) }
	stops := func(f *raytest.Fake, id string) { f.Finish(id, raytest.Outcome{Status: ray.JobStopped}) }
	forgets := func(f *raytest.Fake, id string) { f.Forget(id) }
	replaced := func(f *raytest.Fake, _ string) { f.Restart(false) }
	succeedsAndForgets := func(f *raytest.Fake, id string) { succeeds(f, id); f.Forget(id) }
	for name, c := range map[string]struct {
		job     config
		happens func(*raytest.Fake, string)
		why     string // the job is run again where not empty
	}{
		"a failed service":                          {config{"wait_for": "RUNNING"}, fails, "FAILED with exit code 3"},
		"a failed service that may fail":            {config{"wait_for": "RUNNING", "ignore_failure": true}, fails, ""},
		"a failed service, none wanted":             {config{"wait_for": "RUNNING", "rerun_on": []any{}}, fails, ""},
		"a lost service":                            {config{"wait_for": "RUNNING"}, forgets, "has no record"},
		"a service of a replaced cluster":           {config{"wait_for": "RUNNING"}, replaced, "another cluster answers now"},
		"a stopped service":                         {config{"wait_for": "RUNNING"}, stops, ""},
		"a stopped service, wanted":                 {config{"wait_for": "RUNNING", "rerun_on": []any{"STOPPED"}}, stops, "was STOPPED"},
		"a service that is over":                    {config{"wait_for": "RUNNING"}, succeeds, ""},
		"a submission that failed":                  {config{"wait_for": "SUBMITTED"}, fails, ""},
		"a submission that failed, wanted":          {config{"wait_for": "SUBMITTED", "rerun_on": []any{"FAILED"}}, fails, "FAILED with exit code 3"},
		"a submission that was lost":                {config{"wait_for": "SUBMITTED"}, forgets, ""},
		"every apply":                               {config{"wait_for": "SUBMITTED", "rerun_on": []any{"SUCCEEDED"}}, succeeds, "every apply"},
		"a submission of a replaced cluster":        {config{"wait_for": "SUBMITTED", "rerun_on": []any{"CLUSTER_REPLACED"}}, replaced, "another cluster answers now"},
		"a submission that was lost, other wanted":  {config{"wait_for": "SUBMITTED", "rerun_on": []any{"CLUSTER_REPLACED"}}, forgets, ""},
		"still running":                             {config{"wait_for": "RUNNING"}, func(*raytest.Fake, string) {}, ""},
		"a submission that ended and was forgotten": {config{"wait_for": "SUBMITTED", "rerun_on": []any{"MISSING"}}, succeedsAndForgets, "has no record"},
	} {
		for _, onDestroy := range []string{"delete", "stop", "abandon"} {
			t.Run(name+"/"+onDestroy, func(t *testing.T) {
				tf, fake := newTest(t)
				tf.Resource(addr, with(config{"name": "a", "entrypoint": forever, "on_destroy": onDestroy}, c.job))
				tf.MustApply()
				c.happens(fake, id(tf))
				p := tf.Plan()
				if c.why == "" {
					if p.ExitCode() != 0 {
						t.Fatalf("exit code %d, want an empty plan\n%s\n%s", p.ExitCode(), p, p.Diagnostics())
					}
					requireRuns(t, fake, forever, 1)
					return
				}
				if p.ExitCode() != 2 || p.Action(addr) != core.Replace {
					t.Fatalf("exit code %d, %s", p.ExitCode(), p)
				}
				requireSaid(t, p.Diagnostics().Warnings(), `Job "a" will run again`, c.why)
				tf.MustApply()
				requireRuns(t, fake, forever, 2)
				requireState(t, tf, "status", "RUNNING")
			})
		}
	}
}

// A job that was green stays in state as it ended, and runs again where it is
// asked for.
func TestFakeJob_rerunOnAfterTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*raytest.Fake, string)
		said    string
	}{
		"MISSING":          {func(f *raytest.Fake, id string) { f.Forget(id) }, "has no record of"},
		"CLUSTER_REPLACED": {func(f *raytest.Fake, _ string) { f.Restart(false) }, "another cluster answers now"},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(addr, config{"name": "a", "entrypoint": "true", "rerun_on": []any{name}})
			tf.MustApply()
			tf.MustPlanNothing()
			c.happens(fake, id(tf))
			// What was seen does not change what was recorded.
			tf.MustApply(core.RefreshOnly())
			requireState(t, tf, "status", "SUCCEEDED")
			p := tf.Plan()
			requireAction(t, p, core.Replace)
			requireSaid(t, p.Diagnostics().Warnings(), c.said, "last seen SUCCEEDED")
			tf.MustApply()
			tf.MustPlanNothing()
			requireRuns(t, fake, "true", 2)
		})
	}
}

// An interrupted wait is not lost for a job that fails before the next plan.
func TestFakeJob_rerunOnWinsOverTheWait(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "rerun_on": []any{"FAILED"}})
	run := tf.StartApply()
	waitFor(t, func() bool { return len(fake.Jobs()) == 1 })
	run.Interrupt()
	run.Wait()
	fake.Finish(id(tf), raytest.Failed(3))
	p := tf.Plan()
	requireAction(t, p, core.Replace)
	requireSaid(t, p.Diagnostics().Warnings(), "FAILED with exit code 3")
}

func TestFakeJob_rerunOnOfAnUnreachableClusterKeepsTheState(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "rerun_on": []any{"MISSING"}})
	tf.MustApply()
	fake.Down()
	p := tf.Plan()
	if p.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", p.ExitCode())
	}
	requireSaid(t, p.Diagnostics().Errors(), "could not be refreshed")
	tf.Provider(config{"address": fake.URL(), "owner": "test", "on_unreachable": "keep"})
	tf.MustPlanNothing()
	requireState(t, tf, "status", "SUCCEEDED")
}
