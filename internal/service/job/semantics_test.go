package job_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/provider"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// longAgo is the clock of a head on which every job ended an hour ago: no delete of
// its record has to wait until Ray's monitor of the job is done.
func longAgo() raytest.Option {
	return raytest.WithClock(func() time.Time { return time.Now().Add(-time.Hour) })
}

// another is a second working directory on the cluster.
func another(t *testing.T, fake *raytest.Fake, owner string) *core.Core {
	t.Helper()
	tf := core.New(t, newServer)
	tf.Provider(config{"address": fake.URL(), "owner": owner, "max_unreachable": "2s"})
	return tf
}

func newServer() tfprotov6.ProviderServer {
	return providerserver.NewProtocol6(provider.New("test")())()
}

// submitted lists the cluster's jobs.
func submitted(fake *raytest.Fake) []string {
	var out []string
	for _, job := range fake.Jobs() {
		out = append(out, job.SubmissionID)
	}
	return out
}

func requireJobs(t *testing.T, fake *raytest.Fake, want ...string) {
	t.Helper()
	if got := submitted(fake); !slices.Equal(got, want) {
		t.Errorf("the cluster has the jobs %v, want %v", got, want)
	}
}

// writes lists what was asked of the cluster that may change it.
func writes(fake *raytest.Fake) []string {
	var out []string
	for route := range fake.Requests() {
		if !strings.HasPrefix(route, "GET ") {
			out = append(out, route)
		}
	}
	return out
}

func TestFakeJob_twoOwnersDoNotSeeEachOther(t *testing.T) {
	one, fake := newTest(t, longAgo())
	two := another(t, fake, "other")
	job := config{"name": "a", "entrypoint": "true"}
	one.Resource(addr, job)
	two.Resource(addr, job)
	one.MustApply()
	if p := two.Plan(); p.Diagnostics().Contains("on the cluster already") {
		t.Errorf("the plan takes another owner's job for its own:\n%s", p.Diagnostics())
	}
	two.MustApply()
	requireRuns(t, fake, "true", 2)
	requireJobs(t, fake, id(one), id(two))
	one.MustPlanNothing()
	two.MustPlanNothing()
	two.MustApply(core.Replacing(addr))
	requireJobs(t, fake, id(one), id(two))
	if r := one.Destroy(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	requireJobs(t, fake, id(two))
	two.MustPlanNothing()
	requireRuns(t, fake, "true", 3)
}

// An id that the user chose is one job of the cluster, and has one owner.
func TestFakeJob_twoOwnersAndOneChosenID(t *testing.T) {
	one, fake := newTest(t, longAgo())
	two := another(t, fake, "other")
	job := config{"submission_id": "mine", "entrypoint": "true"}
	one.Resource(addr, job)
	two.Resource(addr, job)
	one.MustApply()
	if r := two.Apply(); r.ExitCode() != 1 || two.State(addr) != nil {
		t.Errorf("exit code %d, state %v", r.ExitCode(), two.State(addr))
	} else {
		requireSaid(t, r.Diagnostics().Errors(), `"mine" is there already`, "It was not submitted by this configuration")
	}
	requireRuns(t, fake, "true", 1)
	one.MustPlanNothing()
}

func TestFakeJob_twoStatesOfOneOwnerShareTheRun(t *testing.T) {
	one, fake := newTest(t, longAgo())
	two := another(t, fake, "test")
	job := config{"name": "a", "entrypoint": "true"}
	one.Resource(addr, job)
	two.Resource(addr, job)
	one.MustApply()
	p := two.Plan()
	requireAction(t, p, core.Create)
	requireSaid(t, p.Diagnostics().Warnings(), `Job "a" is on the cluster already`, "ended SUCCEEDED at", "nothing will run")
	requireSaid(t, p.Apply().Diagnostics().Warnings(), `Job "a" was taken over`)
	requireRuns(t, fake, "true", 1)
	// A finished job is done in the one state although the other deleted its record.
	if r := one.Destroy(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	two.MustPlanNothing()
	requireRuns(t, fake, "true", 1)
}

// Two applies that find nothing post one id, and Ray takes it once.
func TestFakeJob_twoAppliesRaceForOneName(t *testing.T) {
	one, fake := newTest(t)
	two := another(t, fake, "test")
	for round := range 8 {
		entrypoint := fmt.Sprintf("echo %d", round)
		if round%2 == 0 { // both have looked before either of them posts
			fake.Fail(raytest.Match{Route: "POST /api/jobs/", Times: 2}, raytest.Slow(20*time.Millisecond))
		}
		job := config{"name": "a", "entrypoint": entrypoint, "on_destroy": "abandon"}
		one.Resource(addr, job)
		two.Resource(addr, job)
		runs := []*core.Run{one.StartApply(), two.StartApply()}
		for _, run := range runs {
			if r := run.Wait(); r.ExitCode() != 0 {
				t.Fatalf("round %d: exit code %d\n%s", round, r.ExitCode(), r.Diagnostics())
			}
		}
		fake.ClearFaults()
		if id(one) != id(two) {
			t.Errorf("round %d: %s and %s", round, id(one), id(two))
		}
		requireRuns(t, fake, entrypoint, 1)
		one.MustPlanNothing()
		two.MustPlanNothing()
	}
}

func TestFakeJob_twoAppliesWaitForOneJob(t *testing.T) {
	one, fake := newTest(t)
	two := another(t, fake, "test")
	job := config{"name": "a", "entrypoint": forever}
	one.Resource(addr, job)
	two.Resource(addr, job)
	runs := []*core.Run{one.StartApply(), two.StartApply()}
	fake.Finish(lastJob(t, fake, 1), raytest.Succeeded())
	for _, run := range runs {
		if r := run.Wait(); r.ExitCode() != 0 {
			t.Fatalf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
		}
	}
	requireState(t, one, "status", "SUCCEEDED")
	requireState(t, two, "status", "SUCCEEDED")
	requireRuns(t, fake, forever, 1)
}

func TestFakeJob_createBeforeDestroyOfUnchangedInputs(t *testing.T) {
	tf, fake := newTest(t, longAgo())
	tf.Resource(addr, config{"name": "a", "entrypoint": "true"}, core.CreateBeforeDestroy())
	tf.MustApply()
	first := id(tf)
	r := tf.MustApply(core.Replacing(addr))
	if got := r.Plan().Action(addr); got != core.ReplaceCreateNew {
		t.Errorf("planned %s, want %s", got, core.ReplaceCreateNew)
	}
	if r.Diagnostics().Contains("destroyed and created in one plan") {
		t.Errorf("what is taken over is said to be destroyed:\n%s", r.Diagnostics())
	}
	requireSaid(t, r.Diagnostics().Warnings(), "was taken over by its replacement and did not run again")
	requireRuns(t, fake, "true", 1)
	requireJobs(t, fake, first)
	requireState(t, tf, "submission_id", first)
	tf.MustPlanNothing()
	tf.Taint(addr)
	p := tf.Plan()
	requireAction(t, p, core.ReplaceCreateNew)
	requireSaid(t, p.Diagnostics().Warnings(), "With create_before_destroy and the same inputs it is taken over instead, and nothing runs: change triggers")
	if r := p.Apply(); r.ExitCode() != 0 || tf.Tainted(addr) {
		t.Errorf("exit code %d, tainted %t\n%s", r.ExitCode(), tf.Tainted(addr), r.Diagnostics())
	}
	requireRuns(t, fake, "true", 1)
	requireJobs(t, fake, first)
}

// The records of the attempts before the one that is taken over stay with it.
func TestFakeJob_createBeforeDestroyKeepsEarlierAttempts(t *testing.T) {
	tf, fake := newTest(t, longAgo())
	tf.Resource(addr, config{"name": "a", "entrypoint": forever, "retry": quick}, core.CreateBeforeDestroy())
	run := tf.StartApply()
	first := lastJob(t, fake, 1)
	fake.Finish(first, raytest.Failed(3))
	fake.Finish(lastJob(t, fake, 2), raytest.Succeeded())
	if r := run.Wait(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	was := attempts(tf)
	tf.MustApply(core.Replacing(addr))
	requireJobs(t, fake, first, first+"-2")
	if attempts(tf) != was {
		t.Errorf("attempts %s, were %s", attempts(tf), was)
	}
	if r := tf.Destroy(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	requireJobs(t, fake)
}

func TestFakeJob_createBeforeDestroyOfChangedInputs(t *testing.T) {
	tf, fake := newTest(t, longAgo())
	job := config{"name": "a", "entrypoint": "true", "triggers": config{"n": "1"}}
	tf.Resource(addr, job, core.CreateBeforeDestroy())
	tf.MustApply()
	first := id(tf)
	tf.Resource(addr, with(job, config{"triggers": config{"n": "2"}}), core.CreateBeforeDestroy())
	requireAction(t, tf.Plan(), core.ReplaceCreateNew)
	// The new job is posted while the old one's record is there.
	gone := fake.Fail(raytest.Match{Route: "DELETE /api/jobs/{id}"}, raytest.AnswerWith(500, "text/plain", "no"))
	tf.Apply()
	if gone.Hits() != 1 {
		t.Fatalf("the old record was asked to be deleted %d times, want once", gone.Hits())
	}
	requireJobs(t, fake, first, id(tf))
	if old := tf.Deposed(addr); len(old) != 1 || old[0]["submission_id"] != first {
		t.Errorf("deposed: %v, want %s", old, first)
	}
	tf.MustApply()
	requireJobs(t, fake, id(tf))
	requireRuns(t, fake, "true", 2)
	tf.MustPlanNothing()
}

func TestFakeJob_createBeforeDestroyOfAFailingJob(t *testing.T) {
	tf, fake := newTest(t, longAgo())
	tf.Resource(addr, config{"name": "a", "entrypoint": forever}, core.CreateBeforeDestroy())
	apply := func(n int, o raytest.Outcome) *core.Result {
		run := tf.StartApply()
		fake.Finish(lastJob(t, fake, n), o)
		return run.Wait()
	}
	for n := range 3 {
		if r := apply(n+1, raytest.Failed(3)); r.ExitCode() != 1 || !tf.Tainted(addr) || len(tf.Deposed(addr)) != n {
			t.Fatalf("run %d: exit code %d, tainted %t, %d deposed\n%s", n+1, r.ExitCode(), tf.Tainted(addr), len(tf.Deposed(addr)), r.Diagnostics())
		}
		requireRuns(t, fake, forever, n+1)
		p := tf.Plan()
		requireAction(t, p, core.ReplaceCreateNew)
		if p.Diagnostics().Contains("add a moved block") {
			t.Errorf("after run %d the deposed objects are taken for a rename:\n%s", n+1, p.Diagnostics())
		}
	}
	if r := apply(4, raytest.Succeeded()); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	requireRuns(t, fake, forever, 4)
	if old := tf.Deposed(addr); len(old) != 0 {
		t.Errorf("deposed objects after a green apply: %v", old)
	}
	requireJobs(t, fake, id(tf))
	requireState(t, tf, "attempt", int64(4))
	tf.MustPlanNothing()
}

func TestFakeJob_eachReplacementIsTheNextAttempt(t *testing.T) {
	again := map[string]func(*core.Core) *core.Result{
		"replaced": func(tf *core.Core) *core.Result { return tf.Apply(core.Replacing(addr)) },
		"tainted":  func(tf *core.Core) *core.Result { tf.Taint(addr); return tf.Apply() },
	}
	for _, onDestroy := range []string{"delete", "stop", "abandon"} {
		for name, again := range again {
			t.Run(name+"/"+onDestroy, func(t *testing.T) {
				tf, fake := newTest(t, longAgo())
				tf.Resource(addr, config{"name": "a", "entrypoint": "true", "on_destroy": onDestroy})
				tf.MustApply()
				ids := []string{id(tf)}
				for n := 2; n <= 4; n++ {
					if r := again(tf); r.ExitCode() != 0 {
						t.Fatal(r.Diagnostics())
					}
					ids = append(ids, fmt.Sprintf("%s-%d", ids[0], n))
					requireState(t, tf, "submission_id", ids[n-1])
					requireState(t, tf, "attempt", int64(n))
					requireRuns(t, fake, "true", n)
				}
				if onDestroy == "delete" {
					ids = ids[3:]
				}
				requireJobs(t, fake, ids...)
				tf.MustPlanNothing()
			})
		}
	}
}

func TestFakeJob_destroyedAndCreatedAgain(t *testing.T) {
	for onDestroy, again := range map[string]bool{"delete": true, "stop": false, "abandon": false} {
		t.Run(onDestroy, func(t *testing.T) {
			tf, fake := newTest(t, longAgo())
			tf.Resource(addr, config{"name": "a", "entrypoint": "true", "on_destroy": onDestroy})
			tf.MustApply()
			first := id(tf)
			for n := 2; n <= 3; n++ {
				if r := tf.Destroy(); r.ExitCode() != 0 {
					t.Fatal(r.Diagnostics())
				}
				p := tf.Plan()
				requireAction(t, p, core.Create)
				if said := p.Diagnostics().Contains("nothing will run. To run it again, change triggers"); said == again {
					t.Errorf("the plan says that nothing will run: %t\n%s", said, p.Diagnostics())
				}
				if r := p.Apply(); r.ExitCode() != 0 {
					t.Fatal(r.Diagnostics())
				}
				requireJobs(t, fake, first)
				runs := 1
				if again {
					runs = n
				}
				requireRuns(t, fake, "true", runs)
				tf.MustPlanNothing()
			}
		})
	}
}

// What `terraform plan -detailed-exitcode` answers, 0 or 2. A 0 is kept: its apply
// writes nothing to the cluster. A 2 is settled by one apply, where nothing says
// that it can't be.
func TestFakeJob_planExitCode(t *testing.T) {
	ok := config{"name": "a", "entrypoint": "true"}
	runs := config{"name": "a", "entrypoint": forever, "wait_for": "SUBMITTED"}
	waits := config{"name": "a", "entrypoint": forever}
	apply := func(*testing.T, *core.Core, *raytest.Fake) {}
	configure := func(job config) func(*testing.T, *core.Core, *raytest.Fake) {
		return func(_ *testing.T, tf *core.Core, _ *raytest.Fake) { tf.Resource(addr, job) }
	}
	configureProvider := func(more config) func(*testing.T, *core.Core, *raytest.Fake) {
		return func(_ *testing.T, tf *core.Core, fake *raytest.Fake) {
			tf.Provider(with(config{"address": fake.URL(), "owner": "test"}, more))
		}
	}
	finish := func(o raytest.Outcome) func(*testing.T, *core.Core, *raytest.Fake) {
		return func(_ *testing.T, tf *core.Core, fake *raytest.Fake) { fake.Finish(id(tf), o) }
	}
	forget := func(_ *testing.T, tf *core.Core, fake *raytest.Fake) { fake.Forget(id(tf)) }
	replaced := func(_ *testing.T, _ *core.Core, fake *raytest.Fake) { fake.Restart(false) }
	interrupt := func(t *testing.T, tf *core.Core, fake *raytest.Fake) {
		run := tf.StartApply()
		lastJob(t, fake, 1)
		run.Interrupt()
		run.Wait()
	}
	failedWait := func(t *testing.T, tf *core.Core, fake *raytest.Fake) {
		interrupt(t, tf, fake)
		fake.Finish(id(tf), raytest.Failed(3))
		if r := tf.Apply(); r.ExitCode() != 1 || tf.Tainted(addr) {
			t.Fatalf("exit code %d, tainted %t", r.ExitCode(), tf.Tainted(addr))
		}
	}
	imported := func(t *testing.T, tf *core.Core, _ *raytest.Fake) {
		job := id(tf)
		tf.Forget(addr)
		if d := tf.Import(addr, job); d.HasErrors() {
			t.Fatal(d)
		}
	}
	dir := directory(t, map[string]string{"a.py": "print(1)"})
	type step = func(*testing.T, *core.Core, *raytest.Fake)
	for name, c := range map[string]struct {
		job      config
		first    step // instead of a green apply
		happens  step
		want     int
		said     string // a warning of the plan
		restless bool   // one apply does not settle it
	}{
		"fresh":                               {job: ok, first: apply, want: 2},
		"done":                                {job: ok, want: 0},
		"done and forgotten by Ray":           {job: ok, happens: forget, want: 0},
		"done and the cluster replaced":       {job: ok, happens: replaced, want: 0},
		"done, another owner now":             {job: ok, happens: configureProvider(config{"owner": "other"}), want: 0},
		"done, other default metadata":        {job: ok, happens: configureProvider(config{"default_metadata": config{"a": "b"}}), want: 0},
		"done, unreachable and kept":          {job: ok, happens: func(_ *testing.T, tf *core.Core, fake *raytest.Fake) { fake.Down() }, want: 0},
		"done, removed from state":            {job: ok, happens: func(_ *testing.T, tf *core.Core, _ *raytest.Fake) { tf.Forget(addr) }, want: 2, said: "nothing will run"},
		"running":                             {job: runs, want: 0},
		"running, then succeeded":             {job: runs, happens: finish(raytest.Succeeded()), want: 0},
		"running, then failed":                {job: runs, happens: finish(raytest.Failed(3)), want: 0},
		"running, then stopped":               {job: runs, happens: finish(raytest.Outcome{Status: ray.JobStopped}), want: 0},
		"running, then missing":               {job: runs, happens: forget, want: 0, said: "Ray has no record of job"},
		"running, then cluster replaced":      {job: runs, happens: replaced, want: 0, said: "was on a cluster that was replaced"},
		"running, head restarted with Redis":  {job: runs, happens: func(_ *testing.T, _ *core.Core, fake *raytest.Fake) { fake.Restart(true) }, want: 0},
		"rerun_on and nothing to rerun for":   {job: with(runs, config{"rerun_on": []any{"FAILED", "MISSING"}}), want: 0},
		"rerun_on FAILED":                     {job: with(runs, config{"rerun_on": []any{"FAILED"}}), happens: finish(raytest.Failed(3)), want: 2, said: "FAILED with exit code 3"},
		"rerun_on STOPPED":                    {job: with(runs, config{"rerun_on": []any{"STOPPED"}}), happens: finish(raytest.Outcome{Status: ray.JobStopped}), want: 2, said: "was STOPPED"},
		"rerun_on MISSING":                    {job: with(runs, config{"rerun_on": []any{"MISSING"}}), happens: forget, want: 2, said: "has no record of"},
		"rerun_on CLUSTER_REPLACED":           {job: with(runs, config{"rerun_on": []any{"CLUSTER_REPLACED"}}), happens: replaced, want: 2, said: "another cluster answers now"},
		"rerun_on of what was done, MISSING":  {job: with(ok, config{"rerun_on": []any{"MISSING"}}), happens: forget, want: 2, said: "has no record of"},
		"rerun_on of what was done, replaced": {job: with(ok, config{"rerun_on": []any{"CLUSTER_REPLACED"}}), happens: replaced, want: 2, said: "another cluster answers now"},
		"rerun_on SUCCEEDED":                  {job: with(ok, config{"rerun_on": []any{"SUCCEEDED"}}), want: 2, said: "every apply", restless: true},
		"rerun_on is set and has hit": {job: runs, happens: func(_ *testing.T, tf *core.Core, fake *raytest.Fake) {
			fake.Finish(id(tf), raytest.Failed(3))
			tf.Resource(addr, with(runs, config{"rerun_on": []any{"FAILED"}}))
		}, want: 2, said: "FAILED with exit code 3"},
		"a service that failed":                {job: with(runs, config{"wait_for": "RUNNING"}), happens: finish(raytest.Failed(3)), want: 2, said: "FAILED with exit code 3"},
		"interrupted":                          {job: waits, first: interrupt, want: 2, said: "goes on", restless: true},
		"interrupted, then succeeded":          {job: waits, first: interrupt, happens: finish(raytest.Succeeded()), want: 2, said: "goes on"},
		"interrupted, then failed":             {job: waits, first: interrupt, happens: finish(raytest.Failed(3)), want: 2, said: "goes on", restless: true},
		"interrupted, failed and told":         {job: waits, first: failedWait, want: 2, said: "did not succeed and will run again", restless: true},
		"interrupted, failed, told and borne":  {job: waits, first: failedWait, happens: configure(with(waits, config{"ignore_failure": true})), want: 2},
		"failed":                               {job: with(ok, config{"entrypoint": "exit 3"}), first: func(_ *testing.T, tf *core.Core, _ *raytest.Fake) { tf.Apply() }, want: 2, restless: true},
		"failed and untainted":                 {job: with(ok, config{"entrypoint": "exit 3"}), first: func(_ *testing.T, tf *core.Core, _ *raytest.Fake) { tf.Apply(); tf.Untaint(addr) }, want: 0},
		"failed and borne":                     {job: with(ok, config{"entrypoint": "exit 3", "ignore_failure": true}), want: 0},
		"failed, borne and no longer":          {job: with(ok, config{"entrypoint": "exit 3", "ignore_failure": true}), happens: configure(with(ok, config{"entrypoint": "exit 3"})), want: 2, restless: true},
		"tainted":                              {job: ok, happens: func(_ *testing.T, tf *core.Core, _ *raytest.Fake) { tf.Taint(addr) }, want: 2, said: "as the next attempt"},
		"triggers changed":                     {job: ok, happens: configure(with(ok, config{"triggers": config{"a": "b"}})), want: 2},
		"metadata changed":                     {job: ok, happens: configure(with(ok, config{"metadata": config{"a": "b"}})), want: 2},
		"log_lines changed":                    {job: ok, happens: configure(with(ok, config{"log_lines": 3})), want: 2},
		"on_destroy changed":                   {job: ok, happens: configure(with(ok, config{"on_destroy": "stop"})), want: 2},
		"retry added":                          {job: ok, happens: configure(with(ok, config{"retry": config{"max_attempts": 3}})), want: 2},
		"the wait made stronger, done already": {job: with(ok, config{"wait_for": "SUBMITTED"}), happens: configure(with(ok, config{"wait_for": "SUCCEEDED"})), want: 2},
		"the same cluster by another name": {job: ok, happens: func(_ *testing.T, tf *core.Core, fake *raytest.Fake) {
			tf.Resource(addr, with(ok, config{"cluster": config{"address": fake.URL() + "/"}}))
		}, want: 2},
		"the directory elsewhere":        {job: with(ok, config{"working_dir": dir}), happens: configure(with(ok, config{"working_dir": directory(t, map[string]string{"a.py": "print(1)"})})), want: 2},
		"the directory changed":          {job: with(ok, config{"working_dir": dir}), happens: configure(with(ok, config{"working_dir": directory(t, map[string]string{"a.py": "print(2)"})})), want: 2},
		"imported, ours":                 {job: with(ok, config{"triggers": config{"a": "b"}}), happens: imported, want: 2},
		"removed from the configuration": {job: ok, happens: func(_ *testing.T, tf *core.Core, _ *raytest.Fake) { tf.Remove(addr) }, want: 2},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t, longAgo())
			tf.Provider(config{"address": fake.URL(), "owner": "test", "on_unreachable": "keep", "max_unreachable": "2s"})
			tf.Resource(addr, c.job)
			if c.first != nil {
				c.first(t, tf, fake)
			} else {
				tf.MustApply()
			}
			if c.happens != nil {
				c.happens(t, tf, fake)
			}
			p := tf.Plan()
			if p.ExitCode() != c.want {
				t.Fatalf("exit code %d, want %d\n%s\n%s", p.ExitCode(), c.want, p, p.Diagnostics())
			}
			if c.said != "" {
				requireSaid(t, p.Diagnostics().Warnings(), c.said)
			}
			if c.restless {
				return
			}
			fake.ResetRequests()
			if r := tf.Apply(); r.ExitCode() != 0 {
				t.Fatalf("apply: exit code %d\n%s", r.ExitCode(), r.Diagnostics())
			}
			if c.want == 0 {
				if w := writes(fake); len(w) != 0 {
					t.Errorf("the apply of an empty plan asked for %v", w)
				}
				return
			}
			tf.MustPlanNothing()
		})
	}
}

// firstAttributes are those of the first ray_job. What came later is what an upgrade
// brings and a downgrade loses.
var firstAttributes = []string{
	"cluster", "timeouts", "name", "submission_id", "entrypoint", "command", "working_dir", "excludes", "runtime_env", "runtime_env_json", "triggers", "metadata",
	"entrypoint_num_cpus", "entrypoint_num_gpus", "entrypoint_memory", "entrypoint_resources", "entrypoint_label_selector",
	"wait_for", "ignore_failure", "stop_timeout", "on_destroy", "log_lines",
	"job_id", "status", "error_type", "driver_exit_code", "submitted_at", "ended_at", "driver_node_id", "cluster_id", "url", "package_uri", "working_dir_hash",
	"metadata_all", "attempt", "inputs_digest", "owner",
}

// older is a provider that has only the first attributes: the later ones are not in
// its schema, null in what it is told and gone from what it says.
type older struct {
	tfprotov6.ProviderServer
	schema  *tfprotov6.Schema
	was, is tftypes.Object
}

func newOlder(t *testing.T) func() tfprotov6.ProviderServer {
	t.Helper()
	all, err := newServer().GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	schema := *all.ResourceSchemas["ray_job"]
	is := schema.ValueType()
	block := *schema.Block
	block.Attributes = slices.DeleteFunc(slices.Clone(block.Attributes), func(a *tfprotov6.SchemaAttribute) bool { return !slices.Contains(firstAttributes, a.Name) })
	if len(block.Attributes) != len(firstAttributes) {
		t.Fatalf("of the first attributes %d are there, want all %d", len(block.Attributes), len(firstAttributes))
	}
	schema.Block = &block
	return func() tfprotov6.ProviderServer {
		o := &older{ProviderServer: newServer(), schema: &schema}
		o.is, _ = is.(tftypes.Object)
		o.was, _ = schema.ValueType().(tftypes.Object)
		return o
	}
}

// convert makes values of the type from ones of the type to, in place.
func convert(from, to tftypes.Object, values ...**tfprotov6.DynamicValue) error {
	for _, p := range values {
		if *p == nil {
			continue
		}
		v, err := (*p).Unmarshal(from)
		if err != nil {
			return err
		}
		out := tftypes.NewValue(to, nil)
		if !v.IsNull() {
			had, has := map[string]tftypes.Value{}, map[string]tftypes.Value{}
			if err := v.As(&had); err != nil {
				return err
			}
			for name, typ := range to.AttributeTypes {
				has[name] = tftypes.NewValue(typ, nil)
				if a, ok := had[name]; ok {
					has[name] = a
				}
			}
			out = tftypes.NewValue(to, has)
		}
		d, err := tfprotov6.NewDynamicValue(to, out)
		if err != nil {
			return err
		}
		*p = &d
	}
	return nil
}

func (o *older) GetProviderSchema(ctx context.Context, r *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	resp, err := o.ProviderServer.GetProviderSchema(ctx, r)
	if err == nil {
		resp.ResourceSchemas["ray_job"] = o.schema
	}
	return resp, err
}

func (o *older) ValidateResourceConfig(ctx context.Context, r *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	told := *r
	if err := convert(o.was, o.is, &told.Config); err != nil {
		return nil, err
	}
	return o.ProviderServer.ValidateResourceConfig(ctx, &told)
}

// UpgradeResourceState drops what it does not know, as the framework does.
func (o *older) UpgradeResourceState(ctx context.Context, r *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(r.RawState.JSON, &all); err != nil {
		return nil, err
	}
	for name := range all {
		if !slices.Contains(firstAttributes, name) {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	told := *r
	told.RawState = &tfprotov6.RawState{JSON: text}
	resp, err := o.ProviderServer.UpgradeResourceState(ctx, &told)
	if err != nil {
		return nil, err
	}
	return resp, convert(o.is, o.was, &resp.UpgradedState)
}

func (o *older) ReadResource(ctx context.Context, r *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	told := *r
	if err := convert(o.was, o.is, &told.CurrentState); err != nil {
		return nil, err
	}
	resp, err := o.ProviderServer.ReadResource(ctx, &told)
	if err != nil {
		return nil, err
	}
	return resp, convert(o.is, o.was, &resp.NewState)
}

func (o *older) PlanResourceChange(ctx context.Context, r *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	told := *r
	if err := convert(o.was, o.is, &told.PriorState, &told.ProposedNewState, &told.Config); err != nil {
		return nil, err
	}
	resp, err := o.ProviderServer.PlanResourceChange(ctx, &told)
	if err != nil {
		return nil, err
	}
	return resp, convert(o.is, o.was, &resp.PlannedState)
}

func (o *older) ApplyResourceChange(ctx context.Context, r *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	told := *r
	if err := convert(o.was, o.is, &told.PriorState, &told.PlannedState, &told.Config); err != nil {
		return nil, err
	}
	resp, err := o.ProviderServer.ApplyResourceChange(ctx, &told)
	if err != nil {
		return nil, err
	}
	return resp, convert(o.is, o.was, &resp.NewState)
}

// Neither a newer nor an older provider finds anything to do in what the other left,
// whatever the job was doing.
func TestFakeJob_upgradeAndDowngradeOfTheProvider(t *testing.T) {
	nothing := func(*testing.T, *core.Core, *raytest.Fake) {}
	full := config{
		"name": "a", "entrypoint": "true", "working_dir": directory(t, map[string]string{"a.py": "print(1)"}), "runtime_env": config{"env_vars": config{"A": "b"}}, "runtime_env_json": `{"config":{"x":1}}`,
		"triggers": config{"a": "b"}, "metadata": config{"team": "ml"}, "entrypoint_num_cpus": 1, "entrypoint_memory": 1024, "log_lines": 7, "on_destroy": "stop", "timeouts": config{"create": "1h"},
	}
	for name, c := range map[string]struct {
		job     config
		between func(*testing.T, *core.Core, *raytest.Fake)
		runs    int
	}{
		"done":               {config{"name": "a", "entrypoint": "true"}, nothing, 1},
		"with all it can be": {full, nothing, 1},
		"running":            {config{"name": "a", "entrypoint": "true; sleep 3600", "wait_for": "RUNNING"}, nothing, 1},
		"ended unseen":       {config{"name": "a", "entrypoint": "true; sleep 3600", "wait_for": "SUBMITTED"}, func(_ *testing.T, tf *core.Core, fake *raytest.Fake) { fake.Finish(id(tf), raytest.Failed(3)) }, 1},
		"failed and borne":   {config{"name": "a", "entrypoint": "exit 3", "ignore_failure": true}, nothing, 1},
		"an id of its own":   {config{"submission_id": "own", "entrypoint": "true"}, nothing, 1},
		"another attempt":    {config{"name": "a", "entrypoint": "true"}, func(_ *testing.T, tf *core.Core, _ *raytest.Fake) { tf.MustApply(core.Replacing(addr)) }, 2},
	} {
		entrypoint, _ := c.job["entrypoint"].(string)
		for way, servers := range map[string][2]func() tfprotov6.ProviderServer{
			"upgrade":   {newOlder(t), newServer},
			"downgrade": {newServer, newOlder(t)},
		} {
			t.Run(name+"/"+way, func(t *testing.T) {
				tf, fake := newTest(t, longAgo())
				tf.Install(servers[0])
				tf.Resource(addr, c.job)
				tf.MustApply()
				c.between(t, tf, fake)
				first := id(tf)
				tf.Install(servers[1])
				fake.ResetRequests()
				tf.MustPlanNothing(core.NoRefresh())
				tf.MustPlanNothing()
				tf.MustApply() // which may write state
				tf.MustPlanNothing()
				if w := writes(fake); len(w) != 0 {
					t.Errorf("the other provider asked for %v", w)
				}
				requireRuns(t, fake, entrypoint, c.runs)
				// The next run has the id that the first provider would have given it.
				tf.Forget(addr)
				tf.MustApply()
				requireState(t, tf, "submission_id", first)
				requireRuns(t, fake, entrypoint, c.runs)
				fake.Finish(first, raytest.Succeeded())
				if r := tf.Destroy(); r.ExitCode() != 0 {
					t.Error(r.Diagnostics())
				}
			})
		}
	}
}

// A downgrade loses what was configured for the newer provider, and nothing else.
func TestFakeJob_downgradeFromWhatOnlyTheNewerProviderHas(t *testing.T) {
	tf, fake := newTest(t)
	job := config{"name": "a", "entrypoint": "exit 3", "ignore_failure": true}
	tf.Resource(addr, with(job, config{"retry": quick, "rerun_on": []any{"MISSING"}, "on_interrupt": "stop", "start_timeout": "1h", "execution_timeout": "1h"}))
	tf.MustApply()
	requireRuns(t, fake, "exit 3", 3)
	tf.Resource(addr, job)
	tf.Install(newOlder(t))
	tf.MustPlanNothing()
	tf.MustApply()
	tf.Install(newServer)
	tf.MustPlanNothing()
	requireRuns(t, fake, "exit 3", 3)
}

// The markers of an unfinished wait are understood by the other provider too.
func TestFakeJob_upgradeAndDowngradeWhileWaiting(t *testing.T) {
	for way, servers := range map[string][2]func() tfprotov6.ProviderServer{
		"upgrade":   {newOlder(t), newServer},
		"downgrade": {newServer, newOlder(t)},
	} {
		t.Run(way, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Install(servers[0])
			tf.Resource(addr, config{"name": "a", "entrypoint": forever})
			run := tf.StartApply()
			job := lastJob(t, fake, 1)
			run.Interrupt()
			run.Wait()
			fake.Finish(job, raytest.Failed(3))
			tf.Install(servers[1])
			requireAction(t, tf.Plan(), core.Update)
			requireSaid(t, tf.Apply().Diagnostics().Errors(), "FAILED with exit code 3")
			tf.Install(servers[0])
			requireAction(t, tf.Plan(), core.Replace)
			requireRuns(t, fake, forever, 1)
		})
	}
}

func TestFakeJob_importOfAnotherClustersIdentity(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{"name": "a", "entrypoint": "true"})
	tf.MustApply()
	identity := tf.Identity(addr)
	tf.Forget(addr)
	if d := tf.ImportIdentity(addr, identity); d.HasErrors() {
		t.Fatal(d)
	}
	tf.Forget(addr)
	// The same id on another cluster is another job.
	fake.Restart(false)
	if _, err := submit(t, fake, ray.Submission{SubmissionID: fmt.Sprint(identity["submission_id"]), Entrypoint: "true"}); err != nil {
		t.Fatal(err)
	}
	d := tf.ImportIdentity(addr, identity)
	requireSaid(t, d.Errors(), "is on another cluster", fmt.Sprintf("The identity names cluster %s", identity["cluster_id"]), "is cluster "+fake.Cluster().ClusterID)
	if tf.State(addr) != nil {
		t.Errorf("imported %v", tf.State(addr))
	}
}

// submit posts a job that is not Terraform's.
func submit(t *testing.T, fake *raytest.Fake, s ray.Submission) (*dashboard.Client, error) {
	t.Helper()
	client, err := dashboard.New(dashboard.Options{URL: fake.URL()})
	if err != nil {
		return nil, err
	}
	return client, client.Submit(t.Context(), s)
}

func TestFakeJob_importByAddressAndID(t *testing.T) {
	tf, fake := newTest(t)
	job := config{"name": "a", "entrypoint": "true", "cluster": config{"address": fake.URL()}}
	tf.Resource(addr, job)
	tf.MustApply()
	first := id(tf)
	tf.Forget(addr)
	// The provider's own address is not asked.
	tf.Provider(config{"address": "http://127.0.0.1:1", "owner": "test", "max_unreachable": "1s", "request_retry": config{"max_attempts": 1}})
	if d := tf.Import(addr, first); !d.HasErrors() {
		t.Error("imported from an address where nothing listens")
	}
	if d := tf.Import(addr, fake.URL()+"|"+first); d.HasErrors() {
		t.Fatal(d)
	}
	tf.MustApply()
	tf.MustPlanNothing()
	requireState(t, tf, "status", "SUCCEEDED")
	requireRuns(t, fake, "true", 1)
}

// An import without a stamp is replaced where Ray's record says other than the
// configuration, and only there.
func TestFakeJob_importWithoutAStamp(t *testing.T) {
	env := config{"env_vars": config{"A": "b"}}
	same := config{"name": "a", "entrypoint": "echo theirs", "runtime_env": env}
	for name, c := range map[string]struct {
		job config
		why string // what forces the replacement; an update in place where empty
	}{
		"the same":                   {same, ""},
		"what Ray does not tell":     {with(same, config{"triggers": config{"a": "b"}, "entrypoint_num_cpus": 1, "metadata": config{"a": "b"}}), ""},
		"the same, as a command":     {with(same, config{"entrypoint": nil, "command": []any{"echo", "theirs"}}), ""},
		"another entrypoint":         {with(same, config{"entrypoint": "echo ours"}), "entrypoint"},
		"another command":            {with(same, config{"entrypoint": nil, "command": []any{"echo", "ours"}}), "command"},
		"another variable":           {with(same, config{"runtime_env": config{"env_vars": config{"B": "b"}}}), "runtime_env"},
		"no runtime environment":     {with(same, config{"runtime_env": nil}), "runtime_env_json"},
		"packages that it never had": {with(same, config{"runtime_env": with(env, config{"pip": config{"packages": []any{"x"}}})}), "runtime_env"},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t, longAgo())
			if _, err := submit(t, fake, ray.Submission{SubmissionID: "theirs", Entrypoint: "echo theirs", RuntimeEnv: map[string]any{"env_vars": map[string]string{"A": "b"}}}); err != nil {
				t.Fatal(err)
			}
			tf.Resource(addr, c.job)
			if d := tf.Import(addr, "theirs"); d.HasErrors() {
				t.Fatal(d)
			}
			p := tf.Plan()
			if c.why == "" {
				requireAction(t, p, core.Update)
				fake.ResetRequests()
				tf.MustApply()
				if w := writes(fake); len(w) != 0 {
					t.Errorf("taking a job over asked for %v", w)
				}
				requireState(t, tf, "submission_id", "theirs")
				tf.MustPlanNothing()
				requireRuns(t, fake, "echo theirs", 1)
				return
			}
			requireAction(t, p, core.Replace)
			if got := p.RequiresReplace(addr); len(got) != 1 || got[0] != c.why {
				t.Errorf("replaced because of %v, want %s", got, c.why)
			}
			requireSaid(t, p.Diagnostics().Warnings(), `Job "a" was submitted with other inputs`, "imported submission theirs")
			tf.MustApply()
			tf.MustPlanNothing()
			requireJobs(t, fake, id(tf))
		})
	}
}

func TestFakeJob_importWithAStampOfOtherInputs(t *testing.T) {
	job := config{"name": "a", "entrypoint": "true", "triggers": config{"n": "1"}}
	for why, change := range map[string]config{
		"inputs_digest": {"triggers": config{"n": "2"}},
		"entrypoint":    {"entrypoint": "echo"},
	} {
		t.Run(why, func(t *testing.T) {
			tf, fake := newTest(t, longAgo())
			tf.Resource(addr, job)
			tf.MustApply()
			first := id(tf)
			tf.Forget(addr)
			if d := tf.Import(addr, first); d.HasErrors() {
				t.Fatal(d)
			}
			tf.Resource(addr, with(job, change))
			p := tf.Plan()
			requireAction(t, p, core.Replace)
			if got := p.RequiresReplace(addr); len(got) != 1 || got[0] != why {
				t.Errorf("replaced because of %v, want %s", got, why)
			}
			requireSaid(t, p.Diagnostics().Warnings(), `Job "a" was submitted with other inputs`)
			tf.MustApply()
			tf.MustPlanNothing()
			requireJobs(t, fake, id(tf))
		})
	}
}

// Terraform before 1.12 and OpenTofu before 1.12 have no identities.
func TestFakeJob_withoutIdentity(t *testing.T) {
	_, fake := newTest(t, longAgo())
	tf := core.New(t, newServer, core.WithoutIdentity())
	tf.Provider(config{"address": fake.URL(), "owner": "test"})
	tf.Resource(addr, config{"name": "a", "entrypoint": "true"})
	tf.MustApply()
	first := id(tf)
	tf.Forget(addr)
	if d := tf.Import(addr, first); d.HasErrors() {
		t.Fatal(d)
	}
	tf.MustApply()
	tf.MustPlanNothing()
	tf.MustApply(core.Replacing(addr))
	requireState(t, tf, "submission_id", first+"-2")
	requireRuns(t, fake, "true", 2)
}

// A change of cluster never replaces a job: what it finds there is told.
func TestFakeJob_anotherClustersAddress(t *testing.T) {
	other := raytest.NewFake()
	t.Cleanup(other.Close)
	for name, c := range map[string]struct {
		job    config
		status string
		said   string
	}{
		"done":    {config{"name": "a", "entrypoint": "true"}, "SUCCEEDED", ""},
		"running": {config{"name": "a", "entrypoint": forever, "wait_for": "SUBMITTED"}, "CLUSTER_REPLACED", "is not on the cluster that it now names"},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			tf.Resource(addr, c.job)
			tf.MustApply()
			tf.Resource(addr, with(c.job, config{"cluster": config{"address": other.URL()}}))
			p := tf.Plan()
			requireAction(t, p, core.Update)
			r := p.Apply()
			if r.ExitCode() != 0 {
				t.Errorf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
			}
			requireSaid(t, r.Diagnostics().Warnings(), c.said)
			requireState(t, tf, "status", c.status)
			requireJobs(t, other)
			if len(fake.Jobs()) != 1 {
				t.Errorf("the first cluster has %v", submitted(fake))
			}
		})
	}
}
