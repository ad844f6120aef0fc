package dashboard

import (
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

// LogTail returns the last lines of what the job has written, at most 1 MiB;
// empty while its driver has no node yet. Ray appends to the log of an id that is
// used again, so that the tail of a short run may begin in an earlier one: each
// run begins with a line of job_manager.py, "Runtime env is setting up".
//
// GET /api/jobs/{id}, then GET /api/v0/logs/file?node_id=&filename=, since Ray 2.2.
// By node and file name, because Ray 2.60 refuses submission_id alone, and with a
// node it lists every job to find one that is known here. GET
// /api/jobs/{id}/logs has no limit: a log of 100 MB takes 150 MB of the head's
// memory, twice.
func (c *Client) LogTail(ctx context.Context, id string, lines int) (string, error) {
	if lines <= 0 {
		return "", nil // 0 and -1 mean the whole file to Ray
	}
	j, err := c.Job(ctx, id)
	if err != nil {
		return "", err
	}
	if j.DriverNodeID == "" {
		return "", nil
	}
	v, err := c.rayVersion(ctx)
	if err != nil {
		return "", err
	}
	k := call{
		op: fmt.Sprintf("read the log of job %q", id), method: http.MethodGet, path: "/api/v0/logs/file",
		query: url.Values{
			"node_id": {j.DriverNodeID}, "filename": {"job-driver-" + id + ".log"}, "lines": {strconv.Itoa(lines)},
		},
	}
	var tail string
	err = c.do(ctx, k, func(_ *http.Response, body io.Reader) error {
		if v.Less(plainLogs) {
			body = &flagged{r: body, fail: func(message string) error {
				return &ray.Error{Kind: ray.KindServer, Op: k.op, Address: c.URL(), Status: http.StatusOK, Message: message}
			}}
		}
		b, err := lastBytes(body, maxTail)
		tail = strings.ToValidUTF8(string(b), "\uFFFD")
		return err
	})
	if err != nil {
		return "", err
	}
	return tail, nil
}

// lastBytes returns the last most bytes of r, from the start of a line where r
// has more.
func lastBytes(r io.Reader, most int) ([]byte, error) {
	b := make([]byte, 0, 32<<10)
	cut := false
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
			return nil, err
		}
	}
	if len(b) > most {
		b, cut = b[len(b)-most:], true
	}
	if cut {
		if _, rest, ok := strings.Cut(string(b), "\n"); ok {
			return []byte(rest), nil
		}
	}
	return b, nil
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
