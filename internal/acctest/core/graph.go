package core

import (
	"slices"
	"strings"
)

// step is a node of a walk.
type step struct {
	key   string
	after []string // keys; unknown ones are ignored
	run   func() Diagnostics
}

// walk runs steps, at most width at a time, each after those it waits for.
// A step whose predecessor failed is skipped without a word, as core does;
// once halted, a step that would begin fails with "execution halted" instead.
func walk(steps []*step, width int, halted func() bool) Diagnostics {
	type outcome struct {
		s     *step
		diags Diagnostics
	}
	slices.SortFunc(steps, func(a, b *step) int { return strings.Compare(a.key, b.key) })
	known := map[string]bool{}
	for _, s := range steps {
		known[s.key] = true
	}
	const waiting, running, done, failed = 0, 1, 2, 3
	status := map[string]int{}
	out := make(chan outcome)
	var diags Diagnostics
	for active := 0; ; {
		progress := false
		for _, s := range steps {
			if status[s.key] != waiting {
				continue
			}
			ready, skip := true, false
			for _, dep := range s.after {
				switch {
				case !known[dep]:
				case status[dep] == failed:
					skip = true
				case status[dep] != done:
					ready = false
				}
			}
			switch {
			case skip:
				status[s.key], progress = failed, true
			case ready && active < width:
				status[s.key], progress = running, true
				active++
				go func() {
					if halted() {
						out <- outcome{s, errorf("", "execution halted", "")}
						return
					}
					out <- outcome{s, s.run()}
				}()
			}
		}
		if progress {
			continue
		}
		if active == 0 {
			return append(diags, stuck(steps, status)...)
		}
		o := <-out
		active--
		diags = append(diags, o.diags...)
		status[o.s.key] = done
		if o.diags.HasErrors() {
			status[o.s.key] = failed
		}
	}
}

// stuck reports steps that wait for each other.
func stuck(steps []*step, status map[string]int) Diagnostics {
	var left []string
	for _, s := range steps {
		if status[s.key] == 0 {
			left = append(left, s.key)
		}
	}
	if len(left) == 0 {
		return nil
	}
	return errorf("", "Cycle", "Cycle: %s", strings.Join(left, ", "))
}
