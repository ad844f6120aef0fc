package raytest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// ask asks f by a client of its own, which dials anew for each question, so that it
// does not wait out gRPC's back-off after a restart.
func ask[T any](t *testing.T, f *raytest.FakeGCS, question func(*gcs.Client) (T, error)) T {
	t.Helper()
	c, err := gcs.New(gcs.Options{Address: f.Address()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer, err := question(c)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestFakeGCS_restart(t *testing.T) {
	t.Parallel()
	f, err := raytest.StartFakeGCS(raytest.GCSState{Jobs: []ray.Job{{SubmissionID: "a", Status: ray.JobRunning}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	id := func(c *gcs.Client) (string, error) { return c.ClusterID(t.Context()) }
	jobs := func(c *gcs.Client) ([]ray.Job, error) { return c.JobRecords(t.Context(), "", nil) }
	address, first := f.Address(), ask(t, f, id)

	if err := f.Restart(first); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, f, id); got != first || len(ask(t, f, jobs)) != 1 || f.Address() != address {
		t.Errorf("with Redis: cluster %s at %s, want %s at %s, with its job", got, f.Address(), first, address)
	}
	second := first[2:] + first[:2]
	second = "ff" + second[2:]
	if err := f.Restart(second); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, f, id); got != second || len(ask(t, f, jobs)) != 0 {
		t.Errorf("without Redis: cluster %s, want %s without jobs", got, second)
	}
}

func TestFake_serveGCSShowsWhatTheDashboardShows(t *testing.T) {
	t.Parallel()
	head := raytest.NewFake()
	t.Cleanup(head.Close)
	f, err := head.ServeGCS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	cluster := func(c *gcs.Client) (ray.Cluster, error) { return c.Cluster(t.Context()) }
	nodes := func(c *gcs.Client) ([]ray.Node, error) { return c.Nodes(t.Context()) }
	check := func() {
		t.Helper()
		got, want := ask(t, f, cluster), head.Cluster()
		got.StartedAt, want.StartedAt = time.Time{}, time.Time{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("cluster (-fake +gcs):\n%s", diff)
		}
	}
	check()
	id := head.AddNode(ray.Node{Total: ray.Resources{"CPU": 1}})
	head.KillNode(id)
	found := false
	for _, n := range ask(t, f, nodes) {
		found = found || n.NodeID == id && n.State == ray.NodeDead && n.DeathReason == ray.DeathUnexpected
	}
	if !found {
		t.Errorf("the killed node %s is not among %+v", id, ask(t, f, nodes))
	}
	head.Restart(false)
	check()
}
