package workdir

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recordedPatterns is what Ray 2.60's pathspec said about each pattern and path.
type recordedPatterns struct {
	Paths    []string
	Patterns []struct {
		Pattern string
		// Matches are the paths that the pattern leaves out, Kept those that it
		// takes back as "!pattern" after "**".
		Matches, Kept []string
		// Error is what Python raised on the pattern, NegatedError on "!pattern" alone.
		Error        string
		NegatedError string `json:"negated_error"`
	}
}

func readJSON(tb testing.TB, file string, into any) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
}

func TestPatternsMatchAsInRay(t *testing.T) {
	t.Parallel()
	var recorded recordedPatterns
	readJSON(t, "testdata/patterns.json", &recorded)
	for _, r := range recorded.Patterns {
		if got, ok := matched(t, recorded.Paths, r.Pattern, r.Error != ""); ok {
			if diff := cmp.Diff(r.Matches, got); diff != "" {
				t.Errorf("pattern %q matches other paths than in Ray (-Ray +ours):\n%s", r.Pattern, diff)
			}
		}
		left, ok := matchedBy(t, recorded.Paths, []string{"**", "!" + r.Pattern}, r.Error != "" || r.NegatedError != "")
		if !ok {
			continue
		}
		if diff := cmp.Diff(r.Kept, without(recorded.Paths, left)); diff != "" {
			t.Errorf("pattern %q takes back other paths than in Ray (-Ray +ours):\n%s", "!"+r.Pattern, diff)
		}
	}
}

func matched(t *testing.T, paths []string, pattern string, wantErr bool) ([]string, bool) {
	t.Helper()
	return matchedBy(t, paths, []string{pattern}, wantErr)
}

func matchedBy(t *testing.T, paths, patterns []string, wantErr bool) ([]string, bool) {
	t.Helper()
	s, err := newSpec("excludes", "", patterns)
	if wantErr {
		if !errors.As(err, new(*PatternError)) {
			t.Errorf("newSpec(%q) = %v, want a *PatternError: Ray dies of it", patterns, err)
		}
		return nil, false
	}
	if err != nil {
		t.Errorf("newSpec(%q): %v", patterns, err)
		return nil, false
	}
	got := []string{}
	for _, p := range paths {
		if s.match(strings.TrimPrefix(p, "./")) != nil {
			got = append(got, p)
		}
	}
	return got, true
}

func without(all, some []string) []string {
	rest := []string{}
	for _, p := range all {
		if !slices.Contains(some, p) {
			rest = append(rest, p)
		}
	}
	return rest
}

func TestPatternErrorsNameTheLine(t *testing.T) {
	t.Parallel()
	_, err := newSpec("lib/.gitignore", "lib", []string{"fine", " [z-a] "})
	want := &PatternError{Source: "lib/.gitignore", Line: 2, Pattern: "[z-a]", Reason: "the range z-a runs backwards"}
	var got *PatternError
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want a *PatternError", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestExactlyMatchesOnePath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"a", "a/b", "a*", "[x]/y", "#a", "!b", `c\d`, "e ", "f?/g h"} {
		s, err := newSpec("excludes", "", []string{exactly(path)})
		if err != nil {
			t.Errorf("exactly(%q) = %q: %v", path, exactly(path), err)
			continue
		}
		if s.match(path) == nil {
			t.Errorf("exactly(%q) = %q does not match it", path, exactly(path))
		}
		if s.match("x"+path) != nil || s.match("x/"+path) != nil {
			t.Errorf("exactly(%q) = %q matches others", path, exactly(path))
		}
	}
}

// FuzzPattern holds the two ways to match a plain name against each other, and
// proves that no pattern is worse than an error.
func FuzzPattern(f *testing.F) {
	var recorded recordedPatterns
	readJSON(f, "testdata/patterns.json", &recorded)
	for i, r := range recorded.Patterns {
		f.Add(r.Pattern, recorded.Paths[i%len(recorded.Paths)])
	}
	f.Fuzz(func(t *testing.T, line, path string) {
		p, err := newPattern(line)
		if err != nil || p == nil {
			return
		}
		if got, want := p.matches(path), p.expression.MatchString(path); got != want {
			t.Errorf("pattern %q on %q: %t as a name, %t as an expression", line, path, got, want)
		}
	})
}
