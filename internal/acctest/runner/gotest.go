package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// module is the prefix of the repository's packages.
const module = "github.com/ray-iac/terraform-provider-ray/"

// job is one `go test`.
type job struct {
	// name says under which heading a package is counted.
	name     func(pkg string) string
	dir      string
	packages []string
	args     []string
	env      []string
	// verbose shows each test, not only each package.
	verbose bool
}

// unitRing tells the pure packages from those that call the provider's RPCs.
func unitRing(pkg string) string {
	rel := strings.TrimPrefix(pkg, module+"internal/")
	for _, p := range []string{"acctest", "provider", "service", "fw"} {
		if rel == p || strings.HasPrefix(rel, p+"/") {
			return "rpc"
		}
	}
	return "pure"
}

// testFunc finds the names of a file's tests.
var testFunc = regexp.MustCompile(`(?m)^func (Test\w*)\(`)

// testFiles returns the packages below dir ("./x") with a test whose name matches
// all patterns. Nested modules are left out.
func testFiles(dir string, patterns ...string) ([]string, error) {
	var found []string
	var names []*regexp.Regexp
	for _, pattern := range patterns {
		name, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	other := func(test []byte) bool {
		return slices.ContainsFunc(names, func(name *regexp.Regexp) bool { return !name.Match(test) })
	}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != dir {
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return filepath.SkipDir
			}
		}
		if d.IsDir() || !strings.HasSuffix(p, "_test.go") {
			return nil
		}
		body, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(testFunc.FindAllSubmatch(body, -1), func(m [][]byte) bool { return !other(m[1]) }) {
			found = append(found, "./"+filepath.ToSlash(filepath.Dir(p)))
		}
		return nil
	})
	slices.Sort(found)
	return slices.Compact(found), err
}

// event is a line of `go test -json`.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// goTest runs one `go test` and counts its tests. It fails only where go test
// could not be run or understood.
func (r *runner) goTest(ctx context.Context, j job) error {
	args := []string{"test", "-json", "-timeout=20m", "-p=" + r.parallel}
	if r.race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(append(args, j.args...), j.packages...)...)
	cmd.Dir = j.dir
	cmd.Env = append(cleanEnv(), j.env...)
	// A group of its own: an interrupt from the terminal reaches the runner, which
	// passes it on and then waits for the tests to clean up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var other strings.Builder // what go says when it can't even start
	cmd.Stderr = &other
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go endGroup(ctx, cmd.Process.Pid, ended)
	p := &progress{runner: r, job: j, tests: map[string]*result{}, output: map[string]*strings.Builder{}}
	read := p.read(ctx, stdout)
	wait := cmd.Wait()
	close(ended)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case read != nil:
		return read
	case wait != nil && p.failures == 0:
		return fmt.Errorf("go test: %w\n%s", wait, other.String())
	}
	return nil
}

// endGroup interrupts a process group when ctx ends, and kills it 15 s later.
func endGroup(ctx context.Context, group int, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	// An error means that the group is gone already.
	_ = syscall.Kill(-group, syscall.SIGINT)
	patience := time.NewTimer(15 * time.Second)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
}

// progress reads a stream of events and shows how far it is.
type progress struct {
	*runner
	job      job
	tests    map[string]*result          // by package and test, in this job
	output   map[string]*strings.Builder // by package and test; package and "" for the rest
	failures int
}

// heartbeat is how long a job may be silent.
const heartbeat = 30 * time.Second

// read handles events until the stream ends.
func (p *progress) read(ctx context.Context, stream io.Reader) error {
	lines := make(chan []byte)
	failed := make(chan error, 1)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(stream)
		scanner.Buffer(nil, 16<<20)
		for scanner.Scan() {
			lines <- slices.Clone(scanner.Bytes())
		}
		failed <- scanner.Err()
	}()
	silence := time.NewTicker(heartbeat)
	defer silence.Stop()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return <-failed
			}
			var e event
			if err := json.Unmarshal(line, &e); err != nil {
				fmt.Fprintf(p.out, "%s\n", line)
				continue
			}
			if p.handle(e) {
				silence.Reset(heartbeat)
			}
		case <-silence.C:
			if ctx.Err() == nil {
				fmt.Fprintf(p.out, "    ... still running: %s\n", p.running())
			}
		}
	}
}

// handle takes in one event and reports whether it printed something.
func (p *progress) handle(e event) (printed bool) {
	if e.Package == "" {
		e.Package = e.ImportPath // events of the build
	}
	// With -race or external tests the name is "package [package.test]".
	e.Package, _, _ = strings.Cut(e.Package, " ")
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if p.output[key] == nil {
			p.output[key] = &strings.Builder{}
		}
		p.output[key].WriteString(e.Output)
		return false
	case "run":
		p.tests[key] = &result{ring: p.job.name(e.Package), pkg: e.Package, test: e.Test, began: time.Now()}
		return false
	case "pass", "fail", "skip":
	default:
		return false
	}
	if e.Test == "" {
		return p.endPackage(e)
	}
	t := p.tests[key]
	if t == nil {
		t = &result{ring: p.job.name(e.Package), pkg: e.Package, test: e.Test}
		p.tests[key] = t
	}
	t.outcome, t.output = e.Action, text(p.output[key])
	p.tally.add(t)
	if e.Action == "fail" {
		p.failures++
	}
	top := !strings.Contains(e.Test, "/")
	if e.Action != "pass" || top && p.job.verbose {
		fmt.Fprintf(p.out, "%-4s %s %s (%.1f s)\n", e.Action, short(e.Package), e.Test, e.Elapsed)
		printed = true
	}
	if e.Action != "pass" {
		fmt.Fprint(p.out, indent(t.output))
	}
	return printed
}

// endPackage shows a package's outcome. A package that failed without a failed
// test, as by a build error, a panic or a time-out, counts as one failure.
func (p *progress) endPackage(e event) bool {
	passed, tests := 0, 0
	failed := false
	for _, t := range p.tests {
		if t.pkg != e.Package {
			continue
		}
		tests++
		switch t.outcome {
		case "pass":
			passed++
		case "fail":
			failed = true
		case "": // it was running when the package died
			t.outcome, t.output = "fail", text(p.output[e.Package+" "+t.test])
			p.tally.add(t)
			fmt.Fprintf(p.out, "fail %s %s (did not end)\n%s", short(e.Package), t.test, indent(t.output))
			failed = true
		}
	}
	if e.Action == "fail" {
		p.failures++
		if !failed {
			p.tally.add(&result{ring: p.job.name(e.Package), pkg: e.Package, test: "(package)", outcome: "fail"})
		}
		fmt.Fprintf(p.out, "FAIL %s (%.1f s)\n%s", short(e.Package), e.Elapsed, indent(text(p.output[e.Package+" "])))
		return true
	}
	if tests == 0 {
		return false
	}
	fmt.Fprintf(p.out, "ok   %-40s %4d passed (%.1f s)\n", short(e.Package), passed, e.Elapsed)
	return true
}

// running names the tests that have begun and not ended.
func (p *progress) running() string {
	var names []string
	for _, t := range p.tests {
		if t.outcome == "" && !strings.Contains(t.test, "/") {
			names = append(names, fmt.Sprintf("%s.%s (%.0f s)", path.Base(t.pkg), t.test, time.Since(t.began).Seconds()))
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "the compiler"
	}
	return strings.Join(names[:min(len(names), 4)], ", ")
}

func short(pkg string) string { return strings.TrimPrefix(pkg, module) }

func text(b *strings.Builder) string {
	if b == nil {
		return ""
	}
	return b.String()
}

// indent indents text by four spaces and ends it with a newline.
func indent(s string) string {
	s = strings.TrimRight(s, "\n")
	if s == "" {
		return ""
	}
	return "    " + strings.ReplaceAll(s, "\n", "\n    ") + "\n"
}
