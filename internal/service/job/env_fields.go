package job

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/requirements"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/workdir"
)

// A shape says what is wrong with the value of a runtime_env field that is given as
// JSON, or "". Ray takes any runtime_env and fails the job for it later.
type shape func(v any) string

// envFields are the fields of Ray 2.60's runtime_env that can be checked, by the
// rules of ray/_private/runtime_env/validation.py. Those of plugins are theirs.
var envFields = map[string]shape{
	"pip":                       either(packageList, fieldsOf("packages", map[string]shape{"packages": packageList, "pip_check": flagValue, "pip_version": textValue, "pip_install_options": textList})),
	"uv":                        either(packageList, fieldsOf("packages", map[string]shape{"packages": packageList, "uv_check": flagValue, "uv_version": textValue, "uv_pip_install_options": textList})),
	"conda":                     condaValue,
	"py_modules":                moduleURIs,
	"java_jars":                 jarURIs,
	"image_uri":                 textValue,
	"py_executable":             textValue,
	"worker_process_setup_hook": textValue,
	"config":                    configValue,
}

// validateFields checks the fields of a runtime_env that is given as JSON at at. No
// message shows a value, which may be write-only.
func validateFields(env map[string]any, at path.Path, diags *diag.Diagnostics) {
	for _, key := range slices.Sorted(maps.Keys(env)) {
		check, checked := envFields[key]
		switch {
		case key == "working_dir" || key == "excludes":
			diags.AddAttributeError(at, fmt.Sprintf("%s in %s", key, at), fmt.Sprintf("Set the attribute %s of the job instead: only there a local directory is packaged and its content watched.", key))
		case checked && env[key] != nil:
			if wrong := check(env[key]); wrong != "" {
				diags.AddAttributeError(at, fmt.Sprintf("%s in %s is nothing that Ray takes", key, at), fmt.Sprintf("It %s.", wrong))
			}
		case !slices.Contains(knownEnvKeys, key):
			diags.AddAttributeWarning(at, fmt.Sprintf("Unknown runtime_env field %q", key), "Ray ignores fields that no plugin of the cluster takes. Check the spelling.")
		}
	}
	validateVars(env["env_vars"], at, diags)
}

func textValue(v any) string {
	if _, ok := v.(string); !ok {
		return "must be a string"
	}
	return ""
}

func flagValue(v any) string {
	if _, ok := v.(bool); !ok {
		return "must be true or false"
	}
	return ""
}

func timeoutValue(v any) string {
	n, _ := v.(json.Number)
	if seconds, err := n.Int64(); err != nil || seconds != -1 && seconds < 1 {
		return "must be a number of seconds, or -1 for no limit"
	}
	return ""
}

func textList(v any) string {
	list, ok := v.([]any)
	if !ok {
		return "must be a list of strings"
	}
	for i, e := range list {
		if _, ok := e.(string); !ok {
			return fmt.Sprintf("must be a list of strings, and [%d] is none", i)
		}
	}
	return ""
}

func packageList(v any) string {
	if _, file := v.(string); file {
		return "must be a list of requirements: a file would be looked for on the cluster. Set requirements_file in runtime_env instead"
	}
	if wrong := textList(v); wrong != "" {
		return wrong
	}
	list, _ := v.([]any)
	for i, e := range list {
		line, _ := e.(string)
		if requirements.Local([]string{line}) != nil {
			return fmt.Sprintf("names a file of this machine in [%d], which would be looked for on the cluster", i)
		}
	}
	return ""
}

func jarURIs(v any) string {
	if wrong := textList(v); wrong != "" {
		return wrong
	}
	list, _ := v.([]any)
	for i, e := range list {
		if uri, _ := e.(string); !workdir.IsURI(uri) {
			return fmt.Sprintf("takes URIs only, and [%d] is a path, which would be looked for on the cluster", i)
		}
	}
	return ""
}

func moduleURIs(v any) string {
	if wrong := textList(v); wrong != "" {
		return wrong
	}
	list, _ := v.([]any)
	for i, e := range list {
		uri, _ := e.(string)
		if !workdir.IsURI(uri) {
			return fmt.Sprintf("takes URIs only, and [%d] is a path, which would be looked for on the cluster. Set the attribute py_modules of the job instead", i)
		}
		if err := workdir.CheckModuleURI(uri); err != nil {
			return fmt.Sprintf("takes no such URI as [%d]: %v", i, err)
		}
	}
	return ""
}

// condaValue: an environment's name, its directory on the nodes, or its definition.
func condaValue(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return ""
	case string:
		return condaName(v)
	}
	return "must be the name of an environment or an object that defines one"
}

func condaName(name string) string {
	if suffix := filepath.Ext(name); suffix == ".yaml" || suffix == ".yml" {
		return "names a file, which would be looked for on the cluster. Set environment_file in runtime_env.conda instead"
	}
	return ""
}

// configValue: Ray ignores fields of a config that it does not know.
func configValue(v any) string {
	fields := map[string]shape{"setup_timeout_seconds": timeoutValue, "eager_install": flagValue, "log_files": textList}
	if object, ok := v.(map[string]any); ok {
		known := maps.Clone(object)
		maps.DeleteFunc(known, func(key string, _ any) bool { return fields[key] == nil })
		v = known
	}
	return fieldsOf("", fields)(v)
}

// either is satisfied by a value that one of the two is, and complains as the second
// does of an object, as the first does of anything else.
func either(other, ofObject shape) shape {
	return func(v any) string {
		if _, ok := v.(map[string]any); ok {
			return ofObject(v)
		}
		return other(v)
	}
}

// fieldsOf is an object of these fields and no others. required is a field, or "".
func fieldsOf(required string, fields map[string]shape) shape {
	return func(v any) string {
		object, ok := v.(map[string]any)
		if !ok {
			return "must be an object"
		}
		if _, ok := object[required]; !ok && required != "" {
			return fmt.Sprintf("lacks the field %s", required)
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			check, known := fields[key]
			if !known {
				return fmt.Sprintf("has no field %q; it has %s", key, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			}
			if wrong := check(object[key]); wrong != "" {
				return fmt.Sprintf("is wrong in %s, which %s", key, wrong)
			}
		}
		return ""
	}
}
