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

func TestRegistry_aDeleteNeverTakesWhatACreateOwns(t *testing.T) {
	t.Parallel()
	var r jobs.Registry
	if !r.Own("c", "a-0123456789") || r.Own("c", "a-0123456789") {
		t.Error("an id can be owned once")
	}
	if r.Release("c", "a-0123456789") {
		t.Error("an owned id must not be released")
	}
	if !r.Release("c", "b-0123456789") || !r.Release("c", "b-0123456789-3") || !r.Release("other", "b-0123456789-9") {
		t.Error("an id that nobody owns can be released")
	}
	if got := r.Released("c", "b-0123456789"); got != 3 {
		t.Errorf("highest released attempt %d, want 3", got)
	}
	if got := r.Released("c", "a-0123456789"); got != 0 {
		t.Errorf("released attempt of an owned id %d, want 0", got)
	}
	r.Disown("c", "a-0123456789")
	if !r.Own("c", "a-0123456789") {
		t.Error("a disowned id can be owned again")
	}
}

// The lines were recorded from the job log of a Ray 2.60 head.
func TestLastRun_cutsOffEarlierRunsOfTheID(t *testing.T) {
	t.Parallel()
	const log = "2026-11-23 12:00:00,123\tINFO job_manager.py:581 -- Runtime env is setting up.\n" +
		"old\n" +
		"Running entrypoint for job n-0123456789: echo old\n" +
		"2026-11-23 12:10:00,456\tINFO job_manager.py:581 -- Runtime env is setting up.\n" +
		"new\nRunning entrypoint for job other: x\n" +
		"Running entrypoint for job n-0123456789: echo new\n"
	if got, want := jobs.LastRun(log, "n-0123456789"), "new\nRunning entrypoint for job other: x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := jobs.LastRun("a\nb\n", "n-0123456789"), "a\nb"; got != want {
		t.Errorf("a tail without a beginning: got %q, want %q", got, want)
	}
}

func TestMask_hidesSecretsInATail(t *testing.T) {
	t.Parallel()
	if got, want := jobs.Mask("token=hunter22 a=1", []string{"hunter22", "1", ""}), "token=(sensitive value) a=1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
