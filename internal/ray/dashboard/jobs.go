package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

const jobsPath = "/api/jobs/" // without the last slash it is a 404

func jobPath(id string) string { return jobsPath + url.PathEscape(id) }

// jobRow is a job as the Jobs API writes it.
type jobRow struct {
	JobID          *string           `json:"job_id"`
	SubmissionID   *string           `json:"submission_id"`
	Status         ray.JobStatus     `json:"status"`
	Entrypoint     string            `json:"entrypoint"`
	Message        *string           `json:"message"`
	ErrorType      *string           `json:"error_type"`
	StartTime      int64             `json:"start_time"`
	EndTime        *int64            `json:"end_time"`
	Metadata       map[string]string `json:"metadata"`
	RuntimeEnv     json.RawMessage   `json:"runtime_env"`
	DriverNodeID   *string           `json:"driver_node_id"`
	DriverExitCode *int              `json:"driver_exit_code"`
}

func (r jobRow) job() ray.Job {
	j := ray.Job{
		SubmissionID: value(r.SubmissionID), JobID: value(r.JobID), Status: r.Status, Entrypoint: r.Entrypoint,
		Message: value(r.Message), ErrorType: value(r.ErrorType), StartTime: millis(r.StartTime), EndTime: millis(value(r.EndTime)),
		Metadata: r.Metadata, DriverNodeID: value(r.DriverNodeID), DriverExitCode: r.DriverExitCode,
	}
	if string(r.RuntimeEnv) != "null" {
		j.RuntimeEnv = r.RuntimeEnv
	}
	return j
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Job asks for one job. GET /api/jobs/{id}, since Ray 2.0. id is a submission id;
// Ray also takes the hex id of a driver, and looks that up first, so callers that
// mean a submission compare SubmissionID. KindNotFound is Ray's own word that it
// has no such job. Values of env_vars are masked since Ray 2.59.
func (c *Client) Job(ctx context.Context, id string) (ray.Job, error) {
	k := call{
		op: fmt.Sprintf("read job %q", id), method: http.MethodGet, path: jobPath(id), redact: true, missing: fmt.Sprintf(textNoJob, id),
	}
	if err := checkID(k.op, id); err != nil {
		return ray.Job{}, err
	}
	var r jobRow
	if err := c.getJSON(ctx, k, &r); err != nil {
		return ray.Job{}, err
	}
	if r.Status == "" || (value(r.SubmissionID) != id && value(r.JobID) != id) {
		return ray.Job{}, &ray.Error{Kind: ray.KindProtocol, Op: k.op, Address: c.URL(), Message: "the answer is about another job, or not a job"}
	}
	return r.job(), nil
}

// ListJobs lists the submissions for which keep is true, all if it is nil, in
// Ray's order, which is none. GET /api/jobs/, since Ray 2.0. Ray has no filter
// and no pages: about 600 bytes a job, 1 to 2 s for 5,000. The answer is read as a
// stream; rows of drivers and of other submissions are dropped undecoded. An
// answer that breaks off is an error, never a shorter list.
func (c *Client) ListJobs(ctx context.Context, keep func(submissionID string) bool) ([]ray.Job, error) {
	var jobs []ray.Job
	k := call{op: "list the jobs", method: http.MethodGet, path: jobsPath, redact: true}
	err := c.do(ctx, k, func(_ *http.Response, body io.Reader) (err error) {
		jobs, err = decodeJobs(body, keep)
		return err
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

func decodeJobs(body io.Reader, keep func(string) bool) ([]ray.Job, error) {
	jobs := []ray.Job{}
	err := eachRow(body, func(raw json.RawMessage) error {
		var peek struct {
			SubmissionID *string `json:"submission_id"`
		}
		if err := json.Unmarshal(raw, &peek); err != nil {
			return err
		}
		id := value(peek.SubmissionID)
		if id == "" || (keep != nil && !keep(id)) {
			return nil
		}
		var r jobRow
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("job %q: %w", id, err)
		}
		jobs = append(jobs, r.job())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

// eachRow passes the members of a list to row, one at a time.
func eachRow(body io.Reader, row func(json.RawMessage) error) error {
	d := json.NewDecoder(body)
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.Join(errors.New("it is no list of jobs"), err)
	}
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if err := row(raw); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// Jobs lists what ran on the cluster for which keep is true: submissions, and drivers
// that nobody submitted, which have no SubmissionID and read SUCCEEDED however they
// ended. The runtime_env of each is dropped undecoded. GET /api/jobs/, since Ray 2.0;
// see ListJobs.
func (c *Client) Jobs(ctx context.Context, keep func(ray.Job) bool) ([]ray.Job, error) {
	var jobs []ray.Job
	k := call{op: "list the jobs", method: http.MethodGet, path: jobsPath, redact: true}
	err := c.do(ctx, k, func(_ *http.Response, body io.Reader) error {
		jobs = []ray.Job{}
		return eachRow(body, func(raw json.RawMessage) error {
			var r struct {
				jobRow
				RuntimeEnv dropped `json:"runtime_env"` // in place of jobRow's
			}
			if err := json.Unmarshal(raw, &r); err != nil {
				return err
			}
			if job := r.job(); keep(job) {
				jobs = append(jobs, job)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

// dropped is a member that is not decoded.
type dropped struct{}

// UnmarshalJSON drops b.
func (*dropped) UnmarshalJSON([]byte) error { return nil }

// Submit submits a job once. POST /api/jobs/, since Ray 2.0. KindConflict: a job
// with this id exists, so nothing was started by this call. OutcomeUnknown: the
// answer was lost, the job may run or start later; look before anything else.
func (c *Client) Submit(ctx context.Context, s ray.Submission) error {
	k := call{
		op: fmt.Sprintf("submit job %q", s.SubmissionID), method: http.MethodPost, path: jobsPath, json: s, conflict: textExists,
	}
	// Without an id Ray makes one up, and a lost answer loses the job.
	if err := checkID(k.op, s.SubmissionID); err != nil {
		return err
	}
	var v struct {
		SubmissionID string `json:"submission_id"`
	}
	if err := c.getJSON(ctx, k, &v); err != nil {
		return err
	}
	if v.SubmissionID != s.SubmissionID {
		return &ray.Error{
			Kind: ray.KindProtocol, Op: k.op, Address: c.URL(), OutcomeUnknown: true,
			Message: fmt.Sprintf("the answer is about job %q", v.SubmissionID),
		}
	}
	return nil
}

// Stop asks Ray to stop a job and returns at once. POST /api/jobs/{id}/stop, since
// Ray 2.0. stopping is false where the job's supervisor is gone: the job is over,
// or the head has restarted and has not noticed yet. Stopping again does no harm.
// A job that waits for resources answers true and stays PENDING, undeletable: when
// the resources come its entrypoint begins, and is stopped within a second; without
// them it fails 900 s after the submission (2.60.0).
func (c *Client) Stop(ctx context.Context, id string) (stopping bool, err error) {
	k := call{
		op: fmt.Sprintf("stop job %q", id), method: http.MethodPost, path: jobPath(id) + "/stop", missing: fmt.Sprintf(textNoJob, id),
	}
	if err := checkID(k.op, id); err != nil {
		return false, err
	}
	var v struct {
		Stopped *bool `json:"stopped"`
	}
	if err := c.getJSON(ctx, k, &v); err != nil {
		return false, err
	}
	if v.Stopped == nil {
		return false, &ray.Error{Kind: ray.KindProtocol, Op: k.op, Address: c.URL(), Message: `the answer has no "stopped"`, OutcomeUnknown: true}
	}
	return *v.Stopped, nil
}

// Delete removes the record of a job that is over; its log stays, and a new
// submission of the same id appends to it. DELETE /api/jobs/{id}, since Ray 2.2.
// KindConflict: the job is not over. KindNotFound: there is no such record.
//
// Ray monitors a job for 1 s after its end. A record deleted before comes back
// within that second as a FAILED one without metadata and start time, its entrypoint
// "Entrypoint not found."; a job submitted under its id within the second is failed
// before it runs (2.60.0: each time within 1.2 s of the end, never after 1.5 s).
func (c *Client) Delete(ctx context.Context, id string) error {
	k := call{
		op: fmt.Sprintf("delete job %q", id), method: http.MethodDelete, path: jobPath(id), missing: fmt.Sprintf(textNoJob, id), conflict: textNotOver,
	}
	if err := checkID(k.op, id); err != nil {
		return err
	}
	var v struct {
		Deleted bool `json:"deleted"`
	}
	if err := c.getJSON(ctx, k, &v); err != nil {
		return err
	}
	if !v.Deleted {
		return &ray.Error{Kind: ray.KindProtocol, Op: k.op, Address: c.URL(), Message: `the answer has no "deleted": true`, OutcomeUnknown: true}
	}
	return nil
}
