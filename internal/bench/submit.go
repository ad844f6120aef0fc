//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
)

const (
	submitted = 50
	// atATime is Terraform's own -parallelism, and so many commands run at once.
	atATime = 10
	// submitLimit is of `ray job submit --no-wait`.
	submitLimit = 0.5
)

// unplaced is what a job asks for that is to wait in Ray: it costs the head no
// process, where each job that starts costs a second of CPU time on either side.
const unplaced = "nowhere"

// submit measures a number of jobs that are only submitted.
func (b *bench) submit(ctx context.Context) (table, error) {
	if err := b.startHead(ctx); err != nil {
		return table{}, err
	}
	tf := filepath.Base(b.cli)
	ours := side{&series{name: fmt.Sprintf("%s apply of %d ray_job", tf, submitted), unit: seconds}, func(round int) (time.Duration, error) {
		return b.applyOnce(ctx, "submit", provider(b.head.DashboardURL)+job(submitted, fmt.Sprintf("submit-%d", round),
			nothing, fmt.Sprintf("entrypoint_resources = { %s = 1 }", unplaced), `wait_for = "SUBMITTED"`))
	}}
	theirs := side{&series{name: fmt.Sprintf("%d ray job submit --no-wait, %d at a time", submitted, atATime), unit: seconds}, func(int) (time.Duration, error) {
		return timed(func() error { return b.submitMany(ctx) })
	}}
	clean := func() error { return b.cancelUnplaced(ctx) }
	if err := turns(min(b.rounds, 2), ours.after(clean), theirs.after(clean)); err != nil {
		return table{}, err
	}
	if err := clean(); err != nil {
		return table{}, err
	}
	return table{
		title:    fmt.Sprintf("submit: %d jobs, to their submission, on a warm head", submitted),
		series:   []*series{ours.series, theirs.series},
		findings: []finding{{"apply, of ray job submit", ratio, versus(ours.series, theirs.series), submitLimit}},
	}, nil
}

// submitMany runs Ray's own command for each job.
func (b *bench) submitMany(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, atATime)
	var all sync.WaitGroup
	for range submitted {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			_, err := output(ctx, command{
				dir: b.dir, env: environ(os.Environ()),
				args: []string{b.head.RayBin, "job", "submit", "--address", b.head.DashboardURL, "--no-wait", "--entrypoint-resources", fmt.Sprintf(`{"%s": 1}`, unplaced), "--", "true"},
			})
			if err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// gcsClient talks to the head's GCS.
func (b *bench) gcsClient() (*gcs.Client, error) {
	return gcs.New(gcs.Options{Address: b.head.GCSAddress, UserAgent: "terraform-provider-ray-bench"})
}

// cancelUnplaced ends all jobs that wait in Ray, and waits until they are over.
func (b *bench) cancelUnplaced(ctx context.Context) error {
	client, err := b.gcsClient()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing was written
	for {
		all, err := b.api.ListJobs(ctx, nil)
		if err != nil {
			return err
		}
		left := 0
		for _, j := range all {
			if j.Status != ray.JobPending {
				continue
			}
			left++
			if _, err := client.CancelUnplaced(ctx, j.SubmissionID); err != nil {
				return err
			}
		}
		if left == 0 {
			return nil
		}
		if err := pause(ctx, settle); err != nil {
			return err
		}
	}
}
