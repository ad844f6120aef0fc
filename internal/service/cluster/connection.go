package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

var (
	_ resource.ResourceWithConfigure   = (*connection)(nil)
	_ resource.ResourceWithModifyPlan  = (*connection)(nil)
	_ resource.ResourceWithImportState = (*connection)(nil)
)

// connection is ray_cluster_connection.
type connection struct{ fw.Resource }

func newConnection() resource.Resource {
	return &connection{fw.Resource{TypeName: "cluster_connection"}}
}

// Create proves the cluster and waits until it is ready. Nothing is made on the
// cluster, so that an error leaves nothing behind.
func (r *connection) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m connectionModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	limit, more := m.Timeouts.Create(ctx, defaultWait)
	resp.Diagnostics.Append(more...)
	if resp.Diagnostics.HasError() {
		return
	}
	c := r.cluster(&m, &resp.Diagnostics)
	if c == nil {
		return
	}
	s, ok := r.prove(ctx, c, &m, limit, &resp.Diagnostics)
	if !ok {
		return
	}
	m.ID = text(c.Address())
	m.setCluster(ctx, &resp.Diagnostics)
	m.record(s)
	m.ClusterID = s.clusterID
	m.setReady(ctx, nil, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Read notes what the cluster says of itself now. The recorded cluster_id stays:
// a replaced cluster is for ModifyPlan to show.
func (r *connection) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m connectionModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	c, err := r.Pool().Cluster(m.Target())
	if _, ok := errors.AsType[*conn.UnknownError](err); ok {
		return // planned before the cluster is known: what state holds stays
	}
	imported := m.ID.IsNull() || m.Cluster.IsNull()
	if err != nil && imported {
		fw.AddError(&resp.Diagnostics, m.where(), "The connection has no cluster", err)
		return
	}
	if err != nil {
		// This plan may just give the connection another address, or destroy it.
		fw.AddWarning(&resp.Diagnostics, m.where(), fmt.Sprintf("The cluster %s was not refreshed", m.label(r.Pool())), err)
		return
	}
	c.Hint(m.DashboardURLEffective.ValueString(), m.ClusterID.ValueString())
	s, err := observe(ctx, c)
	if err != nil {
		r.unreadable(&m, err, &resp.Diagnostics)
		return
	}
	m.record(s)
	if imported {
		m.ID = text(c.Address())
		m.setCluster(ctx, &resp.Diagnostics)
	}
	if m.ClusterID.IsNull() {
		m.ClusterID = s.clusterID
	}
	if w, ok := m.readyWhen(ctx, &resp.Diagnostics); ok && m.Watch.ValueBool() {
		m.setReady(ctx, w.missing(s.nodes), &resp.Diagnostics)
	} else if m.Ready.IsNull() {
		m.setReady(ctx, nil, &resp.Diagnostics)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// unreadable keeps the state in any case: a cluster that can't be asked is not
// one that is gone.
func (r *connection) unreadable(m *connectionModel, err error, diags *diag.Diagnostics) {
	what := "The cluster " + m.label(r.Pool())
	switch {
	case !ray.IsUnreachable(err), r.Pool().OnUnreachable() == conn.OnUnreachableKeep:
		r.AddRefreshError(diags, what, err)
	default:
		diags.AddError(what+" could not be refreshed", fw.Detail(err)+
			"\n\nThe state is kept. With on_unreachable = \"keep\" in the provider's configuration this is a warning; terraform destroy -refresh=false removes what is in state without asking the cluster first.")
	}
}

// Update proves the cluster anew where the plan changes what was proved.
func (r *connection) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state connectionModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	limit, more := plan.Timeouts.Update(ctx, defaultWait)
	resp.Diagnostics.Append(more...)
	if resp.Diagnostics.HasError() {
		return
	}
	if needsProof(&plan, &state) {
		c := r.cluster(&plan, &resp.Diagnostics)
		if c == nil {
			return
		}
		s, ok := r.prove(ctx, c, &plan, limit, &resp.Diagnostics)
		if !ok {
			return
		}
		if !plan.ClusterID.IsUnknown() && !plan.ClusterID.Equal(s.clusterID) {
			resp.Diagnostics.AddError(fmt.Sprintf("The cluster %s changed after the plan", plan.label(r.Pool())),
				fmt.Sprintf("The plan was made for cluster %s, and cluster %s answers now. Plan and apply again.", orNone(plan.ClusterID.ValueString()), orNone(s.clusterID.ValueString())))
			return
		}
		fillUnknown(&plan, s)
	}
	plan.setCluster(ctx, &resp.Diagnostics)
	plan.setReady(ctx, nil, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// needsProof is false for an update of watch and timeouts: it asks the cluster
// nothing.
func needsProof(plan, state *connectionModel) bool {
	return !plan.sameAddresses(state) ||
		!plan.ClusterID.Equal(state.ClusterID) ||
		!plan.RequiredRayVersion.Equal(state.RequiredRayVersion) ||
		waitsFor(plan, state)
}

// waitsFor reports whether the update is to wait for ready_when.
func waitsFor(plan, state *connectionModel) bool {
	return !plan.ReadyWhen.Equal(state.ReadyWhen) || !state.Ready.ValueBool()
}

// fillUnknown gives values to what the plan left open, and only to that.
func fillUnknown(plan *connectionModel, s seen) {
	if plan.ID.IsUnknown() {
		plan.ID = plan.Address
	}
	for _, v := range []struct {
		plan *types.String
		now  types.String
	}{
		{&plan.ClusterID, s.clusterID},
		{&plan.ObservedClusterID, s.clusterID},
		{&plan.SessionName, s.SessionName},
		{&plan.StartedAt, s.StartedAt},
		{&plan.RayVersion, s.RayVersion},
		{&plan.PythonVersion, s.PythonVersion},
		{&plan.AuthenticationMode, s.AuthenticationMode},
		{&plan.Autoscaler, s.Autoscaler},
		{&plan.HeadNodeID, s.HeadNodeID},
		{&plan.DashboardURLEffective, s.DashboardURLEffective},
		{&plan.GCSAddressEffective, s.GCSAddressEffective},
	} {
		if v.plan.IsUnknown() {
			*v.plan = v.now
		}
	}
}

// Delete only forgets: there is nothing of ours on the cluster.
func (r *connection) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// ImportState takes an address.
func (r *connection) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if err := conn.CheckAddress(req.ID, 0); err != nil {
		fw.AddError(&resp.Diagnostics, path.Empty(), "A connection is imported by an address of its cluster", err)
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("address"), req.ID)...)
}

// cluster is nil with an error in diags where there is none.
func (r *connection) cluster(m *connectionModel, diags *diag.Diagnostics) *conn.Cluster {
	c, err := r.Pool().Cluster(m.Target())
	if err != nil {
		fw.AddError(diags, m.where(), "The connection has no cluster", err)
		return nil
	}
	return c
}

// prove looks at the cluster until it is what m asks for. ok is false, with an
// error in diags, where it is not, or not in time.
func (r *connection) prove(ctx context.Context, c *conn.Cluster, m *connectionModel, limit time.Duration, diags *diag.Diagnostics) (seen, bool) {
	w, wait := m.readyWhen(ctx, diags)
	if diags.HasError() {
		return seen{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p := progress{label: m.label(r.Pool()), start: time.Now()}
	for {
		s, err := observe(ctx, c)
		if err == nil {
			if why := mismatch(m.RequiredRayVersion.ValueString(), s.RayVersion.ValueString()); why != "" {
				diags.AddAttributeError(path.Root("required_ray_version"), fmt.Sprintf("The cluster %s runs another Ray", p.label), fw.Sentence(why)+" Change the constraint, or the cluster.")
				return seen{}, false
			}
			var missing []string
			if wait {
				missing = w.missing(s.nodes)
			}
			if len(missing) == 0 {
				return s, true
			}
			missing = append(missing, launches(ctx, c)...)
			if ctx.Err() == nil || p.reasons == nil { // else nobody was asked about launches
				p.reasons, p.err = missing, nil
			}
		} else if ctx.Err() == nil {
			if !wait || !ray.IsUnreachable(err) {
				fw.AddError(diags, at(m, err), fmt.Sprintf("The cluster %s can't be used", p.label), err)
				return seen{}, false
			}
			p.reasons, p.err = []string{"it does not answer"}, err
		}
		p.log(ctx)
		if !sleep(ctx, p.interval()) {
			p.giveUp(ctx, limit, diags)
			return seen{}, false
		}
	}
}

// at is the attribute at fault, where one is.
func at(m *connectionModel, err error) path.Path {
	switch {
	case ray.IsKind(err, ray.KindWrongCluster) && m.GCSAddress.ValueString() != "":
		return path.Root("gcs_address")
	case ray.IsKind(err, ray.KindUnauthenticated, ray.KindForbidden):
		return path.Empty() // the provider's configuration
	case m.DashboardURL.ValueString() != "" && m.Address.ValueString() == "" && m.KubeRay.IsNull():
		return path.Root("dashboard_url")
	case m.Address.ValueString() != "" || !m.KubeRay.IsNull():
		return m.where()
	}
	return path.Empty()
}

// launches is what an autoscaler does about what is missing; nothing where the
// GCS can't be asked.
func launches(ctx context.Context, c *conn.Cluster) []string {
	l, err := c.Launches(ctx)
	if err != nil {
		return nil
	}
	return l.Reasons(time.Now())
}

// progress is the account of a wait.
type progress struct {
	label   string
	start   time.Time
	reasons []string
	err     error
	said    string
	saidAt  time.Time
}

// interval is short for a cluster that is nearly there, and 5 s for one that takes
// minutes.
func (p *progress) interval() time.Duration {
	return min(max(time.Since(p.start)/10, 200*time.Millisecond), 5*time.Second)
}

// log says why the wait goes on: when the reason changes, and each half minute.
func (p *progress) log(ctx context.Context) {
	now := strings.Join(p.reasons, "; ")
	if now == p.said && time.Since(p.saidAt) < 30*time.Second {
		return
	}
	p.said, p.saidAt = now, time.Now()
	fields := map[string]any{"cluster": p.label, "missing": now, "waited": time.Since(p.start).Round(time.Second).String()}
	if p.err != nil {
		fields["error"] = p.err.Error()
	}
	tflog.Info(ctx, "waiting for the cluster to be ready", fields)
}

func (p *progress) giveUp(ctx context.Context, limit time.Duration, diags *diag.Diagnostics) {
	reasons := strings.Join(p.reasons, "; ")
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		diags.AddError(fmt.Sprintf("The wait for the cluster %s was interrupted", p.label), "What was missing: "+orNone(reasons)+". Nothing was changed; apply again to go on waiting.")
		return
	}
	detail := fmt.Sprintf("What is missing: %s.", orNone(reasons))
	if p.err != nil {
		detail = fw.Detail(p.err)
	}
	diags.AddAttributeError(path.Root("ready_when"), fmt.Sprintf("The cluster %s is not ready after %s", p.label, limit),
		detail+"\n\nApply again to go on waiting, raise timeouts, or lower ready_when.")
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
