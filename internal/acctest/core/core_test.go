package core_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
)

func TestCreatePlansUnknownAndApplyMakesItKnown(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a", "size": 1})

	plan := tf.Plan()
	if got := plan.Action("x_thing.a"); got != core.Create {
		t.Fatalf("action: got %s, want create\n%s", got, plan.Diagnostics())
	}
	if got := plan.ExitCode(); got != 2 {
		t.Errorf("exit code of a plan with changes: got %d, want 2", got)
	}
	if got := plan.After("x_thing.a")["id"]; got != core.Unknown {
		t.Errorf("planned id: got %v, want unknown", got)
	}
	tf.MustApply()
	want := map[string]any{"name": "a", "size": int64(1), "id": "id-1", "status": "OK", "fixed": nil, "extra": nil}
	if diff := cmp.Diff(want, tf.State("x_thing.a")); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	tf.MustPlanNothing()
	if got := cloud.count("apply create"); got != 1 {
		t.Errorf("creates: got %d, want 1", got)
	}
}

func TestEveryCommandIsAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	if got := cloud.processes(); got != 2 {
		t.Errorf("processes of one apply: got %d, want 2", got)
	}
}

func TestUpdateKeepsComputedValues(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a", "size": 1})
	tf.MustApply()
	tf.Resource("x_thing.a", map[string]any{"name": "a", "size": 2})
	plan := tf.Plan()
	if got := plan.Action("x_thing.a"); got != core.Update {
		t.Fatalf("action: got %s, want update", got)
	}
	if diff := cmp.Diff([]string{"size"}, plan.Changed("x_thing.a")); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	tf.MustApply()
	if got := tf.State("x_thing.a")["id"]; got != "id-1" {
		t.Errorf("id: got %v, want id-1", got)
	}
}

func TestReplaceIsPlannedTwiceAndDeletesFirst(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	tf.Resource("x_thing.a", map[string]any{"name": "b"})
	cloud.forget()
	plan := tf.Plan()
	if got := plan.Action("x_thing.a"); got != core.Replace {
		t.Fatalf("action: got %s, want a replacement", got)
	}
	if diff := cmp.Diff([]string{"name"}, plan.RequiresReplace("x_thing.a")); diff != "" {
		t.Errorf("requires replace (-want +got):\n%s", diff)
	}
	if r := plan.Apply(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	// The second plan has no prior object and the private bytes of the first.
	want := []string{
		"upgrade", "read private", "plan update private", "plan create private",
		"upgrade", "apply delete private", "plan create", "apply create",
	}
	if diff := cmp.Diff(want, cloud.log()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestCreateBeforeDestroyCreatesFirst(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"}, core.CreateBeforeDestroy())
	tf.MustApply()
	tf.Resource("x_thing.a", map[string]any{"name": "b"}, core.CreateBeforeDestroy())
	plan := tf.Plan()
	if got := plan.Action("x_thing.a"); got != core.ReplaceCreateNew {
		t.Fatalf("action: got %s, want +/-", got)
	}
	cloud.forget()
	if r := plan.Apply(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	want := []string{"plan create", "apply create", "upgrade", "plan delete private", "apply delete private"}
	if diff := cmp.Diff(want, cloud.log()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	tf.MustPlanNothing()
}

func TestFailedCreateBeforeDestroy(t *testing.T) {
	t.Parallel()
	t.Run("with state leaves the old object deposed", func(t *testing.T) {
		t.Parallel()
		tf, cloud := newThings(t)
		tf.Resource("x_thing.a", map[string]any{"name": "a"}, core.CreateBeforeDestroy())
		tf.MustApply()
		tf.Resource("x_thing.a", map[string]any{"name": "b"}, core.CreateBeforeDestroy())
		cloud.set(func(c *world) { c.createFails, c.createKeeps = true, true })
		if r := tf.Apply(); r.ExitCode() != 1 {
			t.Fatalf("exit code: got %d, want 1", r.ExitCode())
		}
		if !tf.Tainted("x_thing.a") || len(tf.Deposed("x_thing.a")) != 1 {
			t.Errorf("want a tainted and a deposed object, got tainted=%v and %d deposed", tf.Tainted("x_thing.a"), len(tf.Deposed("x_thing.a")))
		}
		tf.Apply()
		if got := len(tf.Deposed("x_thing.a")); got != 2 {
			t.Errorf("deposed objects after a second failure: got %d, want 2", got)
		}
		cloud.set(func(c *world) { c.createFails = false })
		tf.MustApply()
		if got := len(tf.Deposed("x_thing.a")); got != 0 {
			t.Errorf("deposed objects after a green apply: got %d, want 0", got)
		}
	})
	t.Run("without state restores the old object", func(t *testing.T) {
		t.Parallel()
		tf, cloud := newThings(t)
		tf.Resource("x_thing.a", map[string]any{"name": "a"}, core.CreateBeforeDestroy())
		tf.MustApply()
		tf.Resource("x_thing.a", map[string]any{"name": "b"}, core.CreateBeforeDestroy())
		cloud.set(func(c *world) { c.createFails = true })
		tf.Apply()
		if got := tf.State("x_thing.a")["name"]; got != "a" {
			t.Errorf("current object: got %v, want the old one", got)
		}
	})
}

func TestErrorWithStateTaints(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	cloud.set(func(c *world) { c.createFails, c.createKeeps = true, true })
	r := tf.Apply()
	if r.ExitCode() != 1 || !r.Diagnostics().Contains("the cloud is full") {
		t.Fatalf("got exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
	if !tf.Tainted("x_thing.a") {
		t.Fatal("want a tainted object")
	}
	if !strings.Contains(string(tf.Private("x_thing.a")), "made") {
		t.Errorf("private bytes are kept with an error, got %q", tf.Private("x_thing.a"))
	}
	cloud.set(func(c *world) { c.createFails = false })
	cloud.forget()
	plan := tf.Plan()
	if got := plan.Action("x_thing.a"); got != core.Replace || plan.Reason("x_thing.a") != "tainted" {
		t.Errorf("got %s %q, want a replacement because it is tainted", got, plan.Reason("x_thing.a"))
	}
	if r := plan.Apply(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	// One plan, as if there were no object; its Delete gets no private bytes.
	want := []string{
		"upgrade", "read private", "plan create",
		"upgrade", "apply delete", "plan create", "apply create",
	}
	if diff := cmp.Diff(want, cloud.log()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestDeleteOfTaintedByDestroyGetsPrivate(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	tf.Taint("x_thing.a")
	cloud.forget()
	if r := tf.Destroy(core.NoRefresh()); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	want := []string{"upgrade", "plan delete private", "upgrade", "apply delete private"}
	if diff := cmp.Diff(want, cloud.log()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got := tf.Addresses(); len(got) != 0 {
		t.Errorf("state after destroy: %v", got)
	}
}

func TestErrorWithoutStateLeavesNothing(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	cloud.set(func(c *world) { c.createFails = true })
	if r := tf.Apply(); r.ExitCode() != 1 {
		t.Fatalf("exit code: got %d, want 1", r.ExitCode())
	}
	if got := tf.Addresses(); len(got) != 0 {
		t.Errorf("state: got %v, want none", got)
	}
}

func TestFailingUpdateDoesNotTaintAndKeepsPrivate(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a", "size": 1})
	tf.MustApply()
	tf.Resource("x_thing.a", map[string]any{"name": "a", "size": 2})
	cloud.set(func(c *world) { c.updateFails = true })
	if r := tf.Apply(); r.ExitCode() != 1 {
		t.Fatalf("exit code: got %d, want 1", r.ExitCode())
	}
	if tf.Tainted("x_thing.a") {
		t.Error("an update cannot taint")
	}
	if !strings.Contains(string(tf.Private("x_thing.a")), "failed") {
		t.Errorf("private set together with the error is lost: %q", tf.Private("x_thing.a"))
	}
}

func TestDeleteErrorKeepsTheObject(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	tf.Remove("x_thing.a")
	cloud.set(func(c *world) { c.deleteFails = true })
	if r := tf.Apply(); r.ExitCode() != 1 {
		t.Fatalf("exit code: got %d, want 1", r.ExitCode())
	}
	if tf.State("x_thing.a") == nil {
		t.Error("the object was lost")
	}
}

func TestForcedReplacement(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	r := tf.MustApply(core.Replacing("x_thing.a"))
	if got := r.Plan().Action("x_thing.a"); got != core.Replace {
		t.Errorf("got %s, want a replacement", got)
	}
	if got := tf.State("x_thing.a")["id"]; got != "id-2" {
		t.Errorf("id: got %v, want id-2", got)
	}
}

func TestComputedDriftIsNoChange(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	cloud.set(func(c *world) { c.status = "GONE BAD" })
	if got := tf.Plan().ExitCode(); got != 0 {
		t.Errorf("plan: got exit code %d, want 0", got)
	}
	if got := tf.Plan(core.RefreshOnly()).ExitCode(); got != 2 {
		t.Errorf("refresh-only plan: got exit code %d, want 2", got)
	}
	if got := tf.State("x_thing.a")["status"]; got != "OK" {
		t.Errorf("plan wrote state: status %v", got)
	}
	tf.MustApply(core.RefreshOnly())
	if got := tf.State("x_thing.a")["status"]; got != "GONE BAD" {
		t.Errorf("status after a refresh-only apply: %v", got)
	}
}

func TestObjectThatIsGoneIsCreatedAgain(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	cloud.set(func(c *world) { clear(c.things) })
	if got := tf.Plan(core.NoRefresh()).Action("x_thing.a"); got != core.NoOp {
		t.Errorf("without refresh: got %s, want no-op", got)
	}
	if got := tf.Plan().Action("x_thing.a"); got != core.Create {
		t.Errorf("got %s, want create", got)
	}
}

func TestInconsistentProviderIsFound(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fault string
		want  string
	}{
		"plan changes what is configured": {"plan", "Provider produced invalid plan"},
		"second plan differs":             {"final", "Provider produced inconsistent final plan"},
		"result differs":                  {"result", "Provider produced inconsistent result after apply"},
		"result is unknown":               {"unknown", "for an unknown value"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf, cloud := newThings(t)
			cloud.set(func(c *world) { c.fault = tc.fault })
			tf.Resource("x_thing.a", map[string]any{"name": "a", "size": 1})
			r := tf.Apply()
			if r.ExitCode() != 1 || tc.fault != "unknown" && !r.Diagnostics().Contains(tc.want) {
				t.Errorf("exit code %d, want %q in:\n%s", r.ExitCode(), tc.want, r.Diagnostics())
			}
		})
	}
}

func TestReferencesOrderAndUnknowns(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.Resource("x_thing.b", map[string]any{"name": core.Ref("x_thing.a.id")})
	plan := tf.Plan()
	if got := plan.After("x_thing.b")["name"]; got != core.Unknown {
		t.Errorf("name at plan: got %v, want unknown", got)
	}
	tf.MustApply()
	if got := tf.State("x_thing.b")["name"]; got != "id-1" {
		t.Errorf("name: got %v, want id-1", got)
	}
	cloud.set(func(c *world) { c.deleted = nil })
	if r := tf.Destroy(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	if diff := cmp.Diff([]string{"id-2", "id-1"}, cloud.deletedIDs()); diff != "" {
		t.Errorf("order of destroy (-want +got):\n%s", diff)
	}
}

func TestFailureSkipsDependentsOnly(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	cloud.set(func(c *world) { c.failName = "a" })
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.Resource("x_thing.b", map[string]any{"name": "b"}, core.DependsOn("x_thing.a"))
	tf.Resource("x_thing.c", map[string]any{"name": "c"})
	tf.Apply()
	if diff := cmp.Diff([]string{"x_thing.c"}, tf.Addresses()); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestParallelism(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		tf, cloud := newThings(t, core.Parallelism(n))
		entered, proceed := make(chan struct{}), make(chan struct{})
		cloud.set(func(c *world) {
			c.onCreate = func(context.Context) {
				entered <- struct{}{}
				<-proceed
			}
		})
		names := []string{"a", "b", "c", "d", "e", "f"}
		for _, name := range names {
			tf.Resource("x_thing."+name, map[string]any{"name": name})
		}
		run := tf.StartApply()
		for range len(names) / n {
			for i := range n {
				select {
				case <-entered:
				case <-time.After(time.Minute):
					t.Fatalf("creates at a time: got %d, want %d", i, n)
				}
			}
			time.Sleep(20 * time.Millisecond) // in which one more would begin
			for range n {
				proceed <- struct{}{}
			}
		}
		if r := run.Wait(); r.ExitCode() != 0 {
			t.Errorf("exit code %d\n%s", r.ExitCode(), r.Diagnostics())
		}
		if got := cloud.peak(); got != n {
			t.Errorf("creates at a time: got %d, want %d", got, n)
		}
	}
}

func TestLaterValueIsUnknownAtPlan(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	tf.Provider(map[string]any{"endpoint": core.Later("http://there")})
	tf.Resource("x_thing.a", map[string]any{"name": core.Later("a")})
	if got := tf.Plan().After("x_thing.a")["name"]; got != core.Unknown {
		t.Errorf("got %v, want unknown", got)
	}
	tf.MustApply()
	if got := tf.State("x_thing.a")["name"]; got != "a" {
		t.Errorf("got %v, want a", got)
	}
}

func TestSavedPlanGoesStale(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	plan := tf.Plan()
	if r := plan.Apply(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	if r := plan.Apply(); r.ExitCode() != 1 || !r.Diagnostics().Contains("Saved plan is stale") {
		t.Errorf("second apply of one plan: exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"id", "identity"} {
		tf, _ := newThings(t)
		tf.Resource("x_thing.a", map[string]any{"name": "a"})
		tf.MustApply()
		if diff := cmp.Diff(map[string]any{"id": "id-1"}, tf.Identity("x_thing.a")); diff != "" {
			t.Errorf("identity (-want +got):\n%s", diff)
		}
		tf.Forget("x_thing.a")
		var diags core.Diagnostics
		if by == "id" {
			diags = tf.Import("x_thing.a", "id-1")
		} else {
			diags = tf.ImportIdentity("x_thing.a", map[string]any{"id": "id-1"})
		}
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		tf.MustPlanNothing()
		tf.Forget("x_thing.a")
		if diags := tf.Import("x_thing.a", "nope"); !diags.Contains("Cannot import non-existent remote object") {
			t.Errorf("import of nothing: %s", diags)
		}
	}
}

func TestWithoutIdentityNoneIsStored(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t, core.WithoutIdentity())
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	tf.MustPlanNothing()
	if got := tf.Identity("x_thing.a"); got != nil {
		t.Errorf("identity: got %v, want none", got)
	}
}

func TestDataSource(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.Data("data.x_thing.a", map[string]any{"id": core.Ref("x_thing.a.id")})
	tf.Resource("x_thing.b", map[string]any{"name": core.Ref("data.x_thing.a.name")})
	if got := tf.Plan().Action("data.x_thing.a"); got != core.Read {
		t.Errorf("a data source with unknown configuration: got %s, want read during apply", got)
	}
	tf.MustApply()
	if got := tf.State("x_thing.b")["name"]; got != "a" {
		t.Errorf("name: got %v, want a", got)
	}
	if got := tf.MustPlanNothing().Data("data.x_thing.a")["name"]; got != "a" {
		t.Errorf("read during plan: got %v, want a", got)
	}
}

func TestReplaceTriggeredBy(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	configure := func(size int) {
		tf.Resource("x_thing.a", map[string]any{"name": "a", "size": size})
		tf.Resource("x_thing.b", map[string]any{"name": "b"}, core.ReplaceTriggeredBy("x_thing.a.size"))
		tf.Resource("x_thing.c", map[string]any{"name": "c"}, core.ReplaceTriggeredBy("x_thing.a.name"))
	}
	configure(1)
	tf.MustApply()
	configure(2)
	want := map[string]core.Action{"x_thing.a": core.Update, "x_thing.b": core.Replace}
	if diff := cmp.Diff(want, tf.Plan().Actions()); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestIgnoreChanges(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a", "size": 1}, core.IgnoreChanges("size"))
	tf.MustApply()
	tf.Resource("x_thing.a", map[string]any{"name": "a", "size": 2}, core.IgnoreChanges("size"))
	tf.MustPlanNothing()
}

func TestDestroyRunsTheNormalPlanFirst(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	cloud.set(func(c *world) { c.fault = "plan error" })
	if r := tf.Destroy(); r.ExitCode() != 1 {
		t.Errorf("an error in ModifyPlan blocks destroy: got exit code %d, want 1", r.ExitCode())
	}
	if r := tf.Destroy(core.NoRefresh()); r.ExitCode() != 0 {
		t.Errorf("-refresh=false gets round it: got exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
}

func TestValidateReportsAttributePaths(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"size": 1})
	tf.Resource("x_thing.b", map[string]any{"name": "b", "id": "mine"})
	tf.Resource("x_thing.c", map[string]any{"name": "c", "size": -1})
	var got []string
	for _, d := range tf.Validate() {
		got = append(got, d.Address+"."+d.Path+": "+d.Summary)
	}
	want := []string{
		"x_thing.a.name: Missing required argument",
		"x_thing.b.id: Value for unconfigurable attribute",
		"x_thing.c.size: Too small",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("diagnostics (-want +got):\n%s", diff)
	}
}

func TestDynamicValuesSurviveState(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	for _, v := range []any{"text", 3, true, []any{"a", 1}, map[string]any{"k": []any{map[string]any{"deep": 1.5}}}, nil} {
		tf.Resource("x_thing.a", map[string]any{"name": "a", "extra": v})
		tf.MustApply()
		tf.MustPlanNothing()
	}
}

func TestProviderUpgradeReadsOldState(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	tf.SetRawState("x_thing.a", 7, tf.RawState("x_thing.a"), nil)
	if r := tf.Plan(); !r.Diagnostics().Contains("managed by newer provider version") {
		t.Errorf("a state of a newer schema version: %s", r.Diagnostics())
	}
}

func TestMoveAndUntaint(t *testing.T) {
	t.Parallel()
	tf, _ := newThings(t)
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.MustApply()
	tf.Taint("x_thing.a")
	if got := tf.Plan().Action("x_thing.a"); got != core.Replace {
		t.Errorf("tainted: got %s, want a replacement", got)
	}
	tf.Untaint("x_thing.a")
	tf.Remove("x_thing.a")
	tf.Resource("x_thing.b", map[string]any{"name": "a"})
	tf.Move("x_thing.a", "x_thing.b")
	tf.MustPlanNothing()
}
