package job

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// attemptModel is one run of a job. It has no message: that may hold log lines.
type attemptModel struct {
	SubmissionID   types.String `tfsdk:"submission_id"`
	Status         types.String `tfsdk:"status"`
	ErrorType      types.String `tfsdk:"error_type"`
	DriverExitCode types.Int64  `tfsdk:"driver_exit_code"`
	SubmittedAt    types.String `tfsdk:"submitted_at"`
	EndedAt        types.String `tfsdk:"ended_at"`
}

var attemptType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"submission_id": types.StringType, "status": types.StringType, "error_type": types.StringType,
	"driver_exit_code": types.Int64Type, "submitted_at": types.StringType, "ended_at": types.StringType,
}}

func attemptsAttribute() schema.ListNestedAttribute {
	text := func(d string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: d}
	}
	return schema.ListNestedAttribute{
		Computed:            true,
		MarkdownDescription: "Runs that belong to this job, oldest first; the last one is the job itself. `on_destroy = \"delete\"` deletes the records of all of them.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"submission_id":    text("Submission id of the run."),
			"status":           text("Status of the run, as `status`."),
			"error_type":       text("Ray's error type of a failed run."),
			"driver_exit_code": schema.Int64Attribute{Computed: true, MarkdownDescription: "Exit code of an entrypoint that ended by itself."},
			"submitted_at":     text("When it was submitted, RFC 3339."),
			"ended_at":         text("When it ended, RFC 3339."),
		}},
	}
}

func attemptOf(j ray.Job) attemptModel {
	a := attemptModel{
		SubmissionID: types.StringValue(j.SubmissionID), Status: types.StringValue(string(j.Status)), ErrorType: textOrNull(j.ErrorType),
		SubmittedAt: timeOrNull(j.StartTime), EndedAt: timeOrNull(j.EndTime),
	}
	if j.DriverExitCode != nil {
		a.DriverExitCode = types.Int64Value(int64(*j.DriverExitCode))
	}
	return a
}

// attempts are the recorded runs.
func (m *jobModel) attempts(ctx context.Context) []attemptModel {
	var out []attemptModel
	if !m.Attempts.IsNull() && !m.Attempts.IsUnknown() {
		m.Attempts.ElementsAs(ctx, &out, false)
	}
	return out
}

func (m *jobModel) setAttempts(ctx context.Context, all []attemptModel, diags *diag.Diagnostics) {
	list, d := types.ListValueFrom(ctx, attemptType, all)
	diags.Append(d...)
	m.Attempts = list
}

// noteAttempt records what a run is now: the last one, or one after it.
func (m *jobModel) noteAttempt(ctx context.Context, j ray.Job, diags *diag.Diagnostics) {
	all := m.attempts(ctx)
	if n := len(all); n > 0 && all[n-1].SubmissionID.ValueString() == j.SubmissionID {
		all = all[:n-1]
	}
	m.setAttempts(ctx, append(all, attemptOf(j)), diags)
}

// attemptList tells how each run ended.
func (m *jobModel) attemptList(ctx context.Context) string {
	var b strings.Builder
	b.WriteString("Attempts:")
	for _, a := range m.attempts(ctx) {
		fmt.Fprintf(&b, "\n  %s %s", a.SubmissionID.ValueString(), a.Status.ValueString())
		if !a.DriverExitCode.IsNull() {
			fmt.Fprintf(&b, ", exit code %d", a.DriverExitCode.ValueInt64())
		}
		if a.ErrorType.ValueString() != "" {
			fmt.Fprintf(&b, ", %s", a.ErrorType.ValueString())
		}
		if a.EndedAt.ValueString() != "" {
			fmt.Fprintf(&b, ", ended %s", a.EndedAt.ValueString())
		}
	}
	return b.String()
}

// earlierRefs are the recorded runs before the last one.
func (m *jobModel) earlierRefs(ctx context.Context) []jobs.Ref {
	last := m.ref(ctx)
	var out []jobs.Ref
	for _, a := range m.attempts(ctx) {
		if id := a.SubmissionID.ValueString(); id != last.ID {
			out = append(out, jobs.Ref{ID: id, ClusterID: last.ClusterID, Stamp: last.Stamp, EndTime: endOf(a.EndedAt)})
		}
	}
	return out
}
