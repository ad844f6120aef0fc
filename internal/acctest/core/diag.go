package core

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// Severity is Error or Warning.
type Severity string

// The severities of a diagnostic, as the CLI prints them.
const (
	Error   Severity = "Error"
	Warning Severity = "Warning"
)

// Diagnostic is what a user would read.
type Diagnostic struct {
	Severity Severity
	Summary  string
	Detail   string
	// Address is the block that the diagnostic belongs to, or "provider".
	Address string
	// Path is the attribute at fault, like cluster.address or nodes[0]["a"];
	// empty for the whole block.
	Path string
}

// String renders the diagnostic about as the CLI does.
func (d Diagnostic) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", d.Severity, d.Summary)
	if d.Address != "" {
		where := d.Address
		if d.Path != "" {
			where += "." + d.Path
		}
		fmt.Fprintf(&b, "  with %s\n", where)
	}
	if d.Detail != "" {
		fmt.Fprintf(&b, "\n%s\n", d.Detail)
	}
	return b.String()
}

// Diagnostics are the diagnostics of one command, in the order they came.
type Diagnostics []Diagnostic

// HasErrors tells whether one of them is an error.
func (ds Diagnostics) HasErrors() bool { return len(ds.Errors()) > 0 }

// Errors returns the errors.
func (ds Diagnostics) Errors() Diagnostics { return ds.only(Error) }

// Warnings returns the warnings.
func (ds Diagnostics) Warnings() Diagnostics { return ds.only(Warning) }

func (ds Diagnostics) only(s Severity) Diagnostics {
	var out Diagnostics
	for _, d := range ds {
		if d.Severity == s {
			out = append(out, d)
		}
	}
	return out
}

// For returns the diagnostics of one block.
func (ds Diagnostics) For(addr string) Diagnostics {
	var out Diagnostics
	for _, d := range ds {
		if d.Address == addr {
			out = append(out, d)
		}
	}
	return out
}

// Contains tells whether the text of one of them contains s, line breaks of
// the provider's own aside.
func (ds Diagnostics) Contains(s string) bool {
	return strings.Contains(strings.Join(strings.Fields(ds.String()), " "), strings.Join(strings.Fields(s), " "))
}

// String renders all of them.
func (ds Diagnostics) String() string {
	parts := make([]string, len(ds))
	for i, d := range ds {
		parts[i] = d.String()
	}
	return strings.Join(parts, "\n")
}

func errorf(addr, summary, format string, args ...any) Diagnostics {
	return Diagnostics{{Severity: Error, Summary: summary, Detail: fmt.Sprintf(format, args...), Address: addr}}
}

// fromProtocol turns a provider's diagnostics into ours.
func fromProtocol(addr string, in []*tfprotov6.Diagnostic) Diagnostics {
	var out Diagnostics
	for _, d := range in {
		if d == nil {
			continue
		}
		sev := Warning
		if d.Severity == tfprotov6.DiagnosticSeverityError || d.Severity == tfprotov6.DiagnosticSeverityInvalid {
			sev = Error
		}
		out = append(out, Diagnostic{Severity: sev, Summary: d.Summary, Detail: d.Detail, Address: addr, Path: pathString(d.Attribute)})
	}
	return out
}

// pathString renders an attribute path as an expression.
func pathString(p *tftypes.AttributePath) string {
	var b strings.Builder
	for _, step := range p.Steps() {
		switch s := step.(type) {
		case tftypes.AttributeName:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(string(s))
		case tftypes.ElementKeyString:
			fmt.Fprintf(&b, "[%q]", string(s))
		case tftypes.ElementKeyInt:
			fmt.Fprintf(&b, "[%d]", int64(s))
		default:
			b.WriteString("[...]")
		}
	}
	return b.String()
}
