package autoscaling_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// serving is a policy for deployment Auto of application b.
func serving(config, more m) m {
	backend := m{"application": "b", "deployment": "Auto", "autoscaling_config": config}
	maps.Copy(backend, more)
	return m{"name": "p", "serve_deployment": backend}
}

func TestServeDeployment_life(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithServe())
	tf := terraform(t, f, nil)
	tf.Resource(policy, serving(m{"max_replicas": 8, "upscale_delay_s": 2.5}, m{"on_destroy": "restore"}))
	if p := tf.Plan(); len(p.Diagnostics()) > 0 {
		t.Errorf("the plan says:\n%s", p.Diagnostics())
	}
	before := string(f.ServeApplication("a"))
	tf.MustApply()
	if got := tf.State(policy)["previous"]; got != `{"autoscaling_config":{"max_replicas":4,"min_replicas":1}}` {
		t.Errorf("previous is %v", got)
	}
	if got := string(f.ServeApplication("b")); !strings.Contains(got, `"autoscaling_config":{"max_replicas":8,"min_replicas":1,"upscale_delay_s":2.5}`) {
		t.Errorf("the config of b is %s", got)
	}
	tf.MustPlanNothing()

	// What somebody else deploys is shown, and the policy's part of it changed back.
	f.DeployServe(`{"applications": [` + before + `, {"name": "b", "route_prefix": "/b", "import_path": "apps:auto", "deployments": [{"name": "Auto", "autoscaling_config": {"min_replicas": 2, "max_replicas": 3}}]}]}`)
	p := tf.Plan()
	mustContain(t, p.Diagnostics(), "max_replicas is 3, want 8", "upscale_delay_s is 30")
	if p.ExitCode() != 2 {
		t.Errorf("exit code %d", p.ExitCode())
	}
	tf.MustApply()
	if got := string(f.ServeApplication("b")); !strings.Contains(got, `"autoscaling_config":{"max_replicas":8,"min_replicas":2,"upscale_delay_s":2.5}`) {
		t.Errorf("the config of b is %s", got)
	}
	tf.MustPlanNothing()
	if f.ServeBuilds("a")+f.ServeBuilds("b") != 0 || string(f.ServeApplication("a")) != before {
		t.Errorf("built a %d and b %d times; a is %s", f.ServeBuilds("a"), f.ServeBuilds("b"), f.ServeApplication("a"))
	}
	if r := tf.Destroy(); r.Diagnostics().HasErrors() {
		t.Error(r.Diagnostics())
	}
	if got := string(f.ServeApplication("b")); !strings.Contains(got, `"autoscaling_config":{"max_replicas":4,"min_replicas":2}`) {
		t.Errorf("after the destroy the config of b is %s", got)
	}
}

func TestServeDeployment_keepsByDefault(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithServe())
	tf := terraform(t, f, nil)
	tf.Resource(policy, serving(m{"max_replicas": 8}, nil))
	tf.MustApply()
	f.Down() // a destroy that keeps asks nobody
	if r := tf.Destroy(core.NoRefresh()); len(r.Diagnostics()) > 0 {
		t.Error(r.Diagnostics())
	}
	if err := f.Up(); err != nil {
		t.Fatal(err)
	}
	if got := string(f.ServeApplication("b")); !strings.Contains(got, `"max_replicas":8`) {
		t.Errorf("the config of b is %s", got)
	}
}

// The first autoscaling_config of an application replaces its replicas: the plan says so.
func TestServeDeployment_first(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithServe())
	f.DeployServe(`{"applications": [{"name": "a", "import_path": "apps:echo"}, {"name": "b", "import_path": "apps:auto"}]}`)
	tf := terraform(t, f, nil)
	tf.Resource(policy, serving(m{"max_replicas": 8}, m{"on_destroy": "restore"}))
	tf.Plan() // the first look finds it being built
	mustContain(t, tf.Plan().Diagnostics().Warnings(), "replaces the replicas of application b")
	tf.MustApply()
	tf.MustPlanNothing()
	if got := tf.State(policy)["previous"]; got != `{}` {
		t.Errorf("previous is %v", got)
	}
	if r := tf.Destroy(); r.Diagnostics().HasErrors() {
		t.Error(r.Diagnostics())
	}
	if got := string(f.ServeApplication("b")); strings.Contains(got, "autoscaling_config") {
		t.Errorf("after the destroy the config of b is %s", got)
	}
}

func TestServeDeployment_refused(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithServe())
	for name, test := range map[string]struct {
		config, more m
		want         string
	}{
		"application": {m{"max_replicas": 8}, m{"application": "x"}, "Serve has no application x; there are a, b, imp and n"},
		"deployment":  {m{"max_replicas": 8}, m{"deployment": "x"}, "has no deployment x; there is Auto"},
		"imperative":  {m{"max_replicas": 8}, m{"application": "imp", "deployment": "Echo"}, "was deployed from Python (serve.run)"},
		"bounds":      {m{"min_replicas": 5}, nil, "min_replicas is to be 5, and max_replicas is 4 on the cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			tf := terraform(t, f, nil)
			tf.Resource(policy, serving(test.config, test.more))
			p := tf.Plan()
			mustContain(t, p.Diagnostics().Warnings(), test.want, "the apply is an error")
			mustContain(t, p.Apply().Diagnostics().Errors(), test.want)
			if tf.State(policy) != nil || len(f.ServeWrites()) > 0 {
				t.Errorf("state %v, %d writes", tf.State(policy), len(f.ServeWrites()))
			}
		})
	}
	none := terraform(t, fake(t), nil)
	none.Resource(policy, serving(m{"max_replicas": 8}, nil))
	mustContain(t, none.Plan().Diagnostics().Warnings(), "Serve does not run on the cluster")
}

func TestServeDeployment_validate(t *testing.T) {
	t.Parallel()
	tf := terraform(t, fake(t), nil)
	for want, config := range map[string]m{
		"manages nothing":                                          {},
		"min_replicas is above max_replicas":                       {"min_replicas": 3, "max_replicas": 2},
		"initial_replicas is above max_replicas":                   {"initial_replicas": 3, "max_replicas": 2},
		"max_replicas value must be between 1":                     {"max_replicas": 0},
		"min_replicas value must be between 0":                     {"min_replicas": -1},
		"target_ongoing_requests value must be greater than 0":     {"target_ongoing_requests": 0},
		"upscale_delay_s value must be at least 0":                 {"upscale_delay_s": -1},
		`aggregation_function value must be one of: ["mean" "max"`: {"aggregation_function": "sum"},
		"This is not a JSON object":                                {"policy": m{"policy_function": "m:f", "policy_kwargs": "[1]"}},
	} {
		tf.Resource(policy, serving(config, nil))
		mustContain(t, tf.Validate().Errors(), want)
	}
}

// Two policies on two deployments in one apply lose nothing of each other; two on one are
// an error.
func TestServeDeployment_two(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithServe())
	tf := terraform(t, f, nil)
	tf.Resource(policy, serving(m{"max_replicas": 8}, nil))
	echo := serving(m{"max_replicas": 9}, m{"application": "a", "deployment": "Echo"})
	echo["name"] = "q"
	tf.Resource(other, echo)
	tf.MustApply()
	f.ResetRequests()
	tf.MustPlanNothing()
	if got := f.Requests()["GET /api/serve/applications/"]; got != 1 {
		t.Errorf("a refresh of both asked %d times", got)
	}
	again := serving(m{"min_replicas": 2}, nil)
	again["name"] = "r"
	tf.Resource("ray_autoscaling_policy.z", again)
	mustContain(t, tf.Plan().Diagnostics(), "Two policies are for deployment Auto of application b")
}

// A deployment that fails leaves a policy that says so.
func TestServeDeployment_fails(t *testing.T) {
	t.Parallel()
	f := fake(t, raytest.WithServe())
	tf := terraform(t, f, nil)
	f.AfterServeWrite(func(write func(string)) {
		write(`{"applications": [{"name": "b", "import_path": "apps:auto", "deployments": [{"name": "Auto", "autoscaling_config": {"min_replicas": 9, "max_replicas": 8}}]}]}`)
	})
	tf.Resource(policy, serving(m{"max_replicas": 8}, nil))
	r := tf.Apply()
	mustContain(t, r.Diagnostics().Errors(), "b is DEPLOY_FAILED", "What was written stays", "max_replicas (8) must be greater than or equal to min_replicas (9)!")
	if !tf.Tainted(policy) {
		t.Errorf("state: %v", tf.State(policy))
	}
}
