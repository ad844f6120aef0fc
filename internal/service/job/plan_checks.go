package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// checkCluster says what an apply of a new job would meet: a job that is there
// already, a Ray that is too old, nodes that can't hold it.
//
// again is set for the second half of a replacement. Then, and where the state
// holds the job that was found, the job is destroyed first and runs again.
func (r *jobResource) checkCluster(ctx context.Context, plan *jobModel, in jobs.Inputs, again bool, diags *diag.Diagnostics) {
	cluster := r.checkable(ctx, plan, diags)
	if cluster == nil {
		return
	}
	d, err := cluster.Engine().Decide(ctx, jobs.Request{Inputs: in, Owner: r.Pool().Owner(), KeepFailed: plan.keepFailed()}, false)
	var foreign *jobs.ForeignError
	switch {
	case errors.As(err, &foreign):
		at := path.Root("name")
		if in.SubmissionID != "" {
			at = path.Root("submission_id")
		}
		fw.AddFinding(diags, r.Pool(), at, fmt.Sprintf("The id of job %s is taken", plan.label()), foreignDetail(foreign))
		return
	case err != nil:
		fw.AddWarning(diags, path.Empty(), fmt.Sprintf("Job %s could not be checked against the cluster", plan.label()), err)
		return
	case d.Adopt != nil && (again || recorded(cluster, d.ID)):
		warnReplaced(plan, d, diags)
	case d.Adopt != nil:
		r.warnAdopt(plan, d, diags)
		return
	case d.Failed != nil && !again && !recorded(cluster, d.Failed.SubmissionID):
		r.warnFailed(ctx, cluster, plan, d, diags)
	}
	r.checkRequirements(ctx, cluster, plan, in, diags)
}

// checkReplacement says what the new run of a replaced job would meet. The plan of
// a replacement is made in two halves, and core shows the warnings of the first.
func (r *jobResource) checkReplacement(ctx context.Context, plan, config *jobModel, diags *diag.Diagnostics) {
	if !plan.inputsKnown(ctx) {
		return
	}
	if cluster := r.checkable(ctx, plan, diags); cluster != nil {
		r.checkRequirements(ctx, cluster, plan, plan.inputs(ctx, config.SubmissionID.ValueString(), diags), diags)
	}
}

// checkable is the cluster to ask in a plan, or nil: a Ray Client session is a
// driver process on the head, which no plan opens.
func (r *jobResource) checkable(ctx context.Context, plan *jobModel, diags *diag.Diagnostics) *conn.Cluster {
	if r.Pool().PlanChecks() == conn.PlanChecksOff {
		return nil
	}
	cluster := r.cluster(ctx, plan, diags)
	if cluster == nil || cluster.NeedsSession() {
		return nil
	}
	return cluster
}

func (r *jobResource) checkRequirements(ctx context.Context, cluster *conn.Cluster, plan *jobModel, in jobs.Inputs, diags *diag.Diagnostics) {
	if err := r.supports(ctx, cluster, plan); err != nil {
		fw.AddFinding(diags, r.Pool(), path.Empty(), fmt.Sprintf("Job %s needs a newer Ray", plan.label()), err.Error())
	}
	r.checkCapacity(ctx, cluster, plan, in, diags)
}

func (r *jobResource) warnAdopt(plan *jobModel, d jobs.Decision, diags *diag.Diagnostics) {
	detail := fmt.Sprintf("Submission %s with the same owner, name and inputs is %s since %s. It will be taken over and waited for; nothing is submitted.", d.ID, d.Adopt.Status, stamp(d.Adopt.StartTime))
	if d.Adopt.Status.Terminal() {
		detail = fmt.Sprintf("Submission %s with the same owner, name and inputs ended %s at %s. It will be taken over; nothing will run. To run it again, change triggers.", d.ID, d.Adopt.Status, stamp(d.Adopt.EndTime))
	}
	diags.AddWarning(fmt.Sprintf("Job %s is on the cluster already", plan.label()), detail+ownerAdvice(r.Pool()))
}

// recordedKey holds the ids of jobs that the state has on a cluster, as the refresh of
// this plan saw them: core does not tell the plan of a tainted object what it replaces.
type recordedKey struct{}

// note remembers that the state holds m's job.
func (r *jobResource) note(ctx context.Context, m *jobModel) {
	if cluster := r.cluster(ctx, m, new(diag.Diagnostics)); cluster != nil {
		ids(cluster).Store(m.SubmissionID.ValueString(), m.claimID(ctx))
	}
}

func recorded(cluster *conn.Cluster, id string) bool {
	_, ok := ids(cluster).Load(id)
	return ok
}

// recordedRuns is how many runs of a sequence of attempts the state holds.
func recordedRuns(cluster *conn.Cluster, base string) int {
	n := 0
	ids(cluster).Range(func(_, b any) bool {
		if b == base {
			n++
		}
		return true
	})
	return n
}

func ids(cluster *conn.Cluster) *sync.Map {
	m, _ := cluster.Value(recordedKey{}, func() any { return new(sync.Map) }).(*sync.Map)
	return m
}

// warnReplaced: the run that was found is the state's own.
func warnReplaced(plan *jobModel, d jobs.Decision, diags *diag.Diagnostics) {
	diags.AddWarning(fmt.Sprintf("Job %s will run again", plan.label()),
		fmt.Sprintf("Submission %s, %s, is the one in the state. It is replaced: first on_destroy is carried out on it, then the job is submitted anew as the next attempt. (With create_before_destroy and the same inputs it is taken over instead, and nothing runs: change triggers.)", d.ID, d.Adopt.Status))
}

// warnFailed: a run that no state holds ended badly, as after an apply that stopped
// waiting for it.
func (r *jobResource) warnFailed(ctx context.Context, cluster *conn.Cluster, plan *jobModel, d jobs.Decision, diags *diag.Diagnostics) {
	w := waiting{resource: r, engine: cluster.Engine(), model: plan, run: jobs.Run{ID: d.Failed.SubmissionID}}
	diags.AddWarning(fmt.Sprintf("Job %s will run again", plan.label()),
		fmt.Sprintf("An earlier run with the same owner, name and inputs %s. It will be submitted again as %s.\n%s", ended(*d.Failed), d.ID, w.account(ctx, *d.Failed)))
}

// ownerAdvice: without an owner, any other configuration without one that has a
// job of this name and these inputs would be taken for this one.
func ownerAdvice(pool *conn.Pool) string {
	if pool.Owner() != "" {
		return ""
	}
	return " The provider has no owner, so a job of another configuration with the same name and inputs would be taken over alike: set owner in the provider's configuration."
}

func foreignDetail(e *jobs.ForeignError) string {
	return fmt.Sprintf("Submission %q is there already: %s, entrypoint %q, submitted %s. It was not submitted by this configuration: %s. Choose another name or submission_id, or delete that job.",
		e.ID, e.Job.Status, e.Job.Entrypoint, stamp(e.Job.StartTime), e.Reason)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

// supports gates what a Ray may be too old for. A Ray refuses a request with a
// member that it does not know.
func (r *jobResource) supports(ctx context.Context, cluster *conn.Cluster, plan *jobModel) error {
	if len(plan.LabelSelector.Elements()) > 0 {
		if err := cluster.Require(ctx, "entrypoint_label_selector", ray.Version{2, 54, 0}); err != nil {
			return err
		}
	}
	if plan.retries() && fullyKnown(ctx, plan.Retry) && len(plan.retry(ctx, new(diag.Diagnostics)).ExitCodes) == 0 {
		if err := cluster.Require(ctx, "retry by error_types", ray.Version{2, 51, 0}); err != nil {
			return err
		}
	}
	if !plan.Memory.IsNull() {
		return cluster.Require(ctx, "entrypoint_memory", ray.Version{2, 8, 0})
	}
	return nil
}

// checkCapacity warns where no node of today could ever hold the entrypoint; an
// autoscaler may still bring one.
func (r *jobResource) checkCapacity(ctx context.Context, cluster *conn.Cluster, plan *jobModel, in jobs.Inputs, diags *diag.Diagnostics) {
	if short := shortage(ctx, cluster, in); short != "" {
		diags.AddWarning(fmt.Sprintf("No node can hold the entrypoint of job %s now", plan.label()),
			fmt.Sprintf("It %s\nUnless the cluster grows, the job stays PENDING until Ray gives it up after 15 minutes.", short))
	}
}

// shortage says what the entrypoint asks for and what the nodes have, where no node
// has enough; else, and where the cluster can't be asked, it is empty.
func shortage(ctx context.Context, cluster *conn.Cluster, in jobs.Inputs) string {
	wants := ray.Resources{}
	wants.Add(in.Resources)
	if in.NumCPUs != nil {
		wants["CPU"] = *in.NumCPUs
	}
	if in.NumGPUs != nil {
		wants["GPU"] = *in.NumGPUs
	}
	if in.MemoryBytes != nil {
		wants["memory"] = float64(*in.MemoryBytes)
	}
	if len(wants) == 0 {
		return ""
	}
	nodes, _, err := cluster.Nodes(ctx)
	if err != nil {
		return "" // the look-up of the job said what there is to say
	}
	var lines []string
	for _, node := range nodes {
		if !node.Alive() {
			continue
		}
		if fits(wants, node.Total) {
			return ""
		}
		lines = append(lines, fmt.Sprintf("%s: %s", shortID(node.NodeID), amounts(node.Total, wants.Names())))
	}
	return fmt.Sprintf("asks for %s; the nodes have\n  %s", amounts(wants, wants.Names()), strings.Join(lines, "\n  "))
}

func fits(wants, has ray.Resources) bool {
	for name, v := range wants {
		if has[name] < v {
			return false
		}
	}
	return true
}

func amounts(r ray.Resources, names []string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("%s %g", n, r[n])
	}
	return strings.Join(parts, ", ")
}

func shortID(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
