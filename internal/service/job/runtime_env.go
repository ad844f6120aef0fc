package job

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// runtimeEnvModel mirrors Ray's runtime_env by Ray's own names; working_dir is an
// attribute of the job itself.
type runtimeEnvModel struct {
	Pip                    *pipModel    `tfsdk:"pip"`
	UV                     *uvModel     `tfsdk:"uv"`
	Conda                  *condaModel  `tfsdk:"conda"`
	EnvVars                types.Map    `tfsdk:"env_vars"`
	ImageURI               types.String `tfsdk:"image_uri"`
	PyExecutable           types.String `tfsdk:"py_executable"`
	WorkerProcessSetupHook types.String `tfsdk:"worker_process_setup_hook"`
	Config                 *configModel `tfsdk:"config"`
}

type pipModel struct {
	Packages          types.List   `tfsdk:"packages"`
	RequirementsFile  types.String `tfsdk:"requirements_file"`
	PipCheck          types.Bool   `tfsdk:"pip_check"`
	PipVersion        types.String `tfsdk:"pip_version"`
	PipInstallOptions types.List   `tfsdk:"pip_install_options"`
}

type uvModel struct {
	Packages         types.List   `tfsdk:"packages"`
	RequirementsFile types.String `tfsdk:"requirements_file"`
	UVCheck          types.Bool   `tfsdk:"uv_check"`
	UVVersion        types.String `tfsdk:"uv_version"`
	UVInstallOptions types.List   `tfsdk:"uv_pip_install_options"`
}

type condaModel struct {
	Name         types.String `tfsdk:"name"`
	Channels     types.List   `tfsdk:"channels"`
	Dependencies types.List   `tfsdk:"dependencies"`
	Pip          types.List   `tfsdk:"pip"`

	EnvironmentFile types.String `tfsdk:"environment_file"`
}

type configModel struct {
	SetupTimeoutSeconds types.Int64 `tfsdk:"setup_timeout_seconds"`
	EagerInstall        types.Bool  `tfsdk:"eager_install"`
}

func runtimeEnvAttribute() schema.SingleNestedAttribute {
	text := func(d string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: d, Validators: []validator.String{stringvalidator.LengthAtLeast(1)}}
	}
	list := func(d string) schema.ListAttribute {
		return schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: d, Validators: []validator.List{listvalidator.NoNullValues()}}
	}
	sibling := func(name string) path.Expression { return path.MatchRelative().AtParent().AtName(name) }
	packages := schema.ListAttribute{
		Optional: true, ElementType: types.StringType,
		MarkdownDescription: "Requirements, as in `\"torch==2.9.0\"`. Exactly one of `packages` and `requirements_file`.",
		Validators:          []validator.List{listvalidator.SizeAtLeast(1), listvalidator.NoNullValues(), listvalidator.ExactlyOneOf(sibling("requirements_file"))},
	}
	file := text("Path of a requirements file on the machine that runs Terraform. It counts by its content, comments included: another path with the same content does not replace the job. Exactly one of `packages` and `requirements_file`.")
	flag := func(d string) schema.BoolAttribute {
		return schema.BoolAttribute{Optional: true, MarkdownDescription: d}
	}
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "Ray's `runtime_env`: what the job's processes need. A change of its meaning replaces the job.",
		Attributes: map[string]schema.Attribute{
			"pip": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "Packages that pip installs. Not together with `uv` or `conda`.",
				Attributes: map[string]schema.Attribute{
					"packages":            packages,
					"requirements_file":   file,
					"pip_check":           flag("Whether Ray runs `pip check` afterwards. Ray's default is `false`."),
					"pip_version":         text("Version specifier of pip itself, as in `\"==25.3\"`."),
					"pip_install_options": list("Options of `pip install`."),
				},
			},
			"uv": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "Packages that uv installs. Not together with `pip` or `conda`.",
				Attributes: map[string]schema.Attribute{
					"packages":               packages,
					"requirements_file":      file,
					"uv_check":               flag("Whether Ray runs `uv pip check` afterwards. Ray's default is `false`."),
					"uv_version":             text("Version specifier of uv itself."),
					"uv_pip_install_options": list("Options of `uv pip install`."),
				},
			},
			"conda": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "Conda environment: `name` alone takes one that exists on the nodes, `dependencies` make a new one. Not together with `pip` or `uv`.",
				Attributes: map[string]schema.Attribute{
					"name":         text("Name of the environment."),
					"channels":     list("Channels to look in."),
					"dependencies": list("Packages that conda installs."),
					"pip":          list("Packages that pip installs into the environment."),
					"environment_file": schema.StringAttribute{
						Optional:            true,
						MarkdownDescription: "Path of an `environment.yml` on the machine that runs Terraform, instead of the other arguments. It counts by its content, comments excluded.",
						Validators:          []validator.String{stringvalidator.LengthAtLeast(1), stringvalidator.ConflictsWith(sibling("name"), sibling("channels"), sibling("dependencies"), sibling("pip"))},
					},
				},
			},
			"env_vars": schema.MapAttribute{
				Optional: true, Sensitive: true, ElementType: types.StringType,
				MarkdownDescription: "Environment variables of the job. Sensitive in Terraform's output, but Ray shows them to whoever may read its API.",
			},
			"image_uri":                 text("Container image that the job's workers run in."),
			"py_executable":             text("Python executable of the job's workers, as in `\"uv run\"`."),
			"worker_process_setup_hook": text("Function to call in each worker at its start, by its module path."),
			"config": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "How Ray sets the environment up.",
				Attributes: map[string]schema.Attribute{
					"setup_timeout_seconds": schema.Int64Attribute{
						Optional: true, MarkdownDescription: "Seconds that the set-up may take; -1 is no limit. Ray's default is 600.",
						Validators: []validator.Int64{int64validator.Any(int64validator.OneOf(-1), int64validator.AtLeast(1))},
					},
					"eager_install": flag("Whether the environment is set up before it is needed. Ray's default is `true`."),
				},
			},
		},
	}
}

// toRay returns the runtime_env as Ray takes it. Members that are null or empty
// are left out.
func (m runtimeEnvModel) toRay(ctx context.Context, diags *diag.Diagnostics) map[string]any {
	env := object{}
	if m.Pip != nil {
		pip := object{}
		pip.list(ctx, "packages", m.Pip.Packages, diags)
		pip.flag("pip_check", m.Pip.PipCheck)
		pip.text("pip_version", m.Pip.PipVersion)
		pip.list(ctx, "pip_install_options", m.Pip.PipInstallOptions, diags)
		env["pip"] = map[string]any(pip)
	}
	if m.UV != nil {
		uv := object{}
		uv.list(ctx, "packages", m.UV.Packages, diags)
		uv.flag("uv_check", m.UV.UVCheck)
		uv.text("uv_version", m.UV.UVVersion)
		uv.list(ctx, "uv_pip_install_options", m.UV.UVInstallOptions, diags)
		env["uv"] = map[string]any(uv)
	}
	if m.Conda != nil {
		env["conda"] = m.Conda.toRay(ctx, diags)
	}
	if len(m.EnvVars.Elements()) > 0 {
		vars := map[string]any{}
		for k, v := range stringMap(ctx, m.EnvVars, diags) {
			vars[k] = v
		}
		env["env_vars"] = vars
	}
	env.text("image_uri", m.ImageURI)
	env.text("py_executable", m.PyExecutable)
	env.text("worker_process_setup_hook", m.WorkerProcessSetupHook)
	if m.Config != nil {
		config := object{}
		if !m.Config.SetupTimeoutSeconds.IsNull() {
			config["setup_timeout_seconds"] = m.Config.SetupTimeoutSeconds.ValueInt64()
		}
		config.flag("eager_install", m.Config.EagerInstall)
		env["config"] = map[string]any(config)
	}
	return env
}

// toRay: a name alone is an environment that exists, which Ray takes as a string.
func (m condaModel) toRay(ctx context.Context, diags *diag.Diagnostics) any {
	conda := object{}
	conda.text("name", m.Name)
	conda.list(ctx, "channels", m.Channels, diags)
	conda.list(ctx, "dependencies", m.Dependencies, diags)
	pip := object{}
	pip.list(ctx, "pip", m.Pip, diags)
	if len(pip) > 0 {
		dependencies, _ := conda["dependencies"].([]any)
		conda["dependencies"] = append(dependencies, map[string]any(pip))
	}
	if len(conda) == 1 && !m.Name.IsNull() {
		return m.Name.ValueString()
	}
	return map[string]any(conda)
}

// object is a JSON object in the making, without empty members.
type object map[string]any

func (o object) text(key string, v basetypes.StringValue) {
	if v.ValueString() != "" {
		o[key] = v.ValueString()
	}
}

func (o object) flag(key string, v basetypes.BoolValue) {
	if !v.IsNull() {
		o[key] = v.ValueBool()
	}
}

func (o object) list(ctx context.Context, key string, v basetypes.ListValue, diags *diag.Diagnostics) {
	if len(v.Elements()) == 0 {
		return
	}
	list := []any{}
	for _, s := range stringList(ctx, v, diags) {
		list = append(list, s)
	}
	o[key] = list
}

func stringList(ctx context.Context, v basetypes.ListValue, diags *diag.Diagnostics) []string {
	var out []string
	if !v.IsNull() && !v.IsUnknown() {
		diags.Append(v.ElementsAs(ctx, &out, false)...)
	}
	return out
}

// stringMap leaves out what is null: null is absent.

func stringMap(ctx context.Context, v basetypes.MapValue, diags *diag.Diagnostics) map[string]string {
	if v.IsNull() || v.IsUnknown() {
		return nil
	}
	var elements map[string]types.String
	diags.Append(v.ElementsAs(ctx, &elements, false)...)
	out := make(map[string]string, len(elements))
	for k, e := range elements {
		if !e.IsNull() {
			out[k] = e.ValueString()
		}
	}
	return out
}

// resourceMap leaves out what is null: null is absent.
func resourceMap(ctx context.Context, v basetypes.MapValue, diags *diag.Diagnostics) ray.Resources {
	var elements map[string]types.Float64
	diags.Append(v.ElementsAs(ctx, &elements, false)...)
	out := make(ray.Resources, len(elements))
	for k, e := range elements {
		if !e.IsNull() {
			out[k] = e.ValueFloat64()
		}
	}
	return out
}
