package jobs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// maxTail is how many bytes of a log Tail reads, of which it shows maxShown of each
// line.
const (
	maxTail  = 1 << 20
	maxShown = 2000
)

// RunLog is the end of what a job's last run wrote.
type RunLog struct {
	Text string
	// Truncated is set where the run wrote more.
	Truncated bool
}

// Log returns at most lines lines and most bytes of what the job's last run wrote,
// nothing where no driver of it was started. What is no UTF-8 is replaced.
func (e *Engine) Log(ctx context.Context, job ray.Job, lines, most int) (RunLog, error) {
	if lines <= 0 || most <= 0 {
		return RunLog{}, nil
	}
	var text []byte
	var whole bool
	var scan *logScan
	// Two more, for the lines that begin a run, and many more where the supervisor's
	// leaves open what stands before it.
	for n := lines + 2; ; n *= 20 {
		var err error
		if text, whole, err = e.readTail(ctx, job, n, most); err != nil {
			return RunLog{}, err
		}
		scan = newLogScan(job)
		_, _ = scan.Write(text) // it has no errors
		if whole || scan.marked || scan.posts == 0 || n > ResultLines {
			break
		}
	}
	log := RunLog{Truncated: !whole && !scan.marked}
	kept := agentLines(string(text[scan.runBegins(whole):]), job)
	last := lastLines(kept, lines)
	log.Truncated = log.Truncated || len(last) < len(kept)
	log.Text = strings.ToValidUTF8(last, "\uFFFD")
	return log, nil
}

// readTail reads the end of the log; whole is set where that is all of it.
func (e *Engine) readTail(ctx context.Context, job ray.Job, lines, most int) (text []byte, whole bool, err error) {
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return nil, false, err
	}
	err = api.Log(ctx, job, lines, func(r io.Reader) error {
		b, cut, err := dashboard.LastBytes(r, most)
		if first, rest, ok := bytes.Cut(b, []byte("\n")); ok && cut && len(first) < most/2 {
			b = rest // from the start of a line, unless that would leave little
		}
		text, whole = b, !cut && bytes.Count(b, []byte("\n")) < lines
		return err
	})
	return text, whole, err
}

// Tail returns at most lines lines of what the job's last run wrote, fit to be shown:
// each of the secrets masked, long lines shortened, without colours and other control
// characters.
func (e *Engine) Tail(ctx context.Context, id string, lines int, secrets []string) (string, error) {
	if lines <= 0 {
		return "", nil
	}
	job, err := e.Get(ctx, id)
	if err != nil {
		return "", err
	}
	log, err := e.Log(ctx, job, lines, maxTail)
	if err != nil {
		return "", err
	}
	all := strings.Split(strings.TrimSuffix(Mask(log.Text, secrets), "\n"), "\n")
	for i, line := range all {
		all[i] = shown(line)
	}
	return strings.Join(all, "\n"), nil
}

// agentLines drops what Ray wrote of a run. The supervisor's line says nothing new
// and stands anywhere.
func agentLines(text string, job ray.Job) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(slices.DeleteFunc(all, func(line string) bool {
		line = strings.TrimSuffix(line, "\n")
		return isPost(line, job) || setupLine.MatchString(line)
	}), "")
}

// lastLines returns the last n lines of text; one without an end counts.
func lastLines(text string, n int) string {
	at := len(strings.TrimSuffix(text, "\n"))
	for range n {
		at = strings.LastIndexByte(text[:at], '\n')
		if at < 0 {
			return text
		}
	}
	return text[at+1:]
}

// escape is a terminal's control sequence: colours, cursor, title.
var escape = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?|[@-Z\\\\-_])")

// shown is a line as a message may show it: the last state of a progress bar, no
// control characters, the end of what is long.
func shown(line string) string {
	line = strings.TrimSuffix(line, "\r")
	line = line[strings.LastIndexByte(line, '\r')+1:]
	line = escape.ReplaceAllString(line, "")
	line = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return -1
		}
		return r
	}, line)
	if n := len(line); n > maxShown {
		line = fmt.Sprintf("[%d bytes left out] %s", n-maxShown, strings.ToValidUTF8(line[n-maxShown:], ""))
	}
	return line
}
