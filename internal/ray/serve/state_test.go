package serve

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded is what Ray 2.60.0 told: applications a and b of a config, n and imp from
// Python, the former with the config that it had before.
func recorded(t testing.TB, name string) *State {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "raytest", "testdata", "ray-2.60.0", name))
	if err != nil {
		t.Fatal(err)
	}
	return read(t, b)
}

func read(t testing.TB, answer []byte) *State {
	t.Helper()
	s, err := Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// told is what Serve tells of an application with this config, whose deployment D has
// this autoscaling_config in effect; "" is none.
func told(t testing.TB, config, effect string) *State {
	t.Helper()
	if effect != "" {
		effect = `, "autoscaling_config": ` + effect
	}
	return read(t, []byte(`{"controller_info": {"node_id": "x"}, "proxy_location": "HeadOnly", "target_capacity": null, "applications": {
		"a": {"status": "RUNNING", "message": "", "source": "declarative", "deployed_app_config": `+config+`,
			"deployments": {"D": {"status": "HEALTHY", "message": "", "deployment_config": {"name": "D", "num_replicas": 2`+effect+`}}}}}}`))
}

func target(pairs ...any) Target {
	t := Target{Application: "a", Deployment: "D", Autoscaling: map[string]json.RawMessage{}}
	for i := 0; i < len(pairs); i += 2 {
		t.Autoscaling[pairs[i].(string)] = Want(pairs[i+1])
	}
	return t
}

func TestConfigIsWhatRayGave(t *testing.T) {
	t.Parallel()
	s := recorded(t, "serve-running.json")
	e, err := s.Set(Target{"b", "Auto", map[string]json.RawMessage{"max_replicas": Want(7)}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{
		"proxy_location": "HeadOnly",
		"http_options": {"host": "127.0.0.1", "port": 27420, "root_path": "", "request_timeout_s": null, "keep_alive_timeout_s": 90, "ssl_keyfile": null, "ssl_certfile": null, "ssl_keyfile_password": null, "ssl_ca_certs": null},
		"grpc_options": {"port": 9000, "grpc_servicer_functions": [], "request_timeout_s": null, "enable_reflection": true},
		"applications": [
			{"name": "a", "route_prefix": "/a", "import_path": "apps:echo", "runtime_env": {"env_vars": {"TOKEN": "hush", "X": "plain"}}, "deployments": [{"name": "Echo", "autoscaling_config": {"min_replicas": 1, "max_replicas": 2}}], "args": {}},
			{"name": "b", "route_prefix": "/b", "import_path": "apps:auto", "deployments": [{"name": "Auto", "autoscaling_config": {"min_replicas": 1, "max_replicas": 7}}]}
		]}`
	if diff := cmp.Diff(value(json.RawMessage(want)), value(e.Config)); diff != "" {
		t.Errorf("the config (-want +got):\n%s", diff)
	}
	if e.Restarts {
		t.Error("a change of a bound is said to replace replicas")
	}
	if got, want := string(e.Previous.Autoscaling), `{"min_replicas": 1, "max_replicas": 4}`; got != want {
		t.Errorf("before: got %s, want %s", got, want)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config, effect string
		set            Target
		want           string // the application's deployments; "" for no write
		restarts       bool
	}{
		"as it is":                  {`{"deployments": [{"name": "D", "autoscaling_config": {"max_replicas": 3.0, "x": 1}}]}`, `{"max_replicas": 3}`, target("max_replicas", 3), "", false},
		"one member":                {`{"deployments": [{"name": "E"}, {"name": "D", "user_config": {"k": 1e2}, "autoscaling_config": {"max_replicas": 3, "newer": {"a": [1.0]}}}]}`, `{}`, target("max_replicas", 4), `[{"name": "E"}, {"name": "D", "user_config": {"k": 1e2}, "autoscaling_config": {"max_replicas": 4, "newer": {"a": [1.0]}}}]`, false},
		"first, none in code":       {`{"import_path": "x"}`, "", target("min_replicas", 1, "max_replicas", 4), `[{"name": "D", "autoscaling_config": {"min_replicas": 1, "max_replicas": 4}}]`, true},
		"first, with that of code":  {`{"deployments": [{"name": "D", "user_config": null}]}`, `{"min_replicas": 2, "max_replicas": 8, "upscaling_factor": null, "upscale_delay_s": 5.0}`, target("max_replicas", 4), `[{"name": "D", "user_config": null, "autoscaling_config": {"min_replicas": 2, "max_replicas": 4, "upscale_delay_s": 5.0}}]`, true},
		"instead of null":           {`{"deployments": [{"name": "D", "autoscaling_config": null}]}`, "", target("max_replicas", 4), `[{"name": "D", "autoscaling_config": {"max_replicas": 4}}]`, true},
		"a policy":                  {`{"deployments": [{"name": "D", "autoscaling_config": {"max_replicas": 4}}]}`, `{}`, target("policy", map[string]any{"policy_function": "m:f"}), `[{"name": "D", "autoscaling_config": {"max_replicas": 4, "policy": {"policy_function": "m:f"}}}]`, true},
		"auto":                      {`{"deployments": [{"name": "D", "num_replicas": "auto"}]}`, `{"min_replicas": 1, "max_replicas": 100}`, target("min_replicas", 40), `[{"name": "D", "num_replicas": "auto", "autoscaling_config": {"min_replicas": 40, "max_replicas": 100}}]`, true},
		"auto, with Ray's default":  {`{"deployments": [{"name": "D", "num_replicas": "auto", "autoscaling_config": {}}]}`, `{}`, target("min_replicas", 40), `[{"name": "D", "num_replicas": "auto", "autoscaling_config": {"min_replicas": 40}}]`, false},
		"external scaler is false":  {`{"external_scaler_enabled": false}`, "", target("max_replicas", 4), `[{"name": "D", "autoscaling_config": {"max_replicas": 4}}]`, true},
		"num_replicas null is none": {`{"deployments": [{"name": "D", "num_replicas": null}]}`, "", target("max_replicas", 4), `[{"name": "D", "num_replicas": null, "autoscaling_config": {"max_replicas": 4}}]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := told(t, test.config, test.effect).Set(test.set)
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if e.Config != nil {
					t.Errorf("it would write %s", e.Config)
				}
				return
			}
			var got struct {
				Location     string `json:"proxy_location"`
				Applications []struct {
					Deployments json.RawMessage `json:"deployments"`
				} `json:"applications"`
			}
			if err := json.Unmarshal(e.Config, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(value(json.RawMessage(test.want)), value(got.Applications[0].Deployments)); diff != "" || got.Location != "HeadOnly" {
				t.Errorf("deployments (-want +got):\n%s\nproxies at %q", diff, got.Location)
			}
			if e.Restarts != test.restarts {
				t.Errorf("replaces replicas: got %t, want %t", e.Restarts, test.restarts)
			}
		})
	}
}

func TestSetIsRefused(t *testing.T) {
	t.Parallel()
	none := read(t, []byte(`{"controller_info": {}, "proxies": {}, "applications": {}, "target_capacity": null}`))
	running := recorded(t, "serve-running.json")
	for name, test := range map[string]struct {
		state *State
		set   Target
		want  string
	}{
		"no Serve":                  {none, target("max_replicas", 4), "Serve does not run on the cluster"},
		"no application":            {running, target("max_replicas", 4), ""},
		"other application":         {running, Target{Application: "x"}, "Serve has no application x; there are a, b, imp and n"},
		"other deployment":          {running, Target{Application: "a", Deployment: "x"}, "application a has no deployment x; there is Echo"},
		"from Python":               {running, Target{Application: "imp", Deployment: "Echo"}, "was deployed from Python (serve.run)"},
		"from Python since":         {running, Target{Application: "n", Deployment: "Numbered"}, "was deployed from Python (serve.run)"},
		"masked":                    {recorded(t, "serve-redacted.json"), Target{Application: "b", Deployment: "Auto"}, "Ray shows a.runtime_env.env_vars.TOKEN as <redacted>"},
		"a number":                  {told(t, `{"deployments": [{"name": "D", "num_replicas": 3}]}`, ""), target("max_replicas", 4), "sets num_replicas = 3 for deployment D"},
		"scaled from outside":       {told(t, `{"external_scaler_enabled": true}`, ""), target("max_replicas", 4), "external_scaler_enabled"},
		"above Ray's default":       {told(t, `{}`, ""), target("min_replicas", 4), "min_replicas is to be 4, and max_replicas is 1, Ray's default"},
		"above what is there":       {told(t, `{"deployments": [{"name": "D", "autoscaling_config": {"max_replicas": 3}}]}`, "{}"), target("min_replicas", 4), "min_replicas is to be 4, and max_replicas is 3 on the cluster"},
		"starts below":              {told(t, `{"deployments": [{"name": "D", "autoscaling_config": {"max_replicas": 3, "initial_replicas": 1}}]}`, "{}"), target("min_replicas", 2), "initial_replicas is 1 on the cluster, and min_replicas is to be 2"},
		"starts above":              {told(t, `{}`, ""), target("initial_replicas", 2), "initial_replicas is to be 2, and max_replicas is 1, Ray's default"},
		"failed, what is in effect": {recorded(t, "serve-deploy-failed.json"), Target{Application: "b", Deployment: "Other", Autoscaling: target("max_replicas", 4).Autoscaling}, "application b is DEPLOY_FAILED, and Ray does not tell what its deployments are: max_replicas (4) must be greater than or equal to min_replicas (6)!"},
		"a config that is not shown": {read(t, []byte(`{"controller_info": {"a": 1}, "applications": {"a": {"source": "declarative", "status": "RUNNING", "deployed_app_config": {}, "deployments": {"D": {}}},
			"b": {"source": "declarative", "status": "RUNNING", "deployed_app_config": null}}}`)), target("max_replicas", 4), "Ray does not show the config of application b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := test.state.Set(test.set)
			if test.want == "" {
				test.want = "application a has no deployment D; there is Echo"
			}
			if !errors.As(err, new(*RefusedError)) || !strings.Contains(err.Error(), test.want) || e.Config != nil {
				t.Errorf("got %v, want a refusal with %q", err, test.want)
			}
		})
	}
	_, err := recorded(t, "serve-deploying.json").Set(Target{Application: "b", Deployment: "Other"})
	if !errors.As(err, new(*NotReadyError)) || err.Error() != "application b is DEPLOYING" {
		t.Errorf("of an application that is being built: %v", err)
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	const first = `{"deployments": [{"name": "D", "autoscaling_config": {"max_replicas": 4, "upscale_delay_s": 5}}]}`
	for name, test := range map[string]struct {
		config   string
		set      Target
		previous string
		want     string // the application's deployments; "" for no write
		left     string
		restarts bool
	}{
		"what was not there":       {first, target("max_replicas", 4), `{}`, `[]`, "", true},
		"null":                     {first, target("max_replicas", 4), `{"autoscaling_config":null}`, `[{"name": "D", "autoscaling_config": null}]`, "", true},
		"beside other options":     {`{"deployments": [{"name": "D", "user_config": {}, "autoscaling_config": {"max_replicas": 4}}]}`, target("max_replicas", 4), `{}`, `[{"name": "D", "user_config": {}}]`, "", true},
		"not there, changed since": {first, target("max_replicas", 9), `{}`, "", "max_replicas is 4, and was set to 9", false},
		"a value":                  {first, target("max_replicas", 4.0), `{"autoscaling_config":{"max_replicas":2}}`, `[{"name": "D", "autoscaling_config": {"max_replicas": 2, "upscale_delay_s": 5}}]`, "", false},
		"a value that was not set": {first, target("max_replicas", 4, "upscale_delay_s", 5), `{"autoscaling_config":{"max_replicas":2}}`, `[{"name": "D", "autoscaling_config": {"max_replicas": 2}}]`, "", false},
		"one of two changed since": {first, target("max_replicas", 4, "upscale_delay_s", 1), `{"autoscaling_config":{"max_replicas":2}}`, `[{"name": "D", "autoscaling_config": {"max_replicas": 2, "upscale_delay_s": 5}}]`, "upscale_delay_s is 5, and was set to 1", false},
		"as it was":                {first, target("max_replicas", 9), `{"autoscaling_config":{"max_replicas":4}}`, "", "", false},
		"taken back already":       {`{}`, target("max_replicas", 9), `{}`, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var before Previous
			if err := json.Unmarshal([]byte(test.previous), &before); err != nil {
				t.Fatal(err)
			}
			if got := string(encode(before)); got != test.previous {
				t.Errorf("previous is %s as %s", test.previous, got)
			}
			e, left, err := told(t, test.config, "{}").Restore(test.set, before)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(left, "; "); got != test.left {
				t.Errorf("left: got %q, want %q", got, test.left)
			}
			var got struct {
				Applications []struct {
					Deployments json.RawMessage `json:"deployments"`
				} `json:"applications"`
			}
			if e.Config != nil {
				if err := json.Unmarshal(e.Config, &got); err != nil {
					t.Fatal(err)
				}
			}
			switch {
			case (e.Config != nil) != (test.want != ""):
				t.Errorf("got %s, want %s", e.Config, test.want)
			case e.Config != nil:
				if diff := cmp.Diff(value(json.RawMessage(test.want)), value(got.Applications[0].Deployments)); diff != "" {
					t.Errorf("deployments (-want +got):\n%s", diff)
				}
			}
			if e.Restarts != test.restarts {
				t.Errorf("replaces replicas: got %t, want %t", e.Restarts, test.restarts)
			}
		})
	}
	_, _, err := told(t, `{"deployments": [{"name": "D", "autoscaling_config": {"min_replicas": 3, "max_replicas": 4}}]}`, "{}").
		Restore(target("max_replicas", 4), Previous{json.RawMessage(`{"max_replicas": 2}`)})
	if !errors.As(err, new(*RefusedError)) {
		t.Errorf("back to what excludes what others set: got %v, want a refusal", err)
	}
}

// What is managed from now on goes back to what it is now, the rest to what it was.
func TestPreviousGrows(t *testing.T) {
	t.Parallel()
	was, now := Previous{json.RawMessage(`{"max_replicas":2,"min_replicas":1}`)}, Previous{json.RawMessage(`{"max_replicas":9,"upscale_delay_s":5}`)}
	got := was.Managed(now, target("max_replicas", 9), target("max_replicas", 9, "upscale_delay_s", 1, "min_replicas", 2))
	if want := `{"max_replicas":2,"upscale_delay_s":5}`; string(got.Autoscaling) != want {
		t.Errorf("got %s, want %s", got.Autoscaling, want)
	}
	if got := (Previous{}).Managed(now, target(), target("max_replicas", 9)); got.Autoscaling != nil {
		t.Errorf("of nothing: got %s, want nothing", got.Autoscaling)
	}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	running := recorded(t, "serve-running.json")
	auto := func(pairs ...any) Target { return Target{"b", "Auto", target(pairs...).Autoscaling} }
	for name, test := range map[string]struct {
		state *State
		want  string
		of    Target
	}{
		"none":               {running, "", auto("max_replicas", 4, "min_replicas", 1.0, "upscale_delay_s", 30, "policy", map[string]any{"policy_function": "ray.serve.autoscaling_policy:default_autoscaling_policy"})},
		"values":             {running, "max_replicas is 4, want 10; upscaling_factor is not set, want 0.5", auto("max_replicas", 10, "upscaling_factor", 0.5)},
		"a newer Ray's":      {running, "this Ray does not know sideways_delay_s", auto("sideways_delay_s", 1)},
		"a policy":           {running, `policy is {"policy_function": "ray.serve.autoscaling_policy:default_autoscaling_policy", "policy_kwargs": {}}, want {"policy_function":"m:f"}`, auto("policy", map[string]any{"policy_function": "m:f"})},
		"a number":           {told(t, "{}", ""), "deployment D of application a does not autoscale: it has 2 replicas", target("max_replicas", 1)},
		"application gone":   {running, "Serve has no application x; there are a, b, imp and n", Target{Application: "x"}},
		"deployment gone":    {running, "application b has no deployment Gone; there is Auto", Target{Application: "b", Deployment: "Gone"}},
		"no Serve any more":  {read(t, []byte(`{"controller_info": {}, "applications": {}}`)), "Serve does not run on the cluster", auto("max_replicas", 4)},
		"being deployed":     {recorded(t, "serve-deploying.json"), "application b is DEPLOYING", auto("max_replicas", 4)},
		"could not deployed": {recorded(t, "serve-deploy-failed.json"), "application b is DEPLOY_FAILED: max_replicas (4) must be greater than or equal to min_replicas (6)!", auto("max_replicas", 4)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(test.state.Drift(test.of), "; "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestReadRefusesWhatIsNotServes(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{``, `[]`, `{}`, `{"applications": null}`, `{"applications": {"a": 1}}`, `{"applications": {}, "controller_info": 3}`} {
		if _, err := Read([]byte(answer)); err == nil {
			t.Errorf("%s is taken for Serve's", answer)
		}
	}
}

// Whatever the config is, a change is made once, leaves all else as it was, and is taken
// back by Restore.
func FuzzEdit(f *testing.F) {
	f.Add(`{"name": "a", "deployments": [{"name": "D", "autoscaling_config": {"max_replicas": 3, "x": {"y": 1}}}], "runtime_env": {"env_vars": {"A": "<b>&"}}}`, `{"max_replicas": 3}`, int64(4))
	f.Add(`{"name": "a"}`, `{"upscale_delay_s": 3, "policy": null}`, int64(9))
	f.Add(`{"name": "a", "deployments": [{"name": "E"}, {"name": "D", "num_replicas": "auto", "autoscaling_config": null}]}`, ``, int64(1))
	f.Fuzz(func(t *testing.T, config, effect string, most int64) {
		if !isObject(config) || (effect != "" && !isObject(effect)) {
			t.Skip()
		}
		s := told(t, config, effect)
		set := target("max_replicas", most)
		e, err := s.Set(set)
		if err != nil || e.Config == nil {
			return
		}
		after := told(t, only(t, e.Config), effect)
		if again, err := after.Set(set); err != nil || again.Config != nil {
			t.Fatalf("the change is not in its config: %v\n%s", err, again.Config)
		}
		was, now := members(s.apps["a"].Config), members(after.apps["a"].Config)
		delete(was, "deployments")
		delete(now, "deployments")
		if diff := cmp.Diff(was, now); diff != "" {
			t.Fatalf("beside the deployments (-was +now):\n%s", diff)
		}
		back, left, err := after.Restore(set, e.Previous)
		if err != nil || len(left) > 0 {
			return // others' values exclude it
		}
		if back.Config == nil {
			t.Fatal("nothing is taken back")
		}
		restored, err := told(t, only(t, back.Config), effect).find(set)
		before, _ := s.find(set)
		if err != nil || !maps.EqualFunc(restored.autoscaling(), before.autoscaling(), func(a, b json.RawMessage) bool { return cmp.Equal(value(a), value(b)) }) {
			t.Fatalf("restored %v, want %v (%v)", restored, before, err)
		}
	})
}

func isObject(v string) bool {
	var o map[string]json.RawMessage
	return json.Unmarshal([]byte(v), &o) == nil && o != nil
}

// only is the config of the one application.
func only(t *testing.T, config json.RawMessage) string {
	t.Helper()
	var all struct {
		Applications []json.RawMessage `json:"applications"`
	}
	if err := json.Unmarshal(config, &all); err != nil || len(all.Applications) != 1 {
		t.Fatalf("the config is %s (%v)", config, err)
	}
	return string(all.Applications[0])
}

func members(config json.RawMessage) map[string]any {
	m, _ := value(config).(map[string]any)
	return m
}

func TestRunningApplicationsAreSorted(t *testing.T) {
	t.Parallel()
	s := recorded(t, "serve-running.json")
	for range 10 {
		if got, want := string(s.config(nil)), string(s.config(nil)); got != want || !slices.IsSorted(strings.Split(list(slices.Sorted(maps.Keys(s.apps))), ", ")) {
			t.Fatalf("one state, two configs:\n%s\n%s", got, want)
		}
	}
}
