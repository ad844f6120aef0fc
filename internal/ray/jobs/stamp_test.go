package jobs_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

func TestStamp_ownerUnsetMatchesOnlyUnset(t *testing.T) {
	t.Parallel()
	bare := jobs.Stamp{Name: "n", Digest: "v1:d", Attempt: 2}
	marked := bare.Mark(map[string]string{"team": "ml"})
	want := map[string]string{"team": "ml", "terraform.ray-iac/name": "n", "terraform.ray-iac/digest": "v1:d", "terraform.ray-iac/attempt": "2"}
	if diff := cmp.Diff(want, marked); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	owned := jobs.Stamp{Owner: "o", Name: "n", Digest: "v1:d", Attempt: 1}
	job := ray.Job{Metadata: marked}
	if !jobs.Ours(job, bare) || jobs.Ours(job, owned) {
		t.Errorf("a job without an owner must match a stamp without one, and no other")
	}
	if jobs.Ours(ray.Job{Metadata: owned.Mark(nil)}, bare) {
		t.Errorf("a job with an owner must not match a stamp without one")
	}
}

func TestStampOf_refusesHalfAStamp(t *testing.T) {
	t.Parallel()
	for name, metadata := range map[string]map[string]string{
		"none":        nil,
		"no digest":   {"terraform.ray-iac/attempt": "1"},
		"no attempt":  {"terraform.ray-iac/digest": "v1:d"},
		"bad attempt": {"terraform.ray-iac/digest": "v1:d", "terraform.ray-iac/attempt": "0"},
	} {
		if s, ok := jobs.StampOf(metadata); ok {
			t.Errorf("%s: read as %+v, want none", name, s)
		}
	}
}
