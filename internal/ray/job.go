package ray

import (
	"encoding/json"
	"time"
)

// JobStatus is the status of a submission, as Ray's Jobs API spells it.
type JobStatus string

// The five statuses of Ray's Jobs API.
const (
	JobPending   JobStatus = "PENDING"
	JobRunning   JobStatus = "RUNNING"
	JobStopped   JobStatus = "STOPPED"
	JobSucceeded JobStatus = "SUCCEEDED"
	JobFailed    JobStatus = "FAILED"
)

// Terminal reports whether a job of this status is over.
func (s JobStatus) Terminal() bool {
	return s == JobStopped || s == JobSucceeded || s == JobFailed
}

// Submission is what is sent to POST /api/jobs/. Zero members are not sent: a
// Ray that does not know a member refuses the request.
type Submission struct {
	Entrypoint    string            `json:"entrypoint"`
	SubmissionID  string            `json:"submission_id"`
	RuntimeEnv    map[string]any    `json:"runtime_env,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	NumCPUs       *float64          `json:"entrypoint_num_cpus,omitempty"`
	NumGPUs       *float64          `json:"entrypoint_num_gpus,omitempty"`
	MemoryBytes   *int64            `json:"entrypoint_memory,omitempty"`         // since Ray 2.8
	Resources     Resources         `json:"entrypoint_resources,omitempty"`      // logical resources by name
	LabelSelector map[string]string `json:"entrypoint_label_selector,omitempty"` // since Ray 2.54
}

// Job is a job as Ray's Jobs API shows it (GET /api/jobs/{id}, since Ray 2.0).
type Job struct {
	// SubmissionID is empty for a driver that was not submitted.
	SubmissionID string
	// JobID is the hex id of the job's last driver. Empty until the driver calls
	// ray.init, and for ever for an entrypoint that never does.
	JobID      string
	Status     JobStatus
	Entrypoint string
	// Message is Ray's account of the status. For a failed entrypoint it holds
	// the last log lines, so it may hold secrets.
	Message string
	// ErrorType is a JobErrorType such as JOB_ENTRYPOINT_COMMAND_ERROR; set since
	// Ray 2.51 for jobs that failed.
	ErrorType string
	// StartTime is the moment of submission; EndTime is zero until the job is over.
	StartTime, EndTime time.Time
	Metadata           map[string]string
	// RuntimeEnv is what Ray returned, undecoded; env_vars may be redacted.
	RuntimeEnv   json.RawMessage
	DriverNodeID string
	// DriverExitCode is set where the entrypoint ended by itself; since Ray 2.9.
	DriverExitCode *int
}

// Redacted is what Ray shows in place of a secret value.
const Redacted = "<redacted>"
