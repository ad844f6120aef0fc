//go:build unix

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// The most by which the provider's peak may grow from the smallest package to the
// largest, in MiB: the garbage collector's freedom, small beside 90 MiB.
const growthLimit = 12

// memory measures the provider's peak memory while it packages and uploads
// directories of as many files and more and more bytes.
func (b *bench) memory(ctx context.Context) (table, error) {
	fake := raytest.NewFake()
	defer fake.Close()
	t := table{title: "memory: the provider's peak, with packages of 200 files"}
	for _, size := range []int{5, 50, 95} {
		dir := filepath.Join(b.dir, fmt.Sprintf("tree-%d", size))
		if err := makeTree(dir, 200, size<<20); err != nil {
			return table{}, err
		}
		s := &series{name: fmt.Sprintf("package of %d MiB", size), unit: mebibytes}
		for round := range min(b.rounds, 3) {
			if err := changeTree(dir); err != nil {
				return table{}, err
			}
			config := provider(fake.URL()) + job(1, fmt.Sprintf("memory-%d-%d", size, round), nothing, fmt.Sprintf("working_dir = %q", dir))
			peak, err := b.peak(ctx, "memory", config)
			if err != nil {
				return table{}, err
			}
			s.values = append(s.values, peak)
		}
		for _, uri := range fake.Packages() {
			fake.DropPackage(uri)
		}
		t.series = append(t.series, s)
	}
	small, large := t.series[0], t.series[len(t.series)-1]
	t.findings = []finding{
		{"peak, largest package", mebibytes, median(large.values), peakLimit},
		{"growth from the smallest to the largest", mebibytes, median(large.values) - median(small.values), growthLimit},
	}
	return t, nil
}
