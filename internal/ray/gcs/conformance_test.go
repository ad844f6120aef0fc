package gcs_test

import (
	"context"
	"net"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

func TestConformance_fake(t *testing.T) {
	t.Parallel()
	head := raytest.NewFake()
	t.Cleanup(head.Close)
	fake, err := head.ServeGCS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	conform(t, fake.Address(), head.URL())
}

// A real head without autoscaler, whose GCS and dashboard the variables name. It
// gains two jobs, both over when the test ends.
func TestConformance_real(t *testing.T) {
	t.Parallel()
	address, url := os.Getenv("RAYTEST_GCS_ADDRESS"), os.Getenv("RAYTEST_DASHBOARD_URL")
	if address == "" || url == "" {
		t.Skip("ring 3: RAYTEST_GCS_ADDRESS and RAYTEST_DASHBOARD_URL name no real head")
	}
	conform(t, address, url)
}

// conform checks what the GCS at address says against the dashboard at url.
func conform(t *testing.T, address, url string) {
	t.Helper()
	c := client(t, address)
	d, err := dashboard.New(dashboard.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("cluster", func(t *testing.T) { conformCluster(t, c, d) })
	t.Run("nodes", func(t *testing.T) { conformNodes(t, c, d) })
	t.Run("jobs", func(t *testing.T) { conformJobs(t, c, d) })
	t.Run("another cluster", func(t *testing.T) {
		other := client(t, address, func(o *gcs.Options) { o.ClusterID = headID })
		if _, err := other.Nodes(t.Context()); !ray.IsKind(err, ray.KindWrongCluster) {
			t.Errorf("Nodes: %v, want an error of kind wrong cluster", err)
		}
		if _, _, err := other.KVGet(t.Context(), "cluster", "CLUSTER_METADATA"); !ray.IsKind(err, ray.KindWrongCluster) {
			t.Errorf("KVGet: %v, want an error of kind wrong cluster", err)
		}
	})
	t.Run("address", func(t *testing.T) {
		got, err := d.GCSAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(got)
		if _, want, _ := net.SplitHostPort(address); err != nil || port != want {
			t.Errorf("the dashboard names the GCS %q, want port %s", got, want)
		}
	})
}

func conformCluster(t *testing.T, c *gcs.Client, d *dashboard.Client) {
	ctx := t.Context()
	got, err := c.Cluster(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want, err := d.Cluster(ctx)
	if err != nil {
		t.Fatal(err)
	}
	started := got.StartedAt
	want.StartedAt, got.StartedAt = time.Time{}, time.Time{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cluster (-dashboard +gcs):\n%s", diff)
	}
	if started.IsZero() || time.Since(started) < 0 {
		t.Errorf("started at %v", started)
	}
	if !regexp.MustCompile(`^[0-9a-f]{56}$`).MatchString(got.ClusterID) {
		t.Errorf("cluster id %q is not 56 hex digits", got.ClusterID)
	}
	if mode, err := c.Autoscaler(ctx); err != nil || (mode != gcs.AutoscalerNone && mode != gcs.AutoscalerUnknown) {
		t.Errorf("Autoscaler = %q, %v, want none, or unknown on a young head", mode, err)
	}
	if l, err := c.Launches(ctx); err != nil || len(l.Pending)+len(l.Failed) != 0 {
		t.Errorf("Launches = %v, %v, want none", l, err)
	}
	if a, err := c.DashboardAddress(ctx); err != nil || !regexp.MustCompile(`^[^/]+:\d+$`).MatchString(a) {
		t.Errorf("DashboardAddress = %q, %v, want host:port", a, err)
	}
}

func conformNodes(t *testing.T, c *gcs.Client, d *dashboard.Client) {
	ctx := t.Context()
	got, err := c.Nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want, err := d.Nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	overHTTP := map[string]ray.Node{}
	for _, n := range want {
		overHTTP[n.NodeID] = n
	}
	head, err := c.HeadNodeID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	heads := 0
	for _, n := range got {
		w, ok := overHTTP[n.NodeID]
		if !ok {
			t.Errorf("the dashboard has no node %s", n.NodeID)
			continue
		}
		if n.Head && n.State != ray.NodeDead {
			heads++
			if n.NodeID != head {
				t.Errorf("HeadNodeID = %q, want %q", head, n.NodeID)
			}
		}
		if n.IP != w.IP || n.Head != w.Head || (n.State == ray.NodeDead) != (w.State == ray.NodeDead) || n.DeathReason != w.DeathReason {
			t.Errorf("node %+v, the dashboard says %+v", n, w)
		}
		if diff := cmp.Diff(w.Total, n.Total); diff != "" {
			t.Errorf("resources (-dashboard +gcs):\n%s", diff)
		}
		if diff := cmp.Diff(w.StartedAt, n.StartedAt); diff != "" {
			t.Errorf("start (-dashboard +gcs):\n%s", diff)
		}
		if n.State != ray.NodeDead && len(n.Available) != len(n.Total) {
			t.Errorf("node %s has Total %v but Available %v", n.IP, n.Total, n.Available)
		}
	}
	if heads != 1 {
		t.Errorf("%d live heads, want 1", heads)
	}
}

func conformJobs(t *testing.T, c *gcs.Client, d *dashboard.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	prefix := "gcs-" + time.Now().Format("150405.000000") + "-"
	for id, entrypoint := range map[string]string{"a": "exit 3", "b": "true"} {
		submission := ray.Submission{
			Entrypoint: entrypoint, SubmissionID: prefix + id, Metadata: map[string]string{"k": "v"},
			RuntimeEnv: map[string]any{"env_vars": map[string]any{"X": "y"}},
		}
		if err := d.Submit(ctx, submission); err != nil {
			t.Fatal(err)
		}
	}
	var want []ray.Job
	for _, id := range []string{"a", "b"} {
		job := ray.Job{}
		for !job.Status.Terminal() {
			select {
			case <-ctx.Done():
				t.Fatalf("job %s%s is %s, want it over", prefix, id, job.Status)
			case <-time.After(50 * time.Millisecond):
			}
			var err error
			if job, err = d.Job(ctx, prefix+id); err != nil {
				t.Fatal(err)
			}
		}
		job.RuntimeEnv = nil // Redacted over HTTP.
		want = append(want, job)
	}
	got, err := c.JobRecords(ctx, prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].RuntimeEnv = nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("jobs (-dashboard +gcs):\n%s", diff)
	}
}
