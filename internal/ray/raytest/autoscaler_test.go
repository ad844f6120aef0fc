//go:build unix

package raytest_test

import (
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

func TestRealHead_autoscales(t *testing.T) {
	t.Parallel()
	for version, reason := range map[raytest.Autoscaler]string{
		raytest.AutoscalerV1: ray.DeathExpected,
		raytest.AutoscalerV2: ray.DeathDrainIdle,
	} {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			head := startHead(t, raytest.HeadOptions{Autoscaler: version})
			// The first job ends and lets its node go, the second keeps its node until the head stops.
			needs(t, head, "short", "true", "small")
			needs(t, head, "long", "sleep 1000", "big")
			small := waitNode(t, head, "small")
			waitNode(t, head, "big")
			if got := waitDead(t, head, small.NodeID); got != reason {
				t.Errorf("the idle node's end was %s, want %s", got, reason)
			}
		})
	}
}

// needs submits a job that runs where there is one of the resource.
func needs(t *testing.T, head *raytest.Head, id, entrypoint, resource string) {
	t.Helper()
	job := ray.Submission{SubmissionID: id, Entrypoint: entrypoint, Resources: ray.Resources{resource: 1}}
	if err := api(t, head).Submit(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

func api(t *testing.T, head *raytest.Head) *dashboard.Client {
	t.Helper()
	c, err := dashboard.New(dashboard.Options{URL: head.DashboardURL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// waitNode waits until a node with the resource is alive.
func waitNode(t *testing.T, head *raytest.Head, resource string) (found ray.Node) {
	t.Helper()
	eventually(t, head, "a node of type "+resource, func(n ray.Node) bool {
		found = n
		return n.Alive() && n.Total[resource] > 0
	})
	return found
}

// waitDead waits until the node is dead, and returns the reason.
func waitDead(t *testing.T, head *raytest.Head, id string) (reason string) {
	t.Helper()
	eventually(t, head, "the end of node "+id, func(n ray.Node) bool {
		reason = n.DeathReason
		return n.NodeID == id && n.State == ray.NodeDead
	})
	return reason
}

func eventually(t *testing.T, head *raytest.Head, what string, is func(ray.Node) bool) {
	t.Helper()
	began := time.Now()
	for time.Since(began) < 2*time.Minute {
		nodes, err := api(t, head).Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			if is(n) {
				t.Logf("%s after %.1f s: %s %s %s", what, time.Since(began).Seconds(), n.State, n.DeathReason, n.DeathMessage)
				return
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("waited for %s in vain", what)
}
