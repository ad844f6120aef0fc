package job

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflogtest"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

func TestProgress_canBeFollowed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ctx := tflogtest.RootLogger(t.Context(), &out)
	w := waiting{model: &jobModel{Name: types.StringValue("a")}}
	say := w.progress(ctx)
	pending := ray.Job{Status: ray.JobPending, Message: "Job has not started yet. It may be waiting for resources.\nmore"}
	running := ray.Job{Status: ray.JobRunning, Message: "Job is currently running."}
	away := errors.New("connection refused")
	for _, look := range []struct {
		job ray.Job
		at  time.Duration
		err error
	}{
		{pending, 0, nil}, {pending, time.Second, nil}, {pending, 30 * time.Second, nil}, {pending, 31 * time.Second, nil},
		{running, 40 * time.Second, nil}, {running, 41 * time.Second, nil},
		{running, 50 * time.Second, away}, {running, 51 * time.Second, away}, {running, 60 * time.Second, nil},
		{running, 100 * time.Second, nil},
	} {
		say(look.job, look.at, look.err)
	}
	entries, err := tflogtest.MultilineJSONDecode(&out)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		text, _ := e["@message"].(string)
		waited, _ := e["waited"].(string)
		got = append(got, waited+" "+text)
	}
	want := []string{
		`0s job "a" is PENDING: Job has not started yet. It may be waiting for resources.`,
		`30s job "a" is PENDING for 30s: Job has not started yet. It may be waiting for resources.`,
		`40s job "a" is RUNNING`,
		`50s job "a" can't be looked at, RUNNING when it was last seen`,
		`1m0s job "a" is RUNNING for 20s`,
		`1m40s job "a" is RUNNING for 1m0s`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
	if w.run.RunningSince.IsZero() {
		t.Error("since when the job runs was not noted")
	}
}
