//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedianIsTheMiddle(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		values []float64
		want   float64
	}{
		"nothing": {nil, 0},
		"one":     {[]float64{3}, 3},
		"odd":     {[]float64{9, 1, 5}, 5},
		"even":    {[]float64{4, 1, 2, 100}, 3},
	} {
		given := append([]float64(nil), tc.values...)
		if got := median(tc.values); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
		if diff := cmp.Diff(given, tc.values); diff != "" {
			t.Errorf("%s: the values were changed (-want +got)\n%s", name, diff)
		}
	}
}

// A machine that slows down for a round slows down both sides of it: the ratio
// of the medians would be wrong here.
func TestVersusComparesWithinARound(t *testing.T) {
	t.Parallel()
	a := &series{values: []float64{1, 10, 100}}
	b := &series{values: []float64{2, 40, 200}}
	if got := versus(a, b); got != 0.5 {
		t.Errorf("versus: got %v, want 0.5", got)
	}
	if got := above(b, a); got != 30 {
		t.Errorf("above: got %v, want 30", got)
	}
}

func TestTurnsChangeWhoGoesFirst(t *testing.T) {
	t.Parallel()
	var order []string
	one := func(name string) side {
		return side{&series{name: name}, func(round int) (time.Duration, error) {
			order = append(order, name)
			return time.Duration(round) * time.Second, nil
		}}
	}
	a, b := one("a"), one("b")
	if err := turns(2, a, b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "b", "a", "a", "b"}, order); diff != "" {
		t.Errorf("order (-want +got)\n%s", diff)
	}
	// The first round is not counted.
	if diff := cmp.Diff([]float64{1, 2}, a.values); diff != "" {
		t.Errorf("values (-want +got)\n%s", diff)
	}
	broken := errors.New("broken")
	err := turns(2, a, side{&series{name: "c"}, func(int) (time.Duration, error) { return 0, broken }})
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "c: ") {
		t.Errorf("got error %v", err)
	}
}

func TestTableMarksWhatIsOver(t *testing.T) {
	t.Parallel()
	tb := table{
		title: "apply: a job",
		series: []*series{
			{"ours", seconds, []float64{1, 1.5, 3}},
			{"the other side", seconds, []float64{10, 12, 11}},
			{"never run", seconds, nil},
		},
		findings: []finding{
			{"ours, of the other", ratio, 0.125, 0.22},
			{"ours, above", seconds, 0.9, 0.7},
			{"requests", plain, 12, 0},
		},
		notes: []string{"a note"},
	}
	want := `apply: a job
                         min    median       max  rounds
              ours   1.000 s   1.500 s   3.000 s       3
    the other side  10.000 s  11.000 s  12.000 s       3
  -> ours, of the other  0.12 x   at most 0.22 x   pass
  -> ours, above         0.900 s  at most 0.700 s  OVER
  -> requests            12       no limit
  a note
`
	if diff := cmp.Diff(want, tb.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := tb.over(); got != 1 {
		t.Errorf("%d over, want 1", got)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args   []string
		rounds int
		err    string
	}{
		"default":   {nil, 7, ""},
		"quick":     {[]string{"-quick"}, 3, ""},
		"rounds":    {[]string{"-quick", "-rounds=9"}, 9, ""},
		"no rounds": {[]string{"-rounds=-1"}, 0, "-rounds is -1"},
		"bad only":  {[]string{"-only=("}, 0, "error parsing regexp"},
		"argument":  {[]string{"apply"}, 0, `bench takes no argument "apply"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			o, err := parseOptions(tc.args, &out)
			if tc.err == "" && (err != nil || o.rounds != tc.rounds) {
				t.Errorf("got %d rounds, %v; want %d", o.rounds, err, tc.rounds)
			}
			if tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("got error %v, want %q", err, tc.err)
			}
		})
	}
}

func TestPeakIsThatOfTheChild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// dd holds one block of 64 MiB.
	cmd := exec.Command("dd", "if=/dev/zero", "of=/dev/null", "bs=67108864", "count=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := notePeak(cmd, dir); err != nil {
		t.Fatal(err)
	}
	got, err := readPeak(dir)
	if err != nil || got < 64 || got > 128 {
		t.Errorf("got %.1f MiB, %v; want 64 and a little", got, err)
	}
	if _, err := readPeak(t.TempDir()); err == nil {
		t.Error("no peak is no error")
	}
}

func TestTreesHaveTheirSizeAndChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := makeTree(dir, 80, 80<<10); err != nil {
		t.Fatal(err)
	}
	files, bytes := 0, int64(0)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		bytes += info.Size()
		return nil
	})
	if err != nil || files != 80 || bytes != 80<<10 {
		t.Errorf("got %d files of %d bytes, %v", files, bytes, err)
	}
	p := &packer{dir: dir}
	_, before, err := p.hash(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := changeTree(dir); err != nil {
		t.Fatal(err)
	}
	if _, after, err := p.hash(t.Context()); err != nil || after.URI == before.URI {
		t.Errorf("the changed tree is still %s, %v", after.URI, err)
	}
}

func TestOutputWantsStatus0AndTellsWhatWasSaid(t *testing.T) {
	t.Parallel()
	out, err := output(t.Context(), command{args: []string{"/bin/sh", "-c", "echo one; echo two >&2"}})
	if out != "one\n" || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
	_, err = output(t.Context(), command{args: []string{"/bin/sh", "-c", "echo one; echo two >&2; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "exit status 3\none\ntwo") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := output(ctx, command{args: []string{"/bin/sleep", "60"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestEnvironDropsTheCallersSettings(t *testing.T) {
	t.Parallel()
	got := environ([]string{"PATH=/bin", "TF_CLI_ARGS=-x", "RAY_ADDRESS=http://prod:8265", "PYTHONPATH=/x", "HOME=/h"}, "TF_INPUT=0")
	if diff := cmp.Diff([]string{"PATH=/bin", "HOME=/h", "TF_INPUT=0"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestThePackagingScriptIsThere(t *testing.T) {
	t.Parallel()
	root, err := checkout(".")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, packagingScript)); err != nil {
		t.Error(err)
	}
}

func TestCountAttributesCountsNestedOnes(t *testing.T) {
	t.Parallel()
	got, err := countAttributes(`{"provider_schemas": {
		"other": {"resource_schemas": {"x": {"block": {"attributes": {"a": {"type": "string"}}}}}},
		"registry/ray-iac/ray": {"resource_schemas": {"ray_job": {"block": {"attributes": {
			"name": {"type": "string"},
			"map": {"type": ["map", "string"]},
			"env": {"nested_type": {"nesting_mode": "single", "attributes": {"pip": {"nested_type": {"attributes": {"packages": {"type": "list"}}}}}}}
		}}}}}}}`)
	if got != 5 || err != nil {
		t.Errorf("got %d, %v; want 5", got, err)
	}
	if _, err := countAttributes(`{}`); err == nil {
		t.Error("a schema without ray_job is no error")
	}
}

func TestPercentileIsNotExceededByThatPart(t *testing.T) {
	t.Parallel()
	var values []float64
	for i := range 100 {
		values = append(values, float64(100-i))
	}
	for p, want := range map[float64]float64{0.95: 95, 0.5: 50, 1: 100, 0: 1} {
		if got := percentile(values, p); got != want {
			t.Errorf("p%v is %v, want %v", 100*p, got, want)
		}
	}
	if got := percentile(nil, 0.95); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestCompletionsReadsTheOutputOfApplyJSON(t *testing.T) {
	t.Parallel()
	got, err := completions(`{"@level":"info","@message":"Terraform 1.11.4","@timestamp":"2026-11-23T12:00:00.000000Z","type":"version"}
{"@level":"info","@message":"ray_job.j[3]: Creation complete after 1s [id=x]","@timestamp":"2026-11-23T12:00:01.500000Z","hook":{"resource":{"addr":"ray_job.j[3]"},"action":"create"},"type":"apply_complete"}
`)
	want := map[string]time.Time{"ray_job.j[3]": time.Date(2026, 11, 23, 12, 0, 1, 5e8, time.UTC)}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}
