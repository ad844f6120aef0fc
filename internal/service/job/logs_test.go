package job_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

func requireLog(t *testing.T, file, want string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("log_file (-want +got):\n%s", diff)
	}
}

func TestFakeJob_logFileHasTheWholeLog(t *testing.T) {
	tf, fake := newTest(t)
	file := filepath.Join(t.TempDir(), "some", "dir", "job.log")
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo one; echo RAY_JOB_RESULT=1", "log_file": file})
	tf.MustApply()
	requireLog(t, file, fake.Log(id(tf)))
	requireState(t, tf, "result", int64(1))
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, want mode 0600", info, err)
	}
	// What became of it is no drift, and another path is for the next run.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	fake.ResetRequests()
	tf.MustPlanNothing()
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo one; echo RAY_JOB_RESULT=1", "log_file": file + "2"})
	requireAction(t, tf.Plan(), core.Update)
	tf.MustApply()
	tf.MustPlanNothing()
	if got := fake.Requests()["GET /api/v0/logs/file"]; got != 0 {
		t.Errorf("plans and updates of a finished job read its log %d times", got)
	}
	requireState(t, tf, "result", int64(1))
	requireRuns(t, fake, "echo one; echo RAY_JOB_RESULT=1", 1)
}

func TestFakeJob_logFileIsOfThisRunOnly(t *testing.T) {
	tf, fake := newTest(t)
	file := filepath.Join(t.TempDir(), "job.log")
	c := config{"submission_id": "own", "entrypoint": "echo RAY_JOB_RESULT=1; exit 3", "log_file": file}
	tf.Resource(addr, c)
	if r := tf.Apply(); r.ExitCode() != 1 {
		t.Fatalf("exit code %d", r.ExitCode())
	}
	first := fake.Log("own")
	requireLog(t, file, first) // of a failed job too
	tf.Resource(addr, with(c, config{"entrypoint": "echo again"}))
	tf.MustApply()
	requireLog(t, file, strings.TrimPrefix(fake.Log("own"), first))
	requireState(t, tf, "result", nil)
}

func TestFakeJob_logFileAfterAnInterrupt(t *testing.T) {
	tf, fake := newTest(t)
	file := filepath.Join(t.TempDir(), "job.log")
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo RAY_JOB_RESULT={}; " + forever, "log_file": file})
	run := tf.StartApply()
	for fake.EntrypointExecutions("echo RAY_JOB_RESULT={}; "+forever) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	run.Interrupt()
	run.Wait()
	fake.Finish(id(tf), raytest.Succeeded())
	tf.MustApply()
	requireLog(t, file, fake.Log(id(tf)))
	requireState(t, tf, "status", "SUCCEEDED")
	if diff := cmp.Diff(any(map[string]any{}), tf.State(addr)["result"]); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestFakeJob_logFileHasAllAttempts(t *testing.T) {
	tf, fake := newTest(t)
	file := filepath.Join(t.TempDir(), "job.log")
	tf.Resource(addr, config{
		"name": "a", "entrypoint": "echo run $TF_RAY_ATTEMPT; exit 3", "log_file": file, "ignore_failure": true,
		"retry": config{"max_attempts": 2, "exit_codes": []any{3}, "min_backoff": "1ms", "max_backoff": "1ms"},
	})
	tf.MustApply()
	first := strings.TrimSuffix(id(tf), "-2")
	requireLog(t, file, fake.Log(first)+"\n==> "+first+"-2 <==\n"+fake.Log(first+"-2"))
}

func TestFakeJob_logFileThatCanNotBeWritten(t *testing.T) {
	for name, test := range map[string]struct {
		file func(dir string) string
		more config
		says string
	}{
		"a directory":                 {func(dir string) string { return dir }, nil, "is no file"},
		"below a file":                {func(dir string) string { return filepath.Join(dir, "job", "main.py", "x") }, nil, "is no directory"},
		"in working_dir":              {func(dir string) string { return filepath.Join(dir, "job", "x.log") }, config{}, `excludes = ["/x.log"]`},
		"in working_dir, in more":     {func(dir string) string { return filepath.Join(dir, "job", "a", "b", "x.log") }, config{"excludes": []any{"/b"}}, `excludes = ["/a/b/x.log"]`},
		"in working_dir, left out":    {func(dir string) string { return filepath.Join(dir, "job", "x.log") }, config{"excludes": []any{"*.log"}}, ""},
		"in working_dir, left out so": {func(dir string) string { return filepath.Join(dir, "job", "logs", "x.log") }, config{"excludes": []any{"/logs"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t)
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "job"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "job", "main.py"), []byte("print(1)\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			c := with(config{"name": "a", "entrypoint": "echo a", "log_file": test.file(dir)}, test.more)
			if test.more != nil {
				c["working_dir"] = filepath.Join(dir, "job")
			}
			tf.Resource(addr, c)
			p := tf.Plan()
			if test.says == "" {
				tf.MustApply()
				tf.MustPlanNothing()
				return
			}
			requireSaid(t, p.Diagnostics(), `log_file of job "a" can't be written`, test.says)
			if p.ExitCode() != 1 {
				t.Errorf("exit code of the plan %d, want 1", p.ExitCode())
			}
			requireRuns(t, fake, "echo a", 0)
		})
	}
}

func TestFakeJob_oneLogFileForTwoJobs(t *testing.T) {
	tf, fake := newTest(t)
	file := filepath.Join(t.TempDir(), "job.log")
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo a", "log_file": file})
	tf.Resource("ray_job.b", config{"name": "b", "entrypoint": "echo b", "log_file": file})
	r := tf.Apply()
	requireSaid(t, r.Diagnostics(), "Another job of this apply writes the same file")
	if n := len(fake.Jobs()); r.ExitCode() != 1 || n != 1 {
		t.Errorf("exit code %d and %d jobs, want 1 and 1", r.ExitCode(), n)
	}
}

func TestFakeJob_whatIsMissingInLogFileIsAWarning(t *testing.T) {
	tf, fake := newTest(t)
	fake.Fail(raytest.Match{Route: "GET /api/v0/logs/file", Times: -1}, raytest.AnswerWith(500, "text/plain; charset=utf-8", "A file is not found at: /tmp/ray/x"))
	file := filepath.Join(t.TempDir(), "job.log")
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo a", "log_file": file})
	r := tf.MustApply()
	requireSaid(t, r.Diagnostics(), "log_file is incomplete")
	requireState(t, tf, "status", "SUCCEEDED")
}

func TestFakeJob_logFileOfAJobThatWasRefused(t *testing.T) {
	tf, fake := newTest(t)
	fake.Fail(raytest.Match{Route: "POST /api/jobs/", Times: -1}, raytest.AnswerWith(400, "text/plain; charset=utf-8", "refused"))
	file := filepath.Join(t.TempDir(), "job.log")
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo a", "log_file": file})
	if r := tf.Apply(); r.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", r.ExitCode())
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file of a job that never ran: %v, want none", err)
	}
}

func TestFakeJob_result(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for name, test := range map[string]struct {
		output string
		want   any
		says   string
	}{
		"object":    {`RAY_JOB_RESULT={"a": 1.5, "b": "x", "c": [true, null, {"d": 12345678901234567}], "e": {}}`, map[string]any{"a": 1.5, "b": "x", "c": []any{true, nil, map[string]any{"d": int64(12345678901234567)}}, "e": map[string]any{}}, ""},
		"list":      {`RAY_JOB_RESULT=[]`, []any{}, ""},
		"text":      {`RAY_JOB_RESULT="é\u0000\ud800"`, "é\x00\uFFFD", ""},
		"null":      {`RAY_JOB_RESULT=null`, nil, ""},
		"none":      {`RESULT=1`, nil, ""},
		"no JSON":   {`RAY_JOB_RESULT={`, nil, "it is not valid JSON"},
		"too deep":  {"RAY_JOB_RESULT=" + deep, nil, "nested deeper than 100"},
		"too large": {"RAY_JOB_RESULT=1e999999999", nil, "out of range"},
		"too long":  {"RAY_JOB_RESULT=[" + strings.Repeat("1,", 40000) + "1]", nil, "more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			tf, fake := newTest(t, raytest.WithCommand("work", raytest.Command{Output: test.output + "\n"}))
			tf.Resource(addr, config{"name": "a", "entrypoint": "work"})
			r := tf.MustApply()
			if diff := cmp.Diff(test.want, tf.State(addr)["result"]); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if test.says != "" {
				requireSaid(t, r.Diagnostics(), `Job "a" has no result`, test.says)
			}
			fake.ResetRequests()
			tf.MustPlanNothing()
			if n := fake.Requests(); len(n) != 0 {
				t.Errorf("the plan of a finished job asked the cluster: %v", n)
			}
		})
	}
}

func TestFakeJob_resultIsReadOncePerWait(t *testing.T) {
	tf, fake := newTest(t)
	c := config{"name": "a", "entrypoint": "echo RAY_JOB_RESULT=1", "wait_for": "SUBMITTED"}
	tf.Resource(addr, c)
	tf.MustApply()
	if n := fake.Requests()["GET /api/v0/logs/file"]; n != 0 {
		t.Errorf("a job that nobody waits for: its log was read %d times", n)
	}
	requireState(t, tf, "result", nil)
	tf.Resource(addr, with(c, config{"wait_for": nil, "triggers": config{"a": "1"}}))
	tf.MustApply()
	requireState(t, tf, "result", int64(1))
	if n := fake.Requests()["GET /api/v0/logs/file"]; n != 1 {
		t.Errorf("the log was read %d times for a result, want once", n)
	}
	// A failed run has none, where the failure matters.
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo RAY_JOB_RESULT=2; exit 1"})
	tf.Apply()
	requireState(t, tf, "result", nil)
	tf.Resource(addr, config{"name": "a", "entrypoint": "echo RAY_JOB_RESULT=2; exit 1", "ignore_failure": true, "triggers": config{"a": "2"}})
	tf.MustApply()
	requireState(t, tf, "result", int64(2))
}

func TestFakeJobData(t *testing.T) {
	tf, fake := newTest(t)
	tf.Provider(config{"address": fake.URL(), "owner": "test", "default_metadata": config{"workspace": "prod"}})
	tf.Resource(addr, config{
		"name": "a", "entrypoint": "echo one; echo two; exit 3", "ignore_failure": true, "metadata": config{"k": "v"},
		"runtime_env": config{"env_vars": config{"TOKEN": "hunter22"}},
	})
	tf.MustApply()
	tf.Data("data.ray_job.a", config{"submission_id": id(tf)})
	tf.Data("data.ray_job_logs.a", config{"submission_id": id(tf), "lines": 1})
	p := tf.Plan()
	got := p.Data("data.ray_job.a")
	state := tf.State(addr)
	for _, name := range []string{"submission_id", "job_id", "status", "error_type", "driver_exit_code", "entrypoint", "submitted_at", "ended_at", "driver_node_id", "cluster_id", "url", "package_uri", "owner", "name", "attempt", "inputs_digest"} {
		if diff := cmp.Diff(state[name], got[name]); diff != "" {
			t.Errorf("%s (-resource +data source):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(any(map[string]any{"k": "v", "workspace": "prod"}), got["metadata"]); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if got["managed_by"] != "terraform" || got["message"] != "Job entrypoint command failed with exit code 3" {
		t.Errorf("managed by %v, message %v", got["managed_by"], got["message"])
	}
	logs := p.Data("data.ray_job_logs.a")
	if logs["text"] != "two\n" || logs["truncated"] != true {
		t.Errorf("logs %v", logs)
	}
	tf.MustPlanNothing()
	tf.Data("data.ray_job.a", config{"submission_id": "nobody"})
	tf.Data("data.ray_job_logs.a", config{"submission_id": "nobody"})
	p = tf.Plan()
	requireSaid(t, p.Diagnostics(), `There is no job "nobody"`)
	if p.ExitCode() != 1 {
		t.Errorf("exit code %d for a job that is not there, want 1", p.ExitCode())
	}
}

func TestFakeJobsData(t *testing.T) {
	clock := raytest.NewClock()
	clock.Advance(time.Since(clock.Now()) - 2*time.Hour)
	tf, fake := newTest(t, raytest.WithClock(clock.Now))
	other, err := dashboard.New(dashboard.Options{URL: fake.URL()})
	if err != nil {
		t.Fatal(err)
	}
	ids := func(filter config) (list []string, total any, truncated any) {
		t.Helper()
		tf.Data("data.ray_jobs.x", filter)
		p := tf.Plan()
		if p.ExitCode() == 1 {
			t.Fatalf("%v: %s", filter, p.Diagnostics())
		}
		got := p.Data("data.ray_jobs.x")
		jobs, _ := got["jobs"].([]any)
		for _, j := range jobs {
			row, _ := j.(map[string]any)
			name, _ := row["submission_id"].(string)
			list = append(list, name)
		}
		return list, got["total"], got["truncated"]
	}
	for i, s := range []ray.Submission{
		{SubmissionID: "old", Entrypoint: "true", Metadata: map[string]string{"team": "a"}, RuntimeEnv: map[string]any{"env_vars": map[string]string{"T": "hunter22"}}},
		{SubmissionID: "bad", Entrypoint: "exit 1", Metadata: map[string]string{"team": "a", "run": "7"}},
		{SubmissionID: "live", Entrypoint: forever},
	} {
		if i > 0 {
			clock.Advance(time.Hour)
		}
		if err := other.Submit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	tf.Resource(addr, config{"name": "mine", "entrypoint": "true"})
	tf.MustApply()
	mine := id(tf)
	for name, test := range map[string]struct {
		filter config
		want   []string
	}{
		"all":               {config{}, []string{"live", mine, "bad", "old"}},
		"by status":         {config{"statuses": []any{"FAILED", "RUNNING"}}, []string{"live", "bad"}},
		"by name":           {config{"name": "mine"}, []string{mine}},
		"by owner":          {config{"owner": "test"}, []string{mine}},
		"another owner":     {config{"owner": "nobody"}, nil},
		"Terraform's":       {config{"managed_by": "terraform"}, []string{mine}},
		"others'":           {config{"managed_by": "others"}, []string{"live", "bad", "old"}},
		"by metadata":       {config{"metadata": config{"team": "a", "run": "7"}}, []string{"bad"}},
		"drivers":           {config{"types": []any{"DRIVER"}}, nil},
		"since":             {config{"submitted_after": clock.Now().Add(-time.Hour).Format(time.RFC3339)}, []string{"live", mine, "bad"}},
		"until":             {config{"submitted_before": clock.Now().Add(-time.Hour).Format(time.RFC3339)}, []string{"old"}},
		"young enough":      {config{"newer_than": "90m", "statuses": []any{"FAILED"}}, []string{"bad"}},
		"old enough":        {config{"older_than": "90m"}, []string{"old"}},
		"several at a time": {config{"statuses": []any{"SUCCEEDED"}, "managed_by": "others"}, []string{"old"}},
	} {
		got, total, truncated := ids(test.filter)
		if diff := cmp.Diff(test.want, got); diff != "" || total != int64(len(test.want)) || truncated != false {
			t.Errorf("%s: total %v, truncated %v, jobs (-want +got):\n%s", name, total, truncated, diff)
		}
	}
	got, total, truncated := ids(config{"limit": 2})
	if diff := cmp.Diff([]string{"live", mine}, got); diff != "" || total != int64(4) || truncated != true {
		t.Errorf("a limit of 2: total %v, truncated %v, jobs (-want +got):\n%s", total, truncated, diff)
	}
	drivers, err := os.ReadFile(filepath.Join("..", "..", "ray", "raytest", "testdata", "ray-2.60.0", "list-drivers.json"))
	if err != nil {
		t.Fatal(err)
	}
	fake.Fail(raytest.Match{Route: "GET /api/jobs/"}, raytest.AnswerWith(200, "application/json; charset=utf-8", string(drivers)))
	tf.Data("data.ray_jobs.x", config{"types": []any{"SUBMISSION", "DRIVER"}, "metadata": config{"k": "v"}, "limit": 1})
	want := map[string]any{
		"type": "DRIVER", "job_id": "03000000", "status": "RUNNING", "entrypoint": "python driver.py", "submitted_at": "2026-11-24T23:28:41Z",
		"metadata": map[string]any{"k": "v"}, "submission_id": nil, "message": nil, "error_type": nil, "driver_exit_code": nil, "ended_at": nil, "driver_node_id": nil,
		"url": nil, "managed_by": nil, "owner": nil, "name": nil, "attempt": nil, "inputs_digest": nil,
	}
	if diff := cmp.Diff(any([]any{want}), tf.Plan().Data("data.ray_jobs.x")["jobs"]); diff != "" {
		t.Errorf("drivers (-want +got):\n%s", diff)
	}
	if raw := tf.Plan().String(); strings.Contains(raw, "hunter22") {
		t.Error("a secret of another's job is shown")
	}
	tf.MustPlanNothing()
}
