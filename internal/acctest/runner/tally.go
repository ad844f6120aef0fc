package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// result is what became of one test or subtest.
type result struct {
	ring, pkg, test string
	began           time.Time
	outcome         string // pass, fail, skip; "" while it runs
	output          string
	// allowed is why a skip is none of our business.
	allowed string
}

// counts are the totals of some tests.
type counts struct{ passed, failed, skipped int }

func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

// tally collects the results of all rings.
type tally struct {
	rings   []string // in the order in which they came
	results []*result
}

func newTally() *tally { return &tally{} }

// add counts a result.
func (t *tally) add(r *result) {
	if !slices.Contains(t.rings, r.ring) {
		t.rings = append(t.rings, r.ring)
	}
	t.results = append(t.results, r)
}

// needsNewerCLI is how terraform-plugin-testing's tfversion.SkipBelow and
// RequireAbove begin what they say.
const needsNewerCLI = "Terraform CLI version"

// judgeSkips turns every skip into a failure that is not allowed: only a test
// that a newer CLI is needed for may be skipped, and only if it passed on another
// CLI of this run.
func (t *tally) judgeSkips() {
	passed := map[string]bool{}
	for _, r := range t.results {
		if r.outcome == "pass" {
			passed[r.pkg+" "+r.test] = true
		}
	}
	for _, r := range t.results {
		if r.outcome != "skip" {
			continue
		}
		if strings.Contains(r.output, needsNewerCLI) && passed[r.pkg+" "+r.test] {
			r.allowed = "needs a newer CLI, passed on another"
			continue
		}
		r.outcome = "unexpected skip"
	}
}

// cases leaves out the tests that have subtests, as these are the cases, except
// for those that failed although no subtest did.
func (t *tally) cases() []*result {
	parents := map[string]bool{} // with subtests
	broken := map[string]bool{}  // with a failed subtest
	for _, r := range t.results {
		for i, c := range r.test {
			if c == '/' {
				key := r.ring + " " + r.pkg + " " + r.test[:i]
				parents[key] = true
				if isFailure(r.outcome) {
					broken[key] = true
				}
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(t.results), func(r *result) bool {
		key := r.ring + " " + r.pkg + " " + r.test
		return parents[key] && (!isFailure(r.outcome) || broken[key])
	})
}

// count counts the cases of a ring ("" for all).
func (t *tally) count(ring string) counts {
	var n counts
	for _, r := range t.cases() {
		switch {
		case ring != "" && r.ring != ring:
		case isFailure(r.outcome):
			n.failed++
		case r.outcome == "skip":
			n.skipped++
		case r.outcome == "pass":
			n.passed++
		}
	}
	return n
}

func isFailure(outcome string) bool { return outcome == "fail" || outcome == "unexpected skip" }

func (t *tally) total() counts { return t.count("") }

// report writes the failures again, the counts of every ring and CLI, and on the
// last line the total.
func (t *tally) report(out io.Writer) counts {
	fmt.Fprintln(out)
	for _, r := range t.cases() {
		if isFailure(r.outcome) {
			fmt.Fprintf(out, "%s: %s %s %s\n", r.outcome, r.ring, short(r.pkg), r.test)
		}
	}
	for _, ring := range t.rings {
		fmt.Fprintf(out, "%s: %s\n", ring, t.count(ring))
	}
	total := t.total()
	fmt.Fprintln(out, total)
	return total
}
