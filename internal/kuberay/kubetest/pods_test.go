//go:build unix

package kubetest_test

import (
	"fmt"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// What runs in the pods is a Ray cluster that the autoscaler of its head pod scales, with
// the resources and labels that the operator wrote into them.
func TestRealPods(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := cluster(t, s, func(manifest kubetest.Object) {
		spec := manifest["spec"].(kubetest.Object)
		spec["autoscalerOptions"].(kubetest.Object)["idleTimeoutSeconds"] = 2
		cpu := spec["workerGroupSpecs"].([]any)[0].(kubetest.Object)
		cpu["replicas"], cpu["labels"] = 1, kubetest.Object{"tier": "small"}
		cpu["rayStartParams"] = kubetest.Object{"resources": `"{\"worker\": 3}"`}
	})
	pods, err := c.RunPods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pods.Close(); err != nil {
			t.Error(err)
		}
	})
	api, err := dashboard.New(dashboard.Options{URL: pods.Head.DashboardURL})
	if err != nil {
		t.Fatal(err)
	}
	// worker waits until the Ray of one worker pod runs, of another than besides.
	worker := func(besides string) (pod string) {
		t.Helper()
		err := c.WaitFor(t.Context(), "to have another worker than "+besides, func(kubetest.Object) error {
			if now := pods.Workers(); len(now) != 1 || now[0] == besides {
				return fmt.Errorf("its workers are %v", now)
			}
			pod = pods.Workers()[0]
			return pods.Err()
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, s.Log())
		}
		return pod
	}
	first := worker("")
	nodes, err := api.Nodes(t.Context())
	if err != nil || len(nodes) != 2 {
		t.Fatalf("%d nodes, %v; want the head and a worker", len(nodes), err)
	}
	for _, n := range nodes {
		if !n.Head && (n.Total["CPU"] != 1 || n.Total["worker"] != 3 || n.Total["memory"] != 1<<30 || n.Labels["tier"] != "small") {
			t.Errorf("the worker has %v, labels %v", n.Total, n.Labels)
		}
	}
	if err := pods.Kill(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	worker(first) // made by the operator
	if err := pods.Kill(t.Context(), first); err == nil {
		t.Error("a pod that is gone was killed")
	}
	if _, err := c.Patch(t.Context(), kubetest.Op{Op: "replace", Path: "/spec/workerGroupSpecs/0/minReplicas", Value: 0}); err != nil {
		t.Fatal(err)
	}
	// Let go by the autoscaler, since it is idle.
	if err := c.WaitFor(t.Context(), "to have no worker", func(kubetest.Object) error {
		if g := group(t, c, 0); g["replicas"] != 0.0 || len(pods.Workers()) > 0 {
			return fmt.Errorf("group %v, workers %v", g, pods.Workers())
		}
		return pods.Err()
	}); err != nil {
		t.Errorf("%v\n%s", err, s.Log())
	}
}
