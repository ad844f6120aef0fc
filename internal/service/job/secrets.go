package job

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework-jsontypes/jsontypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// Write-only arguments are in the configuration alone: a plan and a state hold
// null, so that nothing can tell a changed value from an unchanged one. Their
// versions can, and are inputs in their place.

func secretAttributes() map[string]schema.Attribute {
	version := func(of string) schema.StringAttribute {
		return schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Version of `" + of + "`, any text or number: Terraform can't see that a write-only value changed. A change replaces the job.",
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1), stringvalidator.AlsoRequires(path.MatchRoot(of))},
		}
	}
	return map[string]schema.Attribute{
		"env_vars_wo": schema.MapAttribute{
			Optional: true, WriteOnly: true, ElementType: types.StringType,
			MarkdownDescription: "Environment variables of the job that no state or plan holds, beside those of `runtime_env`; no name may stand in both. Ray still shows them to whoever may read its API. " +
				"A change takes effect with one of `env_vars_wo_version`, which is required with it.",
			Validators: []validator.Map{mapvalidator.AlsoRequires(path.MatchRoot("env_vars_wo_version"))},
		},
		"env_vars_wo_version": version("env_vars_wo"),
		"runtime_env_json_wo": schema.StringAttribute{
			Optional: true, WriteOnly: true, // not of a JSON type, whose message on bad JSON shows it
			MarkdownDescription: "More of Ray's `runtime_env`, as a JSON object that no state or plan holds, such as packages from an index whose URL has a password in it. No key may stand in `runtime_env` or `runtime_env_json` too. " +
				"A change takes effect with one of `runtime_env_json_wo_version`, which is required with it.",
			Validators: []validator.String{stringvalidator.AlsoRequires(path.MatchRoot("runtime_env_json_wo_version"))},
		},
		"runtime_env_json_wo_version": version("runtime_env_json_wo"),
	}
}

// takeHidden takes the write-only arguments over from the configuration, for the
// time of an apply.
func (m *jobModel) takeHidden(config *jobModel) {
	m.EnvVarsWO, m.RuntimeEnvJSONWO = config.EnvVarsWO, config.RuntimeEnvJSONWO
}

// dropHidden takes them out: no state holds them.
func (m *jobModel) dropHidden() {
	m.EnvVarsWO, m.RuntimeEnvJSONWO = types.MapNull(types.StringType), types.StringNull()
}

// hidden is the part of the runtime_env that the write-only arguments hold.
func (m *jobModel) hidden(ctx context.Context, diags *diag.Diagnostics) map[string]any {
	env := map[string]any{}
	if text := m.RuntimeEnvJSONWO; !text.IsNull() && !text.IsUnknown() {
		more, err := jobs.DecodeObject(text.ValueString())
		if err != nil { // what it holds is not for a message
			diags.AddAttributeError(path.Root("runtime_env_json_wo"), "runtime_env_json_wo is not a JSON object", "Write it with jsonencode({ ... }).")
			return env
		}
		maps.Copy(env, more)
	}
	vars := map[string]any{}
	for name, value := range stringMap(ctx, m.EnvVarsWO, diags) {
		vars[name] = value
	}
	if own, ok := env["env_vars"].(map[string]any); ok {
		maps.Copy(vars, own)
	}
	if len(vars) > 0 {
		env["env_vars"] = vars
	}
	maps.DeleteFunc(env, func(_ string, v any) bool { return jobs.Empty(v) })
	return env
}

// validateHidden checks that nothing is set both openly and write-only: of two
// values one would be dropped without a word.
func validateHidden(ctx context.Context, m *jobModel, diags *diag.Diagnostics) {
	jsonAt, varsAt := path.Root("runtime_env_json_wo"), path.Root("env_vars_wo")
	var malformed diag.Diagnostics // the arguments' own checks say so
	open := m.runtimeEnv(ctx, &malformed)
	inJSON := (&jobModel{RuntimeEnvJSONWO: m.RuntimeEnvJSONWO}).hidden(ctx, diags)
	validateFields(inJSON, jsonAt, diags)
	for _, key := range slices.Sorted(maps.Keys(inJSON)) {
		if _, twice := open[key]; twice {
			diags.AddAttributeError(jsonAt, fmt.Sprintf("%s is set twice", key), fmt.Sprintf("runtime_env_json_wo and runtime_env or runtime_env_json both have %q; keep one.", key))
		}
	}
	names := slices.Sorted(maps.Keys(m.EnvVarsWO.Elements()))
	vars := map[string]any{}
	for name, value := range stringMap(ctx, m.EnvVarsWO, diags) {
		vars[name] = value
	}
	validateVars(vars, varsAt, diags)
	for _, name := range names {
		if slices.Contains(envNames(open["env_vars"]), name) || slices.Contains(envNames(inJSON["env_vars"]), name) {
			diags.AddAttributeError(varsAt, fmt.Sprintf("Environment variable %q is set twice", name), "It stands in env_vars_wo and in the runtime_env; keep one.")
		}
	}
}

// recheckHidden checks again in apply, which alone knows every ephemeral value.
func recheckHidden(ctx context.Context, config *jobModel, diags *diag.Diagnostics) {
	var found diag.Diagnostics
	validateHidden(ctx, config, &found)
	diags.Append(found.Errors()...)
}

// passwordInURL is the password of a URL, or what stands alone in its place. A package
// index is written with one among the requirements.
var passwordInURL = regexp.MustCompile(`://(?:[^/\s:@]*:)?([^/\s@]+)@`)

// secrets are values that no message may show: those of environment variables, passwords
// in URLs, and all that is write-only. A value that is a part of the job's name or id ("prod") is
// no secret, and no message could do without it.
func (m *jobModel) secrets(ctx context.Context) []string {
	var diags diag.Diagnostics
	env := m.runtimeEnv(ctx, &diags)
	all := jobs.Secrets(env["env_vars"], m.hidden(ctx, &diags))
	for _, text := range append(jobs.Secrets(env), m.WorkingDir.ValueString()) {
		for _, found := range passwordInURL.FindAllStringSubmatch(text, -1) {
			all = append(all, found[1])
		}
	}
	return slices.DeleteFunc(all, func(s string) bool {
		return len(s) < jobs.ShortestSecret || strings.Contains(m.Name.ValueString(), s) || strings.Contains(m.SubmissionID.ValueString(), s)
	})
}

// quietly masks the job's secrets in the provider's own log.
func (m *jobModel) quietly(ctx context.Context) context.Context {
	secrets := m.secrets(ctx)
	return tflog.MaskAllFieldValuesStrings(tflog.MaskMessageStrings(ctx, secrets...), secrets...)
}

// mask takes the job's secrets out of all that was said: Ray and proxies before it
// repeat in an error what they were sent.
func (m *jobModel) mask(ctx context.Context, diags *diag.Diagnostics) {
	secrets := m.secrets(ctx)
	for i, d := range *diags {
		(*diags)[i] = masked(d, secrets)
	}
}

func masked(d diag.Diagnostic, secrets []string) diag.Diagnostic {
	summary, detail := jobs.Mask(d.Summary(), secrets), jobs.Mask(d.Detail(), secrets)
	if summary == d.Summary() && detail == d.Detail() {
		return d
	}
	var out diag.Diagnostic = diag.NewErrorDiagnostic(summary, detail)
	if d.Severity() == diag.SeverityWarning {
		out = diag.NewWarningDiagnostic(summary, detail)
	}
	if at, ok := d.(diag.DiagnosticWithPath); ok {
		out = diag.WithPath(at.Path(), out)
	}
	return out
}

// withoutHidden is an imported job's runtime_env without what the configuration
// holds write-only: the import can't tell it from the rest.
func withoutHidden(env, hidden map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range env {
		vars, isVars := value.(map[string]any)
		names := envNames(hidden[key])
		switch _, ours := hidden[key]; {
		case ours && key == "env_vars" && isVars:
			vars = maps.Clone(vars)
			maps.DeleteFunc(vars, func(name string, _ any) bool { return slices.Contains(names, name) })
			out[key] = vars
		case !ours:
			out[key] = value
		}
	}
	maps.DeleteFunc(out, func(_ string, v any) bool { return jobs.Empty(v) })
	return out
}

// importedEnv is the runtime_env of a job that Terraform did not submit from this
// state, as state holds it: without the working_dir and py_modules, and with no value of an
// environment variable, which Ray before 2.59 shows to everybody. Any value of a
// job with a stamp may have been write-only: its digest tells whether they are the
// configuration's.
func importedEnv(raw json.RawMessage, stamped bool) (env jsontypes.Normalized, workingDir string, modules []string) {
	all, err := jobs.DecodeObject(string(raw))
	if err != nil {
		return jsontypes.NewNormalizedNull(), "", nil
	}
	workingDir, _ = all["working_dir"].(string)
	list, _ := all["py_modules"].([]any)
	for _, entry := range list {
		if uri, ok := entry.(string); ok {
			modules = append(modules, uri)
		}
	}
	delete(all, "working_dir")
	delete(all, "py_modules")
	if vars, ok := all["env_vars"].(map[string]any); ok {
		maps.DeleteFunc(vars, func(k string, _ any) bool { return strings.HasPrefix(k, jobs.EnvPrefix) })
		if len(vars) == 0 {
			delete(all, "env_vars")
		}
	}
	for key, value := range all {
		if stamped || key == "env_vars" {
			all[key] = redacted(value)
		}
	}
	if len(all) == 0 {
		return jsontypes.NewNormalizedNull(), workingDir, modules
	}
	text, err := jobs.Canonical(all)
	if err != nil {
		return jsontypes.NewNormalizedNull(), workingDir, modules
	}
	return jsontypes.NewNormalizedValue(string(text)), workingDir, modules
}

// redacted is v with all of its strings as Ray shows a secret.
func redacted(v any) any {
	switch v := v.(type) {
	case string:
		return ray.Redacted
	case []any:
		for i := range v {
			v[i] = redacted(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = redacted(v[k])
		}
	}
	return v
}

type secretsKey struct{}

// secrets are the values, by submission id, that no message of this process may
// show: Ray shows those of a job to nobody since 2.59, so that only the resource
// that submitted it knows them.
type secrets struct {
	mu   sync.Mutex
	byID map[string][]string
}

func secretsOf(cluster *conn.Cluster) *secrets {
	s, _ := cluster.Value(secretsKey{}, func() any { return &secrets{byID: map[string][]string{}} }).(*secrets) // the key is of a type of this package's own
	return s
}

func (s *secrets) note(id string, values []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[id] = values
}

// of returns the job's secrets; known is false where no resource of this process
// has told them.
func (s *secrets) of(id string) (values []string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	values, known = s.byID[id]
	return values, known
}
