//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// The most by which a log of 1 GiB may raise the provider's peak, in MiB.
const logGrowthLimit = 20e6 / (1 << 20)

// gibibyte is an entrypoint that writes a bit more than 1 GiB, no line like another,
// within seconds. This many of its bytes must be in a copy of the log.
const (
	gibibyte    = "seq 118500000"
	gibibyteLen = 1 << 30
)

// logs measures the provider's peak memory while it shows the end of a log in an
// error, copies it to a file and looks for the result in it, for a log of a line and
// one of 1 GiB. The times are those of one apply, with the job.
func (b *bench) logs(ctx context.Context) (table, error) {
	if err := b.startHead(ctx); err != nil {
		return table{}, err
	}
	file := filepath.Join(b.dir, "log")
	t := table{title: "logs: the provider's peak, with a log of 1 GiB"}
	var peaks []float64
	for _, use := range []struct {
		name, what, lines string
		fails             bool
	}{
		{name: "small", what: "a log of one line, in an error", lines: `entrypoint = "echo a; exit 1"`, fails: true},
		{name: "tail", what: "1 GiB, in an error", lines: `entrypoint = "` + gibibyte + `; exit 1"`, fails: true},
		{name: "file", what: "1 GiB, to log_file", lines: fmt.Sprintf(`entrypoint = "%s; sleep 5; seq 1000"`+"\n  log_file = %q", gibibyte, file)},
		{name: "result", what: "1 GiB, with a result", lines: `entrypoint = "` + gibibyte + `; echo RAY_JOB_RESULT=1"`},
	} {
		peak := b.peak
		if use.fails {
			peak = b.failingPeak
		}
		var value float64
		took, err := timed(func() (err error) {
			value, err = peak(ctx, "logs", provider(b.head.DashboardURL)+job(1, "logs-"+use.name, use.lines))
			return err
		})
		if err != nil {
			return table{}, err
		}
		peaks = append(peaks, value)
		t.findings = append(t.findings, finding{use.what, mebibytes, value, 0})
		t.notes = append(t.notes, fmt.Sprintf("%s: %.1f s", use.what, took.Seconds()))
	}
	info, err := os.Stat(file)
	if err != nil {
		return table{}, err
	}
	if info.Size() < gibibyteLen {
		return table{}, fmt.Errorf("log_file has %d bytes, which is less than the log", info.Size())
	}
	t.findings = append(t.findings, finding{"growth from one line to 1 GiB", mebibytes, slices.Max(peaks) - peaks[0], logGrowthLimit})
	return t, os.Remove(file)
}

// failingPeak is peak of an apply that fails.
func (b *bench) failingPeak(ctx context.Context, name, config string) (float64, error) {
	peak, err := b.peak(ctx, name, config)
	if err == nil {
		return 0, errors.New("the apply of a job that fails passed")
	}
	if peak == 0 {
		return 0, err
	}
	return peak, nil
}
