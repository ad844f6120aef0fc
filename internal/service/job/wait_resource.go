package job

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

var (
	_ resource.ResourceWithConfigure      = (*waitResource)(nil)
	_ resource.ResourceWithValidateConfig = (*waitResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*waitResource)(nil)
)

// waitResource is ray_job_wait. It owns nothing on the cluster, so a wait that
// does not end well leaves no state: the next plan shows the same wait again.
type waitResource struct{ fw.Resource }

func newWaitResource() resource.Resource { return &waitResource{} }

// Values of require that are no number.
const (
	requireAll = "all"
	requireAny = "any"
)

const defaultWaitLogLines = 20

type waitModel struct {
	Cluster   types.Object   `tfsdk:"cluster"`
	Timeouts  timeouts.Value `tfsdk:"timeouts"`
	Jobs      types.List     `tfsdk:"jobs"`
	Require   types.String   `tfsdk:"require"`
	FailFast  types.Bool     `tfsdk:"fail_fast"`
	LogLines  types.Int64    `tfsdk:"log_lines"`
	Triggers  types.Map      `tfsdk:"triggers"`
	Statuses  types.Map      `tfsdk:"statuses"`
	Succeeded types.Set      `tfsdk:"succeeded"`
	Failed    types.Set      `tfsdk:"failed"`
}

func (r *waitResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_job_wait"
}

func (r *waitResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Waits for many jobs at once: a gate for what must not begin before they have succeeded. " +
			"With `wait_for = \"SUBMITTED\"` on the jobs, hundreds of them are submitted as fast as Terraform's parallelism allows, and one resource waits for all of them.\n\n" +
			"A wait that was passed stays passed: it is not repeated, whatever Ray forgets. It is repeated when `jobs`, `require` or `triggers` change. A wait that failed, or was interrupted, is not in state, and the next apply waits again. Destroying it does nothing to the jobs.",
		Attributes: map[string]schema.Attribute{
			"cluster":  fw.ClusterAttribute(),
			"timeouts": fw.Timeouts(ctx, timeouts.Opts{Create: true, Update: true, CreateDescription: "How long an apply waits for the jobs, as in `\"90m\"`. When the time is up, that is an error, and the jobs go on. No limit by default.", UpdateDescription: "How long an update waits; see `create`."}),
			// No set: one that holds unknown ids has no known length in a plan.
			"jobs": schema.ListAttribute{
				Required: true, ElementType: types.StringType,
				MarkdownDescription: "Submission ids of the jobs, as in `[for job in ray_job.shard : job.submission_id]`. A change, but for the order, waits again, but for those that are known to have SUCCEEDED.",
				Validators:          []validator.List{listvalidator.NoNullValues(), listvalidator.UniqueValues(), listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
			},
			"require": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "How many of the jobs must have SUCCEEDED: `all` (default), `any`, or a number. The wait ends as soon as so many have. A change waits again.",
				Validators:          []validator.String{stringvalidator.RegexMatches(regexp.MustCompile(`^(all|any|[1-9][0-9]{0,8})$`), "must be \"all\", \"any\" or a number from 1")},
			},
			"fail_fast": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Ends the wait with an error as soon as so many jobs did not succeed that `require` can't be met. By default the error comes when all jobs are over, and tells of all that failed. Jobs that still run go on in either case.",
			},
			"log_lines": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "How many of the last lines of its log an error shows of a job that failed, 0 to 200, for up to 5 jobs. Default 20. No log is shown of a job whose `env_vars` this apply does not know, since they could stand in it.",
				Validators:          []validator.Int64{int64validator.Between(0, 200)},
			},
			"triggers": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Any values. A change waits again for all jobs, also for those that succeeded; for jobs with a `submission_id` of their own, whose id does not change when they run again.",
			},
			"statuses":  schema.MapAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Status of each job when the wait ended, by submission id."},
			"succeeded": schema.SetAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Submission ids of the jobs that had SUCCEEDED when the wait ended."},
			"failed":    schema.SetAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Submission ids of the jobs that came to an end without success: FAILED, STOPPED, gone, or RUNNING on a node that is gone. Empty unless `require` left room for them."},
		},
	}
}

// ValidateConfig checks what the configuration alone decides.
func (r *waitResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m waitModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if !resp.Diagnostics.HasError() {
		m.validate(&resp.Diagnostics)
	}
}

// validate refuses a requirement that no outcome could meet.
func (m *waitModel) validate(diags *diag.Diagnostics) {
	if m.Jobs.IsNull() || m.Jobs.IsUnknown() || m.Require.IsUnknown() {
		return
	}
	if need, jobs := m.need(), len(m.Jobs.Elements()); need > jobs {
		diags.AddAttributeError(path.Root("require"), "More jobs are required than there are",
			fmt.Sprintf("require = %q asks for %d to succeed, and jobs has %d.", m.Require.ValueString(), need, jobs))
	}
}

// need is how many jobs must succeed.
func (m *waitModel) need() int {
	switch s := m.Require.ValueString(); s {
	case "", requireAll:
		return len(m.Jobs.Elements())
	case requireAny:
		return 1
	default:
		n, _ := strconv.Atoi(s) // the validator let only digits through
		return n
	}
}

func (m *waitModel) logLines() int {
	if m.LogLines.IsNull() || m.LogLines.IsUnknown() {
		return defaultWaitLogLines
	}
	return int(m.LogLines.ValueInt64())
}

// ModifyPlan plans a further wait where the gate is another one than was passed.
func (r *waitResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return
	}
	var plan waitModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if req.State.Raw.IsNull() {
		plan.validate(&resp.Diagnostics)
		return
	}
	var state waitModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if plan.same(&state) {
		plan.Statuses, plan.Succeeded, plan.Failed = state.Statuses, state.Succeeded, state.Failed
	} else {
		plan.validate(&resp.Diagnostics)
		plan.Statuses, plan.Succeeded, plan.Failed = types.MapUnknown(types.StringType), types.SetUnknown(types.StringType), types.SetUnknown(types.StringType)
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

// same reports whether the gate is the one that state has passed.
func (m *waitModel) same(state *waitModel) bool {
	if m.Jobs.IsUnknown() || m.Require.IsUnknown() {
		return false
	}
	return sameIDs(m.Jobs, state.Jobs) && m.need() == state.need() && sameMap(m.Triggers, state.Triggers)
}

// sameIDs compares whatever the order.
func sameIDs(a, b types.List) bool {
	order := func(x, y attr.Value) int { return strings.Compare(x.String(), y.String()) }
	x, y := slices.SortedFunc(slices.Values(a.Elements()), order), slices.SortedFunc(slices.Values(b.Elements()), order)
	return slices.EqualFunc(x, y, attr.Value.Equal)
}

// cluster is the one that the apply waits on.
func (r *waitResource) cluster(ctx context.Context, m *waitModel, diags *diag.Diagnostics) *conn.Cluster {
	const summary = "The wait has no cluster"
	target, known, d := fw.TargetOf(ctx, m.Cluster)
	diags.Append(d...)
	if d.HasError() {
		return nil
	}
	cluster, err := r.Pool().Cluster(target)
	switch {
	case !known || errors.As(err, new(*conn.UnknownError)):
		diags.AddError(summary, "The cluster's address, or the provider's configuration, is still not known in apply.")
		return nil
	case err != nil:
		fw.AddError(diags, path.Root("cluster"), summary, err)
		return nil
	}
	return cluster
}

func (r *waitResource) gate(ctx context.Context, cluster *conn.Cluster, m *waitModel) *gate {
	g := &gate{engine: cluster.Engine(), secrets: secretsOf(cluster), need: m.need(), failFast: m.FailFast.ValueBool(), lines: m.logLines()}
	// Without an id, a job on a cluster that is replaced meanwhile reads as MISSING.
	g.clusterID, _ = cluster.ClusterID(ctx)
	return g
}

// Create waits. Only a gate that was passed gets into state: one that came with
// an error would be tainted, as if there were something to destroy.
func (r *waitResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m waitModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	cluster := r.cluster(ctx, &m, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	limit, d := m.Timeouts.Create(ctx, 0)
	resp.Diagnostics.Append(d...)
	g := r.gate(ctx, cluster, &m)
	if m.passes(ctx, g, stringList(ctx, m.Jobs, &resp.Diagnostics), limit, &resp.Diagnostics) {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
}

// Read asks nothing: a gate that was passed stays so.
func (r *waitResource) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

// Update waits again where the gate is another one; with an error the state stays
// that of the gate that was passed before.
func (r *waitResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, state waitModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if m.Statuses.IsUnknown() {
		cluster := r.cluster(ctx, &m, &resp.Diagnostics)
		if resp.Diagnostics.HasError() {
			return
		}
		limit, d := m.Timeouts.Update(ctx, 0)
		resp.Diagnostics.Append(d...)
		g := r.gate(ctx, cluster, &m)
		if sameMap(m.Triggers, state.Triggers) {
			g.passed = stringSet(ctx, state.Succeeded, &resp.Diagnostics)
		}
		if !m.passes(ctx, g, stringList(ctx, m.Jobs, &resp.Diagnostics), limit, &resp.Diagnostics) {
			return
		}
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete does nothing to the jobs.
func (r *waitResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// record takes over how the wait ended.
func (m *waitModel) record(ctx context.Context, g *gate, diags *diag.Diagnostics) {
	succeeded := []string{}
	for _, id := range slices.Sorted(maps.Keys(g.statuses)) {
		if g.statuses[id] == string(ray.JobSucceeded) {
			succeeded = append(succeeded, id)
		}
	}
	var d diag.Diagnostics
	m.Statuses, d = types.MapValueFrom(ctx, types.StringType, g.statuses)
	diags.Append(d...)
	m.Succeeded, d = types.SetValueFrom(ctx, types.StringType, succeeded)
	diags.Append(d...)
	m.Failed, d = types.SetValueFrom(ctx, types.StringType, g.failedIDs())
	diags.Append(d...)
}

func stringSet(ctx context.Context, v types.Set, diags *diag.Diagnostics) []string {
	var out []string
	if !v.IsNull() && !v.IsUnknown() {
		diags.Append(v.ElementsAs(ctx, &out, false)...)
	}
	slices.Sort(out)
	return out
}
