//go:build unix

package autoscaling_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// served is a real head with applications of a config.
type served struct {
	t    *testing.T
	head *raytest.Head
}

// serveHead starts a head and deploys two applications, of which one has no
// autoscaling_config in the config.
func serveHead(t *testing.T) served {
	t.Helper()
	acctest.CLI(t) // skips where there is none
	head, err := raytest.StartHead(t.Context(), raytest.HeadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = head.Stop() })
	s := served{t, head}
	s.deploy(`{"min_replicas": 1, "max_replicas": 2}`)
	return s
}

// deploy is what somebody else does: a config with this autoscaling_config of application
// chat.
func (s served) deploy(autoscaling string) {
	s.t.Helper()
	if err := s.head.DeployServe(s.t.Context(), map[string]string{"chat": `[{"name": "Model", "autoscaling_config": ` + autoscaling + `}]`, "code": ""}); err != nil {
		s.t.Fatal(err)
	}
}

// servedApplication is what Serve tells of one.
type servedApplication struct {
	Status      string          `json:"status"`
	Config      json.RawMessage `json:"deployed_app_config"`
	Deployments map[string]struct {
		Replicas []struct {
			ID    string `json:"replica_id"`
			State string `json:"state"`
		} `json:"replicas"`
		Config struct {
			Autoscaling map[string]any `json:"autoscaling_config"`
		} `json:"deployment_config"`
	} `json:"deployments"`
}

// replicas are the ids of those that run.
func (a servedApplication) replicas() string {
	var ids []string
	for _, r := range a.Deployments["Model"].Replicas {
		if r.State == "RUNNING" {
			ids = append(ids, r.ID)
		}
	}
	return strings.Join(sorted(ids), " ")
}

func (s served) applications() map[string]servedApplication {
	s.t.Helper()
	body, err := s.head.ServeApplications(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var all struct {
		Applications map[string]servedApplication `json:"applications"`
	}
	if err := json.Unmarshal(body, &all); err != nil {
		s.t.Fatal(err)
	}
	return all.Applications
}

// policy is one for deployment Model of an application.
func (s served) policy(application, autoscaling string) string {
	return fmt.Sprintf(acctest.RequiredProviders+`
provider "ray" {
  address = %q
  owner   = "team/a"
}

resource "ray_autoscaling_policy" "model" {
  name = "model"
  serve_deployment = {
    application        = %q
    deployment         = "Model"
    autoscaling_config = { %s }
    on_destroy         = "restore"
  }
}
`, s.head.DashboardURL, application, autoscaling)
}

// A real Serve takes the change without a new replica, beside an application that is left
// as it was.
func TestAccPolicy_serveDeployment(t *testing.T) {
	t.Parallel()
	s := serveHead(t)
	before := s.applications()
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", s.policy("chat", `max_replicas = 5, upscale_delay_s = 3, downscale_delay_s = 900.5, aggregation_function = "max"`))
	w.Apply()
	w.PlanNothing()
	now := s.applications()
	if got := now["chat"].Deployments["Model"].Config.Autoscaling; got["max_replicas"] != 5.0 || got["min_replicas"] != 1.0 || got["downscale_delay_s"] != 900.5 || got["aggregation_function"] != "max" {
		t.Errorf("in effect is %v", got)
	}
	for name := range before {
		if was, is := before[name].replicas(), now[name].replicas(); was != is || was == "" {
			t.Errorf("application %s had the replicas %s, has %s", name, was, is)
		}
	}
	if !bytes.Equal(before["code"].Config, now["code"].Config) || !bytes.Contains(now["chat"].Config, []byte("planted")) {
		t.Errorf("the configs are %s and %s", now["code"].Config, now["chat"].Config)
	}

	s.deploy(`{"min_replicas": 1, "max_replicas": 3}`) // as a pipeline does
	if r := w.Run("plan", "-detailed-exitcode"); r.ExitCode != 2 || !r.Contains("max_replicas is 3, want 5") || r.Contains("planted") {
		t.Errorf("the plan does not show it: exit code %d\n%s", r.ExitCode, r.Output)
	}
	w.Apply()
	w.PlanNothing()
	w.Destroy()
	s.eventually("chat", 2)
}

// eventually waits until an application has so many replicas at most.
func (s served) eventually(application string, most float64) {
	s.t.Helper()
	for began := time.Now(); ; time.Sleep(300 * time.Millisecond) {
		got := s.applications()[application].Deployments["Model"].Config.Autoscaling
		if got["max_replicas"] == most {
			return
		}
		if time.Since(began) > time.Minute {
			s.t.Fatalf("in effect is %v, want %v replicas at most", got, most)
		}
	}
}

// Where the config says nothing of autoscaling Ray builds the application anew, and what
// the code said goes on. So it does for another autoscaling policy.
func TestSlowAccPolicy_serveDeploymentFirst(t *testing.T) {
	t.Parallel()
	s := serveHead(t)
	before := s.applications()
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", s.policy("code", `max_replicas = 4`))
	if r := w.Run("plan"); !r.Contains("replaces the replicas of application code") {
		t.Errorf("the plan does not say so:\n%s", r.Output)
	}
	w.Apply()
	w.PlanNothing()
	now := s.applications()
	if got := now["code"].Deployments["Model"].Config.Autoscaling; got["max_replicas"] != 4.0 || got["min_replicas"] != 1.0 {
		t.Errorf("in effect is %v", got)
	}
	if was, is := before["chat"].replicas(), now["chat"].replicas(); was != is {
		t.Errorf("the other application had the replicas %s, has %s", was, is)
	}
	if was, is := before["code"].replicas(), now["code"].replicas(); was == is {
		t.Errorf("the replicas are the same, %s: the plan warns for nothing", is)
	}

	w.Write("main.tf", s.policy("code", `max_replicas = 4, policy = { policy_function = "ray.serve.autoscaling_policy:replica_queue_length_autoscaling_policy" }`))
	if r := w.Run("plan"); !r.Contains("replaces the replicas of application code") {
		t.Errorf("the plan of another policy does not say so:\n%s", r.Output)
	}
	w.Apply()
	w.PlanNothing()
	if was, is := now["code"].replicas(), s.applications()["code"].replicas(); was == is {
		t.Errorf("with another policy the replicas are the same, %s: the plan warns for nothing", is)
	}
	w.Destroy()
	s.eventually("code", 2)
}
