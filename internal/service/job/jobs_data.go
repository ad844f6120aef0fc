package job

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// jobsData is the data source ray_jobs.
type jobsData struct{ fw.DataSource }

func newJobsData() datasource.DataSource { return &jobsData{fw.DataSource{TypeName: "jobs"}} }

// Types of jobs, as Ray spells them.
const (
	typeSubmission = "SUBMISSION"
	typeDriver     = "DRIVER"
)

const defaultJobsLimit = 100

type jobsDataModel struct {
	Cluster         types.Object      `tfsdk:"cluster"`
	Types           []string          `tfsdk:"types"`
	Statuses        []string          `tfsdk:"statuses"`
	Name            types.String      `tfsdk:"name"`
	Owner           types.String      `tfsdk:"owner"`
	ManagedBy       types.String      `tfsdk:"managed_by"`
	Metadata        map[string]string `tfsdk:"metadata"`
	SubmittedAfter  types.String      `tfsdk:"submitted_after"`
	SubmittedBefore types.String      `tfsdk:"submitted_before"`
	NewerThan       fw.Duration       `tfsdk:"newer_than"`
	OlderThan       fw.Duration       `tfsdk:"older_than"`
	Limit           types.Int64       `tfsdk:"limit"`
	Total           types.Int64       `tfsdk:"total"`
	Truncated       types.Bool        `tfsdk:"truncated"`
	Jobs            []jobListRow      `tfsdk:"jobs"`
}

type jobListRow struct {
	Type string `tfsdk:"type"`
	jobRow
}

// Schema is that of ray_jobs.
func (d *jobsData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	text := func(d string, v ...validator.String) schema.Attribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: d, Validators: v}
	}
	age := func(d string) schema.Attribute {
		return schema.StringAttribute{Optional: true, CustomType: fw.DurationType{}, MarkdownDescription: d}
	}
	set := func(d string, values ...string) schema.Attribute {
		return schema.SetAttribute{
			Optional: true, ElementType: types.StringType, MarkdownDescription: d,
			Validators: []validator.Set{setvalidator.NoNullValues(), setvalidator.ValueStringsAre(stringvalidator.OneOf(values...))},
		}
	}
	row := rowAttributes()
	row["type"] = schema.StringAttribute{Computed: true, MarkdownDescription: "`SUBMISSION`, or `DRIVER` for a driver that nobody submitted."}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Lists the jobs of a Ray cluster, whoever submitted them, the newest first. A job must meet every filter that is set. " +
			"The list is read anew at each plan and changes with what the cluster does: use it for outputs, audits and checks rather than for what other resources are made of. " +
			"Runtime environments, with their environment variables, are not shown. Ray has no filters of its own: it sends all its jobs, about 1 s for 5,000.",
		Attributes: map[string]schema.Attribute{
			"cluster":          fw.ClusterDataAttribute(),
			"types":            set("Types to list: `SUBMISSION` (default), `DRIVER` for drivers that nobody submitted.", typeSubmission, typeDriver),
			"statuses":         set("Statuses to list: `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED`, `STOPPED`. Default: all. Ray shows drivers that nobody submitted as `SUCCEEDED` however they ended.", string(ray.JobPending), string(ray.JobRunning), string(ray.JobSucceeded), string(ray.JobFailed), string(ray.JobStopped)),
			"name":             text("Name of the `ray_job` that submitted the job."),
			"owner":            text("The `owner` of the provider that submitted the job."),
			"managed_by":       text("`terraform` for jobs that a `ray_job` of this provider submitted, `others` for all others.", stringvalidator.OneOf(managedBy, "others")),
			"metadata":         schema.MapAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "Metadata that a job must have."},
			"submitted_after":  text("Moment, RFC 3339, before which no listed job was submitted.", momentValidator{}),
			"submitted_before": text("Moment, RFC 3339, from which on no listed job was submitted.", momentValidator{}),
			"newer_than":       age("Age of a job at most, since its submission, as in `\"24h\"`. The clock goes on: a job drops out of the list by itself."),
			"older_than":       age("Age of a job at least, since its submission, as in `\"1h30m\"`. The clock goes on: a job comes into the list by itself."),
			"limit": schema.Int64Attribute{
				Optional: true, MarkdownDescription: fmt.Sprintf("How many jobs to list at most, 1 to 10000. Default %d.", defaultJobsLimit),
				Validators: []validator.Int64{int64validator.Between(1, 10_000)},
			},
			"total":     schema.Int64Attribute{Computed: true, MarkdownDescription: "How many jobs meet the filters."},
			"truncated": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether `jobs` is less than all of them."},
			"jobs": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "The jobs, the newest first.",
				NestedObject: schema.NestedAttributeObject{Attributes: row},
			},
		},
	}
}

// Read asks the cluster.
func (d *jobsData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m jobsDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	cluster := d.Cluster(ctx, m.Cluster, &resp.Diagnostics)
	if cluster == nil {
		return
	}
	api, err := cluster.Dashboard(ctx)
	if err != nil {
		unreadable(cluster, err, &resp.Diagnostics)
		return
	}
	found, err := api.Jobs(ctx, m.filter(time.Now(), &resp.Diagnostics))
	if err != nil {
		unreadable(cluster, err, &resp.Diagnostics)
		return
	}
	slices.SortFunc(found, func(a, b ray.Job) int {
		return cmp.Or(b.StartTime.Compare(a.StartTime), strings.Compare(a.SubmissionID, b.SubmissionID), strings.Compare(a.JobID, b.JobID))
	})
	limit := defaultJobsLimit
	if !m.Limit.IsNull() {
		limit = int(m.Limit.ValueInt64())
	}
	m.Total, m.Truncated = types.Int64Value(int64(len(found))), types.BoolValue(len(found) > limit)
	m.Jobs = []jobListRow{}
	url := page(ctx, cluster)
	for _, j := range found[:min(limit, len(found))] {
		m.Jobs = append(m.Jobs, jobListRow{typeOf(j), rowOf(j, url)})
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func typeOf(j ray.Job) string {
	if j.SubmissionID == "" {
		return typeDriver
	}
	return typeSubmission
}

// filter is whether a job meets all filters at the moment now.
func (m *jobsDataModel) filter(now time.Time, diags *diag.Diagnostics) func(ray.Job) bool {
	after, before := moment(m.SubmittedAfter, "submitted_after", diags), moment(m.SubmittedBefore, "submitted_before", diags)
	if age, ok := m.NewerThan.ValueDuration(); ok && now.Add(-age).After(after) {
		after = now.Add(-age)
	}
	if age, ok := m.OlderThan.ValueDuration(); ok && (before.IsZero() || now.Add(-age).Before(before)) {
		before = now.Add(-age)
	}
	kinds := m.Types
	if kinds == nil {
		kinds = []string{typeSubmission}
	}
	return func(j ray.Job) bool {
		stamp, stamped := jobs.StampOf(j.Metadata)
		switch {
		case !slices.Contains(kinds, typeOf(j)),
			m.Statuses != nil && !slices.Contains(m.Statuses, string(j.Status)),
			!m.ManagedBy.IsNull() && stamped != (m.ManagedBy.ValueString() == managedBy),
			!m.Name.IsNull() && (!stamped || stamp.Name != m.Name.ValueString()),
			!m.Owner.IsNull() && (!stamped || stamp.Owner != m.Owner.ValueString()),
			j.StartTime.Before(after),
			!before.IsZero() && !j.StartTime.Before(before):
			return false
		}
		for k, v := range m.Metadata {
			if got, ok := j.Metadata[k]; !ok || got != v {
				return false
			}
		}
		return true
	}
}

// moment is the time that s names; zero for null.
func moment(s types.String, name string, diags *diag.Diagnostics) time.Time {
	if s.IsNull() {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s.ValueString())
	if err != nil { // a value that was not known when the configuration was validated
		diags.AddAttributeError(path.Root(name), "This is not a moment", momentFault(s.ValueString()))
	}
	return t
}

func momentFault(s string) string {
	return fmt.Sprintf("%q is not of the form 2026-11-23T12:00:00Z (RFC 3339), as timestamp() and plantimestamp() give it.", s)
}

// momentValidator refuses what is no RFC 3339.
type momentValidator struct{}

func (momentValidator) Description(context.Context) string { return "must be a moment as RFC 3339" }
func (v momentValidator) MarkdownDescription(ctx context.Context) string {
	return v.Description(ctx)
}

func (momentValidator) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if _, err := time.Parse(time.RFC3339, req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "This is not a moment", momentFault(req.ConfigValue.ValueString()))
	}
}
