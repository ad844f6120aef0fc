package job_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/provider"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

func TestMoveState_findsTheSubmission(t *testing.T) {
	t.Parallel()
	server := providerserver.NewProtocol6(provider.New("test")())()
	for name, c := range map[string]struct {
		source, typeName, state string
		said                    string // no error where empty
	}{
		"null_resource":            {"registry.terraform.io/hashicorp/null", "null_resource", `{"id":"1","triggers":{"submission_id":"nightly-1","x":"y"}}`, ""},
		"null_resource, OpenTofu":  {"registry.opentofu.org/hashicorp/null", "null_resource", `{"id":"1","triggers":{"submission_id":"nightly-1"}}`, ""},
		"input":                    {"terraform.io/builtin/terraform", "terraform_data", `{"id":"1","input":{"value":{"submission_id":"nightly-1"},"type":["object",{"submission_id":"string"}]},"output":null,"triggers_replace":null}`, ""},
		"whole input":              {"terraform.io/builtin/terraform", "terraform_data", `{"id":"1","input":{"value":"nightly-1","type":"string"}}`, ""},
		"triggers_replace":         {"terraform.io/builtin/terraform", "terraform_data", `{"id":"1","input":null,"triggers_replace":{"value":{"submission_id":"nightly-1"},"type":["object",{}]}}`, ""},
		"no id":                    {"terraform.io/builtin/terraform", "terraform_data", `{"id":"1","input":{"value":{"script":"train.py"},"type":["object",{}]}}`, "does not say which submission"},
		"a command as input":       {"terraform.io/builtin/terraform", "terraform_data", `{"id":"1","input":{"value":"python train.py","type":"string"}}`, "does not say which submission"},
		"an id that Ray can't use": {"registry.terraform.io/hashicorp/null", "null_resource", `{"id":"1","triggers":{"submission_id":"../x"}}`, `found was "../x"`},
		"another's null_resource":  {"registry.terraform.io/somebody/null", "null_resource", `{"id":"1","triggers":{"submission_id":"nightly-1"}}`, "Unable to Move Resource State"},
		"another type":             {"registry.terraform.io/hashicorp/random", "random_id", `{"id":"1","triggers":{"submission_id":"nightly-1"}}`, "Unable to Move Resource State"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp, err := server.MoveResourceState(t.Context(), &tfprotov6.MoveResourceStateRequest{
				SourceProviderAddress: c.source, SourceTypeName: c.typeName, SourceState: &tfprotov6.RawState{JSON: []byte(c.state)}, TargetTypeName: "ray_job",
			})
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, d := range resp.Diagnostics {
				said = append(said, d.Summary+": "+d.Detail)
			}
			text := strings.Join(said, "\n")
			if (len(said) == 0) != (c.said == "") || !strings.Contains(text, c.said) {
				t.Errorf("diagnostics %q, want %q", text, c.said)
			}
			if c.said == "" && (resp.TargetState == nil || !strings.Contains(string(resp.TargetPrivate), "imported")) {
				t.Errorf("state %v, private %s", resp.TargetState, resp.TargetPrivate)
			}
		})
	}
}

// What a provisioner submitted by Ray's own CLI is taken over without a second run.
func TestAccJob_movedFromAProvisioner(t *testing.T) {
	t.Parallel()
	ray := acctest.Shared(t)
	w := acctest.NewWorkspace(t)
	id := strings.ToLower(fmt.Sprintf("moved-%s", filepath.Base(w.Dir)))
	before := fmt.Sprintf(`
resource "terraform_data" "train" {
  input = { submission_id = %[1]q }
  provisioner "local-exec" {
    command = "%[2]s job submit --address %[3]s --submission-id %[1]s -- echo trained"
  }
}
`, id, filepath.Join(os.Getenv("RAY_VENV"), "bin", "ray"), ray.DashboardURL)
	w.Write("main.tf", before)
	w.Apply()
	w.Write("main.tf", header(t, ray.DashboardURL)+`
resource "ray_job" "train" {
  name       = "train"
  entrypoint = "echo trained"
}

moved {
  from = terraform_data.train
  to   = ray_job.train
}
`)
	if p := w.Plan(); !p.Contains("will be updated in-place") || !p.Contains("0 to add, 1 to change, 0 to destroy") {
		t.Errorf("the plan of the move:\n%s", p.Output)
	}
	w.Apply()
	w.PlanNothing()
	if a := w.Attributes("ray_job.train"); a["submission_id"] != id || a["status"] != "SUCCEEDED" {
		t.Errorf("moved to %v", a)
	}
	w.Destroy()
	client, err := dashboard.New(dashboard.Options{URL: ray.DashboardURL})
	if err != nil {
		t.Fatal(err)
	}
	if job, err := client.Job(t.Context(), id); err == nil {
		t.Errorf("after destroy Ray still has %+v", job)
	}
}
