package job

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// ImportState takes "submission_id", "<address>|<submission_id>" or the identity.
func (r *jobResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	address, id := "", req.ID
	if id == "" && req.Identity != nil {
		var identity jobIdentity
		resp.Diagnostics.Append(req.Identity.Get(ctx, &identity)...)
		id = identity.SubmissionID.ValueString()
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("cluster_id"), identity.ClusterID)...)
	}
	if i := strings.LastIndex(id, "|"); i >= 0 {
		address, id = id[:i], id[i+1:]
	}
	if !submissionIDPattern.MatchString(id) {
		resp.Diagnostics.AddError("Not a submission id", fmt.Sprintf("%q is not the id of a submission. Import by submission id, or by address and submission id as in http://host:8265|nightly-0a1b2c3d4e.", req.ID))
		return
	}
	if address != "" {
		cluster, d := fw.ClusterObject(ctx, conn.Target{Address: address})
		resp.Diagnostics.Append(d...)
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("cluster"), cluster)...)
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("submission_id"), id)...)
	takeOver(ctx, resp.Private, &resp.Diagnostics)
}

// readImported takes over what Ray knows of a job. Ray does not return an
// entrypoint's requirements, nor the name, triggers and directory of another's
// job: those are filled in from the configuration.
func (r *jobResource) readImported(ctx context.Context, cluster *conn.Cluster, m *jobModel, job ray.Job, diags *diag.Diagnostics) {
	info, err := cluster.Info(ctx)
	if err != nil {
		fw.AddError(diags, path.Empty(), fmt.Sprintf("Job %s could not be imported", m.label()), err)
		return
	}
	if want := m.ClusterID.ValueString(); want != "" && info.ClusterID != "" && want != info.ClusterID {
		diags.AddError(fmt.Sprintf("Job %s is on another cluster", m.label()),
			fmt.Sprintf("The identity names cluster %s; %s is cluster %s. Import it with the address of its cluster.", want, cluster.Address(), info.ClusterID))
		return
	}
	m.ClusterID = textOrNull(info.ClusterID)
	m.Entrypoint = types.StringValue(job.Entrypoint)
	stamp, stamped := jobs.StampOf(job.Metadata)
	env, workingDir, modules := importedEnv(job.RuntimeEnv, stamped)
	m.RuntimeEnvJSON = env
	switch {
	case strings.HasPrefix(workingDir, "gcs://"):
		m.PackageURI = types.StringValue(workingDir)
	case workingDir != "":
		m.WorkingDir = types.StringValue(workingDir)
	}
	uploaded := func(uri string) bool { return strings.HasPrefix(uri, "gcs://") }
	if len(modules) > 0 && !slices.ContainsFunc(modules, uploaded) {
		list, d := types.ListValueFrom(ctx, types.StringType, modules)
		diags.Append(d...)
		m.PyModules, m.PyModuleHashes = list, list
	}
	m.Attempt = types.Int64Value(1)
	if stamped {
		m.Name, m.Owner, m.InputsDigest = textOrNull(stamp.Name), textOrNull(stamp.Owner), types.StringValue(stamp.Digest)
		m.Attempt = types.Int64Value(int64(stamp.Attempt))
	}
	m.fromJob(ctx, job, diags)
	own := map[string]string{}
	for k, v := range job.Metadata {
		if !strings.HasPrefix(k, jobs.MetadataPrefix) {
			own[k] = v
		}
	}
	if len(own) > 0 {
		metadata, d := types.MapValueFrom(ctx, types.StringType, own)
		diags.Append(d...)
		m.Metadata = metadata
	}
	if api, err := cluster.Dashboard(ctx); err == nil {
		m.URL = jobURL(api.URL(), job.SubmissionID)
	}
}
