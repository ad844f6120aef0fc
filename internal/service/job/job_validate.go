package job

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// knownEnvKeys are the fields of Ray 2.60's runtime_env. Ray accepts any other
// without a word, since a plugin may take it.
var knownEnvKeys = []string{
	"working_dir", "py_modules", "py_executable", "java_jars", "pip", "uv", "conda", "config", "env_vars", "container",
	"image_uri", "worker_process_setup_hook", "mpi", "nsight", "rocprof_sys", "excludes",
}

// driverID is what Ray calls a driver. Ray 2.60 looks an id up among its drivers
// first, and only then among its submissions.
var driverID = regexp.MustCompile(`^[0-9a-f]{8}$`)

// ValidateConfig checks what the configuration alone decides.
func (r *jobResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m jobModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if m.Name.IsNull() && m.SubmissionID.IsNull() {
		resp.Diagnostics.AddAttributeError(path.Root("name"), "A job needs a name",
			"Set name: the submission id is made of it and of the job's inputs. Only a job with a submission_id of its own can do without.")
	}
	if !m.SubmissionID.IsNull() && m.onDestroy() != destroyDelete && !m.OnDestroy.IsUnknown() {
		resp.Diagnostics.AddAttributeWarning(path.Root("on_destroy"), "A job with an own submission_id runs again only with on_destroy = \"delete\"",
			"Ray takes a submission id only once. As long as the record of the previous run is kept, a replacement of this job can't be submitted.")
	}
	if driverID.MatchString(m.SubmissionID.ValueString()) {
		resp.Diagnostics.AddAttributeError(path.Root("submission_id"), "The id of a driver",
			"Ray gives its drivers ids of eight hex digits. Under such an id it shows, stops and deletes the job that the driver belongs to, instead of this one. Choose another submission_id, or set name instead.")
	}
	validatePackages(ctx, &m, &resp.Diagnostics)
	validateEnv(ctx, &m, &resp.Diagnostics)
	validateHidden(ctx, &m, &resp.Diagnostics)
	validateRetry(ctx, &m, &resp.Diagnostics)
	validateLimits(&m, &resp.Diagnostics)
	validateRerun(&m, &resp.Diagnostics)
	validateLogs(&m, &resp.Diagnostics)
}

func validateEnv(ctx context.Context, m *jobModel, diags *diag.Diagnostics) {
	fromJSON := map[string]any{}
	at := path.Root("runtime_env_json")
	if text := m.RuntimeEnvJSON; !text.IsNull() && !text.IsUnknown() {
		var err error
		if fromJSON, err = jobs.DecodeObject(text.ValueString()); err != nil {
			diags.AddAttributeError(at, "runtime_env_json is not a JSON object", fmt.Sprintf("It is %v. Write it with jsonencode({ ... }).", err))
			return
		}
	}
	validateFields(fromJSON, at, diags)
	var typed map[string]any
	if !m.RuntimeEnv.IsNull() && fullyKnown(ctx, m.RuntimeEnv) {
		var env runtimeEnvModel
		if d := m.RuntimeEnv.As(ctx, &env, basetypes.ObjectAsOptions{}); d.HasError() {
			diags.Append(d...)
			return
		}
		typed = env.toRay(ctx, diags)
		validateTyped(ctx, env, typed, diags)
	}
	if _, twice := fromJSON["py_modules"]; twice && !m.PyModules.IsNull() {
		diags.AddAttributeError(at, "py_modules is set twice", "It stands in runtime_env_json and as an attribute of the job; keep the attribute.")
	}
	for key := range typed {
		if _, twice := fromJSON[key]; twice {
			diags.AddAttributeError(at, fmt.Sprintf("%s is set twice", key), fmt.Sprintf("runtime_env and runtime_env_json both have %q; keep one.", key))
		}
	}
	hidden := m.hidden(ctx, new(diag.Diagnostics))
	var managers []string
	for _, key := range []string{"conda", "pip", "uv"} {
		_, a := typed[key]
		_, b := fromJSON[key]
		_, c := hidden[key]
		if a || b || c {
			managers = append(managers, key)
		}
	}
	inImage := func(env map[string]any) bool { _, ok := env["image_uri"]; return ok }
	if inImage(typed) || inImage(fromJSON) || inImage(hidden) {
		var beside []string
		for _, key := range []string{"conda", "pip", "uv", "py_executable", "worker_process_setup_hook"} {
			for _, env := range []map[string]any{typed, fromJSON, hidden} {
				if _, ok := env[key]; ok {
					beside = append(beside, key)
				}
			}
		}
		if !m.WorkingDir.IsNull() {
			beside = append(beside, "working_dir")
		}
		if !m.PyModules.IsNull() {
			beside = append(beside, "py_modules")
		}
		if len(beside) > 0 {
			diags.AddAttributeWarning(path.Root("runtime_env"), "image_uri can't be combined with "+strings.Join(beside, ", "),
				"Ray 2.60 fails a job that has an image_uri and more than env_vars and config, unless the cluster has another plugin for images. Put the rest into the image.")
		}
	}
	if len(managers) > 1 {
		diags.AddAttributeError(path.Root("runtime_env"), strings.Join(managers, " and ")+" can't be combined",
			"Ray sets a job's environment up with one of pip, uv and conda. With conda, packages of pip go into its pip list.")
	}
}

// validateTyped checks the values of runtime_env, whose types Terraform checked.
func validateTyped(ctx context.Context, env runtimeEnvModel, typed map[string]any, diags *diag.Diagnostics) {
	at := path.Root("runtime_env")
	validateVars(typed["env_vars"], at.AtName("env_vars"), diags)
	if env.Pip != nil {
		validateLocal(stringList(ctx, env.Pip.Packages, diags), at.AtName("pip").AtName("packages"), diags)
	}
	if env.UV != nil {
		validateLocal(stringList(ctx, env.UV.Packages, diags), at.AtName("uv").AtName("packages"), diags)
	}
	if env.Conda != nil {
		if wrong := condaName(env.Conda.Name.ValueString()); wrong != "" {
			diags.AddAttributeError(at.AtName("conda").AtName("name"), "A file that is not uploaded", fmt.Sprintf("It %s.", wrong))
		}
	}
}

// validateVars checks environment variables. With a name or a value that no process
// can have, Ray 2.60 leaves the job PENDING until it gives it up.
func validateVars(v any, at path.Path, diags *diag.Diagnostics) {
	if v == nil {
		return
	}
	vars, ok := v.(map[string]any)
	if !ok {
		diags.AddAttributeError(at, "env_vars is not an object", "env_vars maps names to strings.")
		return
	}
	validateReserved(slices.Collect(maps.Keys(vars)), at, diags)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		value, ok := vars[name].(string)
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			diags.AddAttributeError(at, fmt.Sprintf("Environment variable %q can't be set", name), "The name of an environment variable is not empty and holds no \"=\" and no NUL.")
		case strings.Contains(value, "\x00"):
			diags.AddAttributeError(at, fmt.Sprintf("Environment variable %q can't be set", name), "The value of an environment variable holds no NUL.")
		case !ok:
			diags.AddAttributeError(at, fmt.Sprintf("Environment variable %q is not a string", name), "Ray fails a job whose env_vars hold anything but strings. Use tostring(...).")
		}
	}
}
