package provider

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// rules are what the house asks of every schema.
type rules struct {
	t *testing.T
	// computedOnly is true below an attribute that only the provider sets.
	computedOnly bool
}

var (
	names = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	// secrets are names of attributes whose values are; a file's name is none.
	secrets = []string{"token", "client_key", "headers", "password", "secret"}
	// reserved are names that Terraform keeps for itself at the top of a block.
	reserved = []string{"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioner", "locals"}
)

func schemas(t *testing.T) *tfprotov6.GetProviderSchemaResponse {
	t.Helper()
	server := providerserver.NewProtocol6(NewWithEnv("test", func(string) string { return "" })())()
	resp, err := server.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range resp.Diagnostics {
		t.Errorf("%s: %s", d.Summary, d.Detail)
	}
	return resp
}

// TestEverySchemaKeepsTheRules holds all that the registry offers to the house's
// rules: documented, well named, secrets marked, no blocks.
func TestEverySchemaKeepsTheRules(t *testing.T) {
	t.Parallel()
	resp := schemas(t)
	r := rules{t: t}
	r.block("provider", resp.Provider)
	for name, s := range resp.ResourceSchemas {
		r.block(name, s)
	}
	for name, s := range resp.DataSourceSchemas {
		r.block("data."+name, s)
	}
	for name := range resp.ResourceSchemas {
		if !strings.HasPrefix(name, "ray_") {
			t.Errorf("resource %s: does not begin with ray_", name)
		}
	}
}

func (r rules) block(name string, s *tfprotov6.Schema) {
	r.t.Helper()
	if !sentences(s.Block.Description) {
		r.t.Errorf("%s: the description %q is not a sentence", name, s.Block.Description)
	}
	for _, b := range s.Block.BlockTypes {
		r.t.Errorf("%s.%s: a block, where nested attributes are the rule", name, b.TypeName)
	}
	for _, a := range s.Block.Attributes {
		if slices.Contains(reserved, a.Name) {
			r.t.Errorf("%s.%s: Terraform reserves the name", name, a.Name)
		}
		r.attribute(name+"."+a.Name, a)
	}
}

func (r rules) attribute(at string, a *tfprotov6.SchemaAttribute) {
	r.t.Helper()
	if !sentences(a.Description) {
		r.t.Errorf("%s: the description %q is not a sentence", at, a.Description)
	}
	if a.DescriptionKind != tfprotov6.StringKindMarkdown {
		r.t.Errorf("%s: the description is not Markdown", at)
	}
	if !names.MatchString(a.Name) {
		r.t.Errorf("%s: the name is not in snake case", at)
	}
	if slices.Contains(secrets, a.Name) && !a.Sensitive {
		r.t.Errorf("%s: not sensitive", at)
	}
	if a.NestedType == nil {
		return
	}
	below := rules{r.t, r.computedOnly || (a.Computed && !a.Optional)}
	for _, n := range a.NestedType.Attributes {
		if below.computedOnly && (n.Optional || n.Required) {
			r.t.Errorf("%s.%s: can be set below what can't", at, n.Name)
		}
		below.attribute(at+"."+n.Name, n)
	}
}

// sentences is true for text that begins as a sentence and ends with a full stop.
func sentences(s string) bool {
	return s != "" && strings.HasSuffix(s, ".") && (s[0] == '`' || strings.ToUpper(s[:1]) == s[:1])
}
