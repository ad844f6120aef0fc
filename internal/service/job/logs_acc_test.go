package job_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
)

// The result's type changes with the run, and outputs follow it.
func TestAccJob_logFileResultAndDataSources(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	config := func(result string) string {
		return header(t, acctest.Shared(t).DashboardURL) + fmt.Sprintf(`
resource "ray_job" "a" {
  name        = "result"
  entrypoint  = "python main.py"
  working_dir = "${path.module}/code"
  log_file    = "${path.module}/code/logs/a.log"
  excludes    = ["logs"]
  triggers    = { result = %q }
  runtime_env = { env_vars = { RESULT = %q } }
}

data "ray_job" "a" {
  submission_id = ray_job.a.submission_id
}

data "ray_jobs" "mine" {
  owner      = ray_job.a.owner
  depends_on = [ray_job.a]
}

data "ray_job_logs" "a" {
  submission_id = ray_job.a.submission_id
  lines         = 2
}

output "a" { value = try(ray_job.a.result.a, "none") }
output "result" { value = ray_job.a.result }
output "same" { value = data.ray_job.a.inputs_digest == ray_job.a.inputs_digest && data.ray_jobs.mine.total == 1 }
output "log" {
  value     = data.ray_job_logs.a.text
  sensitive = true
}
`, result, result)
	}
	w.Write("code/main.py", `import os, sys, time
sys.stdout.buffer.write(b"no utf-8: \xff\n")
for i in range(3000):
    print("line", i)
    if i == 1000: time.sleep(1.5)
print("RAY_JOB_RESULT=" + os.environ["RESULT"])
`)
	for _, result := range []string{`{"a": 1, "b": [null, {"c": "d"}]}`, `["x", 1.5]`} {
		w.Write("main.tf", config(result))
		w.Apply()
		w.PlanNothing()
		var want any
		if err := json.Unmarshal([]byte(result), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, w.Output("result")); diff != "" {
			t.Errorf("result (-want +got):\n%s", diff)
		}
		log, err := os.ReadFile(filepath.Join(w.Dir, "code", "logs", "a.log"))
		if err != nil {
			t.Fatal(err)
		}
		text := string(log)
		if !strings.Contains(text, "Runtime env is setting up") || !strings.Contains(text, "no utf-8: \xff\n") || strings.Count(text, "\nline 2999\n") != 1 || strings.Count(text, "\n") < 3004 {
			t.Errorf("log_file has %d bytes and %d lines", len(text), strings.Count(text, "\n"))
		}
		if got := fmt.Sprint(w.Output("log")); got != "line 2999\nRAY_JOB_RESULT="+result+"\n" {
			t.Errorf("ray_job_logs: %q", got)
		}
		if got := w.Output("a"); (got == "none") == strings.HasPrefix(result, "{") {
			t.Errorf("try(result.a, \"none\") of %s is %v", result, got)
		}
		if w.Output("same") != true {
			t.Error("the data sources see another job")
		}
	}
	w.Destroy()
	requireNoJobs(t)
}
