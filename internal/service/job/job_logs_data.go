package job

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

// jobLogsData is the data source ray_job_logs.
type jobLogsData struct{ fw.DataSource }

func newJobLogsData() datasource.DataSource { return &jobLogsData{fw.DataSource{TypeName: "job_logs"}} }

const (
	defaultDataLines = 1000
	defaultDataBytes = 1 << 20
)

type jobLogsDataModel struct {
	Cluster      types.Object `tfsdk:"cluster"`
	SubmissionID types.String `tfsdk:"submission_id"`
	Lines        types.Int64  `tfsdk:"lines"`
	MaxBytes     types.Int64  `tfsdk:"max_bytes"`
	Text         types.String `tfsdk:"text"`
	Truncated    types.Bool   `tfsdk:"truncated"`
}

// Schema is that of ray_job_logs.
func (d *jobLogsData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads the end of what a job's last run wrote, as it is at each plan; nothing while its entrypoint has not begun. It is stored in the state, so keep it short: for the whole log set `log_file` of the `ray_job`.",
		Attributes: map[string]schema.Attribute{
			"cluster":       fw.ClusterDataAttribute(),
			"submission_id": submissionIDArgument(),
			"lines": schema.Int64Attribute{
				Optional: true, MarkdownDescription: fmt.Sprintf("How many lines at most, 1 to 10000. Default %d.", defaultDataLines),
				Validators: []validator.Int64{int64validator.Between(1, 10_000)},
			},
			"max_bytes": schema.Int64Attribute{
				Optional: true, MarkdownDescription: "How many bytes at most, 1 to 16777216. Default 1048576 (1 MiB).",
				Validators: []validator.Int64{int64validator.Between(1, 16<<20)},
			},
			"text":      schema.StringAttribute{Computed: true, Sensitive: true, MarkdownDescription: "The log. Nothing in it is masked. What is no UTF-8 is replaced by `U+FFFD`."},
			"truncated": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the run wrote more than `text`."},
		},
	}
}

// Read asks the cluster.
func (d *jobLogsData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m jobLogsDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	cluster := d.Cluster(ctx, m.Cluster, &resp.Diagnostics)
	if cluster == nil {
		return
	}
	job, ok := readJob(ctx, cluster, m.SubmissionID.ValueString(), &resp.Diagnostics)
	if !ok {
		return
	}
	lines, most := int64(defaultDataLines), int64(defaultDataBytes)
	if !m.Lines.IsNull() {
		lines = m.Lines.ValueInt64()
	}
	if !m.MaxBytes.IsNull() {
		most = m.MaxBytes.ValueInt64()
	}
	log, err := cluster.Engine().Log(ctx, job, int(lines), int(most))
	if err != nil {
		fw.AddError(&resp.Diagnostics, path.Root("submission_id"), fmt.Sprintf("The log of job %q can't be read", job.SubmissionID), err)
		return
	}
	m.Text, m.Truncated = types.StringValue(log.Text), types.BoolValue(log.Truncated)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
