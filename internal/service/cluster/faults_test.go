package cluster_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// serve is a server that answers everything alike; its URL and its host:port.
func serve(t *testing.T, tls bool, status int, contentType, body string) (url, hostport string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.URL, s.Listener.Addr().String()
}

// TestWhatAUserReads makes each fault that a wrong address or a bad day can be,
// and reads the message: what was said, and what to do.
func TestWhatAUserReads(t *testing.T) {
	t.Parallel()
	const closed = "127.0.0.1:1" // where nothing ever listens
	tlsURL, tlsHost := serve(t, true, 200, "application/json", `{}`)
	plainURL, plainHost := serve(t, false, 200, "application/json", `{"ray_version":"2.60.0"}`)
	page, _ := serve(t, false, 200, "text/html", "<html><title>Sign in to Corp</title></html>")
	badGateway, _ := serve(t, false, 502, "text/html", "<html><title>502 Bad Gateway</title></html>")
	half, _ := serve(t, false, 200, "application/json", `{"version":"4","ray_ver`)
	other, _ := serve(t, false, 200, "application/json", `{"hello":"world"}`)
	redirect := httptest.NewServer(http.RedirectHandler("https://login.example/?next=1", http.StatusFound))
	t.Cleanup(redirect.Close)
	token := fake(t, raytest.WithToken("s3cret"))
	prefixed := fake(t, raytest.WithPrefix("/ray"))
	gcs, err := raytest.StartFakeGCS(raytest.GCSState{Token: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gcs.Close)

	for name, test := range map[string]struct {
		provider m
		address  string
		wants    []string
	}{
		"refused":                {nil, "http://" + closed, []string{"connection refused", "Check that the cluster is up", "--dashboard-host"}},
		"refused GCS":            {nil, closed, []string{"connection refused", "6379 the GCS"}},
		"DNS":                    {nil, "http://" + strings.Repeat("x", 64) + ".example:8265", []string{"no such host", "resolves on the machine where Terraform runs"}},
		"DNS of a GCS":           {nil, strings.Repeat("x", 64) + ".example:6379", []string{"no such host", "resolves on the machine where Terraform runs"}},
		"http to TLS":            {nil, "http://" + tlsHost, []string{"the port speaks TLS: use https://"}},
		"https to plain":         {nil, "https://" + plainHost, []string{"does not speak TLS: use http://"}},
		"unknown authority":      {nil, tlsURL, []string{"certificate signed by unknown authority", "tls.ca_cert"}},
		"GCS address of http":    {nil, plainHost, []string{"speaks HTTP, not gRPC"}},
		"http address of a GCS":  {nil, "http://" + gcs.Address(), []string{"port of the dashboard (8265)"}},
		"ray address of http":    {nil, "ray://" + plainHost, []string{"speaks HTTP, not gRPC"}},
		"ray address of a GCS":   {nil, "ray://" + gcs.Address(), []string{"is not a Ray Client server"}},
		"no token":               {nil, token.URL(), []string{"401", "Missing authentication token", "No token was sent: none is configured", "RAY_AUTH_TOKEN_PATH"}},
		"wrong token":            {m{"token": "wrong"}, token.URL(), []string{"403", "Invalid authentication token", "The token came from the provider's token argument", "still valid"}},
		"wrong token of its own": {m{"credentials": m{token.URL(): m{"token": "wrong"}}}, token.URL(), []string{"403", "The token came from credentials[", "].token"}},
		"token for another":      {m{"address": plainURL, "token": "s3cret"}, token.URL(), []string{"401", "the provider's own goes only to its own address", "add an entry for " + token.URL()}},
		"no token for a GCS":     {nil, gcs.Address(), []string{"Authentication token is missing", "No token was sent: none is configured", "RAY_AUTH_TOKEN"}},
		"login page":             {nil, page, []string{"page of HTML", "Sign in to Corp", "proxy"}},
		"bad gateway":            {m{"request_retry": m{"max_attempts": 1}}, badGateway, []string{"502", "502 Bad Gateway", "could not serve the request now"}},
		"half a JSON":            {nil, half, []string{"not what Ray gives there", "unexpected end of JSON input"}},
		"something else's JSON":  {nil, other, []string{"names no ray_version", "another program answers there"}},
		"redirect":               {nil, redirect.URL, []string{"redirect to https://login.example", "not followed"}},
		"prefix forgotten":       {nil, strings.TrimSuffix(prefixed.URL(), "/ray"), []string{"path prefix"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf := terraform(t, nil)
			tf.Provider(test.provider)
			tf.Resource(conn, m{"address": test.address})
			r := tf.Apply()
			errs := r.Diagnostics().Errors()
			if r.ExitCode() != 1 || len(errs) != 1 {
				t.Fatalf("got exit code %d and %d errors, want one\n%s", r.ExitCode(), len(errs), r.Diagnostics())
			}
			mustContain(t, errs, append(test.wants, test.address)...)
			if errs.Contains("s3cret") {
				t.Errorf("a token is shown:\n%s", errs)
			}
		})
	}
}
