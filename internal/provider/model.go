package provider

import (
	"context"
	"sort"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

type model struct {
	Address            types.String `tfsdk:"address"`
	Owner              types.String `tfsdk:"owner"`
	Token              types.String `tfsdk:"token"`
	TokenFile          types.String `tfsdk:"token_file"`
	TokenHeader        types.String `tfsdk:"token_header"`
	Headers            types.Map    `tfsdk:"headers"`
	TLS                types.Object `tfsdk:"tls"`
	Credentials        types.Map    `tfsdk:"credentials"`
	Kubernetes         types.Object `tfsdk:"kubernetes"`
	NoProxy            types.String `tfsdk:"no_proxy"`
	RequestTimeout     fw.Duration  `tfsdk:"request_timeout"`
	RequestRetry       types.Object `tfsdk:"request_retry"`
	MaxUnreachable     fw.Duration  `tfsdk:"max_unreachable"`
	MaxActiveJobs      types.Int64  `tfsdk:"max_active_jobs"`
	DefaultMetadata    types.Map    `tfsdk:"default_metadata"`
	OnUnreachable      types.String `tfsdk:"on_unreachable"`
	DestroyUnreachable types.String `tfsdk:"destroy_unreachable"`
	PlanChecks         types.String `tfsdk:"plan_checks"`
	ReadOnly           types.Bool   `tfsdk:"read_only"`
}

type tlsModel struct {
	CACert             types.String `tfsdk:"ca_cert"`
	ClientCert         types.String `tfsdk:"client_cert"`
	ClientKey          types.String `tfsdk:"client_key"`
	ServerName         types.String `tfsdk:"server_name"`
	InsecureSkipVerify types.Bool   `tfsdk:"insecure_skip_verify"`
}

type credentialModel struct {
	Token       types.String `tfsdk:"token"`
	TokenFile   types.String `tfsdk:"token_file"`
	TokenHeader types.String `tfsdk:"token_header"`
	Headers     types.Map    `tfsdk:"headers"`
	TLS         types.Object `tfsdk:"tls"`
}

type retryModel struct {
	MaxAttempts types.Int64 `tfsdk:"max_attempts"`
	MinBackoff  fw.Duration `tfsdk:"min_backoff"`
	MaxBackoff  fw.Duration `tfsdk:"max_backoff"`
}

// config is the configuration as conn takes it. What is unknown is left out; the
// pool is told its name.
func (m model) config(ctx context.Context, diags *diag.Diagnostics) conn.Config {
	cfg := conn.Config{
		Address:            m.Address.ValueString(),
		Owner:              m.Owner.ValueString(),
		NoProxy:            m.NoProxy.ValueString(),
		RequestTimeout:     m.RequestTimeout.Or(conn.DefaultRequestTimeout),
		MaxUnreachable:     m.MaxUnreachable.Or(conn.DefaultMaxUnreachable),
		MaxActiveJobs:      int(m.MaxActiveJobs.ValueInt64()),
		OnUnreachable:      m.OnUnreachable.ValueString(),
		DestroyUnreachable: m.DestroyUnreachable.ValueString(),
		PlanChecks:         m.PlanChecks.ValueString(),
		ReadOnly:           m.ReadOnly.ValueBool(),
		Credential: conn.Credential{
			Token:       m.Token.ValueString(),
			TokenFile:   m.TokenFile.ValueString(),
			TokenHeader: m.TokenHeader.ValueString(),
			Headers:     stringMap(ctx, m.Headers, diags),
			TLS:         tlsOf(ctx, m.TLS, diags),
		},
		Kubernetes:      kubernetesOf(ctx, m.Kubernetes, diags),
		DefaultMetadata: stringMap(ctx, m.DefaultMetadata, diags),
	}
	if known(m.RequestRetry) {
		var r retryModel
		diags.Append(m.RequestRetry.As(ctx, &r, basetypes.ObjectAsOptions{})...)
		cfg.Retry = conn.Retry{
			MaxAttempts: int(r.MaxAttempts.ValueInt64()),
			MinBackoff:  r.MinBackoff.Or(0),
			MaxBackoff:  r.MaxBackoff.Or(0),
		}
	}
	if known(m.Credentials) {
		var entries map[string]types.Object
		diags.Append(m.Credentials.ElementsAs(ctx, &entries, false)...)
		cfg.Credentials = make(map[string]conn.Credential, len(entries))
		for key, o := range entries {
			if !known(o) {
				continue
			}
			var c credentialModel
			diags.Append(o.As(ctx, &c, basetypes.ObjectAsOptions{})...)
			cfg.Credentials[key] = conn.Credential{
				Token:       c.Token.ValueString(),
				TokenFile:   c.TokenFile.ValueString(),
				TokenHeader: c.TokenHeader.ValueString(),
				Headers:     stringMap(ctx, c.Headers, diags),
				TLS:         tlsOf(ctx, c.TLS, diags),
			}
		}
	}
	return cfg
}

type nullable interface {
	IsNull() bool
	IsUnknown() bool
}

func known(v nullable) bool { return !v.IsNull() && !v.IsUnknown() }

// stringMap is nil for null; an unknown element is left out.
func stringMap(ctx context.Context, m types.Map, diags *diag.Diagnostics) map[string]string {
	if !known(m) {
		return nil
	}
	var elements map[string]types.String
	diags.Append(m.ElementsAs(ctx, &elements, false)...)
	out := make(map[string]string, len(elements))
	for k, v := range elements {
		if known(v) {
			out[k] = v.ValueString()
		}
	}
	return out
}

func tlsOf(ctx context.Context, o types.Object, diags *diag.Diagnostics) *conn.TLS {
	if !known(o) {
		return nil
	}
	// A half of a key pair is no mistake while the other is unknown.
	for _, v := range o.Attributes() {
		if v.IsUnknown() {
			return nil
		}
	}
	var t tlsModel
	diags.Append(o.As(ctx, &t, basetypes.ObjectAsOptions{})...)
	return &conn.TLS{
		CACert:             t.CACert.ValueString(),
		ClientCert:         t.ClientCert.ValueString(),
		ClientKey:          t.ClientKey.ValueString(),
		ServerName:         t.ServerName.ValueString(),
		InsecureSkipVerify: t.InsecureSkipVerify.ValueBool(),
	}
}

// unknownArguments are the names of the arguments that hold an unknown value,
// however deep, sorted.
func unknownArguments(config tftypes.Value) []string {
	var members map[string]tftypes.Value
	if err := config.As(&members); err != nil {
		return nil // no object: then it is null
	}
	var out []string
	for name, v := range members {
		if !v.IsFullyKnown() {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}
