package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// gate is one wait for many jobs.
type gate struct {
	engine  *jobs.Engine
	secrets *secrets
	// clusterID is the cluster's when the wait begins; empty where it is not known.
	clusterID string
	// need of the jobs must succeed.
	need     int
	failFast bool
	// lines of a failed job's log go into the error.
	lines int
	// passed are known to have succeeded: nobody is asked about them.
	passed []string

	statuses map[string]string
	failed   []ray.Job
	succeed  int
}

// arrival is a job whose wait has ended.
type arrival struct {
	id      string
	job     ray.Job
	verdict jobs.Verdict
	err     error
}

// passes waits for the jobs and records how it ended; false comes with an error.
func (m *waitModel) passes(ctx context.Context, g *gate, ids []string, limit time.Duration, diags *diag.Diagnostics) bool {
	if diags.HasError() {
		return false
	}
	waitCtx, cancel := context.WithCancel(ctx)
	if limit > 0 {
		waitCtx, cancel = context.WithTimeoutCause(ctx, limit, jobs.ErrDeadline)
	}
	defer cancel()
	last := g.wait(waitCtx, ids)
	if g.succeed >= g.need {
		m.record(ctx, g, diags)
		return !diags.HasError()
	}
	detail := g.account(ctx, len(ids))
	switch last.verdict {
	case jobs.Interrupted:
		diags.AddError("The wait for jobs was interrupted", detail+"\nThe jobs were left as they are. The next apply waits on.")
	case jobs.Deadline:
		diags.AddAttributeError(path.Root("timeouts"), fmt.Sprintf("The jobs are not over after %s", limit), detail+"\nThey go on. The next apply waits on.")
	case jobs.LostContact:
		fw.AddError(diags, path.Empty(), "Lost contact while waiting for jobs", fmt.Errorf("%s\nThe jobs may go on. The next apply waits on: %w", detail, last.err))
	default:
		diags.AddError("Too few jobs succeeded", detail+"\nThe next apply waits again. Jobs that are over do not run again by themselves: replace them, or change their inputs.")
	}
	return false
}

// wait waits until the gate is decided, and returns the last arrival: the one that
// decided it, or the reason why nobody waits any longer.
func (g *gate) wait(ctx context.Context, ids []string) (last arrival) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.statuses = make(map[string]string, len(ids))
	arrivals := make(chan arrival)
	var waits sync.WaitGroup
	defer waits.Wait()
	defer cancel() // before the waits are waited for
	open := 0
	for _, id := range ids {
		if slices.Contains(g.passed, id) {
			g.statuses[id] = string(ray.JobSucceeded)
			g.succeed++
			continue
		}
		g.statuses[id] = string(ray.JobPending)
		open++
		waits.Go(func() {
			job, verdict, err := g.engine.Wait(ctx, jobs.Run{ID: id, ClusterID: g.clusterID}, jobs.Succeeded, nil)
			select {
			case arrivals <- arrival{id, job, verdict, err}:
			case <-ctx.Done():
			}
		})
	}
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for open > 0 && g.succeed < g.need {
		select {
		case last = <-arrivals:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), jobs.ErrDeadline) {
				return arrival{verdict: jobs.Deadline}
			}
			return arrival{verdict: jobs.Interrupted}
		case <-tick.C:
			tflog.Info(ctx, "waiting for the Ray jobs", map[string]any{"open": open, "succeeded": g.succeed, "failed": len(g.failed), "required": g.need})
			continue
		}
		open--
		switch last.verdict {
		case jobs.Reached:
			g.succeed++
			g.statuses[last.id] = string(last.job.Status)
			continue
		case jobs.Ended, jobs.NodeGone:
			g.statuses[last.id] = string(last.job.Status)
		case jobs.Missing:
			g.statuses[last.id] = statusMissing
		case jobs.Replaced:
			g.statuses[last.id] = statusClusterReplaced
		default:
			return last
		}
		last.job.SubmissionID = last.id
		g.failed = append(g.failed, last.job)
		if g.failFast && g.succeed+open < g.need {
			return last
		}
	}
	return last
}

// Bounds of an error's text.
const (
	maxTails  = 5
	maxListed = 25
)

// account tells how the jobs stand, the failed ones first.
func (g *gate) account(ctx context.Context, all int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d jobs succeeded, %d are required; %d ended without success.\n", g.succeed, all, g.need, len(g.failed))
	slices.SortFunc(g.failed, func(a, b ray.Job) int { return strings.Compare(a.SubmissionID, b.SubmissionID) })
	for i, job := range g.failed {
		if i == maxListed {
			fmt.Fprintf(&b, "  ... and %d more\n", len(g.failed)-i)
			break
		}
		b.WriteString("  " + g.failure(job) + "\n")
		if i < maxTails {
			b.WriteString(g.tail(ctx, job))
		}
	}
	if open := g.open(); len(open) > 0 {
		shown := open[:min(len(open), maxListed)]
		fmt.Fprintf(&b, "Not over: %s", strings.Join(shown, ", "))
		if more := len(open) - len(shown); more > 0 {
			fmt.Fprintf(&b, " and %d more", more)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// open are the jobs that were not over when the wait ended.
func (g *gate) open() []string {
	over := g.failedIDs()
	var out []string
	for _, id := range slices.Sorted(maps.Keys(g.statuses)) {
		if g.statuses[id] != string(ray.JobSucceeded) && !slices.Contains(over, id) {
			out = append(out, id)
		}
	}
	return out
}

// failedIDs are the jobs that came to an end without success, sorted.
func (g *gate) failedIDs() []string {
	out := make([]string, len(g.failed))
	for i, job := range g.failed {
		out[i] = job.SubmissionID
	}
	slices.Sort(out)
	return out
}

func (g *gate) failure(job ray.Job) string {
	switch g.statuses[job.SubmissionID] {
	case statusMissing:
		return job.SubmissionID + " MISSING: Ray has no record of it; it was deleted, or submitted to another cluster"
	case statusClusterReplaced:
		return job.SubmissionID + " CLUSTER_REPLACED: another cluster answers now"
	case string(ray.JobRunning):
		return job.SubmissionID + " RUNNING, but its node is gone, and nothing of it runs: " + job.DriverNodeID
	}
	out := job.SubmissionID + " " + ended(job)
	if job.ErrorType != "" {
		out += ", " + job.ErrorType
	}
	return out
}

// tail is the end of a failed job's log, where it can't hold a secret that nobody
// here knows.
func (g *gate) tail(ctx context.Context, job ray.Job) string {
	if g.lines == 0 || !job.Status.Terminal() || ctx.Err() != nil {
		return ""
	}
	hidden, known := g.secrets.of(job.SubmissionID)
	if !known && hasVars(job) {
		return fmt.Sprintf("    its log may show the values of its env_vars, which this apply does not know: ray job logs %s\n", job.SubmissionID)
	}
	tail, err := g.engine.Tail(ctx, job.SubmissionID, g.lines, hidden)
	switch {
	case err != nil:
		return fmt.Sprintf("    its log could not be read: %v\n", err)
	case strings.TrimSpace(tail) == "":
		return ""
	}
	return "    " + strings.ReplaceAll(strings.TrimRight(tail, "\n"), "\n", "\n    ") + "\n"
}

// hasVars reports whether a job has environment variables of its user's.
func hasVars(job ray.Job) bool {
	var env struct {
		Vars map[string]json.RawMessage `json:"env_vars"`
	}
	if len(job.RuntimeEnv) > 0 && json.Unmarshal(job.RuntimeEnv, &env) != nil {
		return true
	}
	for name := range env.Vars {
		if !strings.HasPrefix(name, jobs.EnvPrefix) {
			return true
		}
	}
	return false
}
