package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A module whose tests pass, fail, skip, die and do not compile.
var sample = map[string]string{
	"go.mod": "module example.com/sample\n\ngo 1.26\n",
	"good/good_test.go": `package good

import "testing"

func TestPass(t *testing.T) {
	t.Run("one", func(t *testing.T) {})
	t.Run("two", func(t *testing.T) {})
}
func TestSkip(t *testing.T)    { t.Skip("for no reason") }
func TestVersion(t *testing.T) { t.Skip("Terraform CLI version 1.11.4 is below minimum version 1.14.0: skipping test") }
`,
	"bad/bad_test.go": `package bad

import "testing"

func TestFail(t *testing.T) {
	t.Run("case", func(t *testing.T) { t.Error("the reason") })
}
func TestDie(t *testing.T) { panic("the end") }
`,
	"broken/broken_test.go": "package broken\n\nvar x int = \"not an int\"\n",
}

// runSample runs the sample and returns its tally and what was shown.
func runSample(t *testing.T, packages ...string) (*tally, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range sample {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	r := &runner{options: options{parallel: "1"}, out: &out, tally: newTally()}
	err := r.goTest(t.Context(), job{name: func(string) string { return "sample" }, dir: dir, packages: packages})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	r.tally.judgeSkips()
	r.tally.report(&out)
	return r.tally, out.String()
}

func TestGoTest_countsCasesAndRefusesSkips(t *testing.T) {
	t.Parallel()
	tally, out := runSample(t, "./good")
	if got, want := tally.total(), (counts{passed: 2, failed: 2}); got != want {
		t.Errorf("got %s, want %s\n%s", got, want, out)
	}
	if !strings.HasSuffix(out, "\n2 passed, 2 failed, 0 skipped\n") {
		t.Errorf("the last line is another:\n%s", out)
	}
	if !strings.Contains(out, "unexpected skip: sample example.com/sample/good TestSkip") {
		t.Errorf("the skip is not named:\n%s", out)
	}
}

func TestGoTest_countsWhatDidNotEndAndWhatDidNotCompile(t *testing.T) {
	t.Parallel()
	tally, out := runSample(t, "./bad", "./broken")
	// TestFail/case, TestDie, and the package that does not compile.
	if got, want := tally.total(), (counts{failed: 3}); got != want {
		t.Errorf("got %s, want %s\n%s", got, want, out)
	}
	for _, want := range []string{"the reason", "panic: the end", "not an int"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not shown:\n%s", want, out)
		}
	}
}

func TestJudgeSkips_allowsWhatPassedOnAnotherCLI(t *testing.T) {
	t.Parallel()
	tally := newTally()
	const why = "Terraform CLI version 1.11.4 is below minimum version 1.12.0: skipping test"
	tally.add(&result{ring: "terraform 1.11.4", pkg: "p", test: "TestAccIdentity", outcome: "skip", output: why})
	tally.add(&result{ring: "tofu 1.12.6", pkg: "p", test: "TestAccIdentity", outcome: "pass"})
	tally.add(&result{ring: "terraform 1.11.4", pkg: "p", test: "TestAccAction", outcome: "skip", output: why})
	tally.add(&result{ring: "tofu 1.12.6", pkg: "p", test: "TestAccAction", outcome: "skip", output: why})
	tally.judgeSkips()
	if got, want := tally.count("terraform 1.11.4"), (counts{failed: 1, skipped: 1}); got != want {
		t.Errorf("terraform: got %s, want %s", got, want)
	}
	if got, want := tally.count("tofu 1.12.6"), (counts{passed: 1, failed: 1}); got != want {
		t.Errorf("tofu: got %s, want %s", got, want)
	}
}

func TestEndGroup_endsTheChildrenToo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/slow\n\ngo 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	slow := "package slow\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\nfunc TestFast(t *testing.T) {}\n\nfunc TestSlow(t *testing.T) { time.Sleep(time.Hour) }\n"
	if err := os.WriteFile(filepath.Join(dir, "slow_test.go"), []byte(slow), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started := &trigger{text: "TestFast", cancel: cancel}
	r := &runner{options: options{parallel: "1"}, out: started, tally: newTally()}
	began := time.Now()
	if err := r.goTest(ctx, job{name: unitRing, dir: dir, packages: []string{"."}, verbose: true}); err == nil {
		t.Error("an interrupted run is no error")
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s to end", took)
	}
	if out, err := exec.Command("pgrep", "-f", dir).Output(); err == nil {
		t.Errorf("left behind: %s", out)
	}
}

// trigger cancels when text is written.
type trigger struct {
	text   string
	cancel context.CancelFunc
}

func (w *trigger) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		w.cancel()
	}
	return len(p), nil
}

func TestTooOld_knowsTheFloor(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"1.10.5": true, "1.11.0": false, "1.12.6": false, "1.9.0": true, "0.15.0": true, "2.0.0": false, "1.17.0-dev": false} {
		if got := tooOld(version); got != want {
			t.Errorf("tooOld(%q) = %t", version, got)
		}
	}
}

// Each test on a real Ray runs in one ring, also where a user asks for all by name.
func TestRings_shareNoTest(t *testing.T) {
	for _, r := range []*runner{{}, {options: options{run: "^Test"}}} {
		for test, want := range map[string]string{
			"TestReal": "real", "TestRealFoo": "real", "TestFoo_real": "real", "TestAccFoo": "cli",
			"TestSlowFoo": "slow", "TestSlowActor": "slow", "TestSlowAppend": "slow", "TestSlowAccFoo": "slow cli",
		} {
			var in []string
			for _, x := range slices.Concat(onRay, onCLIs) {
				args := r.args(x)
				if regexp.MustCompile(args[2]).MatchString(test) && !regexp.MustCompile(args[4]).MatchString(test) {
					in = append(in, x.name)
				}
			}
			if !slices.Equal(in, []string{want}) {
				t.Errorf("with -run %q: %s runs in %q, want %q", r.run, test, in, want)
			}
		}
	}
}
