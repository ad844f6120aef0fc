package job_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// header is a provider at an address, with an owner of the test's own.
func header(t *testing.T, address string) string {
	t.Helper()
	return fmt.Sprintf(acctest.RequiredProviders+`
provider "ray" {
  address = %q
  owner   = %q
}
`, address, t.Name())
}

// rayJobs asks Ray itself for the jobs of this test.
func rayJobs(t *testing.T) map[string]ray.Job {
	t.Helper()
	return rayJobsOn(t, acctest.Shared(t).DashboardURL)
}

func rayJobsOn(t *testing.T, url string) map[string]ray.Job {
	t.Helper()
	client, err := dashboard.New(dashboard.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.ListJobs(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := map[string]ray.Job{}
	for _, j := range all {
		if j.Metadata["terraform.ray-iac/owner"] == t.Name() {
			mine[j.SubmissionID] = j
		}
	}
	return mine
}

func requireNoJobs(t *testing.T) {
	t.Helper()
	if left := rayJobs(t); len(left) != 0 {
		t.Errorf("Ray still has %v", left)
	}
}

func TestAccJob_packagesADirectoryAndRunsItAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
resource "ray_job" "a" {
  name        = "packaged"
  command     = ["python", "main.py", "it's"]
  working_dir = "${path.module}/code"
  metadata    = { team = "ml" }
}
`)
	w.Write("code/main.py", "import sys, helper\nprint(helper.text, sys.argv[1])\n")
	w.Write("code/helper.py", "text = 'first'\n")
	w.Apply()
	a := w.Attributes("ray_job.a")
	job, ok := rayJobs(t)[fmt.Sprint(a["submission_id"])]
	if !ok || job.Status != ray.JobSucceeded || job.Metadata["team"] != "ml" || a["status"] != "SUCCEEDED" {
		t.Fatalf("state says %v, Ray says %+v", a["status"], job)
	}
	w.PlanNothing()
	w.Write("code/helper.py", "text = 'second'\n")
	if p := w.Plan(); !p.Contains("working_dir_hash") || !p.Contains("forces replacement") {
		t.Errorf("the plan after a changed file:\n%s", p.Output)
	}
	w.Apply()
	w.PlanNothing()
	if now := rayJobs(t); len(now) != 1 || now[job.SubmissionID].SubmissionID != "" {
		t.Errorf("Ray has %v, want only the second job", now)
	}
	w.Destroy()
	requireNoJobs(t)
}

// Ray takes a space after a comma for a part of the value.
func TestAccJob_runsWhereALabelIsOneOfTwo(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
data "ray_nodes" "alive" {}

resource "ray_job" "a" {
  name                      = "labelled"
  entrypoint                = "true"
  entrypoint_label_selector = { "ray.io/node-id" = "in(none, ${data.ray_nodes.alive.nodes[0].node_id})" }
  start_timeout             = "1m"
}
`)
	w.Apply()
	w.PlanNothing()
	w.Destroy()
	requireNoJobs(t)
}

func TestAccJob_failureShowsTheLogAndRunsAgain(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
resource "ray_job" "a" {
  name        = "failing"
  entrypoint  = "echo the reason is $SECRET; exit 3"
  runtime_env = { env_vars = { SECRET = "planted-secret" } }
}
`)
	for _, attempt := range []string{"1", "2"} {
		r := w.Run("apply", "-auto-approve")
		if r.ExitCode != 1 || !r.Contains("FAILED with exit code 3") || !r.Contains("the reason is (sensitive value)") || r.Contains("planted-secret") {
			t.Fatalf("attempt %s: exit code %d\n%s", attempt, r.ExitCode, r.Output)
		}
		if got := fmt.Sprint(w.Attributes("ray_job.a")["attempt"]); got != attempt {
			t.Errorf("attempt %s, want %s", got, attempt)
		}
		if p := w.Plan(); !p.Contains("is tainted, so") {
			t.Errorf("the plan after a failure:\n%s", p.Output)
		}
	}
	if n := len(rayJobs(t)); n != 1 {
		t.Errorf("Ray has %d jobs, want the second attempt", n)
	}
	w.Destroy()
	requireNoJobs(t)
}

// The job, on this machine, waits for a file, and so is not over before the test lets
// it be.
func TestAccJob_interruptLeavesTheJobAndTheNextApplyWaitsOn(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	goOn := filepath.Join(w.Dir, "go")
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
resource "ray_job" "a" {
  name       = "interrupted"
  entrypoint = "until [ -e '`+goOn+`' ]; do sleep 0.2; done; echo done"
}
`)
	apply := w.Start("apply", "-auto-approve")
	waitRunning(t)
	start := time.Now()
	apply.Interrupt()
	r := apply.Wait()
	if took := time.Since(start); took > soon {
		t.Errorf("Terraform returned %s after Ctrl-C", took)
	}
	if r.ExitCode != 1 || !r.Contains("was interrupted; the job was left running") {
		t.Errorf("exit code %d\n%s", r.ExitCode, r.Output)
	}
	if p := w.Plan(); !p.Contains("will be updated in-place") || !p.Contains("goes on") {
		t.Errorf("the plan after Ctrl-C:\n%s", p.Output)
	}
	w.Write(filepath.Base(goOn), "")
	w.Apply()
	w.PlanNothing()
	if mine := rayJobs(t); len(mine) != 1 {
		t.Errorf("Ray has %v, want one job", mine)
	}
	w.Destroy()
	requireNoJobs(t)
}

// waitRunning waits until Ray runs this test's job.
func waitRunning(t *testing.T) {
	t.Helper()
	waitRunningOn(t, acctest.Shared(t).DashboardURL)
}

func waitRunningOn(t *testing.T, url string) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, j := range rayJobsOn(t, url) {
			if j.Status == ray.JobRunning {
				return
			}
		}
		select {
		case <-deadline:
			t.Fatal("the job does not run after a minute")
		case <-tick.C:
		}
	}
}

func TestAccJob_aKilledApplyIsTakenBack(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
resource "ray_job" "a" {
  name       = "killed"
  entrypoint = "sleep 8"
}
`)
	apply := w.Start("apply", "-auto-approve")
	waitRunning(t)
	apply.KillAll()
	apply.Wait()
	if p := w.Plan("-lock=false"); !p.Contains("is on the cluster already") || !p.Contains("nothing is submitted") {
		t.Errorf("the plan after kill -9:\n%s", p.Output)
	}
	w.Apply("-lock=false")
	w.PlanNothing()
	if mine := rayJobs(t); len(mine) != 1 {
		t.Errorf("Ray has %v, want one job", mine)
	}
	w.Destroy()
	requireNoJobs(t)
}

func TestAccJob_everyAddressForm(t *testing.T) {
	t.Parallel()
	shared := acctest.Shared(t)
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", strings.Replace(header(t, "unused"), "  address = \"unused\"\n", "", 1)+fmt.Sprintf(`
resource "ray_job" "all" {
  for_each   = { http = %q, gcs = %q, client = %q }
  name       = "by-${each.key}"
  entrypoint = "true"
  cluster    = { address = each.value }
}
`, shared.DashboardURL, shared.GCSAddress, shared.ClientAddress))
	w.Apply()
	if mine := rayJobs(t); len(mine) != 3 {
		t.Errorf("Ray has %v, want three jobs", mine)
	}
	w.PlanNothing()
	w.Destroy()
	requireNoJobs(t)
}

// Ray's own stop leaves such a job PENDING for 15 minutes.
func TestAccJob_destroyOfAJobThatWaitsForResources(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
resource "ray_job" "a" {
  name                 = "waits"
  entrypoint           = "true"
  entrypoint_resources = { nowhere = 1 }
  wait_for             = "SUBMITTED"
}
`)
	if r := w.Apply(); !r.Contains("No node can hold the entrypoint") {
		t.Errorf("the apply does not warn:\n%s", r.Output)
	}
	w.Destroy()
	requireNoJobs(t)
}

func TestAccJob_replaceTaintAndImport(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	main := header(t, acctest.Shared(t).DashboardURL) + `
resource "ray_job" "a" {
  name       = "again"
  entrypoint = "true"
}
`
	w.Write("main.tf", main)
	w.Apply()
	w.Apply("-replace=ray_job.a")
	w.Run("taint", "ray_job.a")
	w.Apply()
	a := w.Attributes("ray_job.a")
	if fmt.Sprint(a["attempt"]) != "3" || len(rayJobs(t)) != 1 {
		t.Errorf("attempt %v, Ray has %v", a["attempt"], rayJobs(t))
	}
	w.Run("state", "rm", "ray_job.a")
	w.Write("import.tf", fmt.Sprintf("import {\n  to = ray_job.a\n  id = %q\n}\n", a["submission_id"]))
	w.Apply()
	w.PlanNothing()
	if got := w.Attributes("ray_job.a"); got["inputs_digest"] != a["inputs_digest"] || len(rayJobs(t)) != 1 {
		t.Errorf("the imported job is %v, was %v", got, a)
	}
	w.Destroy()
	requireNoJobs(t)
}
