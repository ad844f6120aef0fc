package job

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/requirements"
)

// Files of requirements count by their content, as working_dir does: the digest is
// that of the same requirements written into the configuration, and state holds
// a hash to compare them by.

func requirementsAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"requirements_hash": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Hash of what `requirements_file` or `environment_file` in `runtime_env` holds; null without one. A change replaces the job.",
		},
	}
}

// requirementsHashVersion stands in every hash, and the form of a version never changes:
// hashes lie in users' states.
const requirementsHashVersion = "v1"

// requirementsHash is "v1:" and the SHA-256 of the canonical JSON of pip's and uv's list
// of packages, or of conda's environment.
func requirementsHash(v any) string {
	body, err := jobs.Canonical(v)
	if err != nil { // a number beyond JSON's: equal to none
		return ""
	}
	sum := sha256.Sum256(body)
	return requirementsHashVersion + ":" + hex.EncodeToString(sum[:])
}

// requirementsFile is where a configuration names a file of requirements.
type requirementsFile struct {
	// field of the runtime_env that it fills.
	field string
	at    path.Path
	file  string
}

// requirementsFile returns nil where there is none. known is false where nobody can
// tell yet.
func (m *jobModel) requirementsFile() (f *requirementsFile, known bool) {
	if m.RuntimeEnv.IsUnknown() {
		return nil, false
	}
	known = true
	for _, r := range []struct{ field, argument string }{{"pip", "requirements_file"}, {"uv", "requirements_file"}, {"conda", "environment_file"}} {
		manager, ok := m.RuntimeEnv.Attributes()[r.field].(types.Object)
		if !ok || manager.IsNull() {
			continue
		}
		file, ok := manager.Attributes()[r.argument].(types.String)
		switch {
		case manager.IsUnknown() || ok && file.IsUnknown():
			known = false
		case ok && !file.IsNull():
			f = &requirementsFile{field: r.field, at: path.Root("runtime_env").AtName(r.field).AtName(r.argument), file: file.ValueString()}
		}
	}
	return f, known
}

// content is what the file adds to the runtime_env.
type content struct {
	field string
	// value is conda's environment, or the packages of pip and uv.
	value any
}

func (f *requirementsFile) read() (*content, error) {
	if f.field == "conda" {
		environment, err := requirements.Conda(f.file)
		if err != nil {
			return nil, err
		}
		return &content{f.field, environment}, nil
	}
	lines, err := requirements.Packages(f.file)
	if err != nil {
		return nil, err
	}
	if err := requirements.Local(lines); err != nil {
		return nil, fmt.Errorf("in %s: %w", f.file, err)
	}
	packages := make([]any, len(lines))
	for i, line := range lines {
		packages[i] = line
	}
	return &content{f.field, packages}, nil
}

// into puts the content into a runtime_env.
func (c *content) into(env map[string]any) {
	if c.field == "conda" {
		env[c.field] = c.value
		return
	}
	manager, _ := env[c.field].(map[string]any)
	manager = maps.Clone(manager)
	if manager == nil {
		manager = map[string]any{}
	}
	manager["packages"] = c.value
	env[c.field] = manager
}

// planRequirements reads the file and plans its hash. As for working_dir, a file that
// can't be read is an error only where the job would be submitted with it.
func (r *jobResource) planRequirements(plan, state *jobModel, diags *diag.Diagnostics) {
	f, known := plan.requirementsFile()
	switch {
	case !known:
		plan.RequirementsHash = types.StringUnknown()
		return
	case f == nil:
		plan.RequirementsHash = types.StringNull()
		return
	}
	c, err := f.read()
	if err == nil {
		plan.content, plan.RequirementsHash = c, types.StringValue(requirementsHash(c.value))
		return
	}
	summary := fmt.Sprintf("Requirements of job %s can't be read", plan.label())
	switch {
	case state != nil && !state.RequirementsHash.IsNull():
		plan.RequirementsHash = state.RequirementsHash
		fw.AddWarning(diags, f.at, summary, err)
	case errors.Is(err, fs.ErrNotExist):
		plan.RequirementsHash = types.StringUnknown()
		fw.AddWarning(diags, f.at, fmt.Sprintf("Requirements of job %s are not there yet", plan.label()), err)
	default:
		plan.RequirementsHash = types.StringUnknown()
		fw.AddError(diags, f.at, summary, err)
	}
}

// readRequirements reads the file for a submission; it must be the one that was
// planned.
func (m *jobModel) readRequirements(diags *diag.Diagnostics) {
	f, _ := m.requirementsFile()
	if f == nil {
		return
	}
	c, err := f.read()
	if err != nil {
		fw.AddError(diags, f.at, fmt.Sprintf("Requirements of job %s can't be read", m.label()), err)
		return
	}
	now := requirementsHash(c.value)
	if planned := m.RequirementsHash; !planned.IsUnknown() && !planned.IsNull() && planned.ValueString() != now {
		fw.AddError(diags, f.at, fmt.Sprintf("Requirements of job %s changed since the plan", m.label()), &changedError{planned.ValueString(), now})
		return
	}
	m.content, m.RequirementsHash = c, types.StringValue(now)
}

// sameEnv compares what plan and recorded, which is state's, ask Ray for. Where one
// of them has a file of requirements, both go by the hashes of theirs.
func sameEnv(plan, state *jobModel, planned, recorded map[string]any) bool {
	if plan.RequirementsHash.IsUnknown() {
		return false
	}
	if !plan.RequirementsHash.IsNull() || !state.RequirementsHash.IsNull() {
		planned, recorded = plan.byHash(planned), state.byHash(recorded)
	}
	return jobs.SameJSON(planned, recorded)
}

// byHash is env with its requirements by their hash.
func (m *jobModel) byHash(env map[string]any) map[string]any {
	env = maps.Clone(env)
	f, _ := m.requirementsFile()
	for _, field := range []string{"pip", "uv"} {
		manager, _ := env[field].(map[string]any)
		packages, has := manager["packages"]
		if has {
			(&content{field, requirementsHash(packages)}).into(env)
		}
	}
	if conda, has := env["conda"]; has {
		env["conda"] = requirementsHash(conda)
	}
	if f != nil {
		(&content{f.field, m.RequirementsHash.ValueString()}).into(env)
	}
	return env
}

// requirementsKnown reports whether the requirements are there for a digest.
func (m *jobModel) requirementsKnown() bool {
	f, known := m.requirementsFile()
	return known && (f == nil || m.content != nil)
}

// validateLocal refuses requirements that name files of this machine.
func validateLocal(packages []string, at path.Path, diags *diag.Diagnostics) {
	if err := requirements.Local(packages); err != nil {
		diags.AddAttributeError(at, "A file that is not uploaded", fw.Detail(err))
	}
}
