package job

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/workdir"
)

// source is a working_dir or an entry of py_modules.
type source struct {
	// at is where it is written, what how messages call it.
	at   path.Path
	what string
	// where is its path, or its URI.
	where string
	read  func(ctx context.Context, path string, options workdir.Options) (*workdir.Package, error)
	// recorded is the hash in the plan or the state, or "".
	recorded string
}

func (s source) remote() bool { return workdir.IsURI(s.where) }

// workingDir is the job's working_dir, where it has one.
func (m *jobModel) workingDir(recorded types.String) []source {
	if m.WorkingDir.ValueString() == "" {
		return nil
	}
	return []source{{path.Root("working_dir"), "working_dir", m.WorkingDir.ValueString(), workdir.WorkingDir, recorded.ValueString()}}
}

// modules are the job's py_modules.
func (m *jobModel) modules(ctx context.Context, recorded types.List, diags *diag.Diagnostics) []source {
	var out []source
	hashes := recorded.Elements()
	for i, where := range stringList(ctx, m.PyModules, diags) {
		s := source{path.Root("py_modules").AtListIndex(i), fmt.Sprintf("py_modules[%d]", i), where, workdir.Module, ""}
		if i < len(hashes) {
			if hash, ok := hashes[i].(types.String); ok {
				s.recorded = hash.ValueString()
			}
		}
		out = append(out, s)
	}
	return out
}

// pack reads what s is now. Its hash is written as the recorded one is.
func (r *jobResource) pack(ctx context.Context, m *jobModel, s source, diags *diag.Diagnostics) (*workdir.Package, error) {
	options := r.Pool().Packaging()
	options.Excludes = stringList(ctx, m.Excludes, diags)
	p, err := s.read(ctx, s.where, options)
	if err != nil {
		return nil, err
	}
	p.Hash = workdir.LikeRecorded(p.Hash, s.recorded)
	return p, nil
}

// packages puts into the request what is to be uploaded for the job; false, and a
// diagnostic, where it can't be, or is not what was planned.
func (r *jobResource) packages(ctx context.Context, m *jobModel, request *jobs.Request, diags *diag.Diagnostics) bool {
	uri := func(s source) (uri, hash string) {
		if s.remote() || diags.HasError() {
			return s.where, s.where
		}
		p, err := r.pack(ctx, m, s, diags)
		switch {
		case err != nil:
			fw.AddError(diags, s.at, fmt.Sprintf("%s of job %s can't be packaged", s.what, m.label()), err)
			return "", ""
		case s.recorded != "" && s.recorded != p.Hash:
			fw.AddError(diags, s.at, fmt.Sprintf("%s of job %s changed since the plan", s.what, m.label()), &changedError{s.recorded, p.Hash})
			return "", ""
		}
		request.Packages = append(request.Packages, jobs.Package{URI: p.URI, Size: p.Size, Write: p.Write})
		return p.URI, p.Hash
	}
	for _, s := range m.workingDir(m.WorkingDirHash) {
		posted, hash := uri(s)
		request.WorkingDirURI = posted
		if !s.remote() {
			m.WorkingDirHash = types.StringValue(hash)
		}
	}
	var hashes []string
	for _, s := range m.modules(ctx, m.PyModuleHashes, diags) {
		posted, hash := uri(s)
		request.PyModuleURIs = append(request.PyModuleURIs, posted)
		hashes = append(hashes, hash)
	}
	m.setModuleHashes(ctx, hashes, diags)
	return !diags.HasError()
}

func (m *jobModel) setModuleHashes(ctx context.Context, hashes []string, diags *diag.Diagnostics) {
	m.PyModuleHashes = types.ListNull(types.StringType)
	if len(hashes) > 0 {
		list, d := types.ListValueFrom(ctx, types.StringType, hashes)
		diags.Append(d...)
		m.PyModuleHashes = list
	}
}

// planHashes plans working_dir_hash and py_modules_hashes.
func (r *jobResource) planHashes(ctx context.Context, plan, state *jobModel, diags *diag.Diagnostics) {
	recorded := jobModel{WorkingDirHash: types.StringNull(), PyModuleHashes: types.ListNull(types.StringType)}
	if state != nil {
		recorded = *state
	}
	plan.WorkingDirHash = types.StringNull()
	if !allKnown(ctx, plan.WorkingDir, plan.Excludes) {
		plan.WorkingDirHash = types.StringUnknown()
	} else if plan.localDir() {
		for _, s := range plan.workingDir(recorded.WorkingDirHash) {
			plan.WorkingDirHash = r.planHash(ctx, plan, s, diags)
		}
	}
	if !allKnown(ctx, plan.PyModules, plan.Excludes) {
		plan.PyModuleHashes = types.ListUnknown(types.StringType)
		return
	}
	var hashes []string
	for _, s := range plan.modules(ctx, recorded.PyModuleHashes, diags) {
		hash := r.planHash(ctx, plan, s, diags)
		if hash.IsUnknown() {
			plan.PyModuleHashes = types.ListUnknown(types.StringType)
			return
		}
		hashes = append(hashes, hash.ValueString())
	}
	plan.setModuleHashes(ctx, hashes, diags)
}

// planHash plans one hash. What can't be read keeps the recorded hash, with a
// warning: it is an error only where it would be packaged.
func (r *jobResource) planHash(ctx context.Context, plan *jobModel, s source, diags *diag.Diagnostics) types.String {
	if s.remote() {
		return types.StringValue(s.where)
	}
	p, err := r.pack(ctx, plan, s, diags)
	cannot := fmt.Sprintf("%s of job %s can't be packaged", s.what, plan.label())
	switch {
	case err == nil:
		if p.Secrets != nil && p.Hash != s.recorded {
			fw.AddWarning(diags, s.at, fmt.Sprintf("%s of job %s seems to hold secrets", s.what, plan.label()), p.Secrets)
		}
		return types.StringValue(p.Hash)
	case s.recorded != "" && !workdir.IsURI(s.recorded):
		fw.AddWarning(diags, s.at, cannot, err)
		return types.StringValue(s.recorded)
	case errors.Is(err, fs.ErrNotExist): // another resource may make it before the job is applied
		fw.AddWarning(diags, s.at, fmt.Sprintf("%s of job %s is not there yet", s.what, plan.label()), err)
	default:
		fw.AddError(diags, s.at, cannot, err)
	}
	return types.StringUnknown()
}

// changedError is content that is not what was planned.
type changedError struct{ planned, now string }

func (e *changedError) Error() string {
	return fmt.Sprintf("its content was %s when it was planned and is %s now; nothing was submitted. Plan again", e.planned, e.now)
}

// validatePackages checks URIs, which are Ray's to fetch.
func validatePackages(ctx context.Context, m *jobModel, diags *diag.Diagnostics) {
	check := func(s source, uri func(string) error) {
		if !s.remote() {
			return
		}
		if err := uri(s.where); err != nil {
			diags.AddAttributeError(s.at, fmt.Sprintf("%s is no URI that Ray can fetch", s.what), fw.Sentence(err.Error())+".")
		}
	}
	for _, s := range m.workingDir(types.StringNull()) {
		check(s, workdir.CheckWorkingDirURI)
	}
	if fullyKnown(ctx, m.PyModules) {
		for _, s := range m.modules(ctx, types.ListNull(types.StringType), diags) {
			check(s, workdir.CheckModuleURI)
		}
	}
	if !m.Excludes.IsNull() && m.WorkingDir.IsNull() && m.PyModules.IsNull() {
		diags.AddAttributeError(path.Root("excludes"), "excludes excludes nothing", "It needs working_dir or py_modules beside it.")
	}
}
