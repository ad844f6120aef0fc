package gcs_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
)

func TestReasonsLeaveOutOldFailures(t *testing.T) {
	t.Parallel()
	now := time.Now()
	got := gcs.Launches{
		Pending: []gcs.Launch{{NodeType: "cpu", Count: 2}, {NodeType: "cpu", Count: 1}},
		Failed: []gcs.Launch{
			{NodeType: "gpu", Detail: "old", FailedAt: now.Add(-time.Hour)},
			{NodeType: "gpu", Detail: "quota", FailedAt: now.Add(-2 * time.Minute)},
			{NodeType: "tpu", FailedAt: now},
			{NodeType: "gone", Detail: "old", FailedAt: now.Add(-time.Hour)},
		},
		Infeasible:       []ray.Resources{{"GPU": 64, "CPU": 1}},
		InfeasibleGroups: []gcs.Demand{{Bundle: ray.Bundle{Resources: ray.Resources{"small": 0.001}, Count: 9}, Strategy: "STRICT_SPREAD"}},
	}.Reasons(now)
	want := []string{"group cpu: 3 launching", "group gpu: launch failed: quota", "group tpu: launch failed", "no node type can hold CPU 1, GPU 64",
		"the autoscaler can't start nodes for 9 x {small: 0.001}, STRICT_SPREAD: no node type has this, or not as many nodes may be added"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
