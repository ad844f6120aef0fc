package jobs

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

// Ray appends to the log of an id that is used again. Each run begins with this
// line of the agent's, which is flushed before anything else of the run.
var setupLine = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\tINFO job_manager\.py:\d+ -- Runtime env is setting up\.$`)

// Tail returns at most lines lines of what the job's last run wrote, with each of
// the secrets masked.
func (e *Engine) Tail(ctx context.Context, id string, lines int, secrets []string) (string, error) {
	if lines <= 0 {
		return "", nil
	}
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return "", err
	}
	// Two more, for the lines that begin a run.
	text, err := api.LogTail(ctx, id, lines+2)
	if err != nil {
		return "", err
	}
	return Mask(lastLines(lastRun(text, id), lines), secrets), nil
}

// lastRun cuts off what runs before the last one wrote. The supervisor's line
// "Running entrypoint for job ..." says nothing new and stands anywhere: Ray writes
// it through a buffer, often behind the output of a short entrypoint.
func lastRun(text, id string) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range slices.Backward(all) {
		if setupLine.MatchString(line) {
			all = all[i+1:]
			break
		}
	}
	all = slices.DeleteFunc(all, func(line string) bool { return strings.HasPrefix(line, "Running entrypoint for job "+id+": ") })
	return strings.Join(all, "\n")
}

func lastLines(text string, n int) string {
	all := strings.Split(text, "\n")
	if len(all) > n {
		all = all[len(all)-n:]
	}
	return strings.Join(all, "\n")
}

// Mask replaces each secret of four or more characters in text.
func Mask(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) >= 4 {
			text = strings.ReplaceAll(text, s, "(sensitive value)")
		}
	}
	return text
}
