package kuberay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Keys of Field, as in the custom resource.
const (
	MinReplicas        = "minReplicas"
	MaxReplicas        = "maxReplicas"
	IdleTimeoutSeconds = "idleTimeoutSeconds"
	UpscalingMode      = "upscalingMode"
)

// Field is one field of a RayCluster's autoscaling: of a worker group, or of
// spec.autoscalerOptions where Group is empty.
type Field struct{ Group, Key string }

// String is the field as Kubernetes would be told of it.
func (f Field) String() string {
	if f.Group == "" {
		return "autoscalerOptions." + f.Key
	}
	return fmt.Sprintf("%s of worker group %s", f.Key, f.Group)
}

// Value is that of a field: an int64, a string, or nil where the field is absent.
type Value any

// Values are those of some fields.
type Values map[Field]Value

// Fields are the fields in an order that does not change.
func (v Values) Fields() []Field {
	return slices.SortedFunc(maps.Keys(v), func(a, b Field) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Key, b.Key))
	})
}

// valuesJSON is the form of Values outside of the process: as the custom resource has
// the fields, but worker groups by their name.
type valuesJSON struct {
	Options map[string]any            `json:"autoscalerOptions,omitempty"`
	Groups  map[string]map[string]any `json:"workerGroupSpecs,omitempty"`
}

// MarshalJSON writes {"autoscalerOptions": {...}, "workerGroupSpecs": {"cpu": {...}}}, in
// one form for the same values. It stands in states and never changes.
func (v Values) MarshalJSON() ([]byte, error) {
	out := valuesJSON{map[string]any{}, map[string]map[string]any{}}
	for f, value := range v {
		if f.Group == "" {
			out.Options[f.Key] = value
			continue
		}
		if out.Groups[f.Group] == nil {
			out.Groups[f.Group] = map[string]any{}
		}
		out.Groups[f.Group][f.Key] = value
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Values) UnmarshalJSON(b []byte) error {
	var in valuesJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*v = Values{}
	set := func(group string, values map[string]any) {
		for key, value := range values {
			if n, ok := value.(float64); ok {
				value = int64(n)
			}
			(*v)[Field{group, key}] = value
		}
	}
	set("", in.Options)
	for group, values := range in.Groups {
		set(group, values)
	}
	return nil
}

// Value is that of f. ok is false where f is of a group that is not there, or of one
// that is there twice.
func (r *RayCluster) Value(f Field) (v Value, ok bool) {
	number := func(n *int64) Value {
		if n == nil {
			return nil
		}
		return *n
	}
	if f.Group == "" {
		o := r.spec.AutoscalerOptions
		switch {
		case o == nil:
			return nil, true
		case f.Key == UpscalingMode && o.UpscalingMode != nil:
			return *o.UpscalingMode, true
		case f.Key == IdleTimeoutSeconds:
			return number(o.IdleTimeoutSeconds), true
		}
		return nil, true
	}
	i := r.index(f.Group)
	if i < 0 {
		return nil, false
	}
	g := r.spec.WorkerGroupSpecs[i]
	switch f.Key {
	case MinReplicas:
		return number(g.MinReplicas), true
	case MaxReplicas:
		return number(g.MaxReplicas), true
	}
	return number(g.IdleTimeoutSeconds), true
}

// differing are the fields of want that do not have its value.
func (r *RayCluster) differing(want Values) []Field {
	var out []Field
	for _, f := range want.Fields() {
		if v, _ := r.Value(f); v != want[f] {
			out = append(out, f)
		}
	}
	return out
}

// Change is what a RayCluster is to be.
type Change struct {
	// UID is that of the RayCluster which is meant; empty is any.
	UID string
	// Want are the fields to write.
	Want Values
	// Restore are fields to write where they still have their planned value. One that
	// has another is somebody else's by now, and left alone.
	Restore Values
	// Planned are the values that the change was decided against. A field of Want that
	// has neither its planned nor its wanted value was written by somebody else, and is
	// an error. A field of Want that is not in Planned may have any.
	Planned Values
	// DryRun has the API server check the write, admission included, and not do it.
	DryRun bool
}

// Target are the values to write to r: of Restore those that nobody else has written.
func (c Change) Target(r *RayCluster) Values {
	return c.with(func(f Field) bool {
		found, ok := r.Value(f)
		return ok && found == c.Planned[f] && found != c.Restore[f]
	})
}

// with is Want, with the fields of Restore that are to be restored.
func (c Change) with(restored func(Field) bool) Values {
	target := Values{}
	maps.Copy(target, c.Want)
	for f, v := range c.Restore {
		if restored(f) {
			target[f] = v
		}
	}
	return target
}

// ConflictError is a field that somebody else wrote since the change was decided.
type ConflictError struct {
	Field                Field
	Planned, Found, Want Value
}

// Error says all three values.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s was %s when this change was planned and is %s now (planned: %s): somebody else changed it meanwhile, and nothing was written", e.Field, text(e.Planned), text(e.Found), text(e.Want))
}

func text(v Value) string {
	if v == nil {
		return "not set"
	}
	return fmt.Sprint(v)
}

// How often a write is tried again that lost a race, and how long after. Each try reads
// anew.
const (
	mostTries    = 6
	longestPause = 500 * time.Millisecond
)

// Scale writes what change wants and the RayCluster does not have yet. It returns the
// RayCluster as it was seen last, nil where it never was, and the values that were written
// over, or may have been where the error leaves that open; none where nothing was written. Besides *ConflictError its errors are those of the API server.
func (c *Client) Scale(ctx context.Context, name Name, change Change) (now *RayCluster, old Values, err error) {
	k := call{op: fmt.Sprintf("change RayCluster %s", name), verb: "patch", resource: "rayclusters.ray.io", namespace: name.Namespace, write: !change.DryRun}
	var (
		lost    error  // of a write whose outcome is unknown
		mayHave Values // been written over by it
	)
	for try := range mostTries {
		seen, err := c.RayCluster(ctx, name)
		if err != nil {
			return now, mayHave, err // as it was seen last
		}
		now = seen
		fields, err := change.fields(now)
		switch {
		case err != nil:
			return now, mayHave, err
		case len(fields) == 0:
			return now, mayHave, nil
		}
		patched, err := c.patch(ctx, k, now, change, fields)
		switch {
		case err == nil:
			return patched, withOlder(now.values(fields), mayHave), nil
		case ray.OutcomeUnknown(err):
			lost, mayHave = err, withOlder(now.values(fields), mayHave)
		case !raced(err):
			return now, mayHave, err
		}
		if err := pause(ctx, try); err != nil {
			return now, mayHave, c.translate(ctx, k, err)
		}
	}
	if lost != nil {
		return now, mayHave, lost
	}
	return now, nil, &Error{&ray.Error{Kind: ray.KindConflict, Op: k.op, Address: c.Host(), Message: fmt.Sprintf("others changed it during each of %d tries", mostTries)}, k.verb, k.resource, k.namespace}
}

// withOlder is values with those of older, of a write before, where it has a field too.
func withOlder(values, older Values) Values {
	maps.Copy(values, older)
	return values
}

// values are those of fields.
func (r *RayCluster) values(fields []Field) Values {
	out := Values{}
	for _, f := range fields {
		out[f], _ = r.Value(f)
	}
	return out
}

// fields are those to be written to r.
func (c Change) fields(r *RayCluster) ([]Field, error) {
	if c.UID != "" && c.UID != r.UID {
		return nil, &ray.Error{Kind: ray.KindWrongCluster, Op: fmt.Sprintf("change RayCluster %s", r.Name), Message: fmt.Sprintf("the object with uid %s was replaced by one with uid %s", c.UID, r.UID)}
	}
	target := c.Target(r)
	fields := r.differing(target)
	for _, f := range fields {
		found, ok := r.Value(f)
		if !ok {
			return nil, &ray.Error{Kind: ray.KindConflict, Op: fmt.Sprintf("change RayCluster %s", r.Name), Message: fmt.Sprintf("it has not just one worker group %q; %s", f.Group, r.groups())}
		}
		if planned, ok := c.Planned[f]; ok && planned != found {
			return nil, &ConflictError{Field: f, Planned: planned, Found: found, Want: target[f]}
		}
	}
	return fields, nil
}

// raced reports whether the API server refused a patch because a test of it failed, or
// because others wrote at the same moment. The first is a 422 without a cause.
func raced(err error) bool {
	s, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && (apierrors.IsConflict(s) || (apierrors.IsInvalid(s) && (s.Status().Details == nil || len(s.Status().Details.Causes) == 0)))
}

func pause(ctx context.Context, try int) error {
	t := time.NewTimer(min(longestPause, 50*time.Millisecond<<try/2+rand.N(50*time.Millisecond<<try)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// operation is one of a JSON Patch. A test for null succeeds where the member is absent.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patch writes fields of r as change wants them.
func (c *Client) patch(ctx context.Context, k call, r *RayCluster, change Change, fields []Field) (*RayCluster, error) {
	body, err := json.Marshal(r.operations(change.Target(r), fields))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.op, err)
	}
	// Strict refuses a field that the custom resource does not have, where the API
	// server would drop it and say OK.
	options := metav1.PatchOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict}
	if change.DryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	// The request under way is given a moment to be answered when the caller gives up.
	patch, cancel := ray.WithGrace(ctx, 1500*time.Millisecond)
	defer cancel()
	o, err := c.api.Resource(rayClusters).Namespace(r.Name.Namespace).Patch(patch, r.Name.Name, types.JSONPatchType, body, options)
	if err != nil {
		return nil, c.translate(ctx, k, err)
	}
	return c.parse(k, o)
}

// fieldManager names us in the object's managedFields.
const fieldManager = "terraform-provider-ray"

func (r *RayCluster) operations(want Values, fields []Field) []operation {
	ops := []operation{{"test", "/metadata/uid", r.UID}}
	const options = "/spec/autoscalerOptions"
	created := map[string]any{} // of options that are not there at all
	named := ""
	for _, f := range fields {
		at := options
		if f.Group != "" {
			at = fmt.Sprintf("/spec/workerGroupSpecs/%d", r.index(f.Group))
			if named != f.Group {
				named = f.Group
				ops = append(ops, operation{"test", at + "/groupName", f.Group})
			}
		}
		old, _ := r.Value(f)
		switch {
		case f.Group == "" && r.spec.AutoscalerOptions == nil:
			created[f.Key] = want[f]
			continue
		case want[f] == nil:
			ops = append(ops, operation{"test", at + "/" + f.Key, old}, operation{Op: "remove", Path: at + "/" + f.Key})
		default:
			ops = append(ops, operation{"test", at + "/" + f.Key, old}, operation{"add", at + "/" + f.Key, want[f]})
		}
	}
	if len(created) > 0 {
		ops = append(ops, operation{"test", options, nil}, operation{"add", options, created})
	}
	return ops
}
