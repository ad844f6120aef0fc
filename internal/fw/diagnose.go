package fw

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// AddError adds err as a diagnostic: summary says what could not be done to which
// object, the detail what was said and what to do next. at is the attribute at
// fault, or path.Empty().
func AddError(diags *diag.Diagnostics, at path.Path, summary string, err error) {
	if len(at.Steps()) == 0 {
		diags.AddError(summary, Detail(err))
		return
	}
	diags.AddAttributeError(at, summary, Detail(err))
}

// AddWarning is AddError for what may go on.
func AddWarning(diags *diag.Diagnostics, at path.Path, summary string, err error) {
	if len(at.Steps()) == 0 {
		diags.AddWarning(summary, Detail(err))
		return
	}
	diags.AddAttributeWarning(at, summary, Detail(err))
}

// AddFinding reports what a plan found on the cluster and what may still change
// before apply: a warning, or an error where the provider's plan_checks says so.
// at is the attribute at fault, or path.Empty().
func AddFinding(diags *diag.Diagnostics, pool *conn.Pool, at path.Path, summary, detail string) {
	isError := pool.PlanChecks() == conn.PlanChecksError
	switch {
	case isError && len(at.Steps()) > 0:
		diags.AddAttributeError(at, summary, detail)
	case isError:
		diags.AddError(summary, detail)
	case len(at.Steps()) > 0:
		diags.AddAttributeWarning(at, summary, detail)
	default:
		diags.AddWarning(summary, detail)
	}
}

// Detail is what AddError says of err.
func Detail(err error) string {
	said := Sentence(err.Error())
	if next := nextStep(err); next != "" {
		return said + "\n\n" + next
	}
	return said
}

// nextStep says what the reader can do about err.
func nextStep(err error) string {
	var unknown *conn.UnknownError
	var none conn.NoAddressError
	var noKubernetes conn.NoKubernetesError
	switch {
	case errors.As(err, &unknown):
		return "Its value comes from something that is created in the same apply. Apply that first (terraform apply -target=...), or read the cluster in a configuration of its own. Nothing else is tried in its place: not the environment, not this machine."
	case errors.As(err, &none), errors.As(err, &noKubernetes):
		return ""
	}
	if k, ok := errors.AsType[*kuberay.Error](err); ok {
		return kubernetesStep(k)
	}
	var e *ray.Error
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Kind {
	case ray.KindUnauthenticated:
		return credentialSent(err) + "This cluster wants a token, and got none or a wrong one. The token is taken from the first of: the provider's token, token_file, RAY_AUTH_TOKEN, the file that RAY_AUTH_TOKEN_PATH names, ~/.ray/auth_token; for an address other than the provider's own, from the provider's credentials[\"<address>\"] alone."
	case ray.KindForbidden:
		return credentialSent(err) + "The cluster, or a proxy before it, refused what it was shown. Check that the token is this cluster's and still valid, and that a proxy lets this method and path through."
	case ray.KindTLS:
		return "Compare the scheme with what the port speaks: Ray's dashboard has no TLS of its own, so https:// needs a proxy before it. For a certificate of a private CA set tls.ca_cert, for another name tls.server_name. A GCS or Ray Client port with RAY_USE_TLS=1 wants a client certificate, which this provider can't show there yet: use the dashboard's address."
	case ray.KindDNS:
		return "Check the spelling of the host, and whether the name resolves on the machine where Terraform runs: a Kubernetes service name does so only inside the cluster (kubectl port-forward gives a local address, and kuberay://namespace/name goes through the API server)."
	case ray.KindUnavailable:
		return unavailable(e)
	case ray.KindTimeout:
		return "The cluster did not answer in time. Check that the address can be reached from where Terraform runs (firewall, VPN, proxy settings), and raise the provider's request_timeout if the cluster is only slow."
	case ray.KindProtocol:
		return "What answered is not what this provider expects of Ray at this address. Check host, port and path prefix, and whether a proxy, a login page or another program answers there. The dashboard listens on 8265, the GCS on 6379, the Ray Client server on 10001."
	case ray.KindWrongCluster:
		return "Another cluster answers than the one expected. If the cluster was replaced on purpose, plan and apply again; if two addresses were written, let both be of one cluster."
	case ray.KindServer:
		return "This is a failure inside Ray. The head's log has more: logs/dashboard.log and logs/dashboard_*.log below /tmp/ray/session_latest on the head node."
	}
	return ""
}

// kubernetesStep says what to do about a call of the Kubernetes API that failed.
func kubernetesStep(k *kuberay.Error) string {
	where := "-n " + k.Namespace
	switch ray.KindOf(k) {
	case ray.KindForbidden:
		return fmt.Sprintf("Kubernetes' RBAC does not let the user of the provider's kubernetes argument do that: a Role in namespace %s must allow %s on %s. kubectl auth can-i %s %s %s, as that user, says whether it does; the guide \"KubeRay\" has the whole Role.", k.Namespace, k.Verb, k.Resource, k.Verb, k.Resource, where)
	case ray.KindUnauthenticated:
		return "The API server does not accept the credentials of the provider's kubernetes argument, or none could be had. Check that they are of this Kubernetes cluster and have not expired; exec gets new ones for each run."
	case ray.KindNotFound:
		return fmt.Sprintf("Check namespace and name, and that the provider's kubernetes argument names the right Kubernetes cluster: kubectl get rayclusters %s.", where)
	case ray.KindUnsupported:
		return "Install the KubeRay operator with its custom resources, or check that the provider's kubernetes argument names the right Kubernetes cluster."
	}
	if !k.Answered() {
		return "This is about the API server, not about Ray. Check host, certificate and proxy in the provider's kubernetes argument, and whether kubectl reaches it from where Terraform runs."
	}
	if ray.IsKind(k, ray.KindUnavailable) {
		return fmt.Sprintf("kubectl describe raycluster %s and kubectl get pods %s -l ray.io/node-type=head say more. A ray_cluster_connection with ready_when waits until the head can be reached.", where, where)
	}
	return ""
}

// credentialSent says which credential the refused request went with, where the
// transport told.
func credentialSent(err error) string {
	var a *dashboard.Answer
	if errors.As(err, &a) && a.Credential != "" {
		return Sentence(a.Credential) + " "
	}
	if c, ok := errors.AsType[*conn.CredentialError](err); ok {
		return Sentence(c.Sent) + " "
	}
	return ""
}

func unavailable(e *ray.Error) string {
	if e.Status != 0 {
		return "The server, or a proxy before it, could not serve the request now. Check that the head is up and its node is healthy, then try again."
	}
	return "Nothing could be reached at the address. Check that the cluster is up and that host and port are right: 8265 is the dashboard, 6379 the GCS, 10001 the Ray Client server. A dashboard that only listens on the head's own 127.0.0.1 (Ray's default) needs --dashboard-host=0.0.0.0, or a port-forward."
}

// Sentence makes a clause a sentence: a capital letter, unless it begins with a
// name or an address, and a full stop.
func Sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return s
	}
	// A name, a path or an address at the start keeps its case.
	word, _, _ := strings.Cut(s, " ")
	if !strings.ContainsAny(strings.TrimSuffix(word, ":"), "_./:\"[") {
		first, size := utf8.DecodeRuneInString(s)
		s = string(unicode.ToUpper(first)) + s[size:]
	}
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "!") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}
