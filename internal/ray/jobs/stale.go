package jobs

import (
	"context"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// A head that comes back with its Redis knows its jobs, and those that ran when it
// died read RUNNING until somebody asks its agent about a job (Ray 2.60: the agent
// makes its job manager at the first such request). The supervisor of a job on the
// head's own node died with that node, so a RUNNING job whose driver's node is not
// alive is a stale record. One whose driver is on a worker goes on, and its
// supervisor writes how it ended.
//
// A job that was PENDING then has lost its supervisor before it began, and stays
// PENDING for ever: logs that are not there yet reach no agent, only a stop does. Where
// no supervisor lives it stops nothing, and from then on Ray's monitor looks after the
// job, and gives it up 15 minutes after its submission, as any that did not start
// (RAY_JOB_START_TIMEOUT_SECONDS).
const (
	// staleAfter is how often a wait looks whether a RUNNING job's node is alive, after
	// how long it looks after a PENDING one, and how long that must have no supervisor.
	staleAfter = 10 * time.Second
	// nodesFor is how long a list of nodes serves.
	nodesFor = 5 * time.Second
	// reconciled is how long the agent takes to find out, once it was asked: 1 to 2 s.
	reconciled = 4 * time.Second
)

// orphaned reports whether the node of a RUNNING job's driver is not alive. Where
// the nodes can't be listed there is no sign of it.
func (e *Engine) orphaned(ctx context.Context, job ray.Job) bool {
	if job.Status != ray.JobRunning || job.DriverNodeID == "" {
		return false
	}
	now := time.Now()
	nodes, err := e.aliveNodes(ctx, now.Add(-min(nodesFor, e.staleAfter)))
	if err == nil && !nodes.ids[job.DriverNodeID] {
		nodes, err = e.aliveNodes(ctx, now) // the node may have joined since the list was made
	}
	return err == nil && len(nodes.ids) > 0 && !nodes.ids[job.DriverNodeID]
}

// nodes are those that were alive at a time.
type nodes struct {
	at  time.Time
	ids map[string]bool
	// headSince is when the head among them had started; zero where Ray does not tell.
	headSince time.Time
}

// aliveNodes are the nodes that were alive at some time after since.
func (e *Engine) aliveNodes(ctx context.Context, since time.Time) (nodes, error) {
	select {
	case e.nodesLock <- struct{}{}:
		defer func() { <-e.nodesLock }()
	case <-ctx.Done():
		return nodes{}, e.canceled(ctx, "list the nodes")
	}
	if e.nodes.at.After(since) {
		return e.nodes, nil
	}
	alive := nodes{at: time.Now(), ids: map[string]bool{}}
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return nodes{}, err
	}
	list, err := api.Nodes(ctx)
	if err != nil {
		return nodes{}, err
	}
	for _, n := range list {
		if !n.Alive() {
			continue
		}
		alive.ids[n.NodeID] = true
		if n.Head {
			alive.headSince = n.StartedAt
		}
	}
	e.nodes = alive
	return alive, nil
}

// outlived reports whether the job was submitted to an earlier head than the one that
// answers now; also where Ray does not tell when that started.
func (e *Engine) outlived(ctx context.Context, job ray.Job) (bool, error) {
	nodes, err := e.aliveNodes(ctx, time.Now().Add(-nodesFor))
	return err == nil && (nodes.headSince.IsZero() || job.StartTime.Before(nodes.headSince)), err
}

// Reconcile has Ray look after a job that reads RUNNING although its node is gone,
// and returns the job as it is then. It never stops a job. Where Ray does not look
// (it asks the agent that the job's record names, which has gone if the head came
// back under another address), the job stays RUNNING and gone is true.
func (e *Engine) Reconcile(ctx context.Context, job ray.Job) (now ray.Job, gone bool, err error) {
	if !e.orphaned(ctx, job) {
		return job, false, nil
	}
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return job, true, err
	}
	patience := reconciled
	if api.Touch(ctx, job.SubmissionID) != nil {
		patience = 0 // nobody was asked
	}
	for start := time.Now(); ; {
		now, err := e.Get(ctx, job.SubmissionID)
		if err != nil {
			return job, true, err
		}
		if now.Status != ray.JobRunning {
			return now, false, nil
		}
		if time.Since(start) >= patience {
			return now, true, nil
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return now, true, e.canceled(ctx, "wait for Ray to look after job "+job.SubmissionID)
		}
	}
}

// unborn is what a wait knows of a PENDING job's supervisor.
type unborn struct {
	// next is when to look whether it lives.
	next time.Time
	// missed is set where it did not live at the last look, rest where it does, and told
	// where Ray was told to look after the job.
	missed, rest, told bool
}

// textUnborn is said of a job whose supervisor died with the head.
const textUnborn = "The head was restarted before the job began, and nothing of it will run. Ray still calls it PENDING, and gives it up 15 minutes after its submission, unless RAY_JOB_START_TIMEOUT_SECONDS says otherwise."

// lookAfter has Ray look after a PENDING job that has no supervisor.
func (w *wait) lookAfter(ctx context.Context) {
	u := &w.unborn
	if w.last.Status != ray.JobPending {
		*u = unborn{}
		return
	}
	if u.told {
		w.last.Message = textUnborn
		return
	}
	now := time.Now()
	if u.next.IsZero() {
		u.next = now.Add(w.engine.staleAfter)
	}
	if u.rest || now.Before(u.next) {
		return
	}
	u.next = now.Add(w.engine.staleAfter)
	lost, err := w.engine.unborn(ctx, w.last)
	switch {
	case err != nil: // the next look says what is wrong
	case !lost:
		u.missed, u.rest = false, true
	case !u.missed:
		u.missed = true // a supervisor may be just about to be made
	default:
		if api, err := w.engine.o.Dashboard(ctx); err == nil {
			_, err := api.Stop(ctx, w.run.ID)
			if u.told = err == nil; u.told {
				w.last.Message = textUnborn
			}
		}
	}
}

// unborn reports whether a PENDING job has no supervisor, and was submitted to an
// earlier head.
func (e *Engine) unborn(ctx context.Context, job ray.Job) (bool, error) {
	before, err := e.outlived(ctx, job)
	if err != nil || !before {
		return false, err
	}
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return false, err
	}
	alive, err := api.SupervisorAlive(ctx, job.SubmissionID)
	return !alive, err
}
