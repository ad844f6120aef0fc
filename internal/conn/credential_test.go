package conn

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// recorder is a dashboard that writes down the credentials that reach it.
type recorder struct {
	*httptest.Server
	mu      sync.Mutex
	tokens  []string
	team    []string
	session string
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{session: "session_1"}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.tokens = append(r.tokens, req.Header.Get("Authorization"))
	r.team = append(r.team, req.Header.Get("X-Team"))
	r.mu.Unlock()
	_, _ = w.Write([]byte(`{"version":"4","ray_version":"2.60.0","session_name":"` + r.session + `"}`))
}

// got is the Authorization and X-Team header of the only request so far.
func (r *recorder) got(t *testing.T) (string, string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tokens) != 1 {
		t.Fatalf("got %d requests, want 1", len(r.tokens))
	}
	return r.tokens[0], r.team[0]
}

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(k string) string { return m[k] }
}

// TestCredentialGoesOnlyWhereItBelongs asks one of two servers and looks at what
// reached it. Both are on 127.0.0.1, so that "localhost" stands for another name
// of the same machine and the port alone tells the two apart.
func TestCredentialGoesOnlyWhereItBelongs(t *testing.T) {
	t.Parallel()
	own := Credential{Token: "own-secret", Headers: map[string]string{"X-Team": "own"}}
	other := Credential{Token: "other-secret", Headers: map[string]string{"X-Team": "other"}}
	tests := map[string]struct {
		config      func(a, b string) Config
		target      func(a, b string) Target
		toB         bool
		token, team string
	}{
		"own to the provider's address": {
			config: func(a, _ string) Config { return Config{Address: a, Credential: own} },
			target: func(_, _ string) Target { return Target{} },
			token:  "Bearer own-secret", team: "own",
		},
		"own to the provider's address written in a resource": {
			config: func(a, _ string) Config { return Config{Address: a, Credential: own} },
			target: func(a, _ string) Target { return Target{Address: a + "/"} },
			token:  "Bearer own-secret", team: "own",
		},
		"own not to another address": {
			config: func(a, _ string) Config { return Config{Address: a, Credential: own} },
			target: func(_, b string) Target { return Target{Address: b} }, toB: true,
		},
		"own not to another path of the same server": {
			config: func(a, _ string) Config { return Config{Address: a + "/prod", Credential: own} },
			target: func(a, _ string) Target { return Target{Address: a + "/dev"} },
		},
		"own to a written address where the provider has none": {
			config: func(_, _ string) Config { return Config{Credential: own} },
			target: func(_, b string) Target { return Target{Address: b} }, toB: true,
			token: "Bearer own-secret", team: "own",
		},
		"own not to another address where the provider's comes from the environment": {
			config: func(a, _ string) Config { return Config{Credential: own, Getenv: env("RAY_ADDRESS", a)} },
			target: func(_, b string) Target { return Target{Address: b} }, toB: true,
		},
		"own not where the provider's address is one that Ray alone understands": {
			config: func(_, _ string) Config { return Config{Credential: own, Getenv: env("RAY_ADDRESS", "auto")} },
			target: func(_, b string) Target { return Target{Address: b} }, toB: true,
		},
		"an entry to its address, in place of the provider's own": {
			config: func(a, b string) Config {
				return Config{Address: a, Credential: own, Credentials: map[string]Credential{b + "/": other}}
			},
			target: func(_, b string) Target { return Target{Address: b} }, toB: true,
			token: "Bearer other-secret", team: "other",
		},
		"an entry in place of the provider's own at the provider's address": {
			config: func(a, _ string) Config {
				return Config{Address: a, Credential: own, Credentials: map[string]Credential{a: other}}
			},
			target: func(_, _ string) Target { return Target{} },
			token:  "Bearer other-secret", team: "other",
		},
		"an entry without a token is not filled up": {
			config: func(a, b string) Config {
				return Config{Credential: own, Credentials: map[string]Credential{b: {Headers: map[string]string{"X-Team": "other"}}}}
			},
			target: func(_, b string) Target { return Target{Address: b} }, toB: true,
			team: "other",
		},
		"an entry not to another address": {
			config: func(a, b string) Config { return Config{Credentials: map[string]Credential{a: other}} },
			target: func(_, b string) Target { return Target{Address: b} }, toB: true,
		},
		"a written override on the provider's host": {
			config: func(a, _ string) Config { return Config{Address: a, Credential: own} },
			target: func(a, b string) Target { return Target{Address: a, DashboardURL: b} }, toB: true,
			token: "Bearer own-secret", team: "own",
		},
		"the token of the environment": {
			config: func(a, _ string) Config {
				return Config{Address: a, Getenv: env("RAY_AUTH_TOKEN", "env-secret", "RAY_JOB_HEADERS", `{"X-Team":"env"}`)}
			},
			target: func(_, _ string) Target { return Target{} },
			token:  "Bearer env-secret", team: "env",
		},
		"an Authorization among the headers in place of the token": {
			config: func(a, _ string) Config {
				return Config{Address: a, Credential: Credential{Token: "own-secret", Headers: map[string]string{"authorization": "Basic eDp5"}}}
			},
			target: func(_, _ string) Target { return Target{} },
			token:  "Basic eDp5",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newRecorder(t), newRecorder(t)
			pool := NewPool(test.config(a.URL, b.URL))
			defer pool.Close()
			c, err := pool.Cluster(test.target(a.URL, b.URL))
			if err != nil {
				t.Fatal(err)
			}
			d, err := c.Dashboard(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Version(t.Context()); err != nil {
				t.Fatal(err)
			}
			asked := a
			if test.toB {
				asked = b
			}
			token, team := asked.got(t)
			if token != test.token || team != test.team {
				t.Errorf("got token %q and team %q, want %q and %q", token, team, test.token, test.team)
			}
		})
	}
}

// TestCredentialOfDiscoveredEndpoints asks the rule itself, for hosts that a test
// can't listen on.
func TestCredentialOfDiscoveredEndpoints(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg      Config
		primary  string
		endpoint string
		written  bool
		want     bool
	}{
		"same host, other port":                      {Config{Address: "http://head:8265"}, "http://head:8265", "head:6379", false, true},
		"same host in capitals":                      {Config{Address: "http://Head:8265"}, "http://head:8265", "HEAD:6379", false, true},
		"inner address of the cluster":               {Config{Address: "http://head:8265"}, "http://head:8265", "10.0.0.5:6379", false, false},
		"a host that begins alike":                   {Config{Address: "http://head:8265"}, "http://head:8265", "head.evil:6379", false, false},
		"from a GCS to the same host's dashboard":    {Config{Address: "head:6379"}, "head:6379", "http://head:8265", false, true},
		"from a GCS to another dashboard":            {Config{Address: "head:6379"}, "head:6379", "http://evil:8265", false, false},
		"from https in the clear":                    {Config{Address: "https://head"}, "https://head", "head:6379", false, false},
		"from https to a written gcs_address":        {Config{Address: "https://head"}, "https://head", "head:6379", true, true},
		"provider's address, written on other host":  {Config{Address: "http://head:8265"}, "http://head:8265", "gcs:6379", true, false},
		"other cluster on the provider's host":       {Config{Address: "http://head:8265"}, "http://head:9999", "head:6379", false, false},
		"no provider's address, discovered, same":    {Config{}, "http://head:8265", "head:6379", false, true},
		"no provider's address, discovered, other":   {Config{}, "http://head:8265", "10.0.0.5:6379", false, false},
		"no provider's address, written":             {Config{}, "http://head:8265", "gcs:6379", true, true},
		"from ray:// to the same host's dashboard":   {Config{Address: "ray://head:10001"}, "ray://head:10001", "http://head:8265", false, true},
		"loopback under another name":                {Config{Address: "http://localhost:8265"}, "http://localhost:8265", "127.0.0.1:6379", false, true},
		"loopback reported is not the user's remote": {Config{Address: "http://head:8265"}, "http://head:8265", "127.0.0.1:6379", false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.cfg.Token = "secret"
			pool := NewPool(test.cfg)
			cred := pool.credentialFor(parse(t, test.primary), endpoint{addr: parse(t, test.endpoint), written: test.written})
			token, err := cred.token.read()
			if err != nil {
				t.Fatal(err)
			}
			if (token != "") != test.want {
				t.Errorf("token sent: %v, want %v (%s)", token != "", test.want, cred.describe(token))
			}
			if token == "" && cred.why == "" {
				t.Error("nothing says why no token is sent")
			}
		})
	}
}

func TestEntryGoesToItsHostOnly(t *testing.T) {
	t.Parallel()
	pool := NewPool(Config{
		Credential:  Credential{Token: "own"},
		Credentials: map[string]Credential{"http://head:8265": {Token: "entry"}},
	})
	primary := parse(t, "http://head:8265")
	for ep, want := range map[endpoint]string{
		{addr: primary, written: true}:                       "entry",
		{addr: parse(t, "head:6379")}:                        "entry",
		{addr: parse(t, "10.0.0.5:6379")}:                    "",
		{addr: parse(t, "gcs.internal:6379"), written: true}: "",
	} {
		got, err := pool.credentialFor(primary, ep).token.read()
		if err != nil || got != want {
			t.Errorf("to %s: got %q, %v, want %q", ep.addr, got, err, want)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	login := newRecorder(t)
	front := httptest.NewServer(http.RedirectHandler(login.URL+"/login?next=x", http.StatusFound))
	defer front.Close()
	pool := NewPool(Config{Address: front.URL, Credential: Credential{Token: "secret"}})
	c, err := pool.Cluster(Target{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Info(t.Context())
	if !ray.IsKind(err, ray.KindProtocol) || !strings.Contains(err.Error(), "redirect to "+login.URL) {
		t.Errorf("got %v, want an error that names the redirect", err)
	}
	if len(login.tokens) != 0 {
		t.Errorf("the target of the redirect was asked %d times", len(login.tokens))
	}
}

func TestTokenFileIsReadAtEachRequest(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	file := filepath.Join(home, "token")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := newRecorder(t)
	pool := NewPool(Config{Address: server.URL, Credential: Credential{TokenFile: "~/token"}, Getenv: env("HOME", home, "USERPROFILE", home)})
	c, err := pool.Cluster(Target{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Dashboard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Version(t.Context()); !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), `token_file "~/token"`) {
		t.Errorf("without the file: got %v, want an error that names it", err)
	}
	for _, token := range []string{"first\n", "second"} {
		write(token)
		if _, err := d.Version(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"Bearer first", "Bearer second"}, server.tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
}

func TestTokenOfTheHomeDirectoryIsOptional(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	cfg := Config{Getenv: env("HOME", home, "USERPROFILE", home)}.withDefaults()
	if got, err := cfg.ownToken().read(); got != "" || err != nil {
		t.Errorf("without the file: got %q, %v", got, err)
	}
	if err := os.MkdirAll(filepath.Join(home, ".ray"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ray", "auth_token"), []byte("at-home\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := cfg.ownToken().read(); got != "at-home" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRefusedTokenSaysWhereItCameFrom(t *testing.T) {
	t.Parallel()
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Credential-Sent", "what a server sends here is not shown")
		http.Error(w, "Forbidden: Invalid authentication token", http.StatusForbidden)
	}))
	defer refuse.Close()
	pool := NewPool(Config{Address: refuse.URL, Getenv: env("RAY_AUTH_TOKEN", "super-secret-value")})
	c, err := pool.Cluster(Target{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Info(context.Background())
	if got := sentBy(err); got != "the token came from environment variable RAY_AUTH_TOKEN" {
		t.Errorf("got %q", got)
	}
	if strings.Contains(err.Error(), "super-secret-value") {
		t.Errorf("the token is in the error: %v", err)
	}
}

func TestHeadersOfTheEnvironmentThatAreNoJSON(t *testing.T) {
	t.Parallel()
	server := newRecorder(t)
	pool := NewPool(Config{Address: server.URL, Getenv: env("RAY_JOB_HEADERS", "X-Secret: hidden")})
	c, err := pool.Cluster(Target{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Info(t.Context())
	if !ray.IsKind(err, ray.KindInvalid) || !strings.Contains(err.Error(), "JSON object") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v, want an error that names the form and not the value", err)
	}
}

func parse(t *testing.T, s string) Address {
	t.Helper()
	a, err := ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
