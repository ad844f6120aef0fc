package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Drift says how what is in effect differs from the target; nothing where it does not.
func (s *State) Drift(t Target) []string {
	if why := s.absent(t); why != "" {
		return []string{why}
	}
	a := s.apps[t.Application]
	d, ok := a.Deployments[t.Deployment]
	if !ok {
		return []string{fmt.Sprintf("application %s is %s%s", t.Application, a.Status, because(a.Message))}
	}
	if d.Config.Autoscaling == nil {
		return []string{fmt.Sprintf("deployment %s of application %s does not autoscale: it has %s replicas", t.Deployment, t.Application, text(d.Config.NumReplicas))}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(t.Autoscaling)) {
		want := t.Autoscaling[name]
		switch now, known := d.Config.Autoscaling[name]; {
		case !known:
			out = append(out, fmt.Sprintf("this Ray does not know %s", name))
		case !covers(value(now), value(want)):
			out = append(out, fmt.Sprintf("%s is %s, want %s", name, text(now), text(want)))
		}
	}
	return out
}

// Unknown are the target's members that the cluster's Ray does not know; nothing where
// that can't be told.
func (s *State) Unknown(t Target) []string {
	now := s.apps[t.Application].Deployments[t.Deployment].Config.Autoscaling
	if now == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(t.Autoscaling)), func(name string) bool { _, ok := now[name]; return ok })
}

// covers reports whether now is as wanted; of an object now may say more.
func covers(now, want any) bool {
	w, ok := want.(map[string]any)
	n, also := now.(map[string]any)
	if !ok || !also {
		return reflect.DeepEqual(now, want)
	}
	for name, v := range w {
		if !covers(n[name], v) {
			return false
		}
	}
	return true
}

// FailedError is an application that Ray could not bring to run.
type FailedError struct{ Application, Status, Reason string }

func (e *FailedError) Error() string {
	return fmt.Sprintf("application %s is %s%s", e.Application, e.Status, because(e.Reason))
}

// settled says what is missing until the application runs with the target; a
// *FailedError where nothing is to be waited for.
func (s *State) settled(t Target) ([]string, error) {
	reasons := s.Drift(t)
	a := s.apps[t.Application]
	switch a.Status {
	case DeployFailed, Unhealthy:
		return nil, &FailedError{t.Application, a.Status, a.told()}
	case Running:
		if unknown := s.Unknown(t); len(unknown) > 0 {
			return nil, refuse("this Ray does not know %s of autoscaling_config, and ignores what it does not know: leave it out", strings.Join(unknown, " and "))
		}
		return reasons, nil
	}
	if s.absent(t) != "" {
		return nil, refuse("%s", s.absent(t))
	}
	return []string{fmt.Sprintf("application %s is %s%s", t.Application, a.Status, because(a.told()))}, nil
}

// told is what Ray says of the application and its deployments.
func (a application) told() string {
	var all []string
	if m := lastLine(a.Message); m != "" {
		all = append(all, m)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Deployments)) {
		if d := a.Deployments[name]; d.Message != "" {
			all = append(all, fmt.Sprintf("%s is %s: %s", name, d.Status, lastLine(d.Message)))
		}
	}
	return strings.Join(all, "; ")
}

func because(message string) string {
	if message = lastLine(message); message == "" {
		return ""
	}
	return ": " + message
}

// lastLine is the last line of a traceback that says something. pydantic's errors end
// with where to read on, after a line that quotes the input.
func lastLine(message string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "For further information") {
			continue
		}
		line, _, _ = strings.Cut(line, " [type=")
		return strings.TrimPrefix(line, "Value error, ")
	}
	return ""
}

// Want is a value for Target.Autoscaling.
func Want(v any) json.RawMessage { return encode(v) }
