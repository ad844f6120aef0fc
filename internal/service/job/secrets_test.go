package job_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// planted are secrets in all the places where a user may write one.
var planted = map[string]string{
	"token": "planted-token", "header": "planted-header", "env_vars": "planted-sensitive",
	"env_vars_wo": "planted-write-only", "runtime_env_json_wo": "planted-in-json",
}

const tellAll = `echo $SENSITIVE $WRITE_ONLY $IN_JSON; exit 1`

// plant is Terraform with a job that knows all the planted secrets.
func plant(t *testing.T, entrypoint string) (*core.Core, *raytest.Fake) {
	tf, fake := newTest(t, raytest.WithToken(planted["token"]))
	tf.Provider(config{"address": fake.URL(), "owner": "test", "max_unreachable": "2s", "token": planted["token"], "headers": config{"X-Tenant": planted["header"]}})
	tf.Resource(addr, config{
		"name": "a", "entrypoint": entrypoint,
		"runtime_env": config{"env_vars": config{"SENSITIVE": planted["env_vars"]}},
		"env_vars_wo": config{"WRITE_ONLY": planted["env_vars_wo"]}, "env_vars_wo_version": "1",
		"runtime_env_json_wo": core.Later(`{"plugin":{"password":"` + planted["runtime_env_json_wo"] + `"}}`), "runtime_env_json_wo_version": 7,
	})
	return tf, fake
}

// requireHidden fails where text shows a planted secret other than those allowed.
func requireHidden(t *testing.T, where, text string, allowed ...string) {
	t.Helper()
	for name, secret := range planted {
		permitted := false
		for _, a := range allowed {
			permitted = permitted || a == name
		}
		if !permitted && strings.Contains(text, secret) {
			t.Errorf("%s shows the secret of %s:\n%s", where, name, text)
		}
	}
}

func requireSecretsKept(t *testing.T, tf *core.Core, r *core.Result) {
	t.Helper()
	requireHidden(t, "a diagnostic", r.Diagnostics().String())
	requireHidden(t, "the plan", r.Plan().String())
	requireHidden(t, "the state", fmt.Sprint(tf.State(addr)), "env_vars")
	for _, name := range []string{"submission_id", "inputs_digest", "url", "metadata_all"} {
		requireHidden(t, name, fmt.Sprint(tf.State(addr)[name]))
	}
	for _, name := range []string{"env_vars_wo", "runtime_env_json_wo"} {
		if v := tf.State(addr)[name]; v != nil {
			t.Errorf("%s = %v in state, want null", name, v)
		}
	}
}

func postedEnv(t *testing.T, fake *raytest.Fake) map[string]any {
	t.Helper()
	all := fake.Jobs()
	var env map[string]any
	if len(all) != 1 {
		t.Fatalf("%d jobs, want 1", len(all))
	}
	if err := json.Unmarshal(all[0].RuntimeEnv, &env); err != nil {
		t.Fatal(err)
	}
	return env
}

func TestFakeJob_writeOnlyArgumentsReachTheJobAlone(t *testing.T) {
	tf, fake := plant(t, "echo fine")
	requireSecretsKept(t, tf, tf.MustApply())
	env := postedEnv(t, fake)
	for _, want := range []string{"env_vars_wo", "env_vars", "runtime_env_json_wo"} {
		if !strings.Contains(fmt.Sprint(env), planted[want]) {
			t.Errorf("the job was not told %s: %v", want, env)
		}
	}
	tf.MustPlanNothing()
	// A new value without a new version is the same job, and Terraform can't see it.
	tf.Resource(addr, config{
		"name": "a", "entrypoint": "echo fine", "runtime_env": config{"env_vars": config{"SENSITIVE": planted["env_vars"]}},
		"env_vars_wo": config{"WRITE_ONLY": "another"}, "env_vars_wo_version": "1",
		"runtime_env_json_wo": `{}`, "runtime_env_json_wo_version": "7",
	})
	tf.MustPlanNothing()
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo fine", "runtime_env": config{"env_vars": config{"SENSITIVE": planted["env_vars"]}},
		"env_vars_wo": config{"WRITE_ONLY": "another"}, "env_vars_wo_version": "2",
		"runtime_env_json_wo": `{}`, "runtime_env_json_wo_version": "7",
	})
	requireAction(t, tf.Plan(), core.Replace)
	tf.MustApply()
	requireRuns(t, fake, "echo fine", 2)
	if env := fmt.Sprint(postedEnv(t, fake)); !strings.Contains(env, "another") {
		t.Errorf("the second run was not told the new value: %s", env)
	}
}

func TestFakeJob_failedJobThatPrintsItsSecrets(t *testing.T) {
	tf, _ := plant(t, tellAll)
	r := tf.Apply()
	requireSecretsKept(t, tf, r)
	requireSaid(t, r.Diagnostics(), "(sensitive value)", `Job "a" FAILED`)
	requireHidden(t, "the plan of the next run", tf.Plan().Diagnostics().String())
}

// A proxy before the head repeats what it refused.
func TestFakeJob_refusalThatRepeatsTheRequest(t *testing.T) {
	tf, fake := plant(t, "true")
	body, err := json.Marshal(map[string]any{"error": "refused", "request": planted})
	if err != nil {
		t.Fatal(err)
	}
	fake.Fail(raytest.Match{Route: "POST /api/jobs/"}, raytest.AnswerWith(http.StatusBadRequest, "application/json", string(body)))
	r := tf.Apply()
	if r.ExitCode() != 1 {
		t.Fatal("a refused job was no error")
	}
	said := r.Diagnostics().String()
	requireHidden(t, "a diagnostic", said, "token", "header")
	requireSaid(t, r.Diagnostics(), "nothing ran", "(sensitive value)")
}

func TestFakeJob_lostAnswerKeepsSecrets(t *testing.T) {
	tf, fake := plant(t, "true")
	fake.Fail(raytest.Match{Route: "POST /api/jobs/"}, raytest.LoseAnswer())
	requireSecretsKept(t, tf, tf.MustApply())
	requireRuns(t, fake, "true", 1)
}

// The next attempt of an update that waits on is told the same secrets.
func TestFakeJob_retriesInUpdateKnowTheWriteOnlyArguments(t *testing.T) {
	tf, fake := newTest(t)
	resource := config{
		"name": "a", "entrypoint": forever, "retry": config{"exit_codes": []any{1}, "min_backoff": "1ms"},
		"env_vars_wo": config{"WRITE_ONLY": planted["env_vars_wo"]}, "env_vars_wo_version": "1",
	}
	tf.Resource(addr, resource)
	run := tf.StartApply()
	waitFor(t, func() bool { return len(fake.Jobs()) == 1 })
	run.Interrupt()
	run.Wait()
	fake.Finish(id(tf), raytest.Failed(1))
	run = tf.StartApply()
	waitFor(t, func() bool { return len(fake.Jobs()) == 2 })
	for _, job := range fake.Jobs() {
		if !strings.Contains(string(job.RuntimeEnv), planted["env_vars_wo"]) {
			t.Errorf("%s was not told the secret: %s", job.SubmissionID, job.RuntimeEnv)
		}
		fake.Finish(job.SubmissionID, raytest.Succeeded())
	}
	r := run.Wait()
	if r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	requireSecretsKept(t, tf, r)
	tf.MustPlanNothing()
}

func TestFakeJob_importKeepsNoValue(t *testing.T) {
	for name, wo := range map[string]config{
		"ours":            {"env_vars_wo": config{"WRITE_ONLY": planted["env_vars_wo"]}, "env_vars_wo_version": "1", "runtime_env_json_wo": `{"plugin":{"password":"planted-in-json"}}`, "runtime_env_json_wo_version": "1"},
		"somebody else's": {"env_vars_wo": config{"WRITE_ONLY": planted["env_vars_wo"]}, "env_vars_wo_version": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			resource := with(config{"name": "a", "entrypoint": "true", "runtime_env": config{"env_vars": config{"SENSITIVE": planted["env_vars"]}}}, wo)
			tf.Resource(addr, resource)
			submission := "theirs"
			if name == "ours" {
				tf.MustApply()
				submission = id(tf)
				tf.Forget(addr)
			} else {
				client, err := dashboard.New(dashboard.Options{URL: fake.URL()})
				if err != nil {
					t.Fatal(err)
				}
				env := map[string]any{"env_vars": map[string]any{"SENSITIVE": planted["env_vars"], "WRITE_ONLY": planted["env_vars_wo"]}}
				if err := client.Submit(t.Context(), ray.Submission{SubmissionID: submission, Entrypoint: "true", RuntimeEnv: env}); err != nil {
					t.Fatal(err)
				}
			}
			if r := tf.Import(addr, submission); r.HasErrors() {
				t.Fatal(r)
			}
			requireHidden(t, "the imported state", fmt.Sprint(tf.State(addr)))
			p := tf.Plan()
			if got := p.Action(addr); got != core.Update && got != core.NoOp {
				t.Errorf("planned %s of a job that is the same\n%s", got, p)
			}
			tf.MustApply()
			requireRuns(t, fake, "true", 1)
			tf.MustPlanNothing()
		})
	}
}

func TestFakeJob_writeOnlyValidation(t *testing.T) {
	tf, _ := newTest(t)
	ok := config{"name": "a", "entrypoint": "true"}
	for name, c := range map[string]struct {
		change config
		path   string
		said   string
	}{
		"variables without version":  {config{"env_vars_wo": config{"A": "planted-write-only"}}, "env_vars_wo", "env_vars_wo_version"},
		"version without variables":  {config{"env_vars_wo_version": "1"}, "env_vars_wo_version", "env_vars_wo"},
		"JSON without version":       {config{"runtime_env_json_wo": `{"a":"planted-write-only"}`}, "runtime_env_json_wo", "runtime_env_json_wo_version"},
		"not JSON":                   {config{"runtime_env_json_wo": `{"planted-write-only`, "runtime_env_json_wo_version": "1"}, "runtime_env_json_wo", "not a JSON object"},
		"no object":                  {config{"runtime_env_json_wo": `["planted-write-only"]`, "runtime_env_json_wo_version": "1"}, "runtime_env_json_wo", "not a JSON object"},
		"variable twice":             {config{"env_vars_wo": config{"A": "planted-write-only"}, "env_vars_wo_version": "1", "runtime_env": config{"env_vars": config{"A": "1"}}}, "env_vars_wo", `"A" is set twice`},
		"variable twice, in JSON":    {config{"env_vars_wo": config{"A": "planted-write-only"}, "env_vars_wo_version": "1", "runtime_env_json": `{"env_vars":{"A":"1"}}`}, "env_vars_wo", `"A" is set twice`},
		"variable twice, write-only": {config{"env_vars_wo": config{"A": "planted-write-only"}, "env_vars_wo_version": "1", "runtime_env_json_wo": `{"env_vars":{"A":"1"}}`, "runtime_env_json_wo_version": "1"}, "env_vars_wo", `"A" is set twice`},
		"key twice":                  {config{"runtime_env_json_wo": `{"pip":["planted-write-only"]}`, "runtime_env_json_wo_version": "1", "runtime_env": config{"pip": config{"packages": []any{"x"}}}}, "runtime_env_json_wo", "pip is set twice"},
		"reserved variable":          {config{"env_vars_wo": config{jobs.EnvAttempt: "planted-write-only"}, "env_vars_wo_version": "1"}, "env_vars_wo", "is the provider's"},
		"working_dir":                {config{"runtime_env_json_wo": `{"working_dir":"."}`, "runtime_env_json_wo_version": "1"}, "runtime_env_json_wo", "Set the attribute working_dir"},
		"number":                     {config{"runtime_env_json_wo": `{"env_vars":{"A":1}}`, "runtime_env_json_wo_version": "1"}, "runtime_env_json_wo", "is not a string"},
		"pip and uv":                 {config{"runtime_env_json_wo": `{"pip":["x"]}`, "runtime_env_json_wo_version": "1", "runtime_env": config{"uv": config{"packages": []any{"x"}}}}, "runtime_env", "can't be combined"},
	} {
		tf.Resource(addr, with(ok, c.change))
		errs := tf.Validate().Errors()
		requireSaid(t, errs, c.said)
		requireHidden(t, name, errs.String())
		requireAt(t, name, errs, c.path)
	}
}

// What is known in apply alone is checked there, before anything is submitted.
func TestFakeJob_variableThatTurnsOutToBeSetTwice(t *testing.T) {
	tf, fake := newTest(t)
	tf.Resource(addr, config{
		"name": "a", "entrypoint": "true", "runtime_env": config{"env_vars": config{"A": "1"}},
		"env_vars_wo": core.Later(map[string]any{"A": "planted-write-only"}), "env_vars_wo_version": "1",
	})
	r := tf.Apply()
	requireSaid(t, r.Diagnostics().Errors(), `"A" is set twice`)
	requireSecretsKept(t, tf, r)
	requireRuns(t, fake, "true", 0)
}

// A value that is a part of the job's name is no secret.
func TestFakeJob_nameThatHoldsAValueStaysReadable(t *testing.T) {
	tf, _ := newTest(t)
	tf.Resource(addr, config{"name": "prod-train", "entrypoint": "exit 1", "runtime_env": config{"env_vars": config{"STAGE": "prod"}}})
	requireSaid(t, tf.Apply().Diagnostics(), `Job "prod-train" FAILED`, "Submission "+id(tf))
}
