package jobs

import (
	"context"
	"fmt"
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
	now, err := e.clusterID(ctx)
	if err != nil {
		return EndedNow, err
	}
	if now != "" && ref.ClusterID != "" && now != ref.ClusterID {
		return NotOurs, nil
	}
	key, err := e.key(ctx)
	if err != nil {
		return EndedNow, err
	}
	if !e.o.Registry.Release(key, ref.ID) {
		return OwnedHere, nil
	}
	job, err := e.record(ctx, ref.ID)
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
	if job, err = e.stop(ctx, ref.ID, job, stopTimeout); err != nil || !remove || job.Status == "" {
		return EndedNow, err
	}
	return EndedNow, e.remove(ctx, ref.ID, job)
}

// settled is how long after a job's end its record can be deleted for good; see
// ghost. The next job under the id would be failed by the same agent.
const settled = 2500 * time.Millisecond

// remove deletes the record of a job that is over.
func (e *Engine) remove(ctx context.Context, id string, job ray.Job) error {
	// The end may lie in the future of this machine's clock; then all of it is waited.
	if since := max(time.Since(job.EndTime), 0); since < e.settled {
		if !sleep(ctx, e.settled-since) {
			return e.canceled(ctx, "delete job "+id)
		}
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
// so it is repeated every few seconds. It returns the job as it ended, by this
// machine's clock; a zero Job is one whose record is gone.
func (e *Engine) stop(ctx context.Context, id string, job ray.Job, timeout time.Duration) (ray.Job, error) {
	if job.Status.Terminal() {
		return job, nil
	}
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return job, err
	}
	start, asked := time.Now(), time.Time{}
	var last error
	for {
		if time.Since(asked) > 5*time.Second {
			asked = time.Now()
			if _, last = api.Stop(ctx, id); ray.IsKind(last, ray.KindNotFound) {
				return ray.Job{}, nil
			}
		}
		if !sleep(ctx, interval(time.Since(start))) {
			return job, e.canceled(ctx, "wait for job "+id+" to stop")
		}
		now, err := e.Get(ctx, id)
		switch {
		case ray.IsKind(err, ray.KindNotFound):
			return ray.Job{}, nil
		case err != nil:
			last = err
		case now.Status.Terminal():
			now.EndTime = time.Now()
			return now, nil
		default:
			job = now
		}
		if time.Since(start) > timeout {
			message := fmt.Sprintf("still %s %s after it was asked to stop", job.Status, timeout)
			if job.Status == ray.JobPending { // Ray 2.60
				message += "; a job that waits for resources is stopped once they come, or given up 15 minutes after its submission"
			}
			return job, &ray.Error{Kind: ray.KindTimeout, Op: "stop job " + id, Address: e.o.Address, Err: last, Message: message}
		}
	}
}
