package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// Sizes of a LogCopy. Ray has no way to read a log from an offset (see
// dashboard.Client.Log), so a copy goes on by one of two reads:
//
//   - The whole log, of which what the copy has is skipped and compared. It is
//     exact, and costs the head 6 ms of CPU for each MiB.
//   - The last lines, in which the last of the copy must be found once, and be
//     followed by the new ones. The head does not mind that. Where it is not found,
//     or twice, as in a log that says the same again and again, the whole log is
//     read.
const (
	alwaysWhole = 1 << 20  // up to here the whole log is read each time
	finallyThen = 32 << 20 // and up to here at the end, to be sure
	tailBytes   = 2 << 20  // the most of a tail
	anchorBytes = 4 << 10  // what must be found in it
	recentBytes = 64 << 10 // what is compared around it
	firstLines  = 1000
	mostLines   = 64_000
)

// Pauses between two reads of a log that is followed.
const (
	leastPause = time.Second
	mostPause  = 10 * time.Second
	// A read of a long log may be followed by another after so many times its
	// duration.
	wholePause = 20
)

// LogCopy copies the logs of one job's runs to a file, one after the other. A copy
// is the log as Ray has it, byte for byte, from where the run begins in it. It is
// not safe for concurrent use.
type LogCopy struct {
	e    *Engine
	file *os.File

	runs int
	base int64 // where the present run begins in the file
	job  ray.Job
	scan *logScan
	seed maphash.Seed
	hash maphash.Hash  // of all that was read of the log
	last []byte        // the last of it, up to recentBytes
	open []byte        // the line of it that was not over
	buf  []byte        // for reads
	tail int           // lines of the next tail
	took time.Duration // by a read of a long log
}

// NewLogCopy makes a copy to file, which must be empty, or one that may be written
// over.
func (e *Engine) NewLogCopy(file *os.File) *LogCopy {
	return &LogCopy{e: e, file: file, seed: maphash.MakeSeed(), tail: firstLines, buf: make([]byte, tailBytes)}
}

// Follow copies what the run writes until ctx ends. What goes wrong meanwhile is
// tried again; Finish tells of it.
func (c *LogCopy) Follow(ctx context.Context, id string) {
	pause := leastPause
	for sleep(ctx, pause) {
		had := c.read()
		if err := c.follow(ctx, id); err != nil || c.read() == had {
			pause = min(pause*3/2, mostPause)
		} else {
			pause = leastPause
		}
		pause = max(pause, wholePause*c.took)
	}
}

// follow takes one look at the run.
func (c *LogCopy) follow(ctx context.Context, id string) error {
	if c.job.SubmissionID != id || c.job.DriverNodeID == "" {
		job, err := c.e.Get(ctx, id)
		if err != nil || job.DriverNodeID == "" {
			return err
		}
		if err := c.begin(job); err != nil {
			return err
		}
	}
	return c.update(ctx, false)
}

// Finish copies the rest of the log of a job that is over.
func (c *LogCopy) Finish(ctx context.Context, job ray.Job) error {
	if job.DriverNodeID == "" {
		return nil // it never ran
	}
	if c.job.SubmissionID != job.SubmissionID {
		if err := c.begin(job); err != nil {
			return err
		}
	}
	for pause := 500 * time.Millisecond; ; pause *= 2 {
		err := c.update(ctx, true)
		if err == nil || pause > 10*time.Second || ray.IsKind(err, ray.KindNotFound) || errors.As(err, new(*os.PathError)) {
			return err
		}
		if !sleep(ctx, pause) {
			return err
		}
	}
}

// Result is the result of the run that was finished; see Engine.Result.
func (c *LogCopy) Result() ([]byte, error) {
	if c.scan == nil {
		return nil, ErrNoResult
	}
	text, ok := c.scan.found(true)
	if !ok {
		return nil, ErrNoResult
	}
	return checkResult(text)
}

// read is how many bytes of the log were read.
func (c *LogCopy) read() int64 {
	if c.scan == nil {
		return 0
	}
	return c.scan.size
}

// begin turns to a run. The first one writes the file anew.
func (c *LogCopy) begin(job ray.Job) error {
	if c.runs > 0 {
		if _, err := fmt.Fprintf(c.file, "\n==> %s <==\n", job.SubmissionID); err != nil {
			return err
		}
		at, err := c.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		c.base = at
	}
	c.runs++
	c.job = job
	return c.restart()
}

// restart forgets what was copied of the run.
func (c *LogCopy) restart() error {
	c.scan = newLogScan(c.job)
	c.hash.SetSeed(c.seed)
	c.last, c.tail, c.took = c.last[:0], firstLines, 0
	return c.cutBack()
}

// cutBack empties the file of the run.
func (c *LogCopy) cutBack() error {
	if err := c.file.Truncate(c.base); err != nil {
		return err
	}
	_, err := c.file.Seek(c.base, io.SeekStart)
	return err
}

// errOther is a log that is not the one that was copied: its node lost it.
var errOther = errors.New("the log is not the one that was read before")

// update copies what the log has more than the copy; final is set for the last time.
func (c *LogCopy) update(ctx context.Context, final bool) error {
	select {
	case c.e.copies <- struct{}{}:
		defer func() { <-c.e.copies }()
	case <-ctx.Done():
		return c.e.canceled(ctx, "read the log of job "+c.job.SubmissionID)
	}
	api, err := c.e.o.Dashboard(ctx)
	if err != nil {
		return err
	}
	c.took = 0
	if n := c.read(); n > alwaysWhole && (!final || n > finallyThen) {
		for lines := c.tail; lines <= mostLines; lines *= 4 {
			ok, err := c.updateTail(ctx, api, lines)
			if ok || err != nil {
				c.tail = lines
				return err
			}
		}
	}
	start, long := time.Now(), c.read() > alwaysWhole
	err = c.updateWhole(ctx, api)
	if errors.Is(err, errOther) {
		if err := c.restart(); err != nil {
			return err
		}
		err = c.updateWhole(ctx, api)
	}
	if long {
		c.took = time.Since(start)
	}
	return err
}

// updateWhole reads the whole log.
func (c *LogCopy) updateWhole(ctx context.Context, api *dashboard.Client) error {
	buf := c.buf[:64<<10]
	return api.Log(ctx, c.job, dashboard.AllLines, func(r io.Reader) error {
		var had maphash.Hash
		had.SetSeed(c.seed)
		skip := c.read()
		for {
			n, err := r.Read(buf)
			b := buf[:n]
			if skip > 0 {
				k := min(skip, int64(n))
				_, _ = had.Write(b[:k])
				b, skip = b[k:], skip-k
				if skip == 0 && had.Sum64() != c.hash.Sum64() {
					return errOther
				}
			}
			if err := c.take(b); err != nil {
				return err
			}
			switch {
			case errors.Is(err, io.EOF) && skip > 0:
				return errOther
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
		}
	})
}

// updateTail reads the last lines of the log. It is false where they do not tell
// what is new.
func (c *LogCopy) updateTail(ctx context.Context, api *dashboard.Client, lines int) (ok bool, err error) {
	var text []byte
	err = api.Log(ctx, c.job, lines, func(r io.Reader) error {
		n, err := io.ReadFull(r, c.buf)
		text, ok = c.buf[:n], err != nil // else there may be more
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // Log tells a log that broke off
		}
		return err
	})
	if err != nil || !ok {
		return false, err
	}
	fresh, ok := follows(text, c.last)
	if !ok {
		return false, nil
	}
	return true, c.take(fresh)
}

// follows returns what stands in text behind had, the end of what was read before;
// ok is false where that can't be told.
func follows(text, had []byte) (fresh []byte, ok bool) {
	anchor := had[max(0, len(had)-anchorBytes):]
	at := bytes.Index(text, anchor)
	if at < 0 || len(anchor) < anchorBytes || bytes.Contains(text[at+1:], anchor) {
		return nil, false
	}
	end := at + len(anchor)
	n := min(end, len(had))
	return text[end:], bytes.Equal(text[end-n:end], had[len(had)-n:])
}

// take copies what comes next in the log.
func (c *LogCopy) take(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, _ = c.hash.Write(b)
	c.last = append(c.last, b[max(0, len(b)-recentBytes):]...)
	if extra := len(c.last) - recentBytes; extra > 0 {
		c.last = append(c.last[:0], c.last[extra:]...)
	}
	began, size := c.scan.runBegins(true), c.scan.size
	c.open = append(c.open[:0], c.scan.line...)
	_, _ = c.scan.Write(b) // it has no errors
	if begins := c.scan.runBegins(true); begins != began {
		if err := c.cutBack(); err != nil {
			return err
		}
		// The line that begins the run may have begun in what was taken before.
		if begins >= size {
			b = b[begins-size:]
		} else if _, err := c.file.Write(c.open); err != nil {
			return err
		}
	}
	_, err := c.file.Write(b)
	return err
}
