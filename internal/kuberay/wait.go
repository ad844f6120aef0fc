package kuberay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

var (
	pods   = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	events = schema.GroupVersionResource{Version: "v1", Resource: "events"}
)

// WaitError is a wait that ended before what it waited for was there.
type WaitError struct {
	// Reasons say what was missing.
	Reasons []string
	err     error
}

// Error says what was missing.
func (e *WaitError) Error() string { return "what is missing: " + strings.Join(e.Reasons, "; ") }

// Unwrap returns why the wait ended.
func (e *WaitError) Unwrap() error { return e.err }

// refused is a RayCluster that the operator said, by an event, it does not take as it is.
type refused struct{ err *ray.Error }

// Error is the text of the error that it wraps.
func (e *refused) Error() string { return e.err.Error() }

// Unwrap returns the *ray.Error.
func (e *refused) Unwrap() error { return e.err }

// Wait is what is waited for after a change.
type Wait struct {
	// Workers waits until each changed group has as many workers ready as its
	// minReplicas asks for.
	Workers bool
	// Patience is how long the wait survives losing the API server.
	Patience time.Duration
	// Written is called where the change is written and the wait begins; nil is allowed.
	Written func()
	// Waiting is told why the wait goes on, at each look; nil is allowed.
	Waiting func(reasons []string)
}

// Enforce is Scale, and then waits until the KubeRay operator has taken the change and,
// where w says so, the workers are ready. It returns what Scale returns, the RayCluster
// as it was seen last, also where the wait did not end well: then its error is a
// *WaitError. Where the operator refuses the RayCluster as it is then, what was there
// before is put back, and the error is of KindInvalid. A suspended RayCluster has no
// workers to wait for.
func (c *Client) Enforce(ctx context.Context, name Name, change Change, w Wait) (now *RayCluster, old Values, err error) {
	before, err := c.refusals(ctx, name, change.UID)
	if err != nil {
		return nil, nil, err
	}
	now, old, err = c.Scale(ctx, name, change)
	if err != nil {
		return now, old, err
	}
	if w.Written != nil {
		w.Written()
	}
	want := change.with(func(f Field) bool { _, written := old[f]; return written })
	now, err = c.await(ctx, now, want, w, before)
	if _, no := errors.AsType[*refused](err); no && len(old) > 0 {
		back, _, failed := c.Scale(ctx, name, Change{UID: now.UID, Restore: old, Planned: want})
		if failed != nil {
			return now, old, fmt.Errorf("%w; what was there before could not be put back: %w", err, failed)
		}
		return back, nil, fmt.Errorf("%w; what was there before was put back", err)
	}
	return now, old, err
}

// late is how long an Event may take that the operator sent about the RayCluster as it
// was before the change: a refusal counts where the change is still not taken then.
const late = time.Second

// await waits until the operator has taken what was written to now.
func (c *Client) await(ctx context.Context, now *RayCluster, want Values, w Wait, before map[string]refusal) (*RayCluster, error) {
	generation := now.meta.Generation
	reasons, lost, doubted := []string(nil), time.Time{}, time.Time{}
	for start := time.Now(); ; {
		seen, missing, err := c.missing(ctx, now, generation, want, w.Workers, before)
		_, no := errors.AsType[*refused](err)
		if no && doubted.IsZero() {
			doubted = time.Now()
		}
		switch {
		case no && time.Since(doubted) < late && ctx.Err() == nil:
			reasons = []string{err.Error()}
		case err == nil && len(missing) == 0:
			return seen, nil
		case err == nil:
			now, reasons, lost = seen, missing, time.Time{}
			if w.Waiting != nil {
				w.Waiting(reasons)
			}
		case ctx.Err() != nil:
		case !ray.IsUnreachable(err):
			return now, err
		case lost.IsZero():
			lost = time.Now()
		case time.Since(lost) > w.Patience:
			return now, err
		}
		t := time.NewTimer(min(max(time.Since(start)/10, 100*time.Millisecond), 3*time.Second))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return now, &WaitError{reasons, context.Cause(ctx)}
		}
	}
}

// missing looks at the RayCluster again: what is not yet as the change wants it.
func (c *Client) missing(ctx context.Context, of *RayCluster, generation int64, want Values, workers bool, before map[string]refusal) (*RayCluster, []string, error) {
	now, err := c.RayCluster(ctx, of.Name)
	if err != nil {
		return of, nil, err
	}
	if now.UID != of.UID {
		return of, nil, &ray.Error{Kind: ray.KindWrongCluster, Op: fmt.Sprintf("wait for RayCluster %s", of.Name), Message: "it was deleted and made anew meanwhile"}
	}
	if !now.taken(generation, want) {
		after, err := c.refusals(ctx, now.Name, now.UID)
		if err != nil {
			return now, nil, err
		}
		for id, said := range after {
			if before[id] != said {
				return now, nil, &refused{&ray.Error{Kind: ray.KindInvalid, Op: fmt.Sprintf("change RayCluster %s", now.Name), Message: "the KubeRay operator refuses it: " + said.note}}
			}
		}
	}
	missing, err := c.pending(ctx, now, generation, want, workers)
	return now, missing, err
}

// Pending says what Enforce would still wait for, had it written values to r: nothing
// where all is there.
func (c *Client) Pending(ctx context.Context, r *RayCluster, values Values, workers bool) ([]string, error) {
	return c.pending(ctx, r, r.meta.Generation, values, workers)
}

func (c *Client) pending(ctx context.Context, r *RayCluster, generation int64, values Values, workers bool) ([]string, error) {
	switch {
	case r.taken(generation, values) && workers:
		return c.unready(ctx, r, values)
	case r.taken(generation, values):
		return nil, nil
	case r.status.ObservedGeneration == 0 && len(r.status.Conditions) == 0:
		return []string{"no KubeRay operator has ever looked at the RayCluster"}, nil
	}
	return []string{"the KubeRay operator has not taken the change yet"}, nil
}

// taken reports whether the operator has seen the change. It writes the status only
// where something else in it changes, so that the generation alone does not tell; idle
// timeouts and the upscaling mode are Ray's own to read.
func (r *RayCluster) taken(generation int64, want Values) bool {
	if r.status.ObservedGeneration >= generation || !slices.ContainsFunc(want.Fields(), bounds) {
		return true
	}
	var low, high int64
	for _, g := range r.spec.WorkerGroupSpecs {
		if g.Suspend {
			continue
		}
		of := func(n *int64, absent int64) int64 {
			if n == nil {
				return absent
			}
			return *n
		}
		low += of(g.MinReplicas, 0) * g.hosts()
		high += of(g.MaxReplicas, math.MaxInt32) * g.hosts()
	}
	return r.status.ObservedGeneration > 0 && r.status.MinWorkerReplicas == low && r.status.MaxWorkerReplicas == min(high, math.MaxInt32)
}

// unready says which groups of want have fewer workers ready than their minReplicas;
// none where the RayCluster is suspended, so that it shall have no pods. Where pods may
// not be listed, the sums of the status stand in.
func (c *Client) unready(ctx context.Context, r *RayCluster, want Values) ([]string, error) {
	if r.spec.Suspend {
		return nil, nil
	}
	var out []string
	for _, f := range want.Fields() {
		i := r.index(f.Group)
		if f.Key != MinReplicas || i < 0 {
			continue
		}
		g := r.spec.WorkerGroupSpecs[i]
		low, _ := want[f].(int64)
		need := low * g.hosts()
		if need == 0 || g.Suspend {
			continue
		}
		ready, pending, err := c.workers(ctx, r, f.Group)
		if ray.IsKind(err, ray.KindForbidden) {
			if r.status.ReadyWorkerReplicas < r.status.MinWorkerReplicas {
				return []string{fmt.Sprintf("%d of at least %d workers of all groups are ready", r.status.ReadyWorkerReplicas, r.status.MinWorkerReplicas)}, nil
			}
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if ready < need {
			text := fmt.Sprintf("group %s: %d of %d workers ready", f.Group, ready, need)
			if pending != "" {
				text += " (" + pending + ")"
			}
			out = append(out, text)
		}
	}
	return out, nil
}

// workers counts the ready pods of a group, and says what a pending one waits for.
func (c *Client) workers(ctx context.Context, r *RayCluster, group string) (ready int64, pending string, err error) {
	k := call{op: fmt.Sprintf("list the workers of RayCluster %s", r.Name), verb: "list", resource: "pods", namespace: r.Name.Namespace}
	list, err := c.api.Resource(pods).Namespace(r.Name.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: fmt.Sprintf("ray.io/cluster=%s,ray.io/node-type=worker,ray.io/group=%s", r.Name.Name, group),
	})
	if err != nil {
		return 0, "", c.translate(ctx, k, err)
	}
	for _, o := range list.Items {
		var pod struct {
			Status struct {
				Phase      string             `json:"phase"`
				Conditions []metav1.Condition `json:"conditions"`
				Containers []struct {
					State struct {
						Waiting struct {
							Reason  string `json:"reason"`
							Message string `json:"message"`
						} `json:"waiting"`
					} `json:"state"`
				} `json:"containerStatuses"`
			} `json:"status"`
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &pod); err != nil || o.GetDeletionTimestamp() != nil {
			continue
		}
		is := func(kind string, status metav1.ConditionStatus) func(metav1.Condition) bool {
			return func(c metav1.Condition) bool { return c.Type == kind && c.Status == status }
		}
		if slices.ContainsFunc(pod.Status.Conditions, is("Ready", metav1.ConditionTrue)) {
			ready++
			continue
		}
		why := "is " + cmp.Or(pod.Status.Phase, "new")
		if i := slices.IndexFunc(pod.Status.Conditions, is("PodScheduled", metav1.ConditionFalse)); i >= 0 {
			why = pod.Status.Conditions[i].Message
		}
		for _, container := range pod.Status.Containers {
			if w := container.State.Waiting; w.Reason != "" && w.Reason != "PodInitializing" {
				why = strings.TrimSuffix(w.Reason+": "+w.Message, ": ")
			}
		}
		pending = fmt.Sprintf("pod %s: %s", o.GetName(), why)
	}
	return ready, pending, nil
}

// refusal is an Event by which the operator says that it does not reconcile a RayCluster.
// Said again, it has another version.
type refusal struct{ note, version string }

// refusals are those there are, by the Event's name. None where events may not be listed.
func (c *Client) refusals(ctx context.Context, name Name, uid string) (map[string]refusal, error) {
	k := call{op: fmt.Sprintf("list the events of RayCluster %s", name), verb: "list", resource: "events", namespace: name.Namespace}
	selector := "type=Warning,involvedObject.kind=RayCluster,involvedObject.name=" + name.Name
	if uid != "" {
		selector += ",involvedObject.uid=" + uid
	}
	list, err := c.api.Resource(events).Namespace(name.Namespace).List(ctx, metav1.ListOptions{FieldSelector: selector})
	err = c.translate(ctx, k, err)
	if ray.IsKind(err, ray.KindForbidden) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]refusal{}
	for _, o := range list.Items {
		reason, _ := o.Object["reason"].(string)
		note, _ := o.Object["message"].(string)
		if strings.HasPrefix(reason, "InvalidRayCluster") {
			out[o.GetName()] = refusal{note, o.GetResourceVersion()}
		}
	}
	return out, nil
}
