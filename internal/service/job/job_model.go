package job

import (
	"context"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-jsontypes/jsontypes"
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/workdir"
)

// Values of the arguments that choose.
const (
	waitSubmitted = "SUBMITTED"
	waitRunning   = "RUNNING"
	waitSucceeded = "SUCCEEDED"

	destroyDelete  = "delete"
	destroyStop    = "stop"
	destroyAbandon = "abandon"
)

// Statuses beside Ray's own.
const (
	statusMissing         = "MISSING"
	statusClusterReplaced = "CLUSTER_REPLACED"
)

// Defaults live here and not in the schema: a default in the schema is a diff in
// every state that was written before it.
const (
	defaultStopTimeout = time.Minute
	defaultLogLines    = 50
)

type jobModel struct {
	Cluster  types.Object   `tfsdk:"cluster"`
	Timeouts timeouts.Value `tfsdk:"timeouts"`

	Name           types.String         `tfsdk:"name"`
	SubmissionID   types.String         `tfsdk:"submission_id"`
	Entrypoint     types.String         `tfsdk:"entrypoint"`
	Command        types.List           `tfsdk:"command"`
	WorkingDir     types.String         `tfsdk:"working_dir"`
	PyModules      types.List           `tfsdk:"py_modules"`
	Excludes       types.List           `tfsdk:"excludes"`
	RuntimeEnv     types.Object         `tfsdk:"runtime_env"`
	RuntimeEnvJSON jsontypes.Normalized `tfsdk:"runtime_env_json"`
	Triggers       types.Map            `tfsdk:"triggers"`
	Metadata       types.Map            `tfsdk:"metadata"`

	EnvVarsWO               types.Map    `tfsdk:"env_vars_wo"`
	EnvVarsWOVersion        types.String `tfsdk:"env_vars_wo_version"`
	RuntimeEnvJSONWO        types.String `tfsdk:"runtime_env_json_wo"`
	RuntimeEnvJSONWOVersion types.String `tfsdk:"runtime_env_json_wo_version"`

	NumCPUs       types.Float64 `tfsdk:"entrypoint_num_cpus"`
	NumGPUs       types.Float64 `tfsdk:"entrypoint_num_gpus"`
	Memory        types.Int64   `tfsdk:"entrypoint_memory"`
	Resources     types.Map     `tfsdk:"entrypoint_resources"`
	LabelSelector types.Map     `tfsdk:"entrypoint_label_selector"`

	WaitFor       types.String `tfsdk:"wait_for"`
	IgnoreFailure types.Bool   `tfsdk:"ignore_failure"`
	StopTimeout   fw.Duration  `tfsdk:"stop_timeout"`

	StartTimeout     fw.Duration `tfsdk:"start_timeout"`
	ExecutionTimeout fw.Duration `tfsdk:"execution_timeout"`

	OnDestroy   types.String `tfsdk:"on_destroy"`
	OnInterrupt types.String `tfsdk:"on_interrupt"`
	LogLines    types.Int64  `tfsdk:"log_lines"`
	LogFile     types.String `tfsdk:"log_file"`

	Retry          types.Object `tfsdk:"retry"`
	CheckpointPath types.String `tfsdk:"checkpoint_path"`
	RerunOn        types.Set    `tfsdk:"rerun_on"`

	JobID            types.String  `tfsdk:"job_id"`
	Status           types.String  `tfsdk:"status"`
	ErrorType        types.String  `tfsdk:"error_type"`
	DriverExitCode   types.Int64   `tfsdk:"driver_exit_code"`
	SubmittedAt      types.String  `tfsdk:"submitted_at"`
	EndedAt          types.String  `tfsdk:"ended_at"`
	DriverNodeID     types.String  `tfsdk:"driver_node_id"`
	ClusterID        types.String  `tfsdk:"cluster_id"`
	URL              types.String  `tfsdk:"url"`
	PackageURI       types.String  `tfsdk:"package_uri"`
	WorkingDirHash   types.String  `tfsdk:"working_dir_hash"`
	PyModuleHashes   types.List    `tfsdk:"py_modules_hashes"`
	RequirementsHash types.String  `tfsdk:"requirements_hash"`
	MetadataAll      types.Map     `tfsdk:"metadata_all"`
	Attempt          types.Int64   `tfsdk:"attempt"`
	Attempts         types.List    `tfsdk:"attempts"`
	InputsDigest     types.String  `tfsdk:"inputs_digest"`
	Owner            types.String  `tfsdk:"owner"`
	Result           types.Dynamic `tfsdk:"result"`

	// content is that of the file of requirements, once it was read.
	content *content `tfsdk:"-"`
}

// jobIdentity is the resource identity.
type jobIdentity struct {
	SubmissionID types.String `tfsdk:"submission_id"`
	ClusterID    types.String `tfsdk:"cluster_id"`
}

// label is what messages call the job.
func (m *jobModel) label() string {
	switch {
	case m.Name.ValueString() != "":
		return `"` + m.Name.ValueString() + `"`
	case m.SubmissionID.ValueString() != "":
		return `"` + m.SubmissionID.ValueString() + `"`
	}
	return "of this resource"
}

func (m *jobModel) goal() jobs.Goal {
	switch strings.ToUpper(m.WaitFor.ValueString()) {
	case waitSubmitted:
		return jobs.Submitted
	case waitRunning:
		return jobs.Running
	}
	return jobs.Succeeded
}

func (m *jobModel) onDestroy() string {
	if v := m.OnDestroy.ValueString(); v != "" {
		return v
	}
	return destroyDelete
}

func (m *jobModel) stopTimeout() time.Duration { return m.StopTimeout.Or(defaultStopTimeout) }

func (m *jobModel) logLines() int {
	if m.LogLines.IsNull() || m.LogLines.IsUnknown() {
		return defaultLogLines
	}
	return int(m.LogLines.ValueInt64())
}

// keepFailed: a caller who does not mind how the job ended does not want it twice.
func (m *jobModel) keepFailed() bool {
	return m.IgnoreFailure.ValueBool() || m.goal() == jobs.Submitted
}

// terminal reports whether the recorded status is one that never changes again.
func (m *jobModel) terminal() bool {
	return ray.JobStatus(m.Status.ValueString()).Terminal()
}

// entrypoint is the command line as posted.
func (m *jobModel) entrypoint(ctx context.Context, diags *diag.Diagnostics) string {
	if !m.Command.IsNull() {
		return ray.ShellJoin(stringList(ctx, m.Command, diags))
	}
	return m.Entrypoint.ValueString()
}

// runtimeEnv merges runtime_env and runtime_env_json.
func (m *jobModel) runtimeEnv(ctx context.Context, diags *diag.Diagnostics) map[string]any {
	env := map[string]any{}
	if !m.RuntimeEnv.IsNull() && !m.RuntimeEnv.IsUnknown() {
		var typed runtimeEnvModel
		diags.Append(m.RuntimeEnv.As(ctx, &typed, basetypes.ObjectAsOptions{})...)
		if diags.HasError() {
			return env
		}
		maps.Copy(env, typed.toRay(ctx, diags))
	}
	if m.content != nil {
		m.content.into(env)
	}
	if !m.RuntimeEnvJSON.IsNull() && !m.RuntimeEnvJSON.IsUnknown() {
		more, err := jobs.DecodeObject(m.RuntimeEnvJSON.ValueString())
		if err != nil {
			diags.AddAttributeError(path.Root("runtime_env_json"), "runtime_env_json is not a JSON object", err.Error())
			return env
		}
		maps.Copy(env, more)
	}
	maps.DeleteFunc(env, func(_ string, v any) bool { return jobs.Empty(v) })
	return env
}

// inputsKnown reports whether every input is known, so that the digest can be
// computed. What is local must have been read before.
func (m *jobModel) inputsKnown(ctx context.Context) bool {
	for _, v := range []attr.Value{m.Name, m.Entrypoint, m.Command, m.WorkingDir, m.PyModules, m.RuntimeEnv, m.RuntimeEnvJSON, m.EnvVarsWOVersion, m.RuntimeEnvJSONWOVersion, m.Triggers, m.NumCPUs, m.NumGPUs, m.Memory, m.Resources, m.LabelSelector} {
		if !fullyKnown(ctx, v) {
			return false
		}
	}
	return m.requirementsKnown() && (!m.localDir() || known(m.WorkingDirHash)) && (len(m.PyModules.Elements()) == 0 || known(m.PyModuleHashes))
}

// known: neither unknown nor null.
func known(v attr.Value) bool { return !v.IsUnknown() && !v.IsNull() }

// localDir reports whether working_dir is on this machine.
func (m *jobModel) localDir() bool {
	dir := m.WorkingDir.ValueString()
	return dir != "" && !workdir.IsURI(dir)
}

func fullyKnown(ctx context.Context, v attr.Value) bool {
	t, err := v.ToTerraformValue(ctx)
	return err == nil && t.IsFullyKnown()
}

// inputs returns what makes this job; ownID is the submission id where the user
// chose it.
func (m *jobModel) inputs(ctx context.Context, ownID string, diags *diag.Diagnostics) jobs.Inputs {
	in := jobs.Inputs{
		Name:          m.Name.ValueString(),
		SubmissionID:  ownID,
		Entrypoint:    m.entrypoint(ctx, diags),
		RuntimeEnv:    m.runtimeEnv(ctx, diags),
		NumCPUs:       m.NumCPUs.ValueFloat64Pointer(),
		NumGPUs:       m.NumGPUs.ValueFloat64Pointer(),
		MemoryBytes:   m.Memory.ValueInt64Pointer(),
		LabelSelector: stringMap(ctx, m.LabelSelector, diags),
		Triggers:      stringMap(ctx, m.Triggers, diags),

		EnvVarsVersion:    m.EnvVarsWOVersion.ValueString(),
		RuntimeEnvVersion: m.RuntimeEnvJSONWOVersion.ValueString(),
	}
	if m.localDir() {
		in.WorkingDirHash = m.WorkingDirHash.ValueString()
	} else {
		in.WorkingDir = m.WorkingDir.ValueString()
	}
	if len(m.PyModules.Elements()) > 0 {
		in.PyModules = stringList(ctx, m.PyModuleHashes, diags)
	}
	if !m.Resources.IsNull() {
		in.Resources = resourceMap(ctx, m.Resources, diags)
	}
	return in
}

// stamp is the mark that the recorded job carries; zero for an imported job that
// somebody else submitted.
func (m *jobModel) stamp(ctx context.Context) jobs.Stamp {
	var diags diag.Diagnostics
	s, _ := jobs.StampOf(stringMap(ctx, m.MetadataAll, &diags))
	return s
}

// carriedBy reports whether job is the recorded one, as far as its stamp tells.
func (m *jobModel) carriedBy(ctx context.Context, job ray.Job) bool {
	s := m.stamp(ctx)
	return s.Digest == "" || jobs.Ours(job, s)
}

// base is the first id of the recorded job's attempts; generated is false where
// the id is not made of the job's stamp: the user chose it, or somebody else
// submitted the job.
func (m *jobModel) base(ctx context.Context) (base string, generated bool) {
	s := m.stamp(ctx)
	base = jobs.BaseID(s.Owner, s.Name, s.Digest)
	return base, m.SubmissionID.ValueString() == jobs.AttemptID(base, s.Attempt)
}

// chosenID reports whether the user chose the recorded id in the configuration.
func (m *jobModel) chosenID(ctx context.Context) bool {
	_, generated := m.base(ctx)
	return !generated && m.stamp(ctx).Digest != ""
}

func (m *jobModel) ref(ctx context.Context) jobs.Ref {
	return jobs.Ref{ID: m.SubmissionID.ValueString(), ClusterID: m.ClusterID.ValueString(), Stamp: m.stamp(ctx), EndTime: endOf(m.EndedAt)}
}

// fromJob takes over what Ray says of the job now.
func (m *jobModel) fromJob(ctx context.Context, j ray.Job, diags *diag.Diagnostics) {
	m.Status = types.StringValue(string(j.Status))
	m.JobID = textOrNull(j.JobID)
	m.ErrorType = textOrNull(j.ErrorType)
	m.DriverNodeID = textOrNull(j.DriverNodeID)
	m.SubmittedAt = timeOrNull(j.StartTime)
	m.EndedAt = timeOrNull(j.EndTime)
	m.DriverExitCode = types.Int64Null()
	if j.DriverExitCode != nil {
		m.DriverExitCode = types.Int64Value(int64(*j.DriverExitCode))
	}
	if j.Metadata != nil {
		all, d := types.MapValueFrom(ctx, types.StringType, j.Metadata)
		diags.Append(d...)
		m.MetadataAll = all
	}
	m.noteAttempt(ctx, j, diags)
}

// job is the recorded job, as far as a message about its end needs it.
func (m *jobModel) job(ctx context.Context) ray.Job {
	j := ray.Job{
		SubmissionID: m.SubmissionID.ValueString(), Status: ray.JobStatus(m.Status.ValueString()),
		Entrypoint: m.entrypoint(ctx, new(diag.Diagnostics)), ErrorType: m.ErrorType.ValueString(),
	}
	if !m.DriverExitCode.IsNull() {
		code := int(m.DriverExitCode.ValueInt64())
		j.DriverExitCode = &code
	}
	return j
}

// settle makes of m what a state may hold: every computed value that is still
// unknown is null.
func (m *jobModel) settle() {
	m.dropHidden()
	for _, s := range []*types.String{&m.SubmissionID, &m.JobID, &m.Status, &m.ErrorType, &m.SubmittedAt, &m.EndedAt, &m.DriverNodeID, &m.ClusterID, &m.URL, &m.PackageURI, &m.WorkingDirHash, &m.RequirementsHash, &m.InputsDigest, &m.Owner} {
		if s.IsUnknown() {
			*s = types.StringNull()
		}
	}
	for _, n := range []*types.Int64{&m.DriverExitCode, &m.Attempt} {
		if n.IsUnknown() {
			*n = types.Int64Null()
		}
	}
	if m.MetadataAll.IsUnknown() || m.MetadataAll.IsNull() {
		m.MetadataAll = types.MapNull(types.StringType)
	}
	if m.PyModuleHashes.IsUnknown() || m.PyModuleHashes.IsNull() {
		m.PyModuleHashes = types.ListNull(types.StringType)
	}
	if m.Attempts.IsUnknown() || m.Attempts.IsNull() {
		m.Attempts = types.ListNull(attemptType)
	}
	if m.Result.IsUnknown() {
		m.Result = types.DynamicNull()
	}
}

// pin takes every computed value from o.
func (m *jobModel) pin(o *jobModel) {
	m.SubmissionID, m.JobID, m.Status, m.ErrorType, m.DriverExitCode = o.SubmissionID, o.JobID, o.Status, o.ErrorType, o.DriverExitCode
	m.SubmittedAt, m.EndedAt, m.DriverNodeID, m.ClusterID, m.URL = o.SubmittedAt, o.EndedAt, o.DriverNodeID, o.ClusterID, o.URL
	m.PackageURI, m.WorkingDirHash, m.PyModuleHashes, m.RequirementsHash, m.MetadataAll = o.PackageURI, o.WorkingDirHash, o.PyModuleHashes, o.RequirementsHash, o.MetadataAll
	m.Attempt, m.Attempts, m.InputsDigest, m.Owner, m.Result = o.Attempt, o.Attempts, o.InputsDigest, o.Owner, o.Result
}

// unsettle plans what a wait will find out.
func (m *jobModel) unsettle() {
	m.Status, m.JobID, m.ErrorType = types.StringUnknown(), types.StringUnknown(), types.StringUnknown()
	m.SubmittedAt, m.EndedAt = types.StringUnknown(), types.StringUnknown()
	m.DriverNodeID, m.DriverExitCode = types.StringUnknown(), types.Int64Unknown()
	m.Attempts, m.Result = types.ListUnknown(attemptType), types.DynamicUnknown()
}

// unsettleRun plans a wait in which another attempt may come to be the job.
func (m *jobModel) unsettleRun() {
	m.unsettle()
	if m.retries() {
		m.SubmissionID, m.Attempt, m.URL = types.StringUnknown(), types.Int64Unknown(), types.StringUnknown()
		m.PackageURI, m.MetadataAll = types.StringUnknown(), types.MapUnknown(types.StringType)
	}
}

// jobPage is where the dashboard shows a job.
const jobPage = "/#/jobs/"

func jobURL(dashboard, id string) types.String {
	if dashboard == "" {
		return types.StringNull()
	}
	return types.StringValue(strings.TrimSuffix(dashboard, "/") + jobPage + url.PathEscape(id))
}

func textOrNull(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

func timeOrNull(t time.Time) types.String {
	if t.IsZero() {
		return types.StringNull()
	}
	return types.StringValue(t.UTC().Format(time.RFC3339))
}

// endOf is a recorded end, not before it: states hold whole seconds. It is zero where
// none is recorded.
func endOf(s types.String) time.Time {
	t, err := time.Parse(time.RFC3339, s.ValueString())
	if err != nil {
		return time.Time{}
	}
	return t.Add(time.Second)
}
