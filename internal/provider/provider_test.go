package provider_test

import (
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/provider"
)

type m = map[string]any

func terraform(t *testing.T, env map[string]string) *core.Core {
	t.Helper()
	return core.New(t, func() tfprotov6.ProviderServer {
		return providerserver.NewProtocol6(provider.NewWithEnv("test", func(k string) string { return env[k] })())()
	})
}

func TestConfigureRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config     m
		path, want string
	}{
		"auto":                {m{"address": "auto"}, "address", "must not guess"},
		"kuberay":             {m{"address": "kuberay://ns"}, "address", "kuberay://namespace/name"},
		"token header":        {m{"token_header": "X-Token"}, "token_header", "X-Ray-Authorization"},
		"two Kubernetes":      {m{"kubernetes": m{"host": "https://k", "config_path": "/k"}}, "kubernetes.host", "leave one of them out"},
		"pod and file":        {m{"kubernetes": m{"in_cluster": true, "config_path": "/k"}}, "kubernetes.config_path", "from the pod"},
		"context of no file":  {m{"kubernetes": m{"host": "https://k", "config_context": "c"}}, "kubernetes.config_context", "of a kubeconfig"},
		"two users":           {m{"kubernetes": m{"host": "https://k", "token": "hunter2", "exec": m{"api_version": "client.authentication.k8s.io/v1", "command": "aws"}}}, "kubernetes.token", "token and exec each say who we are"},
		"half a user":         {m{"kubernetes": m{"host": "https://k", "client_key": "-----BEGIN x"}}, "kubernetes.client_key", "client_certificate"},
		"any or one":          {m{"kubernetes": m{"host": "https://k", "insecure": true, "cluster_ca_certificate": "-----BEGIN x"}}, "kubernetes.insecure", "leave one of them out"},
		"base64":              {m{"kubernetes": m{"host": "https://k", "cluster_ca_certificate": "LS0tLS1CRUdJTg=="}}, "kubernetes.cluster_ca_certificate", "base64decode"},
		"exec of what":        {m{"kubernetes": m{"host": "https://k", "exec": m{"api_version": "v1", "command": "aws"}}}, "kubernetes.exec.api_version", "client.authentication.k8s.io/v1"},
		"no unit":             {m{"request_timeout": "5"}, "request_timeout", "not a number with a unit"},
		"negative":            {m{"max_unreachable": "-3s"}, "max_unreachable", "negative"},
		"zero":                {m{"request_timeout": "0s"}, "request_timeout", "longer than zero"},
		"backoff":             {m{"request_retry": m{"min_backoff": "1"}}, "request_retry.min_backoff", "not a number with a unit"},
		"attempts":            {m{"request_retry": m{"max_attempts": 0}}, "request_retry.max_attempts", "between 1 and 100"},
		"two tokens":          {m{"token": "hunter2", "token_file": "x"}, "token", "token_file"},
		"two tokens in entry": {m{"credentials": m{"h:1": m{"token": "hunter2", "token_file": "x"}}}, `credentials["h:1"].token`, "token_file"},
		"credentials' key":    {m{"credentials": m{"head": m{"token": "hunter2"}}}, `credentials["head"]`, "no host and port"},
		"half a key pair":     {m{"tls": m{"client_cert": "x"}}, "tls.client_cert", "client_key"},
		"no PEM":              {m{"tls": m{"ca_cert": "/does/not/exist"}}, "tls", "neither PEM nor a file"},
		"PEM of nothing":      {m{"tls": m{"ca_cert": "-----BEGIN CERTIFICATE-----\nx"}}, "tls", "holds no PEM certificate"},
		"browser's header":    {m{"headers": m{"Origin": "x"}}, `headers["Origin"]`, "takes a request with the header Origin for a browser's"},
		"own header":          {m{"headers": m{"Host": "x"}}, `headers["Host"]`, "set by the provider itself"},
		"no header":           {m{"headers": m{"X Team": "x"}}, `headers["X Team"]`, "is not one"},
		"on_unreachable":      {m{"on_unreachable": "forget"}, "on_unreachable", "one of"},
		"destroy_unreachable": {m{"destroy_unreachable": "keep"}, "destroy_unreachable", "one of"},
		"plan_checks":         {m{"plan_checks": "on"}, "plan_checks", "one of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf := terraform(t, nil)
			tf.Provider(test.config)
			tf.Data("data.ray_cluster.c", nil)
			errs := tf.Plan().Diagnostics().For("provider").Errors()
			if len(errs) != 1 || errs[0].Path != test.path || !errs.Contains(test.want) {
				t.Errorf("got %v, want one error at %s with %q", errs, test.path, test.want)
			}
			if errs.Contains("hunter2") {
				t.Errorf("a secret is shown: %v", errs)
			}
		})
	}
}

// What terraform validate can tell, it tells.
func TestValidateOfKubernetes(t *testing.T) {
	t.Parallel()
	tf := terraform(t, map[string]string{"KUBE_HOST": "https://other"})
	tf.Provider(m{"kubernetes": m{"host": "https://k", "config_path": "/k"}})
	if errs := tf.Validate().Errors(); len(errs) != 1 || errs[0].Path != "kubernetes.host" {
		t.Errorf("got %v, want one error at kubernetes.host", errs)
	}
	for _, config := range []m{{"config_path": "/k"}, {}, {"in_cluster": false, "config_path": "/k", "config_context": "c", "token": "t"}, {"host": core.Later("https://k"), "client_key": core.Later("x")}} {
		tf.Provider(m{"kubernetes": config})
		if ds := tf.Validate(); ds.HasErrors() {
			t.Errorf("%v: %s", config, ds)
		}
	}
}

func TestConfigureDialsNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dialed := make(chan struct{})
	go func() {
		if c, err := l.Accept(); err == nil {
			close(dialed)
			_ = c.Close()
		}
	}()
	tf := terraform(t, nil)
	tf.Provider(m{"address": "http://" + l.Addr().String(), "token": "x", "kubernetes": m{"host": "http://" + l.Addr().String()}})
	if plan := tf.Plan(); plan.ExitCode() != 0 {
		t.Error(plan.Diagnostics())
	}
	select {
	case <-dialed:
		t.Error("the address was dialed without anything to ask")
	default:
	}
	_ = l.Close()
}

func TestAddressOfTheEnvironmentIsOnlyReadWhenUsed(t *testing.T) {
	t.Parallel()
	// Ray sets RAY_ADDRESS=auto on its own nodes: a configuration that writes its
	// addresses must work there.
	tf := terraform(t, map[string]string{"RAY_ADDRESS": "auto"})
	if plan := tf.Plan(); plan.ExitCode() != 0 {
		t.Error(plan.Diagnostics())
	}
	tf.Data("data.ray_cluster.c", nil)
	errs := tf.Plan().Diagnostics().Errors()
	if len(errs) != 1 || !errs.Contains("nvironment variable RAY_ADDRESS") || !strings.Contains(errs[0].Detail, "must not guess") {
		t.Errorf("got %v, want an error that names the source", errs)
	}
}
