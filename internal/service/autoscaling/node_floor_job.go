package autoscaling

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// script makes and removes placement groups. Its one argument is a task; its last
// line says in JSON what became of each name: created, found, removed or gone.
//
//go:embed node_floor.py
var script string

// scriptVar carries the script, so that the entrypoint is one line: Ray writes it to
// the job's log.
const scriptVar = "NODE_FLOOR"

// task is what a job is to do, in this order.
type task struct {
	Create []newGroup `json:"create"`
	Remove []string   `json:"remove"`
}

type newGroup struct {
	Name          string            `json:"name"`
	Count         int64             `json:"count"`
	Bundle        ray.Resources     `json:"bundle"`
	LabelSelector map[string]string `json:"label_selector"`
}

// news are the placement groups to make for the groups.
func (f *floor) news(groups []group) []newGroup {
	out := make([]newGroup, 0, len(groups))
	for _, g := range groups {
		out = append(out, newGroup{f.placementName(g), g.count, g.bundle.Resources, g.bundle.LabelSelector})
	}
	return out
}

// tailLines is how much of its log is shown of a job that failed.
const tailLines = 20

// do has a job carry out the task. A job of an earlier apply that does the same is
// waited for where it runs, and not believed where it is over: what it did may have
// been undone since.
func (f *floor) do(ctx context.Context, t task) error {
	argument, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("write the job's task: %w", err)
	}
	engine := f.cluster.Engine()
	request := jobs.Request{
		Inputs: jobs.Inputs{
			Name:       f.jobName(),
			Entrypoint: `python -c "$` + scriptVar + `" ` + ray.ShellJoin([]string{string(argument)}),
			RuntimeEnv: map[string]any{"env_vars": map[string]any{scriptVar: script}},
		},
		Owner: f.owner, Metadata: f.metadata, Uncounted: true,
	}
	for {
		run, err := engine.Submit(ctx, request)
		f.touched = f.touched || err == nil || ray.OutcomeUnknown(err)
		if err != nil {
			return err
		}
		if run.Adopted && run.Job.Status.Terminal() {
			if err := engine.Discard(ctx, run, run.Job); err != nil {
				return err
			}
			continue
		}
		if run.Adopted { // by an apply that runs beside this one, or was cut off
			for _, g := range t.Create {
				f.adopted = append(f.adopted, g.Name)
			}
		}
		job, verdict, err := engine.Wait(ctx, run, jobs.Succeeded, nil)
		switch verdict {
		case jobs.Reached:
			f.forget(ctx, engine, run, job)
			return nil
		case jobs.Missing:
			// An apply that waits for the same job deletes its record once it is done: what
			// came of it is on the cluster.
			return nil
		case jobs.Interrupted, jobs.Deadline:
			return context.Cause(ctx)
		case jobs.Ended:
			return f.failed(ctx, engine, job)
		case jobs.LostContact:
			return err
		}
		return fmt.Errorf("job %s, which was to change the placement groups, was lost before its end: its node or its cluster is gone", run.ID)
	}
}

func (f *floor) jobName() string { return "ray_autoscaling_policy." + f.policy }

// stopTimeout is how long a job that changes placement groups may take to stop: it has
// no children.
const stopTimeout = 30 * time.Second

// stopJobs stops the jobs that earlier applies did not wait for, since an interrupt or a
// kill leaves them running: what is removed they might make again.
func (f *floor) stopJobs(ctx context.Context) error {
	engine := f.cluster.Engine()
	runs, err := engine.Unfinished(ctx, f.owner, f.jobName())
	if err != nil {
		return err
	}
	for _, run := range runs {
		job, err := engine.Stop(ctx, run, stopTimeout)
		switch {
		case ray.IsKind(err, ray.KindNotFound): // an apply that waited for it has deleted its record
		case err != nil:
			return fmt.Errorf("an earlier apply left job %s, which may still make placement groups: %w", run.ID, err)
		default:
			f.forget(ctx, engine, run, job)
		}
	}
	return nil
}

// forget deletes the record of a job that is done, and those of its failed attempts,
// while the nodes are waited for: a record can't be deleted for good in the first
// seconds after the job's end.
func (f *floor) forget(ctx context.Context, engine *jobs.Engine, run jobs.Run, job ray.Job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	f.ends.Go(func() {
		defer cancel()
		err := engine.Discard(ctx, run, job)
		for _, e := range run.Earlier {
			stamp, _ := jobs.StampOf(e.Metadata)
			_, more := engine.End(ctx, jobs.Ref{ID: e.SubmissionID, ClusterID: run.ClusterID, Stamp: stamp, EndTime: e.EndTime}, true, 0)
			err = errors.Join(err, more)
		}
		if err != nil {
			tflog.Warn(ctx, "the record of a finished job was not deleted", map[string]any{"submission_id": run.ID, "error": err.Error()})
		}
	})
}

// failed is the account of a job that did not do its task.
func (f *floor) failed(ctx context.Context, engine *jobs.Engine, job ray.Job) error {
	if s, err := f.look(ctx); err == nil {
		f.touched = len(s.own) > 0 // it may have made some
	}
	tail, err := engine.Tail(ctx, job.SubmissionID, tailLines, nil)
	if err != nil || strings.TrimSpace(tail) == "" {
		tail, _, _ = strings.Cut(job.Message, "\n")
	}
	return fmt.Errorf("job %s, which was to change the placement groups, is %s. It runs Python with Ray on the head. The last lines of its log:\n\n%s\n\nIts record stays until an apply succeeds", job.SubmissionID, job.Status, "  "+strings.ReplaceAll(strings.TrimSpace(tail), "\n", "\n  "))
}
