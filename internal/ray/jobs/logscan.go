package jobs

import (
	"bytes"
	"regexp"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Ray appends to the log of an id that is used again. On the head, each run begins
// with this line of the agent's, which is flushed before anything else of the run.
var setupLine = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})\tINFO job_manager\.py:\d+ -- Runtime env is setting up\.$`)

// resultPrefix begins the line by which an entrypoint returns its result.
const resultPrefix = "RAY_JOB_RESULT="

// MaxResult is how many bytes of JSON a result may have.
const MaxResult = 64 << 10

// maxLine is how much of a line a scan looks at.
const maxLine = len(resultPrefix) + MaxResult + 1

// logScan reads a log line by line, in bounded memory, and finds where the job's
// last run begins in it and the last result that the log holds.
//
// On a worker node, where a driver with requirements may run, there is no line of the
// agent's. Only the supervisor's "Running entrypoint for job ..." tells runs apart
// there, which Ray writes through a buffer, often behind the first output of the
// entrypoint. So the second such line of a log without the agent's begins a run, and
// what a re-used id's run wrote within the first milliseconds may be left out; an
// earlier run's lines never come in.
type logScan struct {
	job ray.Job

	size  int64  // bytes seen
	lines int    // whole lines seen
	line  []byte // of the line that is not over, up to maxLine
	start int64  // where it begins

	marked bool  // the agent's line was seen
	begins int64 // where it begins, the last one
	posts  int   // supervisor's lines
	post   int64 // where the last one begins

	result   []byte
	resultAt int64 // -1 for none
}

func newLogScan(job ray.Job) *logScan { return &logScan{job: job, resultAt: -1} }

// Write reads the log on.
func (s *logScan) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			s.keep(b)
			s.size += int64(len(b))
			return n, nil
		}
		line := b[:i]
		if len(s.line) > 0 {
			s.keep(line)
			line = s.line
		}
		s.look(line)
		s.size += int64(i) + 1
		s.lines++
		s.line, s.start = s.line[:0], s.size
		b = b[i+1:]
	}
}

func (s *logScan) keep(b []byte) {
	s.line = append(s.line, b[:min(len(b), maxLine-len(s.line))]...)
}

// look looks at a line, without its end.
func (s *logScan) look(line []byte) {
	// Without a progress bar that something else drew on the same line.
	if i := bytes.LastIndexByte(bytes.TrimSuffix(line, []byte("\r")), '\r'); i >= 0 {
		line = line[i+1:]
	}
	switch {
	case len(line) == 0:
	case bytes.HasPrefix(line, []byte(resultPrefix)):
		s.result = append(s.result[:0], line[len(resultPrefix):]...)
		s.resultAt = s.start
	case s.isSetup(line):
		s.marked, s.begins = true, s.start
	case s.isPost(line):
		s.posts++
		s.post = s.start
	}
}

// isSetup reports whether the line is the agent's, of this run: an entrypoint that
// shows another log may write such lines too. Their time is the head's local one, so
// that it is compared within a quarter of an hour, by which all time zones differ;
// where the job's start is not known, any line will do.
func (s *logScan) isSetup(line []byte) bool {
	if !bytes.HasSuffix(line, []byte("Runtime env is setting up.")) { // a log has many lines
		return false
	}
	m := setupLine.FindSubmatch(line)
	if m == nil {
		return false
	}
	at, err := time.Parse("2006-01-02 15:04:05,000", string(m[1]))
	if err != nil || s.job.StartTime.IsZero() {
		return err == nil
	}
	const zone = 15 * time.Minute
	late := (at.Sub(s.job.StartTime)%zone + zone) % zone
	return late < 2*time.Minute || late > zone-2*time.Second
}

func (s *logScan) isPost(line []byte) bool {
	return bytes.HasPrefix(line, []byte(postPrefix)) && isPost(string(line), s.job)
}

const postPrefix = "Running entrypoint for job "

// isPost reports whether the line is the supervisor's.
func isPost(line string, job ray.Job) bool {
	rest, ok := strings.CutPrefix(line, postPrefix+job.SubmissionID+": ")
	entrypoint, _, _ := strings.Cut(job.Entrypoint, "\n")
	return ok && strings.HasPrefix(rest, entrypoint)
}

// runBegins is where the last run begins. whole is set where the scan began with the
// log: else the first supervisor's line may be that of a second run.
func (s *logScan) runBegins(whole bool) int64 {
	switch {
	case s.marked:
		return s.begins
	case s.posts > 1, s.posts == 1 && !whole:
		return s.post
	}
	return 0
}

// found is the last run's result: what follows the prefix, at most MaxResult+1 bytes.
func (s *logScan) found(whole bool) (text []byte, ok bool) {
	if len(s.line) > 0 && s.resultAt < s.start {
		s.look(s.line) // the last line has no end
	}
	return s.result, s.resultAt >= s.runBegins(whole)
}
