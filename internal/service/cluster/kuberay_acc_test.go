//go:build unix

package cluster_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// TestAccConnection_kuberayWithAToken goes the whole way: a service account of a real
// API server, its service proxy, and a real head that wants a token of its own. The job
// brings a package, and its log comes back.
func TestAccConnection_kuberayWithAToken(t *testing.T) {
	t.Parallel()
	cli := acctest.CLI(t)
	const token = "for-ray-0123456789abcdef"
	head, err := raytest.StartHead(t.Context(), raytest.HeadOptions{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = head.Close() })
	s, err := kubetest.Start(t.Context(), kubetest.Options{Operator: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c, err := s.CreateRayCluster(t.Context(), kubetest.RayClusterOptions{Name: "ray"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ServeHead(t.Context(), map[string]string{"dashboard": strings.TrimPrefix(head.DashboardURL, "http://")}); err != nil {
		t.Fatal(err)
	}
	user, err := s.Account(t.Context(), "default", "terraform",
		kubetest.Rule{APIGroups: []string{"ray.io"}, Resources: []string{"rayclusters"}, ResourceNames: []string{"ray"}, Verbs: []string{"get"}},
		kubetest.Rule{APIGroups: []string{""}, Resources: []string{"services/proxy"}, ResourceNames: []string{"ray-head-svc:dashboard"}, Verbs: []string{"get", "create", "update", "delete"}})
	if err != nil {
		t.Fatal(err)
	}

	w := acctest.NewWorkspaceOn(t, cli) // after what its clean-up needs
	w.Setenv("KUBE_HOST", s.URL)
	w.Setenv("KUBE_CLUSTER_CA_CERT_DATA", s.CA)
	w.Setenv("KUBE_TOKEN", user.Token)
	w.Write("src/main.py", "print('from the package')\nprint('RAY_JOB_RESULT={\"ok\": true}')\n")
	config := acctest.RequiredProviders + `
provider "ray" {
  owner       = "acceptance"
  credentials = { "kuberay://default/ray" = { token = %q } }
}

resource "ray_cluster_connection" "x" {
  kuberay    = { namespace = "default", name = "ray" }
  ready_when = { nodes = 1 }
}

resource "ray_job" "x" {
  name        = "packaged"
  cluster     = ray_cluster_connection.x.cluster
  entrypoint  = "python main.py"
  working_dir = "src"
}

data "ray_job_logs" "x" {
  cluster       = ray_cluster_connection.x.cluster
  submission_id = ray_job.x.submission_id
}

output "found" {
  value     = "${ray_job.x.status} ${ray_job.x.result.ok} ${strcontains(data.ray_job_logs.x.text, "from the package")}"
  sensitive = true
}
`
	w.Write("main.tf", fmt.Sprintf(config, token))
	w.Apply()
	if got, want := w.Output("found"), "SUCCEEDED true true"; got != want {
		t.Errorf("found: got %v, want %s", got, want)
	}
	w.PlanNothing()
	id, _ := w.Attributes("ray_job.x")["submission_id"].(string)
	api := dashboardOf(t, head, token)
	job, err := api.Job(t.Context(), id)
	if err != nil || job.Status != ray.JobSucceeded {
		t.Errorf("Ray says of %s: %v, %v", id, job.Status, err)
	}
	if got, want := w.Attributes("ray_cluster_connection.x")["authentication_mode"], "token"; got != want {
		t.Errorf("authentication_mode: got %v, want %s", got, want)
	}

	// A wrong token is refused by Ray, and said to be Ray's.
	w.Write("main.tf", fmt.Sprintf(config, "wrong"))
	if r := w.Run("plan", "-input=false", "-no-color"); r.ExitCode != 1 || !r.Contains("Invalid authentication token") || !r.Contains(`credentials["kuberay://default/ray"].token`) {
		t.Errorf("a wrong token: exit code %d\n%s", r.ExitCode, r.Output)
	}
	w.Write("main.tf", fmt.Sprintf(config, token))
	w.Destroy()
	if _, err := api.Job(t.Context(), id); !ray.IsKind(err, ray.KindNotFound) {
		t.Errorf("after destroy Ray says of %s: %v", id, err)
	}
}

// dashboardOf asks a head itself, not through Kubernetes.
func dashboardOf(t *testing.T, head *raytest.Head, token string) *dashboard.Client {
	t.Helper()
	api, err := dashboard.New(dashboard.Options{URL: head.DashboardURL, HTTP: &http.Client{Transport: bearer(token)}})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// bearer shows a token.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}
