//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// bench is what the measurements share.
type bench struct {
	options
	out     io.Writer
	root    string // of the checkout
	dir     string // holds all files; removed at the end
	cli     string
	version string // of the CLI, as it says it
	head    *raytest.Head
	api     *dashboard.Client // of head
}

func (b *bench) measurements() []measurement {
	return []measurement{
		{"apply", b.apply},
		{"package", b.pack},
		{"memory", b.memory},
		{"logs", b.logs},
		{"plan", b.plan},
		{"submit", b.submit},
		{"wait", b.wait},
		{"policy", b.policy},
	}
}

// newBench finds what is needed and copies the provider, so that a build
// meanwhile does not change what is measured.
func newBench(ctx context.Context, o options, out io.Writer) (*bench, error) {
	b := &bench{options: o, out: out}
	var err error
	if b.root, err = checkout("."); err != nil {
		return nil, err
	}
	if b.cli, b.version, err = findCLI(ctx, os.Getenv); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "raybench"); err != nil {
		return nil, err
	}
	if err := b.installProviders(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// checkout returns the directory with the module, at or above dir.
func checkout(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "internal", "bench", "main.go")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s is not in a checkout of the provider: run `make bench` there", dir)
		}
	}
}

// providerDir is where the CLI finds the provider, wrapperDir where it finds one
// that notes its memory.
func (b *bench) providerDir() string { return filepath.Join(b.dir, "provider") }
func (b *bench) wrapperDir() string  { return filepath.Join(b.dir, "wrapper") }

func (b *bench) installProviders() error {
	from := b.provider
	if from == "" {
		from = filepath.Join(b.root, "bin", providerName)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for dir, from := range map[string]string{b.providerDir(): from, b.wrapperDir(): self} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := copyFile(filepath.Join(dir, providerName), from); err != nil {
			return fmt.Errorf("%w (make build makes the provider)", err)
		}
	}
	return nil
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func (b *bench) close() error {
	var err error
	if b.head != nil {
		err = b.head.Stop()
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// startHead starts a real Ray head at its first call.
func (b *bench) startHead(ctx context.Context) error {
	if b.head != nil {
		return nil
	}
	say(b.out, "starting a Ray head\n")
	var err error
	if b.head, err = raytest.StartHead(ctx, raytest.HeadOptions{}); err != nil {
		return err
	}
	b.api, err = dashboard.New(dashboard.Options{URL: b.head.DashboardURL, HTTP: &http.Client{}, UserAgent: "terraform-provider-ray-bench"})
	return err
}

// machine describes what it runs on. Load is what others do: it makes times
// worthless and ratios poor.
func (b *bench) machine() string {
	text := fmt.Sprintf("%s; %s/%s, %d cores", b.version, runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		text += ", load " + strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return text
}

// workspace makes a workspace of its own.
func (b *bench) workspace(name, providerDir, config string, env ...string) (*workspace, error) {
	return newWorkspace(b.cli, filepath.Join(b.dir, name), providerDir, config, env...)
}
