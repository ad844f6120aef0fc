//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Limits. `ray job submit -- true` took 6.7 s on the machine they were chosen on,
// of which 0.8 s were Ray's own from POST to SUCCEEDED and most of the rest the
// start of Python and the import of Ray.
const (
	applyLimit      = 0.22 // of `ray job submit`
	applyAboveLimit = 0.7  // seconds above Ray's own time
	peakLimit       = 80e6 / (1 << 20)
)

// nothing is a job that does nothing.
const nothing = `entrypoint = "true"`

// apply measures such a job as a shell sees it.
func (b *bench) apply(ctx context.Context) (table, error) {
	if err := b.startHead(ctx); err != nil {
		return table{}, err
	}
	tf := filepath.Base(b.cli)
	ours := side{&series{name: tf + " apply of one ray_job", unit: seconds}, func(round int) (time.Duration, error) {
		return b.applyOnce(ctx, "apply", provider(b.head.DashboardURL)+job(1, fmt.Sprintf("bench-%d", round), nothing))
	}}
	floor := side{&series{name: tf + " apply of one terraform_data", unit: seconds}, func(int) (time.Duration, error) {
		return b.applyOnce(ctx, "floor", data(1))
	}}
	theirs := side{&series{name: "ray job submit -- true", unit: seconds}, func(int) (time.Duration, error) { return b.submitOnce(ctx) }}
	bare := side{&series{name: "Ray's own, POST to SUCCEEDED", unit: seconds}, func(int) (time.Duration, error) { return b.postOnce(ctx) }}
	sides := []side{ours, bare, theirs, floor}
	for i := range sides {
		sides[i] = sides[i].after(func() error { return pause(ctx, settle) })
	}
	if err := turns(b.rounds, sides...); err != nil {
		return table{}, err
	}
	peak, err := b.peak(ctx, "peak", provider(b.head.DashboardURL)+job(1, "peak", nothing))
	if err != nil {
		return table{}, err
	}
	return table{
		title:  "apply: one job with the entrypoint true, to SUCCEEDED, on a warm head",
		series: []*series{ours.series, theirs.series, bare.series, floor.series},
		findings: []finding{
			{"apply, of ray job submit", ratio, versus(ours.series, theirs.series), applyLimit},
			{"apply, above Ray's own", seconds, above(ours.series, bare.series), applyAboveLimit},
			{"provider's peak memory", mebibytes, peak, peakLimit},
		},
	}, nil
}

// applyOnce times an apply from an empty state.
func (b *bench) applyOnce(ctx context.Context, name, config string) (time.Duration, error) {
	w, err := b.workspace(name, b.providerDir(), config)
	if err != nil {
		return 0, err
	}
	if err := w.forget(); err != nil {
		return 0, err
	}
	return timed(func() error { return w.run(ctx, "apply", "-auto-approve") })
}

// submitOnce times Ray's own command, which follows the log to the job's end.
func (b *bench) submitOnce(ctx context.Context) (time.Duration, error) {
	return timed(func() error {
		_, err := output(ctx, command{
			dir: b.dir, env: environ(os.Environ()),
			args: []string{b.head.RayBin, "job", "submit", "--address", b.head.DashboardURL, "--", "true"},
		})
		return err
	})
}

const (
	// settle lets the head end what the side before left behind: workers that go,
	// and others that are started in their place.
	settle = time.Second
	// look is the pause between two looks at a job.
	look = 100 * time.Millisecond
)

// postOnce submits a job by one POST and returns how long it took until Ray wrote
// down its end. That is Ray's own clock, and the one of this machine, so that
// neither the pause between two looks nor the looks themselves count.
func (b *bench) postOnce(ctx context.Context) (time.Duration, error) {
	id := "bench-" + rand.Text()
	begun := time.Now()
	if err := b.api.Submit(ctx, ray.Submission{SubmissionID: id, Entrypoint: "true"}); err != nil {
		return 0, err
	}
	for {
		j, err := b.api.Job(ctx, id)
		switch {
		case err != nil:
			return 0, err
		case j.Status == ray.JobSucceeded:
			return j.EndTime.Sub(begun), nil
		case j.Status.Terminal():
			return 0, fmt.Errorf("job %s is %s: %s", id, j.Status, j.Message)
		}
		if err := pause(ctx, look); err != nil {
			return 0, err
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// peak applies a configuration from an empty state, with the wrapper in the
// provider's place, and returns the most memory in MiB that one of the provider's
// processes held, also where the apply failed.
func (b *bench) peak(ctx context.Context, name, config string) (float64, error) {
	dir, err := os.MkdirTemp(b.dir, "peaks")
	if err != nil {
		return 0, err
	}
	w, err := b.workspace(name, b.wrapperDir(), config, realProvider+"="+filepath.Join(b.providerDir(), providerName), peakDir+"="+dir)
	if err != nil {
		return 0, err
	}
	if err := w.forget(); err != nil {
		return 0, err
	}
	failed := w.run(ctx, "apply", "-auto-approve")
	peak, err := readPeak(dir)
	return peak, errors.Join(failed, err)
}
