//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// table is the result of a measurement.
type table struct {
	title    string
	series   []*series
	findings []finding
	notes    []string
}

// finding is a number that matters, perhaps with a limit.
type finding struct {
	what  string
	unit  unit
	value float64
	// limit is the most that value may be; 0 is none: the number is for the record.
	limit float64
}

func (f finding) over() bool { return f.limit > 0 && f.value > f.limit }

func (t table) over() int {
	n := 0
	for _, f := range t.findings {
		if f.over() {
			n++
		}
	}
	return n
}

// String draws the table.
func (t table) String() string {
	var b strings.Builder
	b.WriteString(t.title + "\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	// Writes to a strings.Builder do not fail.
	if len(t.series) > 0 {
		_, _ = fmt.Fprintf(w, "  \tmin\tmedian\tmax\trounds\t\n")
	}
	for _, s := range t.series {
		if len(s.values) == 0 {
			continue
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%d\t\n", s.name,
			s.unit.format(slices.Min(s.values)), s.unit.format(median(s.values)), s.unit.format(slices.Max(s.values)), len(s.values))
	}
	_ = w.Flush()
	w.Init(&b, 0, 0, 2, ' ', 0)
	for _, f := range t.findings {
		verdict, limit := "", "no limit"
		if f.limit > 0 {
			verdict, limit = "pass", "at most "+f.unit.format(f.limit)
		}
		if f.over() {
			verdict = "OVER"
		}
		_, _ = fmt.Fprintf(w, "  -> %s\t%s\t%s\t%s\n", f.what, f.unit.format(f.value), limit, verdict)
	}
	_ = w.Flush()
	for _, n := range t.notes {
		b.WriteString("  " + n + "\n")
	}
	return trimLines(b.String())
}

// trimLines drops the spaces that tabwriter leaves at the ends of lines.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}
