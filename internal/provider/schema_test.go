package provider_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/ray-iac/terraform-provider-ray/internal/provider"
)

// The snapshot is what reviewers read a change of the schema in, and what
// tfplugindocs makes docs/ from, so that the pages do not depend on the CLI
// that is installed: Terraform 1.11 leaves out what it does not know.
//
//go:generate go test -count=1 -run ^TestSchema_isTheSnapshot$ . -update-schema
//go:generate rm -rf ../../docs/images
//go:generate go -C ../tools/docs tool tfplugindocs generate --provider-dir ../../.. --provider-name ray --rendered-provider-name Ray --providers-schema ../../provider/testdata/schema.json
var updateSchema = flag.Bool("update-schema", false, "write testdata/schema.json")

// snapshotKey is the provider's address in the snapshot: the one that
// tfplugindocs looks for, whatever the provider's real namespace is.
const snapshotKey = "registry.terraform.io/hashicorp/ray"

func TestSchema_isTheSnapshot(t *testing.T) {
	t.Parallel()
	got, err := json.MarshalIndent(schemaJSON(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", "schema.json")
	if *updateSchema {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("the schema changed; if that is meant, run make generate (-snapshot +schema):\n%s",
			cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")))
	}
}

// Everything that a user can write or read is explained, in whole sentences.
func TestSchema_isDocumented(t *testing.T) {
	t.Parallel()
	for name, s := range schemas(t) {
		if s.Block.Description == "" {
			t.Errorf("%s has no description", name)
		}
		for path, a := range attributes(name, s.Block.Attributes) {
			switch d := strings.TrimSpace(a.Description); {
			case d == "":
				t.Errorf("%s has no description", path)
			case !strings.HasSuffix(d, ".") && !strings.HasSuffix(d, ".)"):
				t.Errorf("%s: the description does not end with a full stop: %q", path, d)
			case a.DescriptionKind != tfprotov6.StringKindMarkdown:
				t.Errorf("%s: the description is not Markdown", path)
			}
		}
	}
}

// A default in the schema would be a change in every state of an older release:
// defaults of new attributes live in the code.
func TestSchema_hasNoOptionalComputedButIDs(t *testing.T) {
	t.Parallel()
	allowed := []string{"ray_job.submission_id"}
	for name, s := range schemas(t) {
		for path, a := range attributes(name, s.Block.Attributes) {
			if a.Optional && a.Computed && !slices.Contains(allowed, path) {
				t.Errorf("%s is optional and computed", path)
			}
		}
	}
}

func server() tfprotov6.ProviderServer {
	return providerserver.NewProtocol6(provider.New("test")())()
}

func getSchema(t *testing.T) *tfprotov6.GetProviderSchemaResponse {
	t.Helper()
	resp, err := server().GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range resp.Diagnostics {
		t.Errorf("%s: %s: %s", d.Severity, d.Summary, d.Detail)
	}
	return resp
}

// schemas returns the provider's own schema and those of all that it offers.
func schemas(t *testing.T) map[string]*tfprotov6.Schema {
	t.Helper()
	resp := getSchema(t)
	out := map[string]*tfprotov6.Schema{"provider": resp.Provider}
	maps.Copy(out, resp.ResourceSchemas)
	for name, s := range resp.DataSourceSchemas {
		out["data."+name] = s
	}
	return out
}

// attributes lists attributes and those nested in them by path.
func attributes(prefix string, in []*tfprotov6.SchemaAttribute) map[string]*tfprotov6.SchemaAttribute {
	out := map[string]*tfprotov6.SchemaAttribute{}
	for _, a := range in {
		path := prefix + "." + a.Name
		out[path] = a
		if a.NestedType != nil {
			maps.Copy(out, attributes(path, a.NestedType.Attributes))
		}
	}
	return out
}

// schemaJSON is `terraform providers schema -json` of the provider.
func schemaJSON(t *testing.T) any {
	t.Helper()
	resp := getSchema(t)
	ids, err := server().GetResourceIdentitySchemas(t.Context(), &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		t.Fatal(err)
	}
	identities := map[string]any{}
	for name, s := range ids.IdentitySchemas {
		identities[name] = identityJSON(s)
	}
	each := func(in map[string]*tfprotov6.Schema) map[string]any {
		out := map[string]any{}
		for name, s := range in {
			out[name] = map[string]any{"version": s.Version, "block": blockJSON(s.Block)}
		}
		return out
	}
	return map[string]any{
		"format_version": "1.0",
		"provider_schemas": map[string]any{snapshotKey: map[string]any{
			"provider":                  map[string]any{"version": resp.Provider.Version, "block": blockJSON(resp.Provider.Block)},
			"resource_schemas":          each(resp.ResourceSchemas),
			"data_source_schemas":       each(resp.DataSourceSchemas),
			"resource_identity_schemas": identities,
		}},
	}
}

func blockJSON(b *tfprotov6.SchemaBlock) map[string]any {
	out := map[string]any{"description_kind": kindJSON(b.DescriptionKind)}
	set(out, "description", b.Description)
	set(out, "deprecated", b.Deprecated)
	if len(b.Attributes) > 0 {
		out["attributes"] = attributesJSON(b.Attributes)
	}
	blocks := map[string]any{}
	for _, n := range b.BlockTypes {
		one := map[string]any{"nesting_mode": strings.ToLower(n.Nesting.String()), "block": blockJSON(n.Block)}
		set(one, "min_items", n.MinItems)
		set(one, "max_items", n.MaxItems)
		blocks[n.TypeName] = one
	}
	if len(blocks) > 0 {
		out["block_types"] = blocks
	}
	return out
}

func attributesJSON(in []*tfprotov6.SchemaAttribute) map[string]any {
	out := map[string]any{}
	for _, a := range in {
		one := map[string]any{"description_kind": kindJSON(a.DescriptionKind)}
		if a.NestedType != nil {
			one["nested_type"] = map[string]any{
				"attributes":   attributesJSON(a.NestedType.Attributes),
				"nesting_mode": strings.ToLower(a.NestedType.Nesting.String()),
			}
		} else {
			one["type"] = typeJSON(a.Type)
		}
		set(one, "description", a.Description)
		set(one, "required", a.Required)
		set(one, "optional", a.Optional)
		set(one, "computed", a.Computed)
		set(one, "sensitive", a.Sensitive)
		set(one, "write_only", a.WriteOnly)
		set(one, "deprecated", a.Deprecated)
		out[a.Name] = one
	}
	return out
}

func identityJSON(s *tfprotov6.ResourceIdentitySchema) map[string]any {
	attributes := map[string]any{}
	for _, a := range s.IdentityAttributes {
		one := map[string]any{"type": typeJSON(a.Type)}
		set(one, "description", a.Description)
		set(one, "required_for_import", a.RequiredForImport)
		set(one, "optional_for_import", a.OptionalForImport)
		attributes[a.Name] = one
	}
	return map[string]any{"version": s.Version, "attributes": attributes}
}

func typeJSON(ty tftypes.Type) json.RawMessage {
	b, err := ty.MarshalJSON() //nolint:staticcheck // the only writer of a type's signature
	if err != nil {
		return json.RawMessage(`"invalid"`)
	}
	return b
}

func kindJSON(k tfprotov6.StringKind) string {
	if k == tfprotov6.StringKindMarkdown {
		return "markdown"
	}
	return "plain"
}

// set sets what is not the zero value, as Terraform writes it.
func set[V comparable](m map[string]any, name string, v V) {
	var zero V
	if v != zero {
		m[name] = v
	}
}
