//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// screen is what the viewer sees: numbered steps, what happens in each indented
// below it, and how long it took. It may be written to by several goroutines.
type screen struct {
	w     io.Writer
	bold  bool // a terminal
	total int  // steps

	mu   sync.Mutex
	step int
}

// newScreen uses bold type on terminals only, and not where NO_COLOR is set.
func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{w: f, bold: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// begin announces the next step.
func (s *screen) begin(title string) {
	s.mu.Lock()
	s.step++
	head := fmt.Sprintf("[%d/%d] %s", s.step, s.total, title)
	s.mu.Unlock()
	if s.bold {
		head = "\x1b[1m" + head + "\x1b[0m"
	}
	s.plain("%s", head)
}

// took ends a step.
func (s *screen) took(d time.Duration) { s.plain("      %.1fs\n", d.Seconds()) }

// say writes lines that belong to a step.
func (s *screen) say(format string, args ...any) {
	s.plain("%s", indent(fmt.Sprintf(format, args...), "      "))
}

// quote writes what another program said.
func (s *screen) quote(text string) {
	if text != "" {
		s.plain("%s", indent(text, "      | "))
	}
}

// plain writes a line as it is. An output that is closed shows nothing, and
// withSignals ends the demo then.
func (s *screen) plain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.w, format+"\n", args...)
}

// indent puts prefix before every line, without trailing spaces.
func indent(text, prefix string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(prefix+line, " ")
	}
	return strings.Join(lines, "\n")
}
