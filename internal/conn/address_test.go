package conn

import (
	"errors"
	"strings"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

func sentBy(err error) string {
	if a, ok := errors.AsType[*dashboard.Answer](err); ok {
		return a.Credential
	}
	return ""
}

func TestParseAddressNormalises(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://Head:8265":           "http://head:8265",
		"http://head:8265/":          "http://head:8265",
		"HTTPS://gw.example/ray/a/":  "https://gw.example/ray/a",
		"https://gw.example:443/ray": "https://gw.example/ray",
		"http://[::1]:8265":          "http://[::1]:8265",
		"http://[::1]":               "http://[::1]",
		"head:6379":                  "head:6379",
		"[fd00::1]:6379":             "[fd00::1]:6379",
		"10.0.0.1:6379":              "10.0.0.1:6379",
		"ray://head:10001":           "ray://head:10001",
		"ray://head":                 "ray://head:10001",
		"ray://head:10001/":          "ray://head:10001",
		"kuberay://ml/ray-1/":        "kuberay://ml/ray-1",
		"KubeRay://ml/ray":           "kuberay://ml/ray",
	} {
		a, err := ParseAddress(in)
		if err != nil || a.String() != want {
			t.Errorf("%q: got %q, %v, want %q", in, a, err, want)
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q: its normal form reads as %+v, %v, want %+v", in, again, err, a)
		}
	}
}

func TestParseAddressSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                            "it is empty",
		"auto":                        `"auto" means a Ray on this machine`,
		"local":                       `"local" means a Ray on this machine`,
		"head":                        "no host and port",
		":6379":                       "no host and port",
		"head:":                       `port "" is not between`,
		"head:70000":                  "not between 1 and 65535",
		"head:abc":                    "not between 1 and 65535",
		"ftp://head:1":                `unknown scheme "ftp"`,
		"kuberay://name":              "write kuberay://namespace/name",
		"kuberay://ns/":               "write kuberay://namespace/name",
		"kuberay:///name":             `"" can't be the namespace`,
		"kuberay://ns//":              `"" can't be the name of a RayCluster`,
		"kuberay://NS/name":           "lower-case letters",
		"kuberay://ns/na_me":          "lower-case letters",
		"kuberay://ns/-name":          "begin and end with",
		"kuberay://ns/a/b":            "lower-case letters",
		"kuberay://ns/name:8265":      "lower-case letters",
		"kuberay://u:hunter2@ns/name": `"...@ns" can't be the namespace`,
		"kuberay://ns/name?t=hunter2": "lower-case letters",
		"kuberay://" + strings.Repeat("n", 64) + "/name": "more than 63",
		"http://user:hunter2@head:8265":                  "user name or password",
		"http://head:8265?token=hunter2":                 "query or a fragment",
		"http://":                                        "no host",
		"http://head:99999":                              "not between 1 and 65535",
		"head:6379/path":                                 "only a host and a port",
		"ray://user:hunter2@head:10001":                  "only a host and a port",
		" http://head:8265":                              "white space",
		"http://he\nad:8265":                             "white space or control characters",
		"ray://head:10001/namespace":                     "only a host and a port",
	} {
		_, err := ParseAddress(in)
		if !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error holds the password: %v", in, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"http://h:1/p", "h:1", "ray://h", "[::1]:2", "https://[fe80::1%25eth0]:8265", "auto", "kuberay://ml/ray"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.String())
		if err != nil || again.String() != a.String() {
			t.Errorf("%q reads as %q, which reads as %q, %v", s, a, again, err)
		}
	})
}

func TestAddressComesFromTheFirstSource(t *testing.T) {
	t.Parallel()
	all := env("RAY_API_SERVER_ADDRESS", "http://api:8265", "RAY_ADDRESS", "ray://client:10001")
	for name, test := range map[string]struct {
		cfg             Config
		address, source string
	}{
		"configuration": {Config{Address: "http://cfg:8265", Getenv: all}, "http://cfg:8265", "the provider's address argument"},
		"API server":    {Config{Getenv: all}, "http://api:8265", "environment variable RAY_API_SERVER_ADDRESS"},
		"RAY_ADDRESS":   {Config{Getenv: env("RAY_ADDRESS", "ray://client:10001")}, "ray://client:10001", "environment variable RAY_ADDRESS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := NewPool(test.cfg).Cluster(Target{})
			if err != nil {
				t.Fatal(err)
			}
			if c.Address() != test.address || c.AddressSource() != test.source {
				t.Errorf("got %s from %s, want %s from %s", c.Address(), c.AddressSource(), test.address, test.source)
			}
		})
	}
}

func TestNoAddressIsNotThisMachine(t *testing.T) {
	t.Parallel()
	_, err := NewPool(Config{}).Cluster(Target{})
	if !errors.As(err, new(NoAddressError)) {
		t.Errorf("got %v, want NoAddressError", err)
	}
	_, err = NewPool(Config{Getenv: env("RAY_ADDRESS", "auto")}).Cluster(Target{})
	if !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), "environment variable RAY_ADDRESS") {
		t.Errorf("RAY_ADDRESS=auto: got %v, want an error that names the source", err)
	}
}

func TestOneClusterPerTarget(t *testing.T) {
	t.Parallel()
	p := NewPool(Config{Address: "http://head:8265"})
	first, err := p.Cluster(Target{})
	if err != nil {
		t.Fatal(err)
	}
	for _, same := range []Target{{Address: "http://HEAD:8265/"}, {DashboardURL: "http://head:8265"}} {
		if c, err := p.Cluster(same); err != nil || c != first {
			t.Errorf("%+v: got another cluster, %v", same, err)
		}
	}
	if c, err := p.Cluster(Target{GCSAddress: "head:6379"}); err != nil || c == first {
		t.Errorf("with an override: got the same cluster, %v", err)
	}
	type key struct{}
	made := 0
	for range 2 {
		first.Value(key{}, func() any { made++; return made })
	}
	if made != 1 {
		t.Errorf("the value was made %d times, want once", made)
	}
}

func TestOverridesMustBeOfTheirForm(t *testing.T) {
	t.Parallel()
	p := NewPool(Config{})
	for _, target := range []Target{{DashboardURL: "head:6379"}, {GCSAddress: "http://head:8265"}, {ClientAddress: "head:10001"}} {
		if _, err := p.Cluster(target); !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), "must be of the form") {
			t.Errorf("%+v: got %v", target, err)
		}
	}
}

func TestUnknownConfigurationIsNotGotAround(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		unknown []string
		target  Target
		want    string // the argument, or "" for a cluster
	}{
		"address":                       {[]string{"address"}, Target{}, "address"},
		"address, written in resource":  {[]string{"address"}, Target{Address: "http://other:8265"}, "address"},
		"token":                         {[]string{"token"}, Target{}, "token"},
		"address, entry for the target": {[]string{"address", "token"}, Target{Address: "http://known:8265"}, ""},
		"credentials":                   {[]string{"credentials"}, Target{Address: "http://known:8265"}, "credentials"},
		"owner only":                    {[]string{"owner"}, Target{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := NewPool(Config{Unknown: test.unknown, Getenv: env("RAY_ADDRESS", "http://env:8265"), Credentials: map[string]Credential{"http://known:8265": {Token: "x"}}})
			_, err := p.Cluster(test.target)
			var u *UnknownError
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v", err)
			case test.want != "" && (!errors.As(err, &u) || u.Argument != test.want):
				t.Errorf("got %v, want %s unknown", err, test.want)
			}
		})
	}
}
