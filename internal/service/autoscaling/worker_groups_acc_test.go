//go:build unix

package autoscaling_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
)

// Ray's own autoscaler obeys what the policy wrote, and what it writes is no drift.
func TestAccPolicy_workerGroups(t *testing.T) {
	t.Parallel()
	acctest.CLI(t) // skips where there is none
	g := rayCluster(t, nil)
	autoscaler, err := g.object.StartAutoscaler(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = autoscaler.Close() })
	sees := func(low, high int) {
		t.Helper()
		config, err := autoscaler.Config(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if cpu := config.Groups["cpu"]; cpu.MinWorkers != low || cpu.MaxWorkers != high || config.IdleTimeoutMinutes != 1.5 {
			t.Errorf("Ray's autoscaler sees %+v, idle timeout %v minutes; want %d..%d and 1.5", cpu, config.IdleTimeoutMinutes, low, high)
		}
	}
	// workers are the pods of group cpu, once there are so many.
	workers := func(want int) (pods []string) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
			instances, err := autoscaler.Instances(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			pods = nil
			for _, i := range instances {
				if i.Group == "cpu" && i.Running {
					pods = append(pods, i.Pod)
				}
			}
			if len(pods) == want {
				return pods
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("%d workers, want %d", len(pods), want)
			}
		}
	}
	w := acctest.NewWorkspace(t)
	write := func(low, high int) {
		w.Write("main.tf", fmt.Sprintf(acctest.RequiredProviders+`
provider "ray" {
  owner      = "team/a"
  kubernetes = { config_path = %q }
}

resource "ray_autoscaling_policy" "workers" {
  name = "workers"
  worker_groups = {
    kuberay      = { namespace = "default", name = %q }
    groups       = { cpu = { min_replicas = %d, max_replicas = %d } }
    idle_timeout = "1m30s"
    on_destroy   = "restore"
  }
}
`, g.server.Admin.Kubeconfig, g.object.Name, low, high))
	}
	write(3, 8)
	w.Apply()
	sees(3, 8)
	workers(3)
	if err := autoscaler.Launch(t.Context(), "cpu", 2); err != nil {
		t.Fatal(err)
	}
	workers(5)
	w.PlanNothing()

	write(1, 6)
	w.Apply()
	sees(1, 6)
	pods := workers(5) // who goes is the autoscaler's to say
	if err := autoscaler.Terminate(t.Context(), pods[:3]...); err != nil {
		t.Fatal(err)
	}
	if left := workers(2); !slices.Equal(sorted(left), sorted(pods[3:])) {
		t.Errorf("left are %v, of %v the autoscaler let the first three go", left, pods)
	}
	w.PlanNothing()

	g.patch(maxCPU, 7)
	if r := w.Run("plan", "-detailed-exitcode"); r.ExitCode != 2 || !r.Contains("group cpu: max_replicas is 7, want 6") {
		t.Errorf("the plan does not show it: exit code %d\n%s", r.ExitCode, r.Output)
	}
	w.Destroy()
	if got := g.spec(); got != `{"idleTimeoutSeconds":120,"version":"v2"} cpu:2 in 1..7 idle - gpu:0 in 0..2 idle -` {
		t.Errorf("after the destroy: %s", got)
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
