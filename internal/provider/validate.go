package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// headerName refuses what is no name of an HTTP header, and those that are not
// for the user to set.
type headerName struct{}

func (headerName) Description(context.Context) string             { return "must be the name of an HTTP header" }
func (v headerName) MarkdownDescription(c context.Context) string { return v.Description(c) }

func (headerName) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	name := req.ConfigValue.ValueString()
	switch strings.ToLower(name) {
	case "origin", "referer", "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-site", "sec-fetch-user", "access-control-request-method", "access-control-request-headers":
		// is_browser_request in Ray's dashboard: writes then get a 405.
		resp.Diagnostics.AddAttributeError(req.Path, "This header can't be set", fmt.Sprintf("Ray takes a request with the header %s for a browser's and refuses every write.", name))
	case "host", "content-length", "transfer-encoding", "connection", "user-agent":
		resp.Diagnostics.AddAttributeError(req.Path, "This header can't be set", fmt.Sprintf("The header %s is set by the provider itself.", name))
	default:
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) }) {
			resp.Diagnostics.AddAttributeError(req.Path, "This is not the name of a header", fmt.Sprintf("%q is not one.", name))
		}
	}
}
