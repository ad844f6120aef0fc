package provider

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

// Schema is the provider's configuration.
func (p *rayProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	attributes := map[string]schema.Attribute{}
	for _, group := range []map[string]schema.Attribute{clusterAttributes(), credentialAttributes(), requestAttributes(), behaviourAttributes()} {
		maps.Copy(attributes, group)
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "The Ray provider submits jobs to Ray clusters, proves and watches the clusters, and reads their nodes and resources. " +
			"It needs Ray 2.9 or later, and talks to the dashboard (port 8265) and, where it can be reached, to the GCS (port 6379).\n\n" +
			"Credentials go to the address that they are for and nowhere else: the provider's own to the provider's `address` " +
			"(without one, to the addresses that resources write), never to another host that a cluster reports, and never across a redirect.",
		Attributes: attributes,
	}
}

func clusterAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"address": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Address of the Ray cluster: `http(s)://host:8265[/prefix]` (dashboard), `host:6379` (GCS), `ray://host:10001` (Ray Client) or `kuberay://namespace/name` (RayCluster, through the API server of `kubernetes`). " +
				"Default: environment variable `RAY_API_SERVER_ADDRESS`, then `RAY_ADDRESS`. `auto` is an error. Not needed where every resource writes its `cluster`.",
			Validators: []validator.String{fw.AddressValidator{}},
		},
		"owner": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Who owns the jobs of this configuration, for example `infra/ml-prod`. Part of the stamp on each job and of the decision whether a job that is found is taken over. " +
				"It must stay the same from run to run: do not fill it from variables of a CI run. Recommended; no default.",
			Validators: []validator.String{stringvalidator.LengthBetween(1, 200)},
		},
		"default_metadata": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Metadata of every submission, below that of the job itself. A change is for later submissions and changes no job. Keys that begin with `terraform.ray-iac/` are reserved.",
			Validators:          []validator.Map{mapvalidator.KeysAre(stringvalidator.LengthAtLeast(1)), fw.MetadataValidator{}},
		},
	}
}

func credentialAttributes() map[string]schema.Attribute {
	entry := tokenAttributes("", "")
	return map[string]schema.Attribute{
		"token":        tokenAttributes("Default: environment variable `RAY_AUTH_TOKEN`, then the file that `RAY_AUTH_TOKEN_PATH` names, then `~/.ray/auth_token`.", "")["token"],
		"token_file":   tokenAttributes("", "")["token_file"],
		"headers":      tokenAttributes("", " Default: environment variable `RAY_JOB_HEADERS`, a JSON object.")["headers"],
		"token_header": tokenAttributes("", "")["token_header"],
		"tls":          tlsAttribute(),
		"kubernetes":   kubernetesAttribute(),
		"credentials": schema.MapNestedAttribute{
			Optional:            true,
			MarkdownDescription: "Credentials of clusters other than the provider's own, by address as written in resources. An entry goes to its address alone and replaces the provider's own `token`, `token_file`, `token_header`, `headers` and `tls` whole.",
			Validators:          []validator.Map{mapvalidator.KeysAre(fw.AddressValidator{})},
			NestedObject:        schema.NestedAttributeObject{Attributes: entry},
		},
	}
}

// tokenAttributes are a credential's members; the arguments are what is said
// beside of the defaults.
func tokenAttributes(token, headers string) map[string]schema.Attribute {
	if token != "" {
		token = " " + token
	}
	return map[string]schema.Attribute{
		"token": schema.StringAttribute{
			Optional: true, Sensitive: true,
			MarkdownDescription: "Token of a cluster with `RAY_AUTH_MODE=token` (Ray 2.52 or later), sent in `token_header`." + token,
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1), stringvalidator.ConflictsWith(path.MatchRelative().AtParent().AtName("token_file"))},
		},
		"token_file": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "File that holds the token. It is read again at each request, so that a rotated token is seen.",
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
		},
		"token_header": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Header that carries the token as `Bearer`: `Authorization`, or `X-Ray-Authorization` (Ray 2.53 or later) where a proxy before the dashboard takes `Authorization` for itself. Default: `Authorization`; through Kubernetes' API server always `X-Ray-Authorization`.",
			Validators:          []validator.String{stringvalidator.OneOf(conn.TokenHeaders()...)},
		},
		"headers": schema.MapAttribute{
			Optional: true, Sensitive: true, ElementType: types.StringType,
			MarkdownDescription: "Headers of every HTTP request, for a proxy before the dashboard. Where `token_header` is among them it is sent in place of the token." + headers,
			Validators:          []validator.Map{mapvalidator.KeysAre(headerName{})},
		},
		"tls": tlsAttribute(),
	}
}

func tlsAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "TLS of a dashboard behind `https://`. It is not used for gRPC ports.",
		Attributes: map[string]schema.Attribute{
			"ca_cert": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Certificates of the authorities to trust, as PEM or the path of a PEM file. Default: the system's.",
			},
			"client_cert": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Client certificate, as PEM or the path of a PEM file. Needs `client_key`.",
				Validators:          []validator.String{stringvalidator.AlsoRequires(path.MatchRelative().AtParent().AtName("client_key"))},
			},
			"client_key": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Key of the client certificate, as PEM or the path of a PEM file. Needs `client_cert`.",
				Validators:          []validator.String{stringvalidator.AlsoRequires(path.MatchRelative().AtParent().AtName("client_cert"))},
			},
			"server_name": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Name that the server's certificate must have. Default: the host of the address.",
			},
			"insecure_skip_verify": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Accepts any certificate: whoever sits between can read the token. Default: `false`.",
			},
		},
	}
}

func requestAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"no_proxy": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Hosts that are reached without a proxy, separated by commas. Default: environment variable `NO_PROXY`; the proxies themselves are `HTTP_PROXY` and `HTTPS_PROXY`. gRPC uses no proxy.",
		},
		"request_timeout": schema.StringAttribute{
			Optional: true, CustomType: fw.DurationType{},
			MarkdownDescription: "How long a request may make no progress, as in `\"30s\"`. An upload that goes on is not cut off. Default: `30s`.",
			Validators:          []validator.String{fw.PositiveDuration{}},
		},
		"request_retry": schema.SingleNestedAttribute{
			Optional:            true,
			MarkdownDescription: "How often a read is repeated that the cluster could not answer (429, 502, 503, 504, a broken connection). Writes are never just repeated.",
			Attributes: map[string]schema.Attribute{
				"max_attempts": schema.Int64Attribute{
					Optional:            true,
					MarkdownDescription: "How often a read is tried in all, the first included. Default: `4`.",
					Validators:          []validator.Int64{int64validator.Between(1, 100)},
				},
				"min_backoff": schema.StringAttribute{
					Optional: true, CustomType: fw.DurationType{},
					MarkdownDescription: "Wait before the second try; it doubles with each further one. Default: `250ms`.",
				},
				"max_backoff": schema.StringAttribute{
					Optional: true, CustomType: fw.DurationType{},
					MarkdownDescription: "Longest wait between two tries. Default: `5s`.",
				},
			},
		},
		"max_unreachable": schema.StringAttribute{
			Optional: true, CustomType: fw.DurationType{},
			MarkdownDescription: "How long a wait for a job or a cluster survives losing the cluster, as in `\"10m\"`. Default: `10m`.",
			Validators:          []validator.String{fw.PositiveDuration{}},
		},
		"max_active_jobs": schema.Int64Attribute{
			Optional: true,
			MarkdownDescription: "How many jobs of one apply may be active, that is submitted or taken over and not over yet, on each cluster; also with `wait_for = \"SUBMITTED\"`. A further one waits for its turn before it is submitted; `timeouts.create` of the job bounds that. " +
				"A job that is taken over counts and never waits. Terraform itself creates 10 objects at a time (`-parallelism`). No limit by default.",
			Validators: []validator.Int64{int64validator.AtLeast(1)},
		},
	}
}

func behaviourAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"on_unreachable": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "What a refresh does where the cluster can't be reached: `error`, or `keep` what the state holds with a warning. " +
				"A refused credential (401, 403) is always an error. Default: `error`.",
			Validators: []validator.String{stringvalidator.OneOf(conn.OnUnreachableError, conn.OnUnreachableKeep)},
		},
		"destroy_unreachable": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "What a destroy does where the cluster can't be reached: `error`, or `forget` with a warning what was on it, as for clusters that are gone for good: what is forgotten goes on where the cluster comes back. " +
				"Terraform refreshes before it destroys, so use it with `on_unreachable = \"keep\"` or `terraform destroy -refresh=false`. A refused credential (401, 403) is always an error. Default: `error`.",
			Validators: []validator.String{stringvalidator.OneOf(conn.DestroyUnreachableError, conn.DestroyUnreachableForget)},
		},
		"plan_checks": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "What a plan does with what it finds out about the cluster and what may still change before apply: `warn`, `error`, or `off`, which does not ask. Default: `warn`.",
			Validators:          []validator.String{stringvalidator.OneOf(conn.PlanChecksWarn, conn.PlanChecksError, conn.PlanChecksOff)},
		},
		"read_only": schema.BoolAttribute{
			Optional:            true,
			MarkdownDescription: "Refuses every write to a cluster on this side, for plans of pull requests. It protects from mistakes, not from a changed configuration: whoever can read from Ray with a token can also run with it. Default: `false`.",
		},
	}
}
