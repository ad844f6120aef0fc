//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const (
	policies = 100
	// refreshLimit is how many requests a plan of them may make.
	refreshLimit = 3
	// policyRounds are enough: a round takes half a minute, most of it nodes that go.
	policyRounds = 3
	// Limits in rounds of the autoscaler. A resource floor is enforced once a round that
	// began after the write is over.
	lagLimit = 1
	// jobLimit is for a node_floor, whose job's record can be deleted 2.5 s after its
	// end: a node that starts sooner, as one of this machine does, is waited for no longer.
	jobLimit  = 3
	takeLimit = 3
	// glance is the pause between two looks at the GCS, which answers in a millisecond.
	glance = 20 * time.Millisecond
)

// policy measures applies and plans of policies.
func (b *bench) policy(ctx context.Context) (table, error) {
	t := table{
		title: "policy: a floor of one node, from the start of its apply until it is enforced",
		notes: []string{
			"an apply is cut in three, for the start of a node is Ray's part, no merit or fault of the provider: until Ray has the floor, until the node is alive, until the apply is back",
			"with the node there a resource_floor waits for one round of the autoscaler, and a node_floor for the job that makes it and the end of that job's record",
			fmt.Sprintf("rounds are %s apart here, by Ray's default 5s", raytest.AutoscalerTick),
		},
	}
	for _, version := range []raytest.Autoscaler{raytest.AutoscalerV1, raytest.AutoscalerV2} {
		if err := b.enforcing(ctx, version, &t); err != nil {
			return table{}, err
		}
	}
	if err := b.workerGroups(ctx, &t); err != nil {
		return table{}, err
	}
	refresh, err := b.refreshOfPolicies(ctx)
	t.series = append(t.series, refresh.series...)
	t.findings = append(t.findings, refresh.findings...)
	return t, err
}

// refreshOfPolicies measures a plan without changes.
func (b *bench) refreshOfPolicies(ctx context.Context) (table, error) {
	fake := raytest.NewFake(
		raytest.WithCommand("python", raytest.Command{Do: raytest.PlaceGroups}),
		// Jobs have ended long ago, so that nobody waits until they can be deleted.
		raytest.WithClock(func() time.Time { return time.Now().Add(-time.Hour) }),
	)
	defer fake.Close()
	fake.AddNode(ray.Node{Total: ray.Resources{"small": 1}})
	t, _, err := b.unchanged(ctx, fake, policies, "ray_autoscaling_policy", provider(fake.URL())+policy(policies, nodeFloor), refreshLimit)
	return t, err
}

// Backends of policies, for one node of the type small.
const (
	nodeFloor     = `node_floor = { groups = { small = { count = 1, resource = "small" } } }`
	resourceFloor = `resource_floor = { bundles = [{ resources = { small = 1 } }] }`
	// lessFloor is what the same node has room for.
	lessFloor = `resource_floor = { bundles = [{ resources = { small = 0.5 } }] }`
)

// policy is a resource ray_autoscaling_policy.p with so many instances.
func policy(count int, backend string) string {
	return fmt.Sprintf("\nresource \"ray_autoscaling_policy\" \"p\" {\n  count = %d\n  name  = \"policy-${count.index}\"\n  %s\n}\n", count, backend)
}

// scaled is a real head with an autoscaler.
type scaled struct {
	*bench
	head *raytest.Head
	gcs  *gcs.Client
}

// enforcing adds the applies on a cluster with this autoscaler to a table.
func (b *bench) enforcing(ctx context.Context, version raytest.Autoscaler, t *table) (err error) {
	say(b.out, "starting a Ray head with autoscaler %s\n", version)
	head, err := raytest.StartHead(ctx, raytest.HeadOptions{Autoscaler: version})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, head.Stop()) }()
	client, err := gcs.New(gcs.Options{Address: head.GCSAddress})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	s := scaled{b, head, client}
	bare := &series{name: fmt.Sprintf("apply of one terraform_data, beside %s", version), unit: seconds}
	for _, f := range []struct {
		name, floor, there string
		lag, take          float64 // limits, once the node is alive and with the node there
	}{
		{"node_floor", policy(1, nodeFloor), policy(2, nodeFloor), jobLimit, 0},
		{"resource_floor", policy(1, resourceFloor), policy(1, lessFloor), lagLimit, takeLimit},
	} {
		name := fmt.Sprintf("%s, %s", f.name, version)
		of := func(what string) *series { return &series{name: name + ": " + what, unit: seconds} }
		written, started, lag, there := of("until Ray has it"), of("until the node is alive"), of("until the apply is back"), of("apply with the node there")
		for round := range min(b.rounds, policyRounds) + 1 {
			cut, err := s.applyFloor(ctx, f.floor, f.there)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			empty, err := b.applyOnce(ctx, "floor", data(1))
			if err != nil {
				return err
			}
			if round == 0 {
				continue
			}
			for i, s := range []*series{written, started, lag, there} {
				s.values = append(s.values, cut[i].Seconds())
			}
			bare.values = append(bare.values, empty.Seconds())
		}
		t.series = append(t.series, written, started, lag, there)
		tick := raytest.AutoscalerTick.Seconds()
		beyond := median(there.values) - median(bare.values)
		t.findings = append(t.findings,
			finding{name + ", from the node alive to enforced, of a round", ratio, median(lag.values) / tick, f.lag},
			finding{name + ", with the node there, beyond terraform_data, of a round", ratio, beyond / tick, f.take})
	}
	t.series = append(t.series, bare)
	return nil
}

// applyFloor applies a floor from an empty state, to a cluster without such a node,
// and returns how long it took until Ray had the floor, from there until the node was
// alive, from there until the apply was back; and how long the apply of another floor
// took, with the node there.
func (s *scaled) applyFloor(ctx context.Context, floor, there string) (cut [4]time.Duration, err error) {
	w, err := s.workspace("policy", s.providerDir(), provider(s.head.DashboardURL)+floor)
	if err != nil {
		return cut, err
	}
	if err := s.until(ctx, func(_ gcs.Scaling, nodes int) bool { return nodes == 0 }); err != nil {
		return cut, err
	}
	var written, alive time.Time
	begun, watched := time.Now(), make(chan error, 1)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		watched <- s.until(watching, func(now gcs.Scaling, nodes int) bool {
			if written.IsZero() && len(now.Waiting)+len(now.Floor) > 0 {
				written = time.Now()
			}
			alive = time.Now()
			return nodes > 0
		})
	}()
	if err := w.run(ctx, "apply", "-auto-approve"); err != nil {
		return cut, err
	}
	back := time.Now()
	if err := <-watched; err != nil {
		return cut, err
	}
	if written.IsZero() {
		return cut, errors.New("nobody saw the floor before the node")
	}
	cut = [4]time.Duration{written.Sub(begun), alive.Sub(written), back.Sub(alive)}
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(provider(s.head.DashboardURL)+there), 0o600); err != nil {
		return cut, err
	}
	cut[3], err = timed(func() error { return w.run(ctx, "apply", "-auto-approve") })
	return cut, errors.Join(err, w.run(ctx, "destroy", "-auto-approve"))
}

// until looks at the cluster until what it sees, and how many nodes of type small are
// alive, is as wanted.
func (s *scaled) until(ctx context.Context, wanted func(now gcs.Scaling, nodes int) bool) error {
	for {
		now, err := s.gcs.Scaling(ctx)
		if err != nil {
			return err
		}
		nodes, err := s.gcs.Nodes(ctx)
		if err != nil {
			return err
		}
		nodes = slices.DeleteFunc(nodes, func(n ray.Node) bool { return !n.Alive() || n.Total["small"] == 0 })
		if wanted(now, len(nodes)) {
			return nil
		}
		if err := pause(ctx, glance); err != nil {
			return err
		}
	}
}
