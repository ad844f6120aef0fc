package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

var _ provider.ProviderWithValidateConfig = (*rayProvider)(nil)

type kubernetesModel struct {
	ConfigPath           types.String `tfsdk:"config_path"`
	ConfigContext        types.String `tfsdk:"config_context"`
	Host                 types.String `tfsdk:"host"`
	Token                types.String `tfsdk:"token"`
	ClusterCACertificate types.String `tfsdk:"cluster_ca_certificate"`
	ClientCertificate    types.String `tfsdk:"client_certificate"`
	ClientKey            types.String `tfsdk:"client_key"`
	Exec                 types.Object `tfsdk:"exec"`
	Insecure             types.Bool   `tfsdk:"insecure"`
	TLSServerName        types.String `tfsdk:"tls_server_name"`
	ProxyURL             types.String `tfsdk:"proxy_url"`
	InCluster            types.Bool   `tfsdk:"in_cluster"`
}

type execModel struct {
	APIVersion types.String `tfsdk:"api_version"`
	Command    types.String `tfsdk:"command"`
	Args       types.List   `tfsdk:"args"`
	Env        types.Map    `tfsdk:"env"`
}

func kubernetesOf(ctx context.Context, o types.Object, diags *diag.Diagnostics) conn.Kubernetes {
	if !known(o) {
		return conn.Kubernetes{}
	}
	var m kubernetesModel
	diags.Append(o.As(ctx, &m, basetypes.ObjectAsOptions{})...)
	k := conn.Kubernetes{
		ConfigPath:           m.ConfigPath.ValueString(),
		ConfigContext:        m.ConfigContext.ValueString(),
		Host:                 m.Host.ValueString(),
		Token:                m.Token.ValueString(),
		ClusterCACertificate: m.ClusterCACertificate.ValueString(),
		ClientCertificate:    m.ClientCertificate.ValueString(),
		ClientKey:            m.ClientKey.ValueString(),
		Insecure:             m.Insecure.ValueBool(),
		TLSServerName:        m.TLSServerName.ValueString(),
		ProxyURL:             m.ProxyURL.ValueString(),
		InCluster:            m.InCluster.ValueBool(),
	}
	if known(m.Exec) {
		var e execModel
		diags.Append(m.Exec.As(ctx, &e, basetypes.ObjectAsOptions{})...)
		k.Exec = &conn.KubernetesExec{APIVersion: e.APIVersion.ValueString(), Command: e.Command.ValueString(), Env: stringMap(ctx, e.Env, diags)}
		if known(e.Args) {
			var args []types.String
			diags.Append(e.Args.ElementsAs(ctx, &args, false)...)
			for _, a := range args {
				k.Exec.Args = append(k.Exec.Args, a.ValueString())
			}
		}
	}
	return k
}

// ValidateConfig refuses arguments of kubernetes that contradict each other.
func (p *rayProvider) ValidateConfig(ctx context.Context, req provider.ValidateConfigRequest, resp *provider.ValidateConfigResponse) {
	var m model
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || !fw.FullyKnown(m.Kubernetes) {
		return
	}
	for _, problem := range conn.KubernetesProblems(kubernetesOf(ctx, m.Kubernetes, &resp.Diagnostics)) {
		fw.AddError(&resp.Diagnostics, problemPath(problem.Path), cantBeUsed, problem.Err)
	}
}

func kubernetesAttribute() schema.SingleNestedAttribute {
	notEmpty := []validator.String{stringvalidator.LengthAtLeast(1)}
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: description, Validators: notEmpty}
	}
	secret := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, Sensitive: true, MarkdownDescription: description, Validators: notEmpty}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Kubernetes in which the KubeRay operator runs Ray, for addresses `kuberay://namespace/name` and policies with `worker_groups`. " +
			"One of `config_path`, `host` and `in_cluster` names it; the other arguments and their environment variables are those of the helm and kubernetes providers. " +
			"`KUBECONFIG` and `~/.kube/config` are not looked at by themselves, since they may name another cluster.",
		Attributes: map[string]schema.Attribute{
			"config_path":            text("Path of a kubeconfig file. Default: environment variable `KUBE_CONFIG_PATH`."),
			"config_context":         text("Context of the kubeconfig file. Default: environment variable `KUBE_CTX`, then the file's current context."),
			"host":                   text("URL of the API server. Default: environment variable `KUBE_HOST`."),
			"token":                  secret("Token of a service account or user. Default: environment variable `KUBE_TOKEN`."),
			"cluster_ca_certificate": text("Certificates of the authorities to trust, as PEM. Default: environment variable `KUBE_CLUSTER_CA_CERT_DATA`, then those of the kubeconfig file or of the system."),
			"client_certificate":     text("Client certificate, as PEM. Needs `client_key`. Default: environment variable `KUBE_CLIENT_CERT_DATA`."),
			"client_key":             secret("Key of the client certificate, as PEM. Needs `client_certificate`. Default: environment variable `KUBE_CLIENT_KEY_DATA`."),
			"exec": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "Command that prints credentials, as those of the clouds, whose tokens live shorter than an apply may take.",
				Attributes: map[string]schema.Attribute{
					"api_version": schema.StringAttribute{
						Required:            true,
						MarkdownDescription: "Version in which it answers: `client.authentication.k8s.io/v1` or `client.authentication.k8s.io/v1beta1`.",
						Validators:          []validator.String{stringvalidator.OneOf("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")},
					},
					"command": schema.StringAttribute{Required: true, MarkdownDescription: "Command, for example `aws`.", Validators: notEmpty},
					"args":    schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "Arguments of the command."},
					"env":     schema.MapAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "Environment variables of the command, beside those of Terraform."},
				},
			},
			"insecure": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Accepts any certificate of the API server: whoever sits between can read the token. Default: environment variable `KUBE_INSECURE`, then `false`.",
			},
			"tls_server_name": text("Name that the API server's certificate must have. Default: environment variable `KUBE_TLS_SERVER_NAME`, then the host."),
			"proxy_url":       text("URL of a proxy to the API server. Default: environment variable `KUBE_PROXY_URL`, then that of the kubeconfig file, then `HTTPS_PROXY`."),
			"in_cluster": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Takes the service account of the pod that Terraform runs in, and no other argument. Default: `false`.",
			},
		},
	}
}
