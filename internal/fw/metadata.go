package fw

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// MetadataValidator refuses keys of a submission's metadata that are not the
// user's to set.
type MetadataValidator struct{}

// Description is for the schema.
func (MetadataValidator) Description(context.Context) string {
	return "must not hold keys that the provider or Ray sets"
}

// MarkdownDescription is Description.
func (v MetadataValidator) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

// ValidateMap reports each reserved key at its own path.
func (MetadataValidator) ValidateMap(_ context.Context, req validator.MapRequest, resp *validator.MapResponse) {
	for key := range req.ConfigValue.Elements() {
		switch {
		case strings.HasPrefix(key, jobs.MetadataPrefix):
			resp.Diagnostics.AddAttributeError(req.Path.AtMapKey(key), "Reserved metadata key",
				fmt.Sprintf("Keys that begin with %q hold the stamp by which the provider finds its jobs again. Choose another key.", jobs.MetadataPrefix))
		case key == "job_submission_id" || key == "job_name":
			resp.Diagnostics.AddAttributeError(req.Path.AtMapKey(key), "Reserved metadata key",
				fmt.Sprintf("Ray sets %q itself to tell which driver belongs to which submission; a value of yours would break that. Choose another key.", key))
		}
	}
}
