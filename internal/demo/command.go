//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// children are the process groups that run now.
type children struct {
	// grace is how long one has after its Ctrl-C. Nothing is lost with a CLI that is
	// killed: its state and its cluster are thrown away with the demo.
	grace time.Duration

	mu     sync.Mutex
	groups map[int]bool
}

// kill ends them at once.
func (c *children) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pgid := range c.groups {
		killGroup(pgid)
	}
}

func (c *children) set(pgid int, running bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.groups == nil {
		c.groups = map[int]bool{}
	}
	if running {
		c.groups[pgid] = true
	} else {
		delete(c.groups, pgid)
	}
}

// killGroup fails only where nobody is left to kill, which is as good.
func killGroup(pgid int) { _ = syscall.Kill(-pgid, syscall.SIGKILL) }

// command is a program to run.
type command struct {
	dir  string
	env  []string
	args []string
	show func(line string) // gets every line as it is written; may be nil
}

// run runs it to its end and returns its exit status and all that it wrote. It
// fails where the program could not be run or was stopped. The program has a
// process group of its own, so that a Ctrl-C reaches it once and from here, and
// none of its children, such as a provider, outlives it.
func (c *children) run(ctx context.Context, k command) (status int, output string, err error) {
	cmd := exec.CommandContext(ctx, k.args[0], k.args[1:]...)
	cmd.Dir, cmd.Env = k.dir, k.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = c.grace
	lines := &lineWriter{show: k.show}
	cmd.Stdout, cmd.Stderr = lines, lines // the same writer, so os/exec never writes twice at once
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	pgid := cmd.Process.Pid
	c.set(pgid, true)
	err = cmd.Wait()
	killGroup(pgid)
	c.set(pgid, false)
	lines.flush()
	if ctx.Err() != nil {
		return 0, lines.all.String(), context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), lines.all.String(), nil
	}
	return 0, lines.all.String(), err
}

// lineWriter keeps all that is written and shows it line by line.
type lineWriter struct {
	show func(string)
	all  bytes.Buffer
	seen int // bytes of all that were shown
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.all.Write(b)
	for {
		line, _, whole := bytes.Cut(w.all.Bytes()[w.seen:], []byte("\n"))
		if !whole {
			return len(b), nil
		}
		w.seen += len(line) + 1
		if w.show != nil {
			w.show(string(line))
		}
	}
}

// flush shows a last line without an end.
func (w *lineWriter) flush() {
	if rest := w.all.Bytes()[w.seen:]; len(rest) > 0 && w.show != nil {
		w.show(string(rest))
	}
	w.seen = w.all.Len()
}

// environ is this process's environment without what would change what a CLI or
// the provider does, and with more.
func environ(env []string, more ...string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "RAY_") || strings.HasPrefix(name, "TF_") && !strings.HasPrefix(name, "TF_LOG")
	})
	return append(env, more...)
}
