//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// plan measures plans without changes. The jobs run while they are planned: those
// that are over need no refresh from the cluster, so this is the dearer plan.
func (b *bench) plan(ctx context.Context) (table, error) {
	sizes := []int{100, 1000}
	if b.quick {
		sizes = sizes[:1]
	}
	t := table{title: "plan: no changes; jobs that run, on a fake head, against terraform_data"}
	for _, n := range sizes {
		part, err := b.planOf(ctx, n)
		if err != nil {
			return table{}, err
		}
		t.series = append(t.series, part.series...)
		t.findings = append(t.findings, part.findings...)
		t.notes = part.notes
	}
	return t, nil
}

func (b *bench) planOf(ctx context.Context, n int) (table, error) {
	fake := raytest.NewFake()
	defer fake.Close()
	config := provider(fake.URL()) + job(n, "plan", `entrypoint = "sleep infinity"`, `wait_for   = "SUBMITTED"`)
	t, jobs, err := b.unchanged(ctx, fake, n, "ray_job", config, 0)
	if err != nil {
		return table{}, err
	}
	attributes, err := jobs.attributes(ctx)
	if err != nil {
		return table{}, err
	}
	t.notes = []string{fmt.Sprintf("ray_job has %d attributes, nested ones included: each costs in every plan", attributes)}
	return t, nil
}

// unchanged measures a plan without changes of n resources of a type, with at most
// so many requests where that is not 0, and returns their workspace too.
func (b *bench) unchanged(ctx context.Context, fake *raytest.Fake, n int, what, config string, mostRequests float64) (table, *workspace, error) {
	ours, w, err := b.planned(ctx, fmt.Sprintf("%s-%d", what, n), fmt.Sprintf("%d %s", n, what), config)
	if err != nil {
		return table{}, nil, err
	}
	theirs, _, err := b.planned(ctx, fmt.Sprintf("data-%d", n), fmt.Sprintf("%d terraform_data", n), data(n))
	if err != nil {
		return table{}, nil, err
	}
	if err := turns(b.rounds, ours, theirs); err != nil {
		return table{}, nil, err
	}
	fake.ResetRequests()
	if err := w.plan(ctx); err != nil {
		return table{}, nil, err
	}
	requests := 0
	for _, c := range fake.Requests() {
		requests += c
	}
	each := above(ours.series, theirs.series) / float64(n) * 1000
	name := fmt.Sprintf("plan of %d %s", n, what)
	return table{
		series: []*series{ours.series, theirs.series},
		findings: []finding{
			{name + ", of terraform_data", ratio, versus(ours.series, theirs.series), 0},
			{name + ", milliseconds each above it", fraction, each, 0},
			{name + ", requests to Ray", plain, float64(requests), mostRequests},
		},
	}, w, nil
}

// planned applies a configuration and returns the side that plans it again.
func (b *bench) planned(ctx context.Context, dir, name, config string) (side, *workspace, error) {
	w, err := b.workspace(dir, b.providerDir(), config)
	if err != nil {
		return side{}, nil, err
	}
	say(b.out, "applying %s for the plans\n", name)
	if err := w.run(ctx, "apply", "-auto-approve", "-parallelism=50"); err != nil {
		return side{}, nil, err
	}
	s := &series{name: fmt.Sprintf("%s plan of %s", filepath.Base(b.cli), name), unit: seconds}
	return side{s, func(int) (time.Duration, error) {
		return timed(func() error { return w.plan(ctx) })
	}}, w, nil
}

// plan plans, and fails where there are changes.
func (w *workspace) plan(ctx context.Context) error {
	return w.run(ctx, "plan", "-detailed-exitcode")
}

// attributes counts those of ray_job as the CLI sees them.
func (w *workspace) attributes(ctx context.Context) (int, error) {
	text, err := output(ctx, command{dir: w.dir, env: w.env, args: []string{w.cli, "providers", "schema", "-json"}})
	if err != nil {
		return 0, err
	}
	return countAttributes(text)
}

// nested is a block, an attribute or a nested type of a schema.
type nested struct {
	Attributes map[string]nested `json:"attributes"`
	NestedType *nested           `json:"nested_type"`
}

func (n nested) count() int {
	sum := len(n.Attributes)
	for _, a := range n.Attributes {
		if a.NestedType != nil {
			sum += a.NestedType.count()
		}
	}
	return sum
}

func countAttributes(text string) (int, error) {
	var all struct {
		Providers map[string]struct {
			Resources map[string]struct {
				Block nested `json:"block"`
			} `json:"resource_schemas"`
		} `json:"provider_schemas"`
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return 0, fmt.Errorf("providers schema: %w", err)
	}
	for _, p := range all.Providers {
		if r, ok := p.Resources["ray_job"]; ok {
			return r.Block.count(), nil
		}
	}
	return 0, errors.New("providers schema: there is no ray_job")
}
