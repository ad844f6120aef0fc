package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/serve"
)

func engine(t *testing.T, opts ...raytest.Option) (*raytest.Fake, *serve.Engine) {
	t.Helper()
	f := raytest.NewFake(append([]raytest.Option{raytest.WithServe()}, opts...)...)
	t.Cleanup(f.Close)
	return f, serve.New(func(context.Context) (*dashboard.Client, error) {
		return dashboard.New(dashboard.Options{URL: f.URL()})
	})
}

func most(application, deployment string, n int) serve.Target {
	return serve.Target{Application: application, Deployment: deployment, Autoscaling: map[string]json.RawMessage{"max_replicas": serve.Want(n)}}
}

func enforce(t *testing.T, e *serve.Engine, target serve.Target) (serve.Edit, bool, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return e.Enforce(ctx, target, time.Minute, func([]string) {})
}

func inEffect(t *testing.T, e *serve.Engine, targets ...serve.Target) {
	t.Helper()
	s, err := e.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		if drift := s.Drift(target); len(drift) > 0 {
			t.Errorf("%s of %s: %s", target.Deployment, target.Application, strings.Join(drift, "; "))
		}
	}
}

func TestEnforce(t *testing.T) {
	t.Parallel()
	f, e := engine(t)
	before := string(f.ServeApplication("a"))
	first, written, err := enforce(t, e, most("b", "Auto", 7))
	if err != nil || !written || string(first.Previous.Autoscaling) != `{"max_replicas":4,"min_replicas":1}` {
		t.Fatalf("wrote %t over %s, %v", written, first.Previous.Autoscaling, err)
	}
	inEffect(t, e, most("b", "Auto", 7))
	if got := string(f.ServeApplication("a")); got != before || f.ServeBuilds("a")+f.ServeBuilds("b") != 0 {
		t.Errorf("the other application is %s, was %s; built %d, %d times", got, before, f.ServeBuilds("a"), f.ServeBuilds("b"))
	}
	if _, written, err := enforce(t, e, most("b", "Auto", 7)); err != nil || written || len(f.ServeWrites()) != 1 {
		t.Errorf("again: wrote %t, %v; %d writes", written, err, len(f.ServeWrites()))
	}
}

// Deployments of one application and of others at one time: none is lost.
func TestEnforce_manyAtOnce(t *testing.T) {
	t.Parallel()
	_, e := engine(t)
	var group sync.WaitGroup
	targets := []serve.Target{most("a", "Echo", 5), most("b", "Auto", 6)}
	for i := range 10 {
		group.Go(func() {
			if _, _, err := enforce(t, e, targets[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	inEffect(t, e, targets...)
}

// Somebody's config without the change is written over with the change, not without
// theirs.
func TestEnforce_overAForeignWriter(t *testing.T) {
	t.Parallel()
	f, e := engine(t)
	f.AfterServeWrite(func(write func(string)) {
		write(`{"applications": [
			{"name": "a", "route_prefix": "/a2", "import_path": "apps:echo"},
			{"name": "b", "route_prefix": "/b", "import_path": "apps:auto", "deployments": [{"name": "Auto", "autoscaling_config": {"min_replicas": 0, "max_replicas": 4}}]}]}`)
	})
	if _, _, err := enforce(t, e, most("b", "Auto", 7)); err != nil {
		t.Fatal(err)
	}
	inEffect(t, e, most("b", "Auto", 7))
	if a, b := string(f.ServeApplication("a")), string(f.ServeApplication("b")); !strings.Contains(a, `"/a2"`) || !strings.Contains(b, `"min_replicas":0`) {
		t.Errorf("theirs is lost: %s, %s", a, b)
	}
}

func TestEnforce_lostAnswers(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]raytest.Fault{"lost": raytest.LoseAnswer(), "a proxy's page": raytest.ProxyPageAfter(504)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, e := engine(t)
			f.Fail(raytest.Match{Route: "PUT /api/serve/applications/"}, fault)
			if _, written, err := enforce(t, e, most("b", "Auto", 7)); err != nil || !written || len(f.ServeWrites()) != 1 {
				t.Errorf("wrote %t, %v; %d writes", written, err, len(f.ServeWrites()))
			}
			inEffect(t, e, most("b", "Auto", 7))
		})
	}
	f, e := engine(t)
	f.Fail(raytest.Match{Route: "PUT /api/serve/applications/"}, raytest.AnswerWith(500, "text/plain", "Traceback\nModuleNotFoundError: No module named 'nomod'"))
	if _, written, err := enforce(t, e, most("b", "Auto", 7)); !ray.IsKind(err, ray.KindServer) || ray.OutcomeUnknown(err) || written || !strings.Contains(err.Error(), "nomod") {
		t.Errorf("wrote %t, %v", written, err)
	}
}

// A first autoscaling_config builds the application anew, which is waited for.
func TestEnforce_first(t *testing.T) {
	t.Parallel()
	f, e := engine(t)
	f.DeployServe(`{"applications": [{"name": "a", "import_path": "apps:echo"}, {"name": "b", "import_path": "apps:auto"}]}`)
	first, written, err := enforce(t, e, most("b", "Auto", 7))
	if err != nil || !written || !first.Restarts || first.Previous.Autoscaling != nil {
		t.Fatalf("wrote %t, %+v, %v", written, first, err)
	}
	// The code's lower bound, and all else, goes on in the config.
	if got := string(f.ServeApplication("b")); !strings.Contains(got, `"min_replicas":1`) || !strings.Contains(got, `"max_replicas":7`) || f.ServeBuilds("b") != 2 {
		t.Errorf("built %d times: %s", f.ServeBuilds("b"), got)
	}
	before := serve.Previous{}
	if _, _, err := e.Change(t.Context(), func(s *serve.State) (serve.Edit, error) {
		edit, left, err := s.Restore(most("b", "Auto", 7), before)
		if len(left) > 0 {
			err = fmt.Errorf("left %v", left)
		}
		return edit, err
	}); err != nil {
		t.Fatal(err)
	}
	if got := string(f.ServeApplication("b")); strings.Contains(got, "autoscaling_config") {
		t.Errorf("not taken back: %s", got)
	}
}

func TestEnforce_whatCannotBe(t *testing.T) {
	t.Parallel()
	f, e := engine(t)
	if _, written, err := enforce(t, e, most("b", "Nope", 7)); !errors.As(err, new(*serve.RefusedError)) || written {
		t.Errorf("no such deployment: %v", err)
	}
	f.DeployServe(`{"applications": [{"name": "b", "import_path": "apps:auto", "deployments": [{"name": "Auto", "autoscaling_config": {"min_replicas": 9, "max_replicas": 4}}]}]}`)
	target := serve.Target{Application: "b", Deployment: "Auto", Autoscaling: map[string]json.RawMessage{"upscale_delay_s": serve.Want(1)}}
	if _, written, err := enforce(t, e, target); !errors.As(err, new(*serve.RefusedError)) || written {
		t.Errorf("bounds that exclude each other: %v", err)
	}
	// What mends it is deployed, and waited for.
	if _, _, err := enforce(t, e, most("b", "Auto", 10)); err != nil {
		t.Error(err)
	}
}
