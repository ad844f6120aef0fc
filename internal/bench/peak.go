//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

const providerName = "terraform-provider-ray"

// Variables by which wrap learns what to start and where to write; the CLI passes
// its whole environment on to a provider.
const (
	realProvider = "RAY_BENCH_PROVIDER"
	peakDir      = "RAY_BENCH_PEAKS"
)

// wrap runs the real provider as this process's child and notes the most memory
// that it held. The kernel tells that only to the parent that waits for it, and
// the provider's parent would be the CLI. Reading /proc/<pid>/status from outside
// would have to come just before the provider's end, and there is none on macOS.
//
// On Linux a child counts its parent's peak at the time of the fork too
// (exec_mmap in fs/exec.c takes over the old maxrss), which is why a Go program
// of a few MiB stands between the CLI, with its hundred, and the provider.
func wrap(getenv func(string) string) int {
	signal.Ignore(os.Interrupt) // as a provider does: it is the CLI that stops it
	cmd := exec.Command(getenv(realProvider), os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if err := notePeak(cmd, getenv(peakDir)); err != nil {
		say(os.Stderr, "bench: %v\n", err)
		return 1
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(1, exit.ExitCode())
	case err != nil:
		say(os.Stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

func notePeak(cmd *exec.Cmd, dir string) error {
	if cmd.ProcessState == nil {
		return errors.New("the provider did not start")
	}
	file := filepath.Join(dir, strconv.Itoa(cmd.ProcessState.Pid()))
	return os.WriteFile(file, []byte(strconv.FormatInt(peakBytes(cmd.ProcessState), 10)), 0o600)
}

// peakBytes is the most memory that an ended process held, in bytes.
func peakBytes(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	peak := int64(usage.Maxrss) //nolint:unconvert // it has 32 bits on 32-bit systems
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return peak // bytes there, KiB everywhere else
	}
	return peak << 10
}

// readPeak returns the largest of the peaks in dir, in MiB.
func readPeak(dir string) (float64, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	peak := 0.0
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f.Name(), err)
		}
		peak = max(peak, float64(n)/(1<<20))
	}
	if peak == 0 {
		return 0, errors.New("no provider told its peak memory")
	}
	return peak, nil
}
