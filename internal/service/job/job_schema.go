package job

import (
	"context"
	"fmt"
	"maps"
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework-jsontypes/jsontypes"
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

var (
	// A name gets at most 15 characters behind it (-0123456789-999), so that the
	// id stays below the 240 characters from which Ray keeps a record that nobody
	// can delete.
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$`)
	// Slashes, "..", and long ids make such records too.
	submissionIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)
)

func (r *jobResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := map[string]schema.Attribute{
		"cluster":  fw.ClusterAttribute(),
		"timeouts": fw.Timeouts(ctx, timeouts.Opts{Create: true, Update: true, CreateDescription: "How long an apply waits for the job, as in `\"90m\"`. When the time is up the job goes on and the error says how to take it back. No limit by default.", UpdateDescription: "How long an update waits for the job; see `create`."}),
	}
	for _, group := range []map[string]schema.Attribute{inputAttributes(), secretAttributes(), requirementsAttributes(), requirementAttributes(), behaviourAttributes(), limitAttributes(), retryAttributes(), rerunAttributes(), logAttributes(), computedAttributes()} {
		maps.Copy(attributes, group)
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Runs a job on a Ray cluster: one submission to Ray's Jobs API, run exactly once. " +
			"Apply waits until the job reached `wait_for`; a change of any input is another job and replaces this one. " +
			"A finished job that Ray forgot is not drift and never runs again by itself.\n\n" +
			"`ray_job` is a submission to Ray's Jobs API. It is not a `RayJob` custom resource and not a scheduler.",
		Attributes: attributes,
	}
}

func inputAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"name": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Name of the job, unique per `owner` and cluster. The submission id is this name and ten hex digits of its inputs. " +
				"Letters, digits, `_`, `.` and `-`, at most 96 characters. Required unless `submission_id` is set. A change replaces the job.",
			Validators: []validator.String{stringvalidator.RegexMatches(namePattern, "must begin with a letter or digit and hold only letters, digits, \"_\", \".\" and \"-\", at most 96 characters: the submission id is made of it, and Ray keeps undeletable records for other ids")},
		},
		"submission_id": schema.StringAttribute{
			Optional: true, Computed: true,
			MarkdownDescription: "Submission id of the job. Chosen by the provider unless set; with an id of your own a re-run needs `on_destroy = \"delete\"`, since Ray takes an id only once. A change replaces the job.",
			Validators:          []validator.String{stringvalidator.RegexMatches(submissionIDPattern, "must begin with a letter or digit and hold only letters, digits, \"_\", \".\" and \"-\", at most 128 characters: Ray keeps undeletable records for other ids")},
		},
		"entrypoint": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Shell command that Ray runs, on the head node unless an `entrypoint_*` requirement is set. Exactly one of `entrypoint` and `command`. A change replaces the job.",
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1), stringvalidator.ExactlyOneOf(path.MatchRoot("entrypoint"), path.MatchRoot("command"))},
		},
		"command": schema.ListAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Command as a list of arguments, each quoted for the shell. Exactly one of `entrypoint` and `command`. A change of the resulting command line replaces the job.",
			Validators:          []validator.List{listvalidator.SizeAtLeast(1), listvalidator.NoNullValues()},
		},
		"working_dir": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Directory that the job runs in: a local path, packaged and uploaded under Ray's own name for the same tree (at most 100 MiB), a local archive (`.zip`; since Ray 2.60 also `.tar.gz`, `.tgz`, `.tar.xz`), " +
				"or a URI of an archive that the nodes fetch (`https://`, `s3://`, `gs://`, `azure://`, `abfss://`, `file://`, `gcs://`) or of a directory that they have (`local://`). " +
				"A change of the content replaces the job, and so does one of a URI; another path with the same content does not.",
			Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		},
		"py_modules": schema.ListAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Python modules that the job can import beside its `working_dir`: local directories (importable by the directory's own name), `.py` and `.whl` files, and URIs as those of `working_dir`, also of `.whl` files. " +
				"`excludes` applies to each directory, `.git` and `__pycache__` are left out. A change of the content, of a URI or of the order replaces the job.",
			Validators: []validator.List{listvalidator.NoNullValues(), listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
		},
		"excludes": schema.ListAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Patterns, in the syntax of `.gitignore`, of what is left out of `working_dir` and of the directories of `py_modules`, beside their `.gitignore` and `.rayignore` files and `.git`, `.venv`, `venv`, `__pycache__`. A change replaces the job only where the content that is left changes.",
			Validators:          []validator.List{listvalidator.NoNullValues()},
		},
		"runtime_env": runtimeEnvAttribute(),
		"runtime_env_json": schema.StringAttribute{
			Optional: true, CustomType: jsontypes.NormalizedType{},
			MarkdownDescription: "More of Ray's `runtime_env`, as a JSON object, for what `runtime_env` does not cover, such as the fields of a plugin. No key may stand in both. A change of its meaning replaces the job.",
		},
		"triggers": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Any values. A change replaces the job: it runs again.",
		},
		"metadata": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Metadata of the submission. A change does not replace the job: it is for the next submission. Keys that begin with `terraform.ray-iac/`, `job_submission_id` and `job_name` are reserved.",
			Validators:          []validator.Map{fw.MetadataValidator{}},
		},
	}
}

func requirementAttributes() map[string]schema.Attribute {
	const where = " With any requirement the entrypoint may run on any node that meets it. A change replaces the job."
	return map[string]schema.Attribute{
		"entrypoint_num_cpus": schema.Float64Attribute{
			Optional:            true,
			MarkdownDescription: "CPUs that the entrypoint itself reserves, beside those of its tasks and actors." + where,
			Validators:          []validator.Float64{quantity{}},
		},
		"entrypoint_num_gpus": schema.Float64Attribute{
			Optional:            true,
			MarkdownDescription: "GPUs that the entrypoint itself reserves, a part of one or whole ones." + where,
			Validators:          []validator.Float64{quantity{wholeAboveOne: true}},
		},
		"entrypoint_memory": schema.Int64Attribute{
			Optional:            true,
			MarkdownDescription: "Memory in bytes that the entrypoint itself reserves; needs Ray 2.8." + where,
			Validators:          []validator.Int64{int64validator.AtLeast(0)},
		},
		"entrypoint_resources": schema.MapAttribute{
			Optional: true, ElementType: types.Float64Type,
			MarkdownDescription: "Custom resources that the entrypoint itself reserves, by name. `CPU`, `GPU` and `memory` have attributes of their own." + where,
			Validators: []validator.Map{
				mapvalidator.KeysAre(stringvalidator.NoneOf("CPU", "GPU", "memory", "object_store_memory", "")),
				mapvalidator.ValueFloat64sAre(quantity{}),
			},
		},
		"entrypoint_label_selector": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Node labels that the entrypoint's node must have, in Ray's syntax (`\"v\"`, `\"!v\"`, `\"in(a,b)\"`); needs Ray 2.54." + where,
			Validators: []validator.Map{
				mapvalidator.KeysAre(stringvalidator.RegexMatches(labelKeyPattern, "must be the key of a label: letters, digits, \"_\", \".\" and \"-\", at most 63, with an optional domain and \"/\" before it")),
				mapvalidator.ValueStringsAre(stringvalidator.RegexMatches(labelSelectorPattern, "must be a label's value, \"!value\", \"in(a,b)\" or \"!in(a,b)\"")),
			},
		},
	}
}

func behaviourAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"wait_for": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Status that apply waits for: `SUBMITTED`, `RUNNING` (satisfied by SUCCEEDED too) or `SUCCEEDED` (default). Never replaces the job.",
			Validators:          []validator.String{stringvalidator.OneOfCaseInsensitive(waitSubmitted, waitRunning, waitSucceeded)},
		},
		"ignore_failure": schema.BoolAttribute{
			Optional:            true,
			MarkdownDescription: "Makes a job that FAILED or was STOPPED a success of the apply, with the outcome in `status`. Default `false`. Never replaces the job.",
		},
		"on_destroy": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "What a destroy does: `delete` (default) stops the job and deletes its record, so that the same inputs run again later; " +
				"`stop` stops it and keeps the record; `abandon` leaves it as it is. Where the record stays, a later apply of the same inputs takes a SUCCEEDED run over instead of running it again. Never replaces the job.",
			Validators: []validator.String{stringvalidator.OneOf(destroyDelete, destroyStop, destroyAbandon)},
		},
		"log_lines": schema.Int64Attribute{
			Optional:            true,
			MarkdownDescription: "How many of the last lines of this run's log an error shows, 0 to 1000. Default 50. Never replaces the job.",
			Validators:          []validator.Int64{int64validator.Between(0, 1000)},
		},
	}
}

func computedAttributes() map[string]schema.Attribute {
	text := func(d string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: d}
	}
	return map[string]schema.Attribute{
		"job_id":            text("Hex id of the job's last driver. Null until the entrypoint calls `ray.init`, and for one that never does."),
		"status":            text("`PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or `STOPPED`, as Ray says; `MISSING` where Ray has no record of a job that was not over, `CLUSTER_REPLACED` where another cluster is in its place."),
		"error_type":        text("Ray's error type of a failed job, such as `JOB_ENTRYPOINT_COMMAND_ERROR`; since Ray 2.51."),
		"driver_exit_code":  schema.Int64Attribute{Computed: true, MarkdownDescription: "Exit code of an entrypoint that ended by itself; since Ray 2.9."},
		"submitted_at":      text("When the job was submitted, RFC 3339."),
		"ended_at":          text("When the job ended, RFC 3339."),
		"driver_node_id":    text("Id of the node that the entrypoint ran on."),
		"cluster_id":        text("Id of the cluster that took the job; null on Ray before 2.31 over HTTP."),
		"url":               text("Page of the job in Ray's dashboard."),
		"package_uri":       text("URI of the uploaded `working_dir`, Ray's own for the same tree."),
		"working_dir_hash":  text("Hash of the content of a local `working_dir`: paths, bytes and executable bits of a directory, the bytes of an archive. A change replaces the job."),
		"py_modules_hashes": schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Of each entry of `py_modules` the hash of its content, or its URI. A change replaces the job."},
		"metadata_all":      schema.MapAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Metadata of the submission as sent: `metadata`, the provider's `default_metadata` and the provider's stamp."},
		"attempts":          attemptsAttribute(),
		"attempt":           schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of the run among those with the same inputs, from 1."},
		"inputs_digest":     text("Digest of all inputs of the job, part of the stamp that marks it on the cluster."),
		"owner":             text("The provider's `owner` at submission, part of the stamp."),
		"result": schema.DynamicAttribute{
			Computed: true,
			MarkdownDescription: fmt.Sprintf("What the job returned: the JSON of the last line `RAY_JOB_RESULT={...}` at the beginning of a line of this run's log, at most 64 KiB. Null where the job wrote none within the last %d lines (anywhere with `log_file`), and unless apply waited for the job's end. "+
				"Its type is that of the JSON, so read it with `try(ray_job.x.result.accuracy, null)`. It is stored in the state as it is: write no secrets.", jobs.ResultLines),
		},
	}
}

// IdentitySchema is the identity of a job: its submission id, and the cluster that
// took it where that is known.
func (r *jobResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{
		Attributes: map[string]identityschema.Attribute{
			"submission_id": identityschema.StringAttribute{RequiredForImport: true, Description: "Submission id of the job."},
			"cluster_id":    identityschema.StringAttribute{OptionalForImport: true, Description: "Id of the cluster that took the job."},
		},
	}
}
