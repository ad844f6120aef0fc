package autoscaler_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/autoscaler"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

var clusterID = strings.Repeat("c1", 28)

func small(count int) ray.Bundle {
	return ray.Bundle{Resources: ray.Resources{"small": 1}, Count: count}
}

// cluster is a fake with an autoscaler v2 that makes a round at each look and can
// hold so many of small.
type cluster struct {
	*raytest.FakeGCS
	t     *testing.T
	floor autoscaler.Floor
}

func start(t *testing.T, most int64, bundles ...ray.Bundle) *cluster {
	t.Helper()
	fake, err := raytest.StartFakeGCS(raytest.GCSState{
		ClusterID:   clusterID,
		KV:          map[string]map[string][]byte{"__autoscaler": {"__autoscaler_v2_enabled": []byte("1")}},
		Autoscaling: &raypb.AutoscalingState{},
		Nodes:       []ray.Node{{NodeID: strings.Repeat("0a", 28), NodeType: "head", Head: true, State: ray.NodeAlive, Total: ray.Resources{"CPU": 1}}},
		Refresh: func(s *raytest.GCSState) {
			s.Autoscaling.InfeasibleClusterResourceConstraints = nil
			for _, r := range s.Floor.GetResourceRequests() {
				if r.GetCount() > most {
					s.Autoscaling.InfeasibleClusterResourceConstraints = []*raypb.ClusterResourceConstraint{s.Floor}
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	client, err := gcs.New(gcs.Options{Address: fake.Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return &cluster{fake, t, autoscaler.Floor{GCS: client, ClusterID: clusterID, Bundles: bundles, Patience: time.Minute}}
}

// mustHave fails unless this is the cluster's request.
func (c *cluster) mustHave(want ...ray.Bundle) {
	c.t.Helper()
	now, err := c.floor.GCS.Scaling(c.t.Context())
	if diff := cmp.Diff(want, now.Floor); diff != "" || err != nil {
		c.t.Errorf("the cluster's request, %v (-want +got):\n%s", err, diff)
	}
}

// others write a request as another client would.
func (c *cluster) others(bundles ...ray.Bundle) {
	c.t.Helper()
	if err := c.floor.GCS.SetFloor(c.t.Context(), gcs.AutoscalerV2, clusterID, bundles); err != nil {
		c.t.Fatal(err)
	}
}

func TestEnforce_writesAndTakesBack(t *testing.T) {
	t.Parallel()
	c := start(t, 4, small(1), small(1))
	if written, err := c.floor.Enforce(t.Context()); !written || err != nil {
		t.Fatalf("Enforce: written %t, %v", written, err)
	}
	c.mustHave(small(2))
	if theirs, err := c.floor.Release(t.Context()); theirs != nil || err != nil {
		t.Errorf("Release: %v, %v, want it taken back", theirs, err)
	}
	c.mustHave()
	calls := c.Calls("RequestClusterResourceConstraint")
	if theirs, err := c.floor.Release(t.Context()); theirs != nil || err != nil || c.Calls("RequestClusterResourceConstraint") != calls {
		t.Errorf("Release of what is gone: %v, %v, want nothing done", theirs, err)
	}
}

func TestRelease_leavesAnothersAlone(t *testing.T) {
	t.Parallel()
	c := start(t, 4, small(2))
	c.others(small(3))
	theirs, err := c.floor.Release(t.Context())
	if diff := cmp.Diff([]ray.Bundle{small(3)}, theirs); diff != "" || err != nil {
		t.Errorf("Release, %v (-want +got):\n%s", err, diff)
	}
	c.mustHave(small(3))
}

func TestEnforce_putsBackWhatWasThereBeforeAnInfeasibleFloor(t *testing.T) {
	t.Parallel()
	c := start(t, 4, small(9))
	c.others(small(2))
	written, err := c.floor.Enforce(t.Context())
	if _, ok := errors.AsType[*autoscaler.InfeasibleError](err); !ok || written || !strings.Contains(err.Error(), "9 x {small: 1}") {
		t.Errorf("Enforce: written %t, %v, want an InfeasibleError that names the bundle", written, err)
	}
	c.mustHave(small(2))

	c.others(small(9)) // an earlier try, cut off
	if _, err := c.floor.Enforce(t.Context()); !errors.As(err, new(*autoscaler.InfeasibleError)) {
		t.Errorf("Enforce again: %v, want an InfeasibleError", err)
	}
	c.mustHave()
}

func TestEnforce_doesNotWriteWhatWillNotStay(t *testing.T) {
	t.Parallel()
	c := start(t, 4, small(2))
	c.Update(func(s *raytest.GCSState) { s.Coordinated = true })
	written, err := c.floor.Enforce(t.Context())
	if _, ok := errors.AsType[*autoscaler.ContestedError](err); !ok || written {
		t.Errorf("Enforce: written %t, %v, want a ContestedError", written, err)
	}
	c.mustHave()
	c.floor.Contested = true
	if written, err := c.floor.Enforce(t.Context()); !written || err != nil {
		t.Errorf("Enforce in spite of it: written %t, %v", written, err)
	}
	c.mustHave(small(2))
}

func TestEnforce_saysWhoseRequestReplacedIt(t *testing.T) {
	t.Parallel()
	c := start(t, 4, small(2))
	c.Update(func(s *raytest.GCSState) { s.Asleep = true })
	c.floor.Waiting = func([]string) { c.others(small(1)) }
	written, err := c.floor.Enforce(t.Context())
	if e, ok := errors.AsType[*autoscaler.OverwrittenError](err); !ok || written || !ray.SameBundles(e.Theirs, []ray.Bundle{small(1)}) {
		t.Errorf("Enforce: written %t, %v, want an OverwrittenError with theirs", written, err)
	}
	c.mustHave(small(1))
}

func TestEnforce_waitsForTheNodes(t *testing.T) {
	t.Parallel()
	c := start(t, 4, small(2))
	c.floor.Capacity = true
	var said []string
	c.floor.Waiting = func(reasons []string) {
		said = append(said, strings.Join(reasons, "; "))
		c.Update(func(s *raytest.GCSState) {
			n := len(s.Nodes)
			s.Autoscaling.PendingInstanceRequests = []*raypb.PendingInstanceRequest{{RayNodeTypeName: "small", Count: int32(2 - n)}}
			s.Nodes = append(s.Nodes, ray.Node{NodeID: strings.Repeat(string('0'+rune(n))+"b", 28), NodeType: "small", State: ray.NodeIdle, Total: ray.Resources{"CPU": 1, "small": 1}})
		})
	}
	if written, err := c.floor.Enforce(t.Context()); !written || err != nil {
		t.Fatalf("Enforce: written %t, %v", written, err)
	}
	said = said[1:] // before the autoscaler's first round
	if len(said) == 0 || said[len(said)-1] != "no room for 1 x {small: 1}; group small: 1 launching" {
		t.Errorf("it said %q, want what was missing and what was launching", said)
	}

	c.Update(func(s *raytest.GCSState) { s.Nodes = s.Nodes[:2] })
	c.floor.Waiting = nil
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	written, err := c.floor.Enforce(ctx)
	if e, ok := errors.AsType[*autoscaler.WaitError](err); !ok || !written || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(e.Error(), "no room for 1 x {small: 1}") {
		t.Errorf("Enforce without nodes: written %t, %v, want a WaitError that says what is missing", written, err)
	}
	c.mustHave(small(2))
}

func TestEnforce_leavesAnotherClusterAlone(t *testing.T) {
	t.Parallel()
	c := start(t, 4, small(2))
	c.floor.ClusterID = strings.Repeat("d2", 28)
	if written, err := c.floor.Enforce(t.Context()); written || !ray.IsKind(err, ray.KindWrongCluster) {
		t.Errorf("Enforce: written %t, %v, want an error of kind wrong cluster", written, err)
	}
	c.mustHave()
}

func TestDrift(t *testing.T) {
	t.Parallel()
	ours := []ray.Bundle{small(2)}
	for _, tc := range []struct {
		now  gcs.Scaling
		want string
	}{
		{gcs.Scaling{Floor: ours}, ""},
		{gcs.Scaling{}, "is gone"},
		{gcs.Scaling{Floor: []ray.Bundle{small(1)}}, "it is 1 x {small: 1}, ours is 2 x {small: 1}"},
		{gcs.Scaling{Floor: ours, InfeasibleFloor: []ray.Bundle{small(9)}}, ""}, // of the round before
		{gcs.Scaling{Floor: ours, InfeasibleFloor: ours}, "can't grow to hold 2 x {small: 1}"},
	} {
		got := strings.Join(autoscaler.Drift(ours, tc.now), "; ")
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("Drift of %v = %q, want %q in it", tc.now.Floor, got, tc.want)
		}
	}
}

func TestLack(t *testing.T) {
	t.Parallel()
	node := func(state ray.NodeState, tier string, total ray.Resources) ray.Node {
		return ray.Node{State: state, Labels: map[string]string{"tier": tier}, Total: total}
	}
	nodes := []ray.Node{
		node(ray.NodeAlive, "big", ray.Resources{"CPU": 4}),
		node(ray.NodeIdle, "small", ray.Resources{"CPU": 1, "small": 1}),
		node(ray.NodeDraining, "small", ray.Resources{"CPU": 1, "small": 1}),
		node(ray.NodeDead, "small", ray.Resources{"CPU": 1, "small": 1}),
	}
	on := func(cpu float64, selector string, count int) ray.Bundle {
		return ray.Bundle{Resources: ray.Resources{"CPU": cpu}, Selectors: []ray.LabelSelector{{"tier": selector}}, Count: count}
	}
	cpu := func(n float64, count int) ray.Bundle {
		return ray.Bundle{Resources: ray.Resources{"CPU": n}, Count: count}
	}
	for name, tc := range map[string]struct{ bundles, want []ray.Bundle }{
		"all fits, the picky first":  {[]ray.Bundle{cpu(1, 1), on(1, "in(big,huge)", 4)}, nil},
		"only what lives counts":     {[]ray.Bundle{small(3)}, []ray.Bundle{small(2)}},
		"a bundle is not split":      {[]ray.Bundle{cpu(5, 1)}, []ray.Bundle{cpu(5, 1)}},
		"the large before the small": {[]ray.Bundle{cpu(1, 1), cpu(4, 1)}, nil},
		"labels":                     {[]ray.Bundle{on(1, "small", 2), on(1, "!big", 1)}, []ray.Bundle{on(1, "small", 2)}},
	} {
		if diff := cmp.Diff(tc.want, autoscaler.Lack(tc.bundles, nodes)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if nodes[0].Total["CPU"] != 4 {
		t.Errorf("the nodes were changed: %v", nodes[0].Total)
	}
}
