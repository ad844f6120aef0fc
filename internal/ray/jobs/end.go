package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Ref is a job that an earlier process submitted.
type Ref struct {
	ID string
	// ClusterID is the cluster that took it, or empty where it was not known.
	ClusterID string
	// Stamp is what the job carries; a zero Digest is a job without a stamp.
	Stamp Stamp
	// EndTime is when the job ended, as far as it is known.
	EndTime time.Time
}

// Ending is what End did.
type Ending int

// Endings.
const (
	// EndedNow is a job that was stopped where it ran, and deleted if asked.
	EndedNow Ending = iota
	// EndedBefore is a job whose record was gone already.
	EndedBefore
	// NotOurs is another cluster, or another's job, in its place; nothing was done.
	NotOurs
	// OwnedHere is a job that a Create of this process took over; nothing was done.
	OwnedHere
)

// SameCluster reports whether the cluster that answers now is the one of that id;
// also where either id is not known, on Ray before 2.31.
func (e *Engine) SameCluster(ctx context.Context, id string) (bool, error) {
	now, err := e.clusterID(ctx)
	return now == "" || id == "" || now == id, err
}

// Release only lets the id go: the job runs on as it is.
func (e *Engine) Release(ctx context.Context, ref Ref) error {
	key, err := e.key(ctx)
	if err != nil {
		return err
	}
	e.o.Registry.Release(key, ref.ID)
	return nil
}

// End stops the job where it is not over, waits up to stopTimeout until it is, and
// deletes its record if remove is set. Another cluster's job is never touched: the
// cluster's id is compared first, and the job's stamp.
func (e *Engine) End(ctx context.Context, ref Ref, remove bool, stopTimeout time.Duration) (Ending, error) {
	same, err := e.SameCluster(ctx, ref.ClusterID)
	if err != nil {
		return EndedNow, err
	}
	if !same {
		return NotOurs, nil
	}
	key, err := e.key(ctx)
	if err != nil {
		return EndedNow, err
	}
	if !e.o.Registry.End(key, ref.ID) {
		return OwnedHere, nil
	}
	defer e.o.Registry.Release(key, ref.ID)
	asked := time.Now()
	job, err := e.record(ctx, ref.ID)
	if ray.IsKind(err, ray.KindNotFound) && asked.Sub(ref.EndTime) < e.settled {
		if err := e.settle(ctx, ref.ID, ref.EndTime); err != nil {
			return EndedNow, err
		}
		job, err = e.record(ctx, ref.ID) // a ghost may have come
	}
	switch {
	case ray.IsKind(err, ray.KindNotFound):
		return EndedBefore, nil
	case err != nil:
		return EndedNow, err
	case ghost(job):
		return EndedBefore, e.remove(ctx, ref.ID, job)
	case ref.Stamp.Digest != "" && !Ours(job, ref.Stamp):
		return NotOurs, nil
	}
	running := !job.Status.Terminal()
	job, err = e.stop(ctx, ref.ID, job, stopTimeout)
	if running {
		job.EndTime = time.Now() // by the clock that settle goes by
	}
	switch {
	case err != nil:
		return EndedNow, err
	case job.Status == "": // its record was deleted meanwhile
		return EndedNow, e.settle(ctx, ref.ID, job.EndTime)
	case !remove:
		return EndedNow, nil
	}
	return EndedNow, e.remove(ctx, ref.ID, job)
}

// Discard deletes the record of a run of this process that is over: what it was to do
// shows elsewhere.
func (e *Engine) Discard(ctx context.Context, run Run, job ray.Job) error {
	key, err := e.key(ctx)
	if err != nil {
		return err
	}
	e.o.Registry.Disown(key, run.ID)
	_, err = e.End(ctx, Ref{ID: run.ID, ClusterID: run.ClusterID, Stamp: run.Stamp, EndTime: job.EndTime}, true, 0)
	return err
}

// Unfinished are the runs of this owner and name, whatever their inputs, that may still
// do something: those that this process's list of the jobs has.
func (e *Engine) Unfinished(ctx context.Context, owner, name string) ([]Run, error) {
	clusterID, err := e.clusterID(ctx)
	if err != nil {
		return nil, err
	}
	list, err := e.stampedJobs(ctx, false)
	if err != nil {
		return nil, err
	}
	var out []Run
	for _, id := range slices.Sorted(maps.Keys(list)) {
		job := list[id]
		stamp, ok := StampOf(job.Metadata)
		if !ok || stamp.Owner != owner || stamp.Name != name || (job.Status.Terminal() && !doubtful(job)) {
			continue
		}
		job, err := e.Get(ctx, id)
		gone := false
		if err == nil {
			job, gone, err = e.Reconcile(ctx, job)
		}
		if err == nil && job.Status == ray.JobPending {
			gone, err = e.unborn(ctx, job)
		}
		switch {
		case ray.IsKind(err, ray.KindNotFound):
		case err != nil:
			return nil, err
		case !gone && !job.Status.Terminal():
			out = append(out, Run{ID: id, Attempt: stamp.Attempt, Stamp: stamp, ClusterID: clusterID, Adopted: true, Job: job})
		}
	}
	return out, nil
}

// Stop stops a run, which must still be this cluster's and ours, and waits up to
// timeout until it is over; it returns the job as it ended. Its errors are ErrReplaced,
// a *StopTimeoutError, and those of the cluster, of which KindNotFound is a record that
// is gone and KindCanceled the end of ctx after the stop was asked for.
func (e *Engine) Stop(ctx context.Context, run Run, timeout time.Duration) (ray.Job, error) {
	same, err := e.SameCluster(ctx, run.ClusterID)
	if err != nil {
		return ray.Job{}, err
	}
	if !same {
		return ray.Job{}, ErrReplaced
	}
	job, err := e.Get(ctx, run.ID)
	if err != nil {
		return ray.Job{}, err
	}
	if run.Stamp.Digest != "" && !Ours(job, run.Stamp) {
		return ray.Job{}, ErrReplaced
	}
	if job, err = e.stop(ctx, run.ID, job, timeout); err == nil && job.Status == "" {
		err = &ray.Error{Kind: ray.KindNotFound, Op: "stop job " + run.ID, Address: e.o.Address, Message: "its record was deleted meanwhile"}
	}
	return job, err
}

// settled is how long after a job's end its record can be deleted for good; see
// ghost. The next job under the id would be failed by the same agent.
const settled = 2500 * time.Millisecond

// settle waits until a job that ended then has settled. The end may lie in the future
// of this machine's clock; then all of the time is waited.
func (e *Engine) settle(ctx context.Context, id string, ended time.Time) error {
	since := max(time.Since(ended), 0)
	if since < e.settled && !sleep(ctx, e.settled-since) {
		return e.canceled(ctx, "delete job "+id)
	}
	return nil
}

// remove deletes the record of a job that is over.
func (e *Engine) remove(ctx context.Context, id string, job ray.Job) error {
	if err := e.settle(ctx, id, job.EndTime); err != nil {
		return err
	}
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return err
	}
	if err := api.Delete(ctx, id); err != nil && !ray.IsKind(err, ray.KindNotFound) {
		return err
	}
	return nil
}

// stop asks Ray to stop the job and waits until it is over. Ray's answer does not
// say that the job has ended, and a request may be lost with a restarting agent,
// so it is repeated every few seconds. It returns the job as it ended; a zero Job is
// one whose record is gone.
func (e *Engine) stop(ctx context.Context, id string, job ray.Job, timeout time.Duration) (ray.Job, error) {
	if job.Status.Terminal() {
		return job, nil
	}
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return job, err
	}
	start, asked, canceled := time.Now(), time.Time{}, false
	var last error
	for {
		if time.Since(asked) > 5*time.Second {
			asked = time.Now()
			// An agent that hangs must not hold this up for longer than it may take.
			request, cancel := context.WithTimeout(ctx, max(timeout-time.Since(start), time.Second))
			_, last = api.Stop(request, id)
			cancel()
			if ray.IsKind(last, ray.KindNotFound) {
				return ray.Job{}, nil
			}
		}
		if !sleep(ctx, interval(time.Since(start))) {
			if now, err := e.getLate(ctx, id); err == nil && now.Status.Terminal() {
				return now, nil
			}
			return job, &ray.Error{Kind: ray.KindCanceled, Op: "wait for job " + id + " to stop", Address: e.o.Address, Message: "the wait was given up after the job was asked to stop", Err: context.Cause(ctx)}
		}
		now, err := e.Get(ctx, id)
		switch {
		case ray.IsKind(err, ray.KindNotFound):
			return ray.Job{}, nil
		case err != nil:
			last = err
		case now.Status.Terminal():
			return now, nil
		default:
			job = now
		}
		if job.Status == ray.JobPending && !canceled && time.Since(start) > unplacedAfter {
			canceled, _ = e.cancelUnplaced(ctx, id) // else Ray's own stop has to do
		}
		if time.Since(start) > timeout {
			return job, &StopTimeoutError{ID: id, Status: job.Status, After: timeout, Err: last}
		}
	}
}

// unplacedAfter is how long a PENDING job that was asked to stop may take for it: the
// supervisor that is to stop it may just be starting.
const unplacedAfter = time.Second

// cancelUnplaced ends a job that waits for a node, where the GCS can be reached.
func (e *Engine) cancelUnplaced(ctx context.Context, id string) (bool, error) {
	if e.o.GCS == nil {
		return false, nil
	}
	client, err := e.o.GCS(ctx)
	if err != nil {
		return false, err
	}
	return client.CancelUnplaced(ctx, id)
}

// StopTimeoutError is a job that goes on although it was asked to stop.
type StopTimeoutError struct {
	ID     string
	Status ray.JobStatus
	// After is how long it was waited for.
	After time.Duration
	// Err is the last request that failed meanwhile, or nil.
	Err error
}

// Error says how the job is.
func (e *StopTimeoutError) Error() string {
	text := fmt.Sprintf("job %s is still %s %s after it was asked to stop", e.ID, e.Status, e.After)
	if e.Status == ray.JobPending { // Ray 2.60
		text += "; Ray stops a job that waits for resources once they come, or gives it up 15 minutes after its submission. Where the GCS port (6379) can be reached, the provider cancels it at once"
	}
	return text
}

// Unwrap returns the last failed request.
func (e *StopTimeoutError) Unwrap() error { return e.Err }
