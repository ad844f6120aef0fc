package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Target is the autoscaling that a deployment is to have.
type Target struct {
	Application, Deployment string
	// Autoscaling are the members of autoscaling_config that are wanted, by Ray's names;
	// the others are left as they are.
	Autoscaling map[string]json.RawMessage
}

// Previous is what the config said of a deployment's autoscaling before it was changed:
// {} for nothing, which leaves it to the code.
type Previous struct {
	Autoscaling json.RawMessage `json:"autoscaling_config,omitempty"`
}

// object is the autoscaling_config, nil where the config had none.
func (p Previous) object() map[string]json.RawMessage {
	var out map[string]json.RawMessage
	_ = json.Unmarshal(p.Autoscaling, &out) // null and nothing are none
	return out
}

// RefusedError is a change that is not made, since Ray could not use it or it would harm
// others.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// NotReadyError is a change that can't be made yet: while Ray builds an application it
// does not tell what its code says.
type NotReadyError struct{ Reason string }

func (e *NotReadyError) Error() string { return e.Reason }

// Edit is a change of the config.
type Edit struct {
	// Config is what to PUT, nil where the config is as wanted.
	Config json.RawMessage
	// Previous is what there was before.
	Previous Previous
	// Restarts is set where Ray replaces all replicas of the application.
	Restarts bool
}

// place is where a deployment stands in the config of its application.
type place struct {
	app         map[string]json.RawMessage
	deployments []map[string]json.RawMessage
	at          int // in deployments
}

// entry is what the config says of the deployment.
func (p *place) entry() map[string]json.RawMessage { return p.deployments[p.at] }

// autoscaling is the entry's autoscaling_config; nil where there is none.
func (p *place) autoscaling() map[string]json.RawMessage {
	return Previous{p.entry()["autoscaling_config"]}.object()
}

// find is where the target stands in the config, or why nobody may write there.
func (s *State) find(t Target) (*place, error) {
	if why := s.absent(t); why != "" {
		return nil, refuse("%s", why)
	}
	for _, name := range slices.Sorted(maps.Keys(s.apps)) {
		a := s.apps[name]
		if a.Source != imperative && a.Source != "" && a.Config == nil {
			return nil, refuse("Ray does not show the config of application %s, so that a write would delete the application; try again when it is deployed", name)
		}
		if masked := mask(value(a.Config), name); a.declarative() && masked != "" {
			return nil, refuse("Ray shows %s as <redacted>, and a write would make that its value. Ray masks environment variables for browsers: a proxy on the way adds an Origin, Referer or Sec-Fetch header, which it must not; or somebody deployed the mask, and has to deploy the real value", masked)
		}
	}
	p := &place{}
	if err := json.Unmarshal(s.apps[t.Application].Config, &p.app); err != nil {
		return nil, fmt.Errorf("read the config of application %s: %w", t.Application, err)
	}
	if raw := p.app["deployments"]; !isNull(raw) {
		if err := json.Unmarshal(raw, &p.deployments); err != nil {
			return nil, fmt.Errorf("read the deployments of application %s: %w", t.Application, err)
		}
	}
	p.at = slices.IndexFunc(p.deployments, func(d map[string]json.RawMessage) bool { return value(d["name"]) == t.Deployment })
	if p.at < 0 {
		p.at = len(p.deployments)
		p.deployments = append(p.deployments, map[string]json.RawMessage{"name": encode(t.Deployment)})
	}
	return p, nil
}

// absent says why the target is none that a config decides on; empty where it is one.
func (s *State) absent(t Target) string {
	a, ok := s.apps[t.Application]
	_, has := a.Deployments[t.Deployment]
	switch {
	case !s.running:
		return "Serve does not run on the cluster"
	case !ok:
		return fmt.Sprintf("Serve has no application %s; there %s", t.Application, list(slices.Sorted(maps.Keys(s.apps))))
	case a.Source == imperative, a.Source == "" && a.Config == nil:
		return fmt.Sprintf("application %s was deployed from Python (serve.run), so that no config decides on it: deploy it by a config (serve deploy), or set autoscaling_config in its code", t.Application)
	case len(a.Deployments) > 0 && !has:
		return fmt.Sprintf("application %s has no deployment %s; there %s", t.Application, t.Deployment, list(slices.Sorted(maps.Keys(a.Deployments))))
	}
	return ""
}

func list(names []string) string {
	switch len(names) {
	case 0:
		return "is none"
	case 1:
		return "is " + names[0]
	}
	return "are " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// mask is the path of a value that is Ray's mask, empty where there is none.
func mask(v any, path string) string {
	switch v := v.(type) {
	case string:
		if v == "<redacted>" {
			return path
		}
	case []any:
		for i, e := range v {
			if found := mask(e, fmt.Sprintf("%s[%d]", path, i)); found != "" {
				return found
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if found := mask(v[key], path+"."+key); found != "" {
				return found
			}
		}
	}
	return ""
}

// Set is the edit that gives the deployment its autoscaling; a *RefusedError says why
// there is none.
func (s *State) Set(t Target) (Edit, error) {
	p, err := s.find(t)
	if err != nil {
		return Edit{}, err
	}
	e := Edit{Previous: Previous{p.entry()["autoscaling_config"]}}
	was := p.autoscaling()
	now := maps.Clone(was)
	if was == nil {
		if now, err = s.inEffect(t); err != nil {
			return Edit{}, err
		}
	}
	maps.Copy(now, t.Autoscaling)
	if was != nil && same(was, now) {
		return e, nil
	}
	if err := s.usable(t, p, now); err != nil {
		return Edit{}, err
	}
	e.Restarts = was == nil || !reflect.DeepEqual(value(was["policy"]), value(now["policy"]))
	p.entry()["autoscaling_config"] = encode(now)
	e.Config = s.with(t, p)
	return e, nil
}

// inEffect is the deployment's autoscaling_config of the code, in full: a config's
// replaces it as a whole.
func (s *State) inEffect(t Target) (map[string]json.RawMessage, error) {
	a := s.apps[t.Application]
	d, ok := a.Deployments[t.Deployment]
	switch {
	case !ok && a.Status == DeployFailed:
		return nil, refuse("application %s is %s, and Ray does not tell what its deployments are: %s", t.Application, a.Status, lastLine(a.Message))
	case !ok:
		return nil, &NotReadyError{fmt.Sprintf("application %s is %s", t.Application, a.Status)}
	}
	out := map[string]json.RawMessage{}
	for name, v := range d.Config.Autoscaling {
		if !isNull(v) {
			out[name] = v
		}
	}
	return out, nil
}

// with is the config with the place as it was edited.
func (s *State) with(t Target, p *place) json.RawMessage {
	p.app["deployments"] = encode(p.deployments)
	return s.config(map[string]json.RawMessage{t.Application: encode(p.app)})
}

func same(a, b map[string]json.RawMessage) bool {
	return reflect.DeepEqual(value(encode(a)), value(encode(b)))
}

// usable refuses what Ray would refuse, or take and then fail on.
func (s *State) usable(t Target, p *place, now map[string]json.RawMessage) error {
	number := func(name string, otherwise float64) (float64, string) {
		v, ok := value(now[name]).(float64)
		switch _, ours := t.Autoscaling[name]; {
		case !ok:
			return otherwise, fmt.Sprintf("%s is %g, Ray's default", name, otherwise)
		case ours:
			return v, fmt.Sprintf("%s is to be %g", name, v)
		}
		return v, fmt.Sprintf("%s is %g on the cluster", name, v)
	}
	most := 1.0
	switch v := value(p.entry()["num_replicas"]).(type) {
	case float64:
		return refuse("the config of application %s sets num_replicas = %g for deployment %s, and Ray refuses autoscaling beside a number: deploy the application with a config that leaves num_replicas out, or says \"auto\"", t.Application, v, t.Deployment)
	case string: // "auto" is the only one
		most = 100
	}
	if value(p.app["external_scaler_enabled"]) == true {
		return refuse("application %s has external_scaler_enabled, by which its deployments are scaled from outside; Ray refuses autoscaling beside it", t.Application)
	}
	least, leastIs := number("min_replicas", 1)
	most, mostIs := number("max_replicas", most)
	first, firstIs := number("initial_replicas", least)
	switch {
	case least > most:
		return refuse("deployment %s of application %s would have bounds that exclude each other: %s, and %s", t.Deployment, t.Application, leastIs, mostIs)
	case first < least:
		return refuse("deployment %s of application %s would start below its bounds: %s, and %s", t.Deployment, t.Application, firstIs, leastIs)
	case first > most:
		return refuse("deployment %s of application %s would start above its bounds: %s, and %s", t.Deployment, t.Application, firstIs, mostIs)
	}
	return nil
}

// Managed is what was there before, given that the target's members are managed from now
// on and those of earlier only up to now: members that are new take what they have now.
func (p Previous) Managed(now Previous, earlier, t Target) Previous {
	object := p.object()
	if object == nil {
		return p // restored by leaving the whole of it out
	}
	present := now.object()
	for name := range t.Autoscaling {
		if _, ok := earlier.Autoscaling[name]; ok {
			continue
		}
		delete(object, name)
		if v, ok := present[name]; ok {
			object[name] = v
		}
	}
	return Previous{encode(object)}
}

// Restore is the edit that puts back what was there before, as far as it is still as the
// target says; left says what is not.
func (s *State) Restore(t Target, before Previous) (e Edit, left []string, err error) {
	p, err := s.find(t)
	if err != nil {
		return Edit{}, nil, err
	}
	e.Previous = Previous{p.entry()["autoscaling_config"]}
	now, was := p.autoscaling(), before.object()
	if now == nil {
		return e, nil, nil // somebody took it back already
	}
	edited := maps.Clone(now)
	for _, name := range slices.Sorted(maps.Keys(t.Autoscaling)) {
		old, had := was[name]
		switch {
		case reflect.DeepEqual(value(now[name]), value(old)) && had:
		case !reflect.DeepEqual(value(now[name]), value(t.Autoscaling[name])):
			left = append(left, fmt.Sprintf("%s is %s, and was set to %s", name, text(now[name]), text(t.Autoscaling[name])))
		case had:
			edited[name] = old
		default:
			delete(edited, name)
		}
	}
	switch {
	case was == nil && len(left) > 0:
		return e, left, nil // it is somebody else's by now
	case was == nil:
		e.Restarts = true
		s.drop(p, before)
	case same(now, edited):
		return e, left, nil
	default:
		if err := s.usable(t, p, edited); err != nil {
			return Edit{}, nil, err
		}
		e.Restarts = !reflect.DeepEqual(value(now["policy"]), value(edited["policy"]))
		p.entry()["autoscaling_config"] = encode(edited)
	}
	e.Config = s.with(t, p)
	return e, left, nil
}

// drop takes the autoscaling_config out of the entry, and the entry where it says
// nothing else.
func (s *State) drop(p *place, before Previous) {
	if before.Autoscaling != nil { // null, which turns the code's autoscaling off
		p.entry()["autoscaling_config"] = before.Autoscaling
		return
	}
	delete(p.entry(), "autoscaling_config")
	if len(p.entry()) == 1 {
		p.deployments = slices.Delete(p.deployments, p.at, p.at+1)
	}
}

// text is a value for a sentence; nothing is "not set".
func text(v json.RawMessage) string {
	if isNull(v) {
		return "not set"
	}
	return string(v)
}
