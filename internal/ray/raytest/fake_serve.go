package raytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
)

// WithServe gives the fake a running Serve: what Ray 2.60.0 told of it (recorded as
// serve-running.json). Applications a (deployment Echo, whose code says nothing of
// autoscaling) and b (Auto, whose code says 1 to 2 replicas) are of a config, n and imp
// from Python. Without, Serve does not run.
func WithServe() Option {
	return func(f *Fake) {
		f.serve = &fakeServe{builds: map[string]int{}}
		if err := json.Unmarshal([]byte(recorded("serve-running.json")), &f.serve.all); err != nil {
			panic("raytest: " + err.Error())
		}
	}
}

// fakeServe is what Serve tells, as JSON.
type fakeServe struct {
	all map[string]any
	// pending are the applications that the next look still shows as DEPLOYING.
	pending map[string]map[string]any
	builds  map[string]int
	writes  []json.RawMessage
	after   func() // once, after the next write
}

// code is what the deployments' code says of autoscaling.
var code = map[string]map[string]any{
	"Echo": nil,
	"Auto": {"min_replicas": 1.0, "max_replicas": 2.0},
}

// ServeWrites are the configs that were taken.
func (f *Fake) ServeWrites() []json.RawMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]json.RawMessage(nil), f.serve.writes...)
}

// ServeBuilds is how often an application was built anew, which replaces its replicas.
func (f *Fake) ServeBuilds(application string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.serve.builds[application]
}

// ServeApplication is the config of an application, nil where there is none.
func (f *Fake) ServeApplication(name string) json.RawMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	app, _ := f.serve.apps()[name].(map[string]any)
	if app == nil || app["deployed_app_config"] == nil {
		return nil
	}
	b, _ := json.Marshal(app["deployed_app_config"])
	return b
}

// DeployServe is another writer of the config.
func (f *Fake) DeployServe(config string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serve.put([]byte(config))
}

// AfterServeWrite calls do once, right after the next write: another writer that comes
// before anybody looks.
func (f *Fake) AfterServeWrite(do func(write func(config string))) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serve.after = func() { do(func(config string) { f.serve.put([]byte(config)) }) }
}

func (f *Fake) serveServe(*request) answer {
	if f.serve == nil {
		return answer{http.StatusOK, kindJSON, recorded("serve-none.json")}
	}
	b, err := json.Marshal(f.serve.all)
	if err != nil {
		panic("raytest: " + err.Error())
	}
	f.serve.settle()
	return answer{http.StatusOK, kindJSON, string(b)}
}

func (f *Fake) serveDeploy(r *request) answer {
	if f.serve == nil {
		return text(http.StatusInternalServerError, "the fake starts no Serve")
	}
	if a, refused := f.serve.put(r.body); refused {
		return a
	}
	f.serve.writes = append(f.serve.writes, append(json.RawMessage(nil), r.body...))
	if after := f.serve.after; after != nil {
		f.serve.after = nil
		after()
	}
	return answer{http.StatusOK, kindText, ""}
}

func (s *fakeServe) apps() map[string]any {
	apps, _ := s.all["applications"].(map[string]any)
	return apps
}

// settle ends what was being deployed.
func (s *fakeServe) settle() {
	maps.Copy(s.apps(), anys(s.pending))
	s.pending = nil
}

func anys(in map[string]map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range in {
		out[k] = v
	}
	return out
}

// put does what PUT does: refuses what the schema does, takes away the applications that
// are not in the config, and deploys the others.
func (s *fakeServe) put(body []byte) (answer, bool) {
	var config struct {
		Applications []map[string]any `json:"applications"`
	}
	if json.Unmarshal(body, &config) != nil {
		return text(http.StatusInternalServerError, "500 Internal Server Error\n\nServer got itself in trouble"), true
	}
	for _, app := range config.Applications {
		for _, d := range deployments(app) {
			if _, number := d["num_replicas"].(float64); number && d["autoscaling_config"] != nil {
				return text(http.StatusBadRequest, recorded("serve-num-replicas.txt")), true
			}
		}
	}
	s.settle()
	wanted := map[string]bool{}
	for _, app := range config.Applications {
		name, _ := app["name"].(string)
		wanted[name] = true
		s.deploy(name, app)
	}
	for name, v := range s.apps() {
		if app, _ := v.(map[string]any); app["source"] == "declarative" && !wanted[name] {
			delete(s.apps(), name)
		}
	}
	return answer{}, false
}

func deployments(app map[string]any) []map[string]any {
	var out []map[string]any
	list, _ := app["deployments"].([]any)
	for _, v := range list {
		if d, ok := v.(map[string]any); ok {
			out = append(out, d)
		}
	}
	return out
}

// deploy gives an application that is there another config.
func (s *fakeServe) deploy(name string, config map[string]any) {
	old, _ := s.apps()[name].(map[string]any)
	if old == nil || old["source"] != "declarative" {
		return // the fake has the code of no other
	}
	was, _ := old["deployed_app_config"].(map[string]any)
	if reflect.DeepEqual(was, config) {
		return
	}
	now := maps.Clone(old)
	now["deployed_app_config"], now["message"] = config, ""
	var effective map[string]any
	if built, _ := old["deployments"].(map[string]any); len(built) > 0 {
		effective = maps.Clone(built)
	} else {
		effective = map[string]any{"Auto": s.template("Auto")}
	}
	for dep := range effective {
		autoscaling := code[dep]
		for _, d := range deployments(config) {
			if of, ok := d["autoscaling_config"].(map[string]any); ok && d["name"] == dep {
				autoscaling = of
			}
		}
		full := s.effect(autoscaling)
		if full != nil {
			low, _ := full["min_replicas"].(float64)
			high, _ := full["max_replicas"].(float64)
			if low > high {
				now["status"], now["deployments"] = "DEPLOY_FAILED", map[string]any{}
				now["message"] = fmt.Sprintf("Traceback (most recent call last):\n...\nautoscaling_config\n  Value error, max_replicas (%g) must be greater than or equal to min_replicas (%g)! [type=value_error, input_value={}, input_type=dict]\n    For further information visit https://errors.pydantic.dev/2.14/v/value_error\n", high, low)
				s.apps()[name] = now
				return
			}
		}
		effective[dep] = with(effective[dep], full)
	}
	now["deployments"] = effective
	shown := maps.Clone(now)
	shown["status"], now["status"] = "DEPLOYING", "RUNNING"
	if built, _ := old["deployments"].(map[string]any); len(built) == 0 || version(was) != version(config) {
		s.builds[name]++
		shown["deployments"] = map[string]any{}
	}
	s.apps()[name] = shown
	if s.pending == nil {
		s.pending = map[string]map[string]any{}
	}
	s.pending[name] = now
}

// version is the part of what Ray calls the code version of an application that a config
// decides: which deployments have an autoscaling_config, and its policy.
func version(config map[string]any) string {
	var out []any
	for _, d := range deployments(config) {
		if a, ok := d["autoscaling_config"].(map[string]any); ok {
			out = append(out, d["name"], a["policy"])
		}
	}
	return fmt.Sprint(out)
}

// effect is an autoscaling_config with Ray's defaults; nil for none.
func (s *fakeServe) effect(autoscaling map[string]any) map[string]any {
	if autoscaling == nil {
		return nil
	}
	out := map[string]any{
		"min_replicas": 1.0, "initial_replicas": nil, "max_replicas": 1.0, "target_ongoing_requests": 2.0, "metrics_interval_s": 10.0,
		"look_back_period_s": 30.0, "smoothing_factor": 1.0, "upscale_smoothing_factor": nil, "downscale_smoothing_factor": nil,
		"upscaling_factor": nil, "downscaling_factor": nil, "downscale_delay_s": 600.0, "downscale_to_zero_delay_s": nil, "upscale_delay_s": 30.0,
		"aggregation_function": "mean",
		"policy":               map[string]any{"policy_function": "ray.serve.autoscaling_policy:default_autoscaling_policy", "policy_kwargs": map[string]any{}},
	}
	for name, v := range autoscaling {
		if _, known := out[name]; known {
			out[name] = v
		}
	}
	return out
}

// with is a deployment with another autoscaling_config in effect.
func with(deployment any, autoscaling map[string]any) map[string]any {
	d, _ := deployment.(map[string]any)
	out := maps.Clone(d)
	config, _ := d["deployment_config"].(map[string]any)
	config = maps.Clone(config)
	delete(config, "autoscaling_config")
	if autoscaling != nil {
		config["autoscaling_config"] = autoscaling
	}
	out["deployment_config"] = config
	return out
}

// template is a deployment as it was recorded.
func (s *fakeServe) template(name string) any {
	var all struct {
		Applications map[string]struct {
			Deployments map[string]map[string]any `json:"deployments"`
		} `json:"applications"`
	}
	if err := json.Unmarshal([]byte(recorded("serve-running.json")), &all); err != nil {
		panic("raytest: " + err.Error())
	}
	for _, app := range all.Applications {
		if d, ok := app.Deployments[name]; ok {
			return d
		}
	}
	return map[string]any{}
}
