package job_test

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
)

// Neither the state, nor a saved plan, nor a log of the CLI and the provider at its
// most talkative holds a write-only value.
func TestAccJob_writeOnlyValuesAreNowhereOnDisk(t *testing.T) {
	t.Parallel()
	const variable, inJSON = "planted-write-only", "planted-in-json"
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
variable "password" {
  type      = string
  ephemeral = true
}

variable "token" {
  type      = string
  ephemeral = true
}

resource "ray_job" "a" {
  name                = "secretive"
  entrypoint          = "echo $PASSWORD $TOKEN; test $PASSWORD$TOKEN = planted-write-onlyplanted-in-json && exit 3"
  env_vars_wo         = { PASSWORD = var.password }
  env_vars_wo_version = 1

  runtime_env_json_wo         = jsonencode({ env_vars = { TOKEN = var.token } })
  runtime_env_json_wo_version = "2026-11"
}
`)
	w.Setenv("TF_VAR_password", variable)
	w.Setenv("TF_VAR_token", inJSON)
	w.Setenv("TF_LOG", "TRACE")
	w.Setenv("TF_LOG_PATH", filepath.Join(w.Dir, "trace.log"))
	planned := w.Plan("-out=saved.tfplan")
	applied := w.Run("apply", "saved.tfplan")
	if applied.ExitCode != 1 || !applied.Contains("FAILED with exit code 3") || !applied.Contains("(sensitive value)") {
		t.Fatalf("exit code %d, want the job's own failure, which proves that it was told both\n%s", applied.ExitCode, applied.Output)
	}
	w.Setenv("TF_LOG", "")
	places := map[string]string{"plan": planned.Output, "apply": applied.Output, "state": read(t, w.Dir, "terraform.tfstate"), "log": read(t, w.Dir, "trace.log")}
	for name, text := range unzipped(t, filepath.Join(w.Dir, "saved.tfplan")) {
		places["saved plan, "+name] = text
	}
	for place, text := range places {
		for _, secret := range []string{variable, inJSON} {
			// The entrypoint of this test compares with both in one.
			if strings.Contains(strings.ReplaceAll(text, variable+inJSON, ""), secret) {
				t.Errorf("%s holds %s", place, secret)
			}
		}
	}
	if !strings.Contains(places["log"], "ApplyResourceChange") || !strings.Contains(places["state"], "secretive") {
		t.Errorf("the log or the state is not what it should be: %d and %d bytes", len(places["log"]), len(places["state"]))
	}
	w.Destroy()
	requireNoJobs(t)
}

// What the CLI shows of a provider that crashes while it waits for a job holds none of
// the job's secrets.
func TestAccJob_crashOutputHoldsNoSecret(t *testing.T) {
	t.Parallel()
	const variable, writeOnly = "planted-sensitive", "planted-write-only"
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
variable "password" {
  type      = string
  sensitive = true
}

variable "token" {
  type      = string
  ephemeral = true
}

resource "ray_job" "a" {
  name                = "crash"
  entrypoint          = "sleep 300"
  runtime_env         = { env_vars = { PASSWORD = var.password } }
  env_vars_wo         = { TOKEN = var.token }
  env_vars_wo_version = 1
}
`)
	w.Setenv("TF_VAR_password", variable)
	w.Setenv("TF_VAR_token", writeOnly)
	w.Setenv("TF_LOG", "TRACE")
	w.Setenv("TF_LOG_PATH", filepath.Join(w.Dir, "trace.log"))
	p := w.Start("apply", "-auto-approve")
	waitRunning(t)
	if !p.CrashProvider() {
		t.Fatal("there is no provider to crash")
	}
	r := p.Wait()
	log := read(t, w.Dir, "trace.log")
	if r.ExitCode != 1 || !strings.Contains(r.Output+log, "SIGQUIT") || !strings.Contains(r.Output+log, "goroutine 1 ") {
		t.Fatalf("exit code %d, want a crash with stacks\n%s", r.ExitCode, r.Output)
	}
	for _, secret := range []string{variable, writeOnly} {
		if strings.Contains(r.Output, secret) || strings.Contains(log, secret) {
			t.Errorf("the crash shows %s", secret)
		}
	}
	w.Setenv("TF_LOG", "")
	w.Write("main.tf", strings.Replace(read(t, w.Dir, "main.tf"), `"sleep 300"`, `"sleep 300"
  wait_for            = "RUNNING"`, 1))
	if again := w.Apply(); !again.Contains("taken over") {
		t.Errorf("the apply after the crash:\n%s", again.Output)
	}
	w.Destroy()
	requireNoJobs(t)
}

func read(t *testing.T, elements ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func unzipped(t *testing.T, path string) map[string]string {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(text)
	}
	if len(files) == 0 {
		t.Fatal("the saved plan is empty")
	}
	return files
}
