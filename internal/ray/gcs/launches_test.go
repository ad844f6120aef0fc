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
		Infeasible: []ray.Resources{{"GPU": 64, "CPU": 1}},
	}.Reasons(now)
	want := []string{"group cpu: 3 launching", "group gpu: launch failed: quota", "group tpu: launch failed", "no node type can hold CPU 1, GPU 64"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
