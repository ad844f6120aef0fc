package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Statuses of applications that decide something.
const (
	Running      = "RUNNING"
	DeployFailed = "DEPLOY_FAILED"
	Unhealthy    = "UNHEALTHY"
	Deleting     = "DELETING"
)

// imperative is the source of an application that was deployed from Python.
const imperative = "imperative"

// State is what Serve tells of itself.
type State struct {
	running bool
	top     map[string]json.RawMessage // members of the config beside applications
	apps    map[string]application
}

type application struct {
	Status      string                `json:"status"`
	Message     string                `json:"message"`
	Source      string                `json:"source"` // older Rays tell none
	Config      json.RawMessage       `json:"deployed_app_config"`
	Deployments map[string]deployment `json:"deployments"`
}

// deployment is what is in effect. An application that is being built, or could not be
// deployed, has none.
type deployment struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Config  struct {
		NumReplicas json.RawMessage            `json:"num_replicas"`
		Autoscaling map[string]json.RawMessage `json:"autoscaling_config"`
	} `json:"deployment_config"`
}

// statusMembers are those of the answer that are no part of a config. Ray ignores what
// it does not know of a config, so those of a newer Ray do no harm.
var statusMembers = []string{"controller_info", "proxies", "applications", "target_groups", "controller_health_metrics", "restores_unset_config_options"}

// Read reads the answer of GET /api/serve/applications/.
func Read(answer []byte) (*State, error) {
	s := &State{top: map[string]json.RawMessage{}}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(answer, &all); err != nil {
		return nil, fmt.Errorf("read what Serve tells: %w", err)
	}
	if err := json.Unmarshal(all["applications"], &s.apps); err != nil || s.apps == nil {
		return nil, errors.Join(errors.New("read what Serve tells: it lists no applications"), err)
	}
	var controller map[string]json.RawMessage
	if err := json.Unmarshal(all["controller_info"], &controller); err != nil {
		return nil, fmt.Errorf("read what Serve tells of its controller: %w", err)
	}
	s.running = len(controller) > 0
	for name, v := range all {
		if !slices.Contains(statusMembers, name) && !isNull(v) {
			s.top[name] = v
		}
	}
	for name, a := range s.apps {
		if a.Status == Deleting {
			delete(s.apps, name)
		} else if isNull(a.Config) {
			a.Config = nil
			s.apps[name] = a
		}
	}
	return s, nil
}

func isNull(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" }

// declarative reports whether the application is one of the config.
func (a application) declarative() bool { return a.Source != imperative && a.Config != nil }

// config is the config with other configs of the applications that are in edited.
func (s *State) config(edited map[string]json.RawMessage) json.RawMessage {
	out := maps.Clone(s.top)
	list := []json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(s.apps)) {
		switch config, ok := edited[name]; {
		case ok:
			list = append(list, config)
		case s.apps[name].declarative():
			list = append(list, s.apps[name].Config)
		}
	}
	out["applications"] = encode(list)
	return encode(out)
}

// encode writes what was read as JSON, or is of plain values.
func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("serve: " + err.Error())
	}
	return b
}

// value is v decoded, so that 1 and 1.0 are the same; nil for null and nothing.
func value(v json.RawMessage) (out any) {
	_ = json.Unmarshal(v, &out) // it was valid as a part of what was read
	return out
}
