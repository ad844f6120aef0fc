package gcs

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
)

// jobKeyPrefix begins the keys of job records in namespace job (JobInfoStorageClient
// in dashboard/modules/job/common.py).
const jobKeyPrefix = "_ray_internal_job_info_"

// JobRecords returns the jobs whose submission id begins with idPrefix and that
// keep, if not nil, wants; sorted by id. Records that keep does not want are
// neither fetched nor decoded.
//
// A record is what Ray's job manager wrote last. It has no JobID, it stays
// RUNNING after a restart with Redis until someone asks the job's agent, and its
// runtime_env is not redacted. Two calls for any number up to 2,000 records;
// 1,000 of 5,000 took 2.6 ms on Ray 2.60, where one HTTP list took 0.8 s.
//
// InternalKVKeys and InternalKVMultiGet; the record has this form in Ray 2.9 already.
func (c *Client) JobRecords(ctx context.Context, idPrefix string, keep func(submissionID string) bool) ([]ray.Job, error) {
	keys, err := c.KVKeys(ctx, nsJob, jobKeyPrefix+idPrefix)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(keys))
	for _, key := range keys {
		if id := strings.TrimPrefix(key, jobKeyPrefix); keep == nil || keep(id) {
			ids = append(ids, id)
		}
	}
	return c.Jobs(ctx, ids)
}

// Jobs returns the records of the named jobs that exist, sorted by id; see
// JobRecords for what a record is.
func (c *Client) Jobs(ctx context.Context, ids []string) ([]ray.Job, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = jobKeyPrefix + id
	}
	values, err := c.KVMultiGet(ctx, nsJob, keys)
	if err != nil {
		return nil, err
	}
	jobs := make([]ray.Job, 0, len(values))
	for i, id := range ids {
		value, ok := values[keys[i]]
		if !ok {
			continue
		}
		job, err := decodeJob(id, value)
		if err != nil {
			return nil, c.protocolError("read the record of job "+id, "not the JSON that Ray writes", err)
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

// Name and namespace of a job's supervisor actor (dashboard/modules/job/common.py).
const (
	supervisorName      = "_ray_internal_job_actor_"
	supervisorNamespace = "SUPERVISOR_ACTOR_RAY_NAMESPACE"
)

// CancelUnplaced ends a job whose supervisor has no node yet: Ray's own stop waits
// until it has one. It does nothing, and is false, where the supervisor is placed
// or gone. Ray 2.60 failed such a job within a second as JOB_SUPERVISOR_ACTOR_DIED,
// its entrypoint not begun.
//
// ActorInfoGcsService/GetNamedActorInfo and KillActorViaGcs, in Ray 2.9 already.
func (c *Client) CancelUnplaced(ctx context.Context, id string) (bool, error) {
	op := "cancel job " + id
	reply, err := call(ctx, c, op, c.actors.GetNamedActorInfo,
		&raypb.GetNamedActorInfoRequest{Name: supervisorName + id, RayNamespace: supervisorNamespace})
	if ray.IsKind(err, ray.KindNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	supervisor := reply.GetActorTableData()
	switch supervisor.GetState() {
	case raypb.ActorTableData_DEPENDENCIES_UNREADY, raypb.ActorTableData_PENDING_CREATION:
	default:
		return false, nil
	}
	_, err = call(ctx, c, op, c.actors.KillActorViaGcs,
		&raypb.KillActorViaGcsRequest{ActorId: supervisor.GetActorId(), ForceKill: true, NoRestart: true})
	return err == nil, err
}

// record is JobInfo.to_json of dashboard/modules/job/common.py.
type record struct {
	Status         string            `json:"status"`
	Entrypoint     string            `json:"entrypoint"`
	Message        string            `json:"message"`
	ErrorType      string            `json:"error_type"`
	StartTime      int64             `json:"start_time"` // ms
	EndTime        int64             `json:"end_time"`   // ms
	Metadata       map[string]string `json:"metadata"`
	RuntimeEnvJSON string            `json:"runtime_env_json"`
	DriverNodeID   string            `json:"driver_node_id"`
	DriverExitCode *int              `json:"driver_exit_code"`
}

// decodeJob reads one record.
func decodeJob(id string, value []byte) (ray.Job, error) {
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return ray.Job{}, err
	}
	job := ray.Job{
		SubmissionID:   id,
		Status:         ray.JobStatus(r.Status),
		Entrypoint:     r.Entrypoint,
		Message:        r.Message,
		ErrorType:      r.ErrorType,
		Metadata:       r.Metadata,
		DriverNodeID:   r.DriverNodeID,
		DriverExitCode: r.DriverExitCode,
	}
	if r.StartTime > 0 {
		job.StartTime = time.UnixMilli(r.StartTime).UTC()
	}
	if r.EndTime > 0 {
		job.EndTime = time.UnixMilli(r.EndTime).UTC()
	}
	if r.RuntimeEnvJSON != "" {
		job.RuntimeEnv = json.RawMessage(r.RuntimeEnvJSON)
		if !json.Valid(job.RuntimeEnv) {
			return ray.Job{}, errBadRuntimeEnv
		}
	}
	if !knownStatus(job.Status) {
		return ray.Job{}, errBadStatus
	}
	return job, nil
}

// recordError is a record that parses but can't be Ray's.
type recordError string

// Error returns the reason.
func (e recordError) Error() string { return string(e) }

const (
	errBadRuntimeEnv recordError = "runtime_env_json is not JSON"
	errBadStatus     recordError = "unknown job status"
)

// knownStatus reports whether s is one of the Jobs API's five.
func knownStatus(s ray.JobStatus) bool {
	return s.Terminal() || s == ray.JobPending || s == ray.JobRunning
}
