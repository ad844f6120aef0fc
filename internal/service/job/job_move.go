package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
)

// MoveState takes a job over from the resource whose provisioner submitted it, with
// a moved block from terraform_data or null_resource. The old resource's state must
// say which submission it was.
func (r *jobResource) MoveState(context.Context) []resource.StateMover {
	return []resource.StateMover{{StateMover: moveFromProvisioner}}
}

// submissionKey is what the id is looked for under.
const submissionKey = "submission_id"

// provisioned is what terraform_data and null_resource keep; values of no fixed
// type are held with their type.
type provisioned struct {
	Triggers        map[string]string `json:"triggers"`
	TriggersReplace *dynamic          `json:"triggers_replace"`
	Input           *dynamic          `json:"input"`
	Output          *dynamic          `json:"output"`
}

type dynamic struct {
	Value json.RawMessage `json:"value"`
}

func moveFromProvisioner(ctx context.Context, req resource.MoveStateRequest, resp *resource.MoveStateResponse) {
	// The provider's host differs between Terraform and OpenTofu.
	_, provider, _ := strings.Cut(req.SourceProviderAddress, "/")
	if !slices.Contains([]string{"builtin/terraform terraform_data", "hashicorp/null null_resource"}, provider+" "+req.SourceTypeName) || req.SourceRawState == nil {
		return // not ours to move
	}
	var old provisioned
	if err := json.Unmarshal(req.SourceRawState.JSON, &old); err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("The state of the %s can't be read", req.SourceTypeName), err.Error())
		return
	}
	id := old.submissionID()
	if !submissionIDPattern.MatchString(id) {
		resp.Diagnostics.AddError(fmt.Sprintf("The %s does not say which submission it was", req.SourceTypeName),
			fmt.Sprintf("A job is taken over by its submission id, which is looked for under %q in triggers (null_resource), or in input, output and triggers_replace (terraform_data), or as the whole of input; found was %q. "+
				"Take the moved block out and write instead:\n\n  removed {\n    from = %s.<name>\n    lifecycle { destroy = false }\n  }\n  import {\n    to = ray_job.<name>\n    id = \"<submission id, as `ray job list` shows it>\"\n  }\n\n"+
				"Without the import the job is submitted anew and runs again.", submissionKey, id, req.SourceTypeName))
		return
	}
	resp.Diagnostics.Append(resp.TargetState.SetAttribute(ctx, path.Root("submission_id"), id)...)
	takeOver(ctx, resp.TargetPrivate, &resp.Diagnostics)
}

// submissionID is the id in what the resource kept, or "".
func (p provisioned) submissionID() string {
	if id := p.Triggers[submissionKey]; id != "" {
		return id
	}
	for _, d := range []*dynamic{p.Input, p.Output, p.TriggersReplace} {
		if d == nil {
			continue
		}
		var members map[string]any
		if json.Unmarshal(d.Value, &members) == nil {
			if id, _ := members[submissionKey].(string); id != "" {
				return id
			}
		}
	}
	var whole string
	if p.Input != nil && json.Unmarshal(p.Input.Value, &whole) == nil && !strings.ContainsAny(whole, " \n") {
		return whole
	}
	return ""
}

// takeOver marks a state that holds no more than the id of a job: the refresh that
// follows fills it from what Ray knows.
func takeOver(ctx context.Context, private privateWriter, diags *diag.Diagnostics) {
	diags.Append(private.SetKey(ctx, keyVersion, []byte(`{}`))...)
	mark(ctx, private, keyImported, true, diags)
}
