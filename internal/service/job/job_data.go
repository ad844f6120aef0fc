package job

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// jobData is the data source ray_job.
type jobData struct{ fw.DataSource }

func newJobData() datasource.DataSource { return &jobData{fw.DataSource{TypeName: "job"}} }

type jobDataModel struct {
	Cluster    types.Object `tfsdk:"cluster"`
	ClusterID  types.String `tfsdk:"cluster_id"`
	PackageURI types.String `tfsdk:"package_uri"`
	jobRow
}

// jobRow is what data sources show of a job.
type jobRow struct {
	SubmissionID   types.String      `tfsdk:"submission_id"`
	JobID          types.String      `tfsdk:"job_id"`
	Status         types.String      `tfsdk:"status"`
	Message        types.String      `tfsdk:"message"`
	ErrorType      types.String      `tfsdk:"error_type"`
	DriverExitCode types.Int64       `tfsdk:"driver_exit_code"`
	Entrypoint     types.String      `tfsdk:"entrypoint"`
	SubmittedAt    types.String      `tfsdk:"submitted_at"`
	EndedAt        types.String      `tfsdk:"ended_at"`
	DriverNodeID   types.String      `tfsdk:"driver_node_id"`
	URL            types.String      `tfsdk:"url"`
	ManagedBy      types.String      `tfsdk:"managed_by"`
	Owner          types.String      `tfsdk:"owner"`
	Name           types.String      `tfsdk:"name"`
	Attempt        types.Int64       `tfsdk:"attempt"`
	InputsDigest   types.String      `tfsdk:"inputs_digest"`
	Metadata       map[string]string `tfsdk:"metadata"`
}

// managedBy is what managed_by says of a job that this provider submitted.
const managedBy = "terraform"

func rowOf(j ray.Job, url func(id string) types.String) jobRow {
	r := jobRow{
		SubmissionID: textOrNull(j.SubmissionID), JobID: textOrNull(j.JobID), Status: types.StringValue(string(j.Status)), Message: textOrNull(message(j)),
		ErrorType: textOrNull(j.ErrorType), Entrypoint: types.StringValue(j.Entrypoint), SubmittedAt: timeOrNull(j.StartTime), EndedAt: timeOrNull(j.EndTime),
		DriverNodeID: textOrNull(j.DriverNodeID), URL: types.StringNull(), Metadata: map[string]string{},
	}
	if j.DriverExitCode != nil {
		r.DriverExitCode = types.Int64Value(int64(*j.DriverExitCode))
	}
	if j.SubmissionID != "" {
		r.URL = url(j.SubmissionID)
	}
	if s, ok := jobs.StampOf(j.Metadata); ok {
		r.ManagedBy, r.Owner, r.Name = types.StringValue(managedBy), textOrNull(s.Owner), textOrNull(s.Name)
		r.Attempt, r.InputsDigest = types.Int64Value(int64(s.Attempt)), types.StringValue(s.Digest)
	}
	for k, v := range j.Metadata {
		if !strings.HasPrefix(k, jobs.MetadataPrefix) {
			r.Metadata[k] = v
		}
	}
	return r
}

// message is Ray's account of the status, without the log that it ends with for an
// entrypoint that failed.
func message(j ray.Job) string {
	text, _, _ := strings.Cut(firstLine(j.Message), ", last available logs")
	return text
}

// rowAttributes are those of jobRow.
func rowAttributes() map[string]schema.Attribute {
	str := func(d string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: d}
	}
	return map[string]schema.Attribute{
		"submission_id":    str("Submission id. Null for a driver that nobody submitted."),
		"job_id":           str("Hex id of the job's last driver. Null until the entrypoint calls `ray.init`, and for one that never does."),
		"status":           str("`PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or `STOPPED`. Changes while the job goes on."),
		"message":          str("Ray's account of the status, without the log."),
		"error_type":       str("Ray's error type of a failed job, such as `JOB_ENTRYPOINT_COMMAND_ERROR`; since Ray 2.51."),
		"driver_exit_code": schema.Int64Attribute{Computed: true, MarkdownDescription: "Exit code of an entrypoint that ended by itself; since Ray 2.9."},
		"entrypoint":       str("Command line of the job."),
		"submitted_at":     str("When the job was submitted, or the driver started, RFC 3339."),
		"ended_at":         str("When the job ended, RFC 3339."),
		"driver_node_id":   str("Id of the node that the entrypoint runs on, once it does."),
		"url":              str("Page of the job in Ray's dashboard."),
		"managed_by":       str("`terraform` for a job that a `ray_job` of this provider submitted; null for others."),
		"owner":            str("The `owner` of the provider that submitted the job."),
		"name":             str("Name of the `ray_job`."),
		"attempt":          schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of the run among those with the same inputs, from 1."},
		"inputs_digest":    str("Digest of all inputs of the `ray_job`."),
		"metadata":         schema.MapAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Metadata of the submission, with what the provider's `default_metadata` added, without the stamp that `owner` to `inputs_digest` are read from."},
	}
}

// submissionIDArgument is the id of the one job to read.
func submissionIDArgument() schema.StringAttribute {
	return schema.StringAttribute{
		Required: true, MarkdownDescription: "Submission id of the job.",
		Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
	}
}

// Schema is that of ray_job.
func (d *jobData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := rowAttributes()
	attributes["cluster"] = fw.ClusterDataAttribute()
	attributes["submission_id"] = submissionIDArgument()
	attributes["cluster_id"] = schema.StringAttribute{Computed: true, MarkdownDescription: "Id of the cluster that was asked; null on Ray before 2.31."}
	attributes["package_uri"] = schema.StringAttribute{Computed: true, MarkdownDescription: "URI of the job's working_dir."}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads one job of a Ray cluster, whoever submitted it, as it is at each plan. A job that Ray does not know is an error. Its runtime environment, with the environment variables, is not shown.",
		Attributes:          attributes,
	}
}

// Read asks the cluster.
func (d *jobData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m jobDataModel
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
	info, err := cluster.Info(ctx)
	if err != nil {
		unreadable(cluster, err, &resp.Diagnostics)
		return
	}
	m.ClusterID = textOrNull(info.ClusterID)
	m.PackageURI = textOrNull(workingDirOf(job.RuntimeEnv))
	m.jobRow = rowOf(job, page(ctx, cluster))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// workingDirOf reads one member of a runtime_env and nothing else.
func workingDirOf(env json.RawMessage) string {
	var v struct {
		WorkingDir string `json:"working_dir"`
	}
	if json.Unmarshal(env, &v) != nil {
		return "" // there is none
	}
	return v.WorkingDir
}

// readJob asks for the submission; it is false, with an error in diags, where there is
// none.
func readJob(ctx context.Context, cluster *conn.Cluster, id string, diags *diag.Diagnostics) (ray.Job, bool) {
	api, err := cluster.Dashboard(ctx)
	if err != nil {
		unreadable(cluster, err, diags)
		return ray.Job{}, false
	}
	job, err := api.Job(ctx, id)
	switch {
	case ray.IsKind(err, ray.KindNotFound), err == nil && job.SubmissionID != id:
		// Ray also looks for a driver of that id.
		diags.AddAttributeError(path.Root("submission_id"), fmt.Sprintf("There is no job %q", id),
			fmt.Sprintf("The cluster at %s has no submission of that id: it was never submitted there, its record was deleted, or the head was restarted without Redis. `ray job list` and the data source ray_jobs list what there is.", cluster.Address()))
		return ray.Job{}, false
	case err != nil:
		unreadable(cluster, err, diags)
		return ray.Job{}, false
	}
	return job, true
}

// unreadable is the error of a data source whose cluster can't be asked.
func unreadable(cluster *conn.Cluster, err error, diags *diag.Diagnostics) {
	fw.AddError(diags, path.Empty(), "The jobs of the cluster "+cluster.Address()+" (from "+cluster.AddressSource()+") can't be read", err)
}
