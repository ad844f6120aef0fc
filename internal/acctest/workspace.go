//go:build unix

package acctest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// RequiredProviders begins a configuration.
const RequiredProviders = `
terraform {
  required_providers {
    ray = { source = "ray-iac/ray" }
  }
}
`

// Workspace is a directory with a configuration and a state.
type Workspace struct {
	// Dir is where the configuration lies.
	Dir string

	t   testing.TB
	cli string
	env []string
}

// NewWorkspace makes an empty workspace. What is left in its state at the end
// of the test is destroyed.
func NewWorkspace(t testing.TB) *Workspace {
	t.Helper()
	return NewWorkspaceOn(t, CLI(t))
}

// CLI is the CLI that the tests of a run use.
func CLI(t testing.TB) string {
	t.Helper()
	gate(t)
	cli := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if cli == "" {
		t.Fatal("TF_ACC_TERRAFORM_PATH is not set: `make testacc` sets it to Terraform and to OpenTofu in turn")
	}
	return cli
}

// NewWorkspaceOn is NewWorkspace with a CLI of the caller's choice.
func NewWorkspaceOn(t testing.TB, cli string) *Workspace {
	t.Helper()
	provider, err := providerDir()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	config := filepath.Join(home, "cli.tfrc")
	if err := os.WriteFile(config, []byte(cliConfig(provider)), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &Workspace{Dir: t.TempDir(), t: t, cli: cli}
	w.env = append(scrubbed(), "HOME="+home, "TF_CLI_CONFIG_FILE="+config, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	t.Cleanup(w.cleanUp)
	return w
}

func (w *Workspace) cleanUp() {
	w.t.Helper()
	if info, err := os.Stat(filepath.Join(w.Dir, "terraform.tfstate")); err != nil || info.Size() == 0 {
		return
	}
	if r := w.Run("state", "list"); r.ExitCode == 0 && strings.TrimSpace(r.Output) == "" {
		return
	}
	if r := w.Run("destroy", "-auto-approve", "-input=false"); r.ExitCode != 0 {
		w.t.Errorf("destroy what the test left: exit code %d\n%s", r.ExitCode, r.Output)
	}
}

// Write writes a file of the configuration.
func (w *Workspace) Write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// Copy copies a directory's contents into the workspace, without what
// Terraform left there.
func (w *Workspace) Copy(dir string) {
	w.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Name() == ".terraform" {
			return filepath.SkipDir
		}
		if d.IsDir() || strings.Contains(d.Name(), ".tfstate") || d.Name() == ".terraform.lock.hcl" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		w.Write(rel, string(text))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// Setenv sets a variable for the CLI and the provider; "TF_VAR_address" sets
// var.address.
func (w *Workspace) Setenv(name, value string) { w.env = append(w.env, name+"="+value) }

// Result is what a command said.
type Result struct {
	ExitCode int
	Output   string // both streams, no colours
}

// Contains tells whether the output has a text; the CLI's frames and line
// breaks do not count.
func (r *Result) Contains(text string) bool {
	squeeze := func(s string) string {
		return strings.Join(strings.FieldsFunc(s, func(c rune) bool { return strings.ContainsRune(" \t\n\r│╷╵", c) }), " ")
	}
	return strings.Contains(squeeze(r.Output), squeeze(text))
}

// Run runs the CLI.
func (w *Workspace) Run(args ...string) *Result {
	w.t.Helper()
	return w.Start(args...).Wait()
}

// Apply runs apply -auto-approve and ends the test unless it exits 0.
func (w *Workspace) Apply(args ...string) *Result {
	w.t.Helper()
	return w.must(0, append([]string{"apply", "-auto-approve", "-input=false"}, args...))
}

// Destroy runs destroy -auto-approve and ends the test unless it exits 0.
func (w *Workspace) Destroy(args ...string) *Result {
	w.t.Helper()
	return w.must(0, append([]string{"destroy", "-auto-approve", "-input=false"}, args...))
}

// Plan runs plan -detailed-exitcode: 0 is no changes, 2 is changes. It ends
// the test on any other exit code.
func (w *Workspace) Plan(args ...string) *Result {
	w.t.Helper()
	r := w.Run(append([]string{"plan", "-detailed-exitcode", "-input=false"}, args...)...)
	if r.ExitCode != 0 && r.ExitCode != 2 {
		w.t.Fatalf("plan: exit code %d\n%s", r.ExitCode, r.Output)
	}
	return r
}

// PlanNothing ends the test unless a plan has no changes.
func (w *Workspace) PlanNothing(args ...string) {
	w.t.Helper()
	w.must(0, append([]string{"plan", "-detailed-exitcode", "-input=false"}, args...))
}

func (w *Workspace) must(code int, args []string) *Result {
	w.t.Helper()
	r := w.Run(args...)
	if r.ExitCode != code {
		w.t.Fatalf("%s: got exit code %d, want %d\n%s", strings.Join(args, " "), r.ExitCode, code, r.Output)
	}
	return r
}

// Output returns the value of an output.
func (w *Workspace) Output(name string) any {
	w.t.Helper()
	var v any
	w.json(&v, "output", "-json", name)
	return v
}

// Attributes returns the attributes of a resource of the root module in state,
// nil where there is none.
func (w *Workspace) Attributes(address string) map[string]any {
	w.t.Helper()
	return w.Resources()[address]
}

// Resources returns the attributes of all managed resources of the root module
// in state, by address.
func (w *Workspace) Resources() map[string]map[string]any {
	w.t.Helper()
	var show struct {
		Values struct {
			Root struct {
				Resources []struct {
					Address string         `json:"address"`
					Mode    string         `json:"mode"`
					Values  map[string]any `json:"values"`
				} `json:"resources"`
			} `json:"root_module"`
		} `json:"values"`
	}
	w.json(&show, "show", "-json")
	out := map[string]map[string]any{}
	for _, r := range show.Values.Root.Resources {
		if r.Mode == "managed" {
			out[r.Address] = r.Values
		}
	}
	return out
}

// json runs a command and decodes its standard output: dev_overrides print a
// warning on the other stream.
func (w *Workspace) json(v any, args ...string) {
	w.t.Helper()
	cmd := w.command(args)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	if err := json.Unmarshal(out, v); err != nil {
		w.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (w *Workspace) command(args []string) *exec.Cmd {
	cmd := exec.Command(w.cli, args...)
	cmd.Dir, cmd.Env = w.Dir, w.env
	return cmd
}

// Process is a running CLI command, the leader of its own process group.
type Process struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
	err  error
}

// commandLimit ends a command that hangs, for one because the cluster died:
// the provider waits ten minutes for it by default.
const commandLimit = 4 * time.Minute

// Start begins a command. One that still runs at the end of the test, or after
// commandLimit, is killed.
func (w *Workspace) Start(args ...string) *Process {
	w.t.Helper()
	p := &Process{t: w.t, cmd: w.command(args), out: &output{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A provider that outlives a killed Terraform keeps the pipe open.
	p.cmd.WaitDelay = 2 * time.Second
	if err := p.cmd.Start(); err != nil {
		w.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	go func() {
		limit := time.NewTimer(commandLimit)
		defer limit.Stop()
		select {
		case <-p.done:
		case <-limit.C:
			p.t.Errorf("%s: still running after %s, killed", strings.Join(args, " "), commandLimit)
			p.KillAll()
		}
	}()
	w.t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			p.KillAll()
			<-p.done
		}
	})
	return p
}

// Interrupt is Ctrl-C in a terminal: SIGINT to Terraform and to the provider.
func (p *Process) Interrupt() { p.signal(-p.cmd.Process.Pid, syscall.SIGINT) }

// Kill is kill -9 of the CLI only.
func (p *Process) Kill() { p.signal(p.cmd.Process.Pid, syscall.SIGKILL) }

// KillAll is kill -9 of the CLI and the provider.
func (p *Process) KillAll() { p.signal(-p.cmd.Process.Pid, syscall.SIGKILL) }

// KillProvider is kill -9 of the provider only; false where none is running.
func (p *Process) KillProvider() bool { return p.signalProvider(syscall.SIGKILL) }

// CrashProvider has the provider write all its goroutines' stacks and exit, as in a
// panic, which the CLI shows; false where none is running.
func (p *Process) CrashProvider() bool { return p.signalProvider(syscall.SIGQUIT) }

// signalProvider needs Linux' /proc.
func (p *Process) signalProvider(s syscall.Signal) bool {
	killed := false
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		// "12 (name) S 1 ..." has the parent after the state.
		before, after, _ := strings.Cut(string(text), ") ")
		pid, name, _ := strings.Cut(before, " (")
		if rest := strings.Fields(after); len(rest) < 2 || rest[0] == "Z" || rest[1] != strconv.Itoa(p.cmd.Process.Pid) || !strings.HasPrefix(name, "terraform-provi") {
			continue
		}
		if n, err := strconv.Atoi(pid); err == nil {
			p.signal(n, s)
			killed = true
		}
	}
	return killed
}

// Done is closed when the command has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

func (p *Process) signal(pid int, s syscall.Signal) {
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.t.Errorf("send %s: %v", s, err)
	}
}

// Text returns what the command has printed so far.
func (p *Process) Text() string { return colours.ReplaceAllString(p.out.String(), "") }

// colours are there also where nobody sees them.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// WaitFor waits until the output has a text, and ends the test after a minute.
func (p *Process) WaitFor(text string) {
	p.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if strings.Contains(p.Text(), text) {
			return
		}
		select {
		case <-p.done:
			if !strings.Contains(p.Text(), text) {
				p.t.Fatalf("the command ended without %q:\n%s", text, p.Text())
			}
			return
		case <-deadline:
			p.t.Fatalf("no %q within a minute:\n%s", text, p.Text())
		case <-tick.C:
		}
	}
}

// Wait waits for the end of the command.
func (p *Process) Wait() *Result {
	p.t.Helper()
	<-p.done
	r := &Result{ExitCode: p.cmd.ProcessState.ExitCode(), Output: p.Text()}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) && !errors.Is(p.err, exec.ErrWaitDelay) {
		r.Output += fmt.Sprintf("\n%v", p.err)
	}
	return r
}

// output is a buffer that may be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
