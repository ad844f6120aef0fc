package fw

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/attr/xattr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

func TestDetailSaysWhatToDoNext(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err   error
		wants []string
	}{
		"401": {
			&ray.Error{Kind: ray.KindUnauthenticated, Op: "submit job a", Status: 401, Message: "Missing", Err: &dashboard.Answer{Status: 401, Credential: "no token was sent: none is configured"}},
			[]string{"Submit job a: HTTP 401: Missing.\n\nNo token was sent: none is configured. This cluster wants a token", "RAY_AUTH_TOKEN"},
		},
		"403":           {&ray.Error{Kind: ray.KindForbidden, Op: "x", Status: 403}, []string{"refused what it was shown"}},
		"gRPC":          {&conn.CredentialError{Sent: "the token came from x", Err: &ray.Error{Kind: ray.KindUnauthenticated, Op: "read"}}, []string{"The token came from x. "}},
		"TLS":           {&ray.Error{Kind: ray.KindTLS, Op: "x"}, []string{"tls.ca_cert"}},
		"DNS":           {&ray.Error{Kind: ray.KindDNS, Op: "x"}, []string{"spelling of the host"}},
		"refused":       {&ray.Error{Kind: ray.KindUnavailable, Op: "x"}, []string{"--dashboard-host"}},
		"503":           {&ray.Error{Kind: ray.KindUnavailable, Op: "x", Status: 503}, []string{"could not serve the request now"}},
		"timeout":       {&ray.Error{Kind: ray.KindTimeout, Op: "x"}, []string{"request_timeout"}},
		"HTML":          {&ray.Error{Kind: ray.KindProtocol, Op: "x"}, []string{"login page"}},
		"wrong cluster": {&ray.Error{Kind: ray.KindWrongCluster, Op: "x"}, []string{"replaced on purpose"}},
		"server":        {&ray.Error{Kind: ray.KindServer, Op: "x", Status: 500}, []string{"dashboard.log"}},
		"wrapped":       {fmt.Errorf("submit: %w", &ray.Error{Kind: ray.KindDNS, Op: "x"}), []string{"Submit: x: dns.", "spelling"}},
		"unknown":       {&conn.UnknownError{Argument: "token"}, []string{`argument "token" is not known`, "-target"}},
		"no address":    {conn.NoAddressError{}, []string{"No Ray address is set"}},
		"another's":     {errors.New("disk full"), []string{"Disk full."}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Detail(test.err)
			for _, want := range test.wants {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			if !strings.HasSuffix(got, ".") {
				t.Errorf("got %q, want a full stop", got)
			}
		})
	}
}

func TestAddErrorHasAPathWhereOneIsAtFault(t *testing.T) {
	t.Parallel()
	var diags diag.Diagnostics
	AddError(&diags, path.Root("address"), "a", errors.New("x"))
	AddError(&diags, path.Empty(), "b", errors.New("x"))
	AddWarning(&diags, path.Root("address"), "c", errors.New("x"))
	AddWarning(&diags, path.Empty(), "d", errors.New("x"))
	var got []string
	for _, d := range diags {
		at := "-"
		if p, ok := d.(diag.DiagnosticWithPath); ok {
			at = p.Path().String()
		}
		got = append(got, fmt.Sprintf("%s %s %s", d.Severity(), d.Summary(), at))
	}
	if diff := cmp.Diff([]string{"Error a address", "Error b -", "Warning c address", "Warning d -"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSentence(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                          "",
		"no such thing":             "No such thing.",
		"is it there?":              "Is it there?",
		"required_x is wrong":       "required_x is wrong.",
		"/tmp/x: no such file":      "/tmp/x: no such file.",
		"http://h:1 does not reply": "http://h:1 does not reply.",
		"äh, no":                    "Äh, no.",
	} {
		if got := Sentence(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "0s": 0, "1.5s": 1500 * time.Millisecond} {
		d := Duration{types.StringValue(in)}
		if got, ok := d.ValueDuration(); !ok || got != want {
			t.Errorf("%s: got %s, %v", in, got, ok)
		}
	}
	for _, in := range []string{"5", "-3s", "", "ten minutes", "1d"} {
		d := Duration{types.StringValue(in)}
		var resp xattr.ValidateAttributeResponse
		d.ValidateAttribute(t.Context(), xattr.ValidateAttributeRequest{Path: path.Root("x")}, &resp)
		if _, ok := d.ValueDuration(); ok || resp.Diagnostics.ErrorsCount() != 1 {
			t.Errorf("%q: got valid %v, %v", in, ok, resp.Diagnostics)
		}
	}
	for _, d := range []Duration{{types.StringNull()}, {types.StringUnknown()}} {
		var resp xattr.ValidateAttributeResponse
		d.ValidateAttribute(t.Context(), xattr.ValidateAttributeRequest{Path: path.Root("x")}, &resp)
		if d.Or(time.Minute) != time.Minute || resp.Diagnostics.HasError() {
			t.Errorf("%s: got %s, %v", d, d.Or(time.Minute), resp.Diagnostics)
		}
	}
}

func TestTargetOf(t *testing.T) {
	t.Parallel()
	target := conn.Target{Address: "http://h:1", GCSAddress: "h:2"}
	object, diags := ClusterObject(t.Context(), target)
	if diags.HasError() {
		t.Fatal(diags)
	}
	partly := types.ObjectValueMust(ClusterAttrTypes(), map[string]attr.Value{
		"address": types.StringUnknown(), "dashboard_url": types.StringNull(), "gcs_address": types.StringNull(), "client_address": types.StringNull(),
		"kuberay": types.ObjectNull(KubeRayAttrTypes()),
	})
	inCluster := conn.Target{KubeRay: conn.KubeRay{Namespace: "ml", Name: "ray", Access: conn.AccessService}}
	kubeRay, diags := ClusterObject(t.Context(), inCluster)
	if diags.HasError() {
		t.Fatal(diags)
	}
	deep := types.ObjectValueMust(ClusterAttrTypes(), map[string]attr.Value{
		"address": types.StringNull(), "dashboard_url": types.StringNull(), "gcs_address": types.StringNull(), "client_address": types.StringNull(),
		"kuberay": types.ObjectValueMust(KubeRayAttrTypes(), map[string]attr.Value{
			"namespace": types.StringValue("ml"), "name": types.StringUnknown(), "access": types.StringNull(),
		}),
	})
	for name, test := range map[string]struct {
		in    types.Object
		want  conn.Target
		known bool
	}{
		"written":        {object, target, true},
		"null":           {types.ObjectNull(ClusterAttrTypes()), conn.Target{}, true},
		"unknown":        {types.ObjectUnknown(ClusterAttrTypes()), conn.Target{}, false},
		"partly unknown": {partly, conn.Target{}, false},
		"RayCluster":     {kubeRay, inCluster, true},
		"deeply unknown": {deep, conn.Target{}, false},
	} {
		got, known, diags := TargetOf(context.Background(), test.in)
		if got != test.want || known != test.known || diags.HasError() {
			t.Errorf("%s: got %+v, %v, %v", name, got, known, diags)
		}
	}
}
