//go:build unix

package acctest_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// exampleDirs lists the directories below examples/ that hold a configuration.
// The demo has a program of its own.
func exampleDirs(t *testing.T) []string {
	t.Helper()
	root := filepath.Join(acctest.Root(), "examples")
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "demo" || d.Name() == "modules") {
			return filepath.SkipDir // modules are called by the configuration beside them
		}
		if dir := filepath.Dir(path); strings.HasSuffix(path, ".tf") && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 10 {
		t.Fatalf("only %d examples were found below %s", len(dirs), root)
	}
	return dirs
}

// Every example on a page of docs/ works as it stands: it applies, has nothing
// left to do, and its destroy leaves no job behind.
func TestAccExamples(t *testing.T) {
	t.Parallel()
	shared := acctest.Shared(t)
	for _, dir := range exampleDirs(t) {
		name, err := filepath.Rel(filepath.Join(acctest.Root(), "examples"), dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.ToSlash(name), func(t *testing.T) {
			t.Parallel()
			ray := shared
			switch name {
			case "guides/resource-floor":
				ray = own(t, raytest.HeadOptions{Autoscaler: raytest.AutoscalerV2}, nil)
			case "guides/serve-deployment":
				ray = own(t, raytest.HeadOptions{}, map[string]string{"chat": `[{"name": "Model", "autoscaling_config": {"min_replicas": 1, "max_replicas": 2}}]`})
			}
			w := acctest.NewWorkspace(t)
			w.Copy(dir)
			removeImports(t, w)
			if r := w.Run("get"); r.ExitCode != 0 { // modules, as init does
				t.Fatal(r.Output)
			}
			if aboutKubernetes(t, dir) {
				kubeconfig, err := kubernetes(shared.DashboardURL)
				if err != nil {
					t.Fatal(err)
				}
				w.Setenv("KUBE_CONFIG_PATH", kubeconfig)
				w.Setenv("TF_VAR_kubeconfig", kubeconfig)
			}
			for name, value := range map[string]string{
				"RAY_ADDRESS":              ray.DashboardURL,
				"TF_VAR_address":           ray.DashboardURL,
				"TF_VAR_storage":           w.Dir,
				"TF_VAR_dashboard_url":     ray.DashboardURL,
				"TF_VAR_gcs_address":       ray.GCSAddress,
				"TF_VAR_client_address":    ray.ClientAddress,
				"TF_VAR_database_password": "planted",
				"TF_VAR_training_address":  strings.Replace(ray.DashboardURL, "127.0.0.1", "localhost", 1),
			} {
				w.Setenv(name, value)
			}
			w.Apply()
			w.PlanNothing()
			var ids []string
			for address, attributes := range w.Resources() {
				if id, ok := attributes["submission_id"].(string); ok {
					ids = append(ids, id)
					got := jobStatus(t, ray, id)
					if attributes["wait_for"] == "SUBMITTED" && got != "" {
						continue // nobody waited, so state may be behind
					}
					if got != attributes["status"] {
						t.Errorf("%s: Ray says %q, state %q", address, got, attributes["status"])
					}
				}
			}
			w.Destroy()
			for _, id := range ids {
				if got := jobStatus(t, ray, id); got != "" {
					t.Errorf("job %s is left after destroy: %s", id, got)
				}
			}
		})
	}
}

// own is a head of the test's own, with what the shared one has not: an autoscaler, or
// applications of Serve.
func own(t *testing.T, o raytest.HeadOptions, applications map[string]string) acctest.Ray {
	t.Helper()
	head, err := raytest.StartHead(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = head.Stop() })
	if applications != nil {
		if err := head.DeployServe(t.Context(), applications); err != nil {
			t.Fatal(err)
		}
	}
	return acctest.Ray{DashboardURL: head.DashboardURL, GCSAddress: head.GCSAddress, ClientAddress: "ray://" + head.ClientAddress}
}

// What the README shows works as it stands, on a smaller cluster than it asks
// for.
func TestAccReadme(t *testing.T) {
	t.Parallel()
	ray := acctest.Shared(t)
	readme, err := os.ReadFile(filepath.Join(acctest.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```terraform\n")
	hcl, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("README.md has no Terraform configuration")
	}
	for from, to := range map[string]string{"http://ray-head:8265": ray.DashboardURL, "nodes = 3": "nodes = 1", "CPU = 8": "CPU = 1"} {
		if !strings.Contains(hcl, from) {
			t.Fatalf("the README's configuration has no %q:\n%s", from, hcl)
		}
		hcl = strings.Replace(hcl, from, to, 1)
	}
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", hcl)
	w.Write("train/train.py", "import os, sys\nprint(sys.argv[1:], os.environ['OMP_NUM_THREADS'])\n")
	w.Apply()
	if got, ok := w.Output("job").(string); !ok || !strings.HasSuffix(got, ": SUCCEEDED") {
		t.Errorf("output job: got %v, want ... SUCCEEDED", w.Output("job"))
	}
	w.PlanNothing()
	w.Destroy()
}

// removeImports drops the import blocks that the pages show beside an example.
func removeImports(t *testing.T, w *acctest.Workspace) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.Dir, "import*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
}

// jobStatus asks Ray for the status of a job; "" for one that it does not know.
func jobStatus(t *testing.T, ray acctest.Ray, id string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ray.DashboardURL+"/api/jobs/"+id, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing is written
	if resp.StatusCode == http.StatusNotFound {
		return ""
	}
	var job struct {
		Status string `json:"status"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&job); err != nil {
		t.Fatalf("job %s: status %d: %v", id, resp.StatusCode, err)
	}
	return job.Status
}
