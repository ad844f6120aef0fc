//go:build unix

package jobs_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// Nodes of one machine share their logs unless each has a directory of its own.
func TestRealLogs_ofAHeadAndAWorkerNode(t *testing.T) {
	t.Parallel()
	head, err := raytest.StartHead(t.Context(), raytest.HeadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := head.Stop(); err != nil {
			t.Error(err)
		}
	})
	dir, err := os.MkdirTemp("/tmp", "node") //nolint:usetesting // sockets below need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if _, err := head.AddNode(t.Context(), raytest.NodeOptions{Resources: map[string]float64{"here": 1}, Args: []string{"--temp-dir=" + dir}}); err != nil {
		t.Fatal(err)
	}
	client, err := dashboard.New(dashboard.Options{URL: head.DashboardURL})
	if err != nil {
		t.Fatal(err)
	}
	newProcess := func() *jobs.Engine {
		return jobs.New(jobs.Options{
			Address: head.DashboardURL, Registry: new(jobs.Registry),
			Dashboard: func(context.Context) (*dashboard.Client, error) { return client, nil },
		})
	}
	runTwice(t, false, newProcess)
	runTwice(t, true, newProcess)
	copyGrowing(t, newProcess())
}

// copyGrowing follows a job that writes lines, parts of lines and no UTF-8.
func copyGrowing(t *testing.T, e *jobs.Engine) {
	t.Helper()
	r := request(`seq 300000; for i in 1 2 3 4; do seq 3000; printf 'part \377 of a line '; sleep 1; done; exit 3`)
	r.Name, r.Resources = "growing", ray.Resources{"here": 1}
	run := mustSubmit(t, e, r)
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	c := e.NewLogCopy(file)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Follow(ctx, run.ID)
	}()
	job, _, err := e.Wait(t.Context(), run, jobs.Succeeded, nil)
	cancel()
	<-done
	if err != nil || job.Status != ray.JobFailed {
		t.Fatalf("%s is %s, %v", run.ID, job.Status, err)
	}
	if err := c.Finish(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n, want := strings.Count(string(got), "part \xff of a line "), 4; n != want || strings.Count(string(got), "\n2999\n") != 5 {
		t.Errorf("the copy has %d bytes and %d parts of lines, want %d", len(got), n, want)
	}
}
