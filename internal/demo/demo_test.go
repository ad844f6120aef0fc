//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

func TestFindChoosesTheFirstCLIThatWillDo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env       map[string]string
		installed map[string]string // by name, with version; "" is one that does not run
		want      string
		wantErr   string
	}{
		"terraform before tofu":         {installed: map[string]string{"terraform": "1.12.0", "tofu": "1.11.0"}, want: "terraform"},
		"tofu alone":                    {installed: map[string]string{"tofu": "1.11.0"}, want: "tofu"},
		"an old terraform is passed by": {installed: map[string]string{"terraform": "1.5.7", "tofu": "1.12.6"}, want: "tofu"},
		"so is a shim":                  {installed: map[string]string{"terraform": "", "tofu": "1.12.6"}, want: "tofu"},
		"a pre-release counts":          {installed: map[string]string{"terraform": "1.17.0-dev"}, want: "terraform"},
		"TOFU is the last resort":       {env: map[string]string{"TOFU": "/cache/tofu"}, installed: map[string]string{"/cache/tofu": "1.12.6"}, want: "/cache/tofu"},
		"TF wins":                       {env: map[string]string{"TF": "tofu"}, installed: map[string]string{"terraform": "1.12.0", "tofu": "1.11.0"}, want: "tofu"},
		"a TF that is too old":          {env: map[string]string{"TF": "terraform"}, installed: map[string]string{"terraform": "1.10.5", "tofu": "1.11.0"}, wantErr: "TF=terraform: terraform is version 1.10.5; 1.11.0 or newer is needed"},
		"a TF that is not there":        {env: map[string]string{"TF": "/no/tf"}, installed: map[string]string{"tofu": "1.11.0"}, wantErr: "TF=/no/tf: not found"},
		"nothing is there":              {wantErr: "make tofu"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := finder{
				getenv: func(name string) string { return tc.env[name] },
				lookPath: func(name string) (string, error) {
					if _, ok := tc.installed[name]; !ok {
						return "", errors.New("not found")
					}
					return name, nil
				},
				version: func(bin string) (string, error) {
					if v := tc.installed[bin]; v != "" {
						return v, nil
					}
					return "", errors.New("it does not run")
				},
			}
			got, _, err := f.find()
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("got error %v, want %q", err, tc.wantErr)
			}
		})
	}
}

func TestViewShowsWhatTellsTheStory(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded outputs: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(file, ".txt") + ".want")
			if err != nil {
				t.Fatal(err)
			}
			var v view
			var got strings.Builder
			for line := range strings.Lines(string(text)) {
				if shown := v.line(strings.TrimSuffix(line, "\n")); shown != "" {
					got.WriteString(shown + "\n")
				}
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestScreenIsPlainTextWithNumberedSteps(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := &screen{w: &b, total: 2}
	s.begin("Do it")
	s.say("two\nlines")
	s.quote("said\n\nby another")
	s.quote("")
	s.took(1240 * time.Millisecond)
	s.begin("Do more")
	want := "[1/2] Do it\n      two\n      lines\n      | said\n      |\n      | by another\n      1.2s\n\n[2/2] Do more\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEnvironDropsTheCallersSettings(t *testing.T) {
	t.Parallel()
	got := environ([]string{"PATH=/bin", "TF_CLI_ARGS=-x", "TF_LOG=debug", "TF_LOG_PATH=/l", "RAY_ADDRESS=http://prod:8265", "EMPTY="}, "TF_INPUT=0")
	want := []string{"PATH=/bin", "TF_LOG=debug", "TF_LOG_PATH=/l", "EMPTY=", "TF_INPUT=0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEditWantsExactlyOnePlace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	for text, ok := range map[string]bool{"a b c": true, "a c": false, "b b": false} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := edit(file, "b", "x"); (err == nil) != ok {
			t.Errorf("edit of %q: %v", text, err)
		}
		if got, err := os.ReadFile(file); err != nil || ok && string(got) != "a x c" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestTheDemosEditFitsItsFile(t *testing.T) {
	t.Parallel()
	root, err := checkout(".")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "examples", "demo", "job", "pi.py"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), editFrom); n != 1 {
		t.Errorf("pi.py has %q %d times", editFrom, n)
	}
}

func TestDescribeListsNodesByName(t *testing.T) {
	t.Parallel()
	got := describe([]ray.Node{{Name: "node-1", State: ray.NodeDead, DeathReason: ray.DeathUnexpected}, {Name: "head", State: ray.NodeAlive}})
	if want := "head ALIVE, node-1 DEAD (UNEXPECTED_TERMINATION)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunReturnsStatusAndLines(t *testing.T) {
	t.Parallel()
	c := children{grace: time.Second}
	var lines []string
	status, out, err := c.run(t.Context(), command{args: []string{"/bin/sh", "-c", "echo one; echo two >&2; printf three; exit 2"}, show: func(l string) { lines = append(lines, l) }})
	if status != 2 || out != "one\ntwo\nthree" || err != nil {
		t.Errorf("got %d, %q, %v", status, out, err)
	}
	if diff := cmp.Diff([]string{"one", "two", "three"}, lines); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// An interrupted command gets its Ctrl-C, and what it started in its process group
// ends with it even though it ignores that.
func TestRunStopsTheWholeGroup(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	c := children{grace: 2 * time.Second}
	lock := filepath.Join(t.TempDir(), "fifo")
	begun := time.Now()
	// The trap is set before anything says that it may be interrupted.
	script := `mkfifo "$0"; trap 'echo interrupted; exit 0' INT; (trap '' INT; echo ready; exec cat "$0") & wait; wait`
	_, out, err := c.run(ctx, command{args: []string{"/bin/sh", "-c", script, lock}, show: func(line string) {
		if line == "ready" {
			cancel(errInterrupted)
		}
	}})
	if !errors.Is(err, errInterrupted) || !strings.Contains(out, "interrupted") {
		t.Errorf("got %q, %v", out, err)
	}
	// The child holds the output, so run waits for it until its grace is over.
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
	if len(c.groups) != 0 {
		t.Errorf("groups %v are left", c.groups)
	}
}
