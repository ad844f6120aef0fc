package dashboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// maxTail is how many bytes of log LogTail returns; lines have no limit in Ray.
const maxTail = 1 << 20

// emptyLogs is how often a log must be empty to be believed.
const emptyLogs = 3

// AllLines asks Log for the whole log.
const AllLines = -1

// Log passes the last lines lines of what job j has written to read, as they come:
// nothing while its driver has no node yet. Where the request is repeated, read is
// called again with all of it. An error of read's own is returned as it is; a log
// that breaks off is an error, never a shorter log. Ray appends to the log of an id
// that is used again, so that the log of a short run may begin in an earlier one:
// each run begins with a line of job_manager.py, "Runtime env is setting up", where
// its driver runs on the head.
//
// GET /api/v0/logs/file?node_id=&filename=, since Ray 2.2. By node and file name,
// because Ray 2.60 refuses submission_id alone, and with a node it lists every job to
// find one that is known here. Ray reads no more than it can send: a log of 1 GiB
// takes 6 s and 25 MB of the head's memory, the last 1,000 lines of it 6 ms of its
// CPU.
//
// The other ways are worse on 2.60.0. GET /api/jobs/{id}/logs has no limit: a log of
// 100 MB takes 150 MB of the head's memory, twice. /api/v0/logs/stream, which goes
// on, is cut off after 300 s, and one that the client gives up holds its place until
// then: a hundred of them stop all of /api/v0. The WebSocket /logs/tail ends without
// a frame at a byte that is not UTF-8. None begins at an offset.
//
// A busy head may send an empty log, under status 200, of a file that is not there:
// once in twenty times on 2.60.0. The agent's error is lost on the way
// (state_manager.py, initial_metadata). So an empty one is asked for again.
func (c *Client) Log(ctx context.Context, j ray.Job, lines int, read func(io.Reader) error) error {
	if lines == 0 { // 1,000 to Ray
		return read(strings.NewReader(""))
	}
	if j.DriverNodeID == "" {
		return read(strings.NewReader(""))
	}
	v, err := c.rayVersion(ctx)
	if err != nil {
		return err
	}
	k := call{
		op: fmt.Sprintf("read the log of job %q", j.SubmissionID), method: http.MethodGet, path: "/api/v0/logs/file",
		query: url.Values{
			"node_id": {j.DriverNodeID}, "filename": {"job-driver-" + j.SubmissionID + ".log"}, "lines": {strconv.Itoa(lines)},
			// Ray's limit for the whole transfer, 30 s by default.
			"timeout": {"3600"},
		},
	}
	var own error
	var empty bool
	handle := func(_ *http.Response, body io.Reader) error {
		if v.Less(plainLogs) {
			body = &flagged{r: body, fail: func(message string) error {
				return &ray.Error{Kind: ray.KindServer, Op: k.op, Address: c.URL(), Status: http.StatusOK, Message: message}
			}}
		}
		sent := &sentReader{r: body}
		own = read(sent)
		if sent.err != nil {
			own = nil
			return sent.err
		}
		empty = sent.empty
		return own
	}
	for range emptyLogs {
		empty = false
		if err = c.do(ctx, k, handle); !empty {
			break
		}
	}
	if own != nil {
		return own
	}
	return err
}

// sentReader keeps how r ended: by an error of the answer's, not of who reads it, or
// without anything.
type sentReader struct {
	r     io.Reader
	err   error
	some  bool
	empty bool
}

// Read reads from r.
func (s *sentReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.some = s.some || n > 0
	switch {
	case errors.Is(err, io.EOF):
		s.empty = !s.some
	case err != nil:
		s.err = err
	}
	return n, err
}

// LogTail returns the last lines of what the job has written, at most 1 MiB; see
// Log.
func (c *Client) LogTail(ctx context.Context, id string, lines int) (string, error) {
	if lines <= 0 {
		return "", nil // -1 means the whole file to Ray
	}
	j, err := c.Job(ctx, id)
	if err != nil {
		return "", err
	}
	var tail string
	err = c.Log(ctx, j, lines, func(r io.Reader) error {
		b, cut, err := LastBytes(r, maxTail)
		if _, rest, ok := bytes.Cut(b, []byte("\n")); ok && cut {
			b = rest // from the start of a line
		}
		tail = strings.ToValidUTF8(string(b), "\uFFFD")
		return err
	})
	if err != nil {
		return "", err
	}
	return tail, nil
}

// LastBytes returns the last most bytes of r; cut is set where r has more.
func LastBytes(r io.Reader, most int) (b []byte, cut bool, err error) {
	b = make([]byte, 0, 32<<10)
	for {
		if len(b) == cap(b) {
			if len(b) >= 2*most {
				b = append(b[:0], b[len(b)-most:]...)
				cut = true
			} else {
				b = append(b, 0)[:len(b)]
			}
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, false, err
		}
	}
	if len(b) > most {
		b, cut = b[len(b)-most:], true
	}
	return b, cut, nil
}

// Touch makes the head notice the death of a job that still reads RUNNING after
// the head came back with its Redis: the agent only looks when something asks it
// about a job, and GET /api/jobs/{id}/logs (since Ray 2.0) is the one such
// question that changes nothing. The log is not read to the end. About 2 s later
// the job reads FAILED.
func (c *Client) Touch(ctx context.Context, id string) error {
	k := call{
		op: fmt.Sprintf("look after job %q", id), method: http.MethodGet, path: jobPath(id) + "/logs", missing: fmt.Sprintf(textNoJob, id),
	}
	if err := checkID(k.op, id); err != nil {
		return err
	}
	return c.do(ctx, k, func(_ *http.Response, body io.Reader) error {
		_, err := io.CopyN(io.Discard, body, 16)
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
}

// plainLogs is the first Ray whose state API sends logs as they are. Up to 2.44
// each chunk begins with a byte that says whether it is log ("1") or an error
// ("0"), under status 200 in both cases (state_head.py, get_logs).
var plainLogs = ray.Version{2, 45, 0}

// flaggedChunk is the size of those chunks, without the byte: BLOCK_SIZE of
// log_agent.py. Only the last one is shorter.
const flaggedChunk = 64 << 10

// flagged takes the flag bytes out of a stream of such chunks.
type flagged struct {
	r    io.Reader
	left int // of the present chunk
	fail func(message string) error
}

// Read reads log.
func (f *flagged) Read(b []byte) (int, error) {
	if f.left == 0 {
		var flag [1]byte
		if _, err := io.ReadFull(f.r, flag[:]); err != nil {
			return 0, err
		}
		if flag[0] != '1' {
			rest, err := io.ReadAll(io.LimitReader(f.r, maxErrorBody))
			if err != nil {
				return 0, err
			}
			return 0, f.fail(lastLine(string(rest)))
		}
		f.left = flaggedChunk
	}
	n, err := f.r.Read(b[:min(len(b), f.left)])
	f.left -= n
	return n, err
}
