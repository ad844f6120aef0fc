//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// workspace is a directory with a configuration and the environment in which a
// CLI finds the provider, without `init`.
type workspace struct {
	cli string // terraform or tofu
	dir string
	env []string
}

// newWorkspace writes main.tf and a CLI configuration that takes the provider
// from providerDir.
func newWorkspace(cli, dir, providerDir, config string, env ...string) (*workspace, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	rc := filepath.Join(dir, "cli.tfrc")
	text := fmt.Sprintf("disable_checkpoint = true\n\nprovider_installation {\n  dev_overrides {\n    \"ray-iac/ray\" = %q\n  }\n  direct {}\n}\n", providerDir)
	if err := errors.Join(os.WriteFile(rc, []byte(text), 0o600), os.WriteFile(filepath.Join(dir, "main.tf"), []byte(config), 0o600)); err != nil {
		return nil, err
	}
	env = append([]string{"TF_CLI_CONFIG_FILE=" + rc, "TF_INPUT=0", "CHECKPOINT_DISABLE=1"}, env...)
	return &workspace{cli: cli, dir: dir, env: environ(os.Environ(), env...)}, nil
}

// run runs the CLI and wants status 0.
func (w *workspace) run(ctx context.Context, args ...string) error {
	_, err := output(ctx, command{dir: w.dir, env: w.env, args: append([]string{w.cli, args[0], "-no-color"}, args[1:]...)})
	return err
}

// forget removes the state.
func (w *workspace) forget() error {
	for _, name := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// environ is this process's environment without what would change what a CLI,
// the provider or Ray does, and with more.
func environ(env []string, more ...string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "RAY_") || strings.HasPrefix(name, "TF_") || strings.HasPrefix(name, "PYTHON")
	})
	return append(env, more...)
}

// command is a program to run.
type command struct {
	dir   string
	env   []string
	args  []string
	stdin io.Reader
}

// output runs a program, wants status 0 and returns its standard output. The
// program has a process group of its own, which gets the Ctrl-C when ctx ends, so
// that a CLI ends its providers and they do not end by themselves.
func output(ctx context.Context, k command) (string, error) {
	cmd := exec.CommandContext(ctx, k.args[0], k.args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = k.dir, k.env, k.stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(k.args, " "), err, out.String(), errOut.String())
	}
	return out.String(), nil
}

// findCLI returns TF, else what is in PATH and answers, else TOFU.
func findCLI(ctx context.Context, getenv func(string) string) (bin, version string, err error) {
	names := []string{getenv("TF")}
	if names[0] == "" {
		names = []string{"terraform", "tofu", getenv("TOFU")}
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		var text string
		if bin, err = exec.LookPath(name); err != nil {
			continue
		}
		if text, err = output(ctx, command{env: environ(os.Environ(), "CHECKPOINT_DISABLE=1"), args: []string{bin, "version"}}); err == nil {
			version, _, _ = strings.Cut(text, "\n")
			return bin, version, nil
		}
	}
	return "", "", fmt.Errorf("no Terraform or OpenTofu was found (%w): set TF, or use `make bench`, which builds OpenTofu", err)
}
