package autoscaler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
)

// Floor is the cluster-wide request as its owner wants it.
type Floor struct {
	// GCS is the cluster's, and ClusterID, 56 hex digits, which one it has to be:
	// another one that answers there is left alone.
	GCS       *gcs.Client
	ClusterID string
	Bundles   []ray.Bundle
	// Contested writes it also where Ray Data or Ray Train will replace it.
	Contested bool
	// Capacity waits until the nodes are alive that can hold it.
	Capacity bool
	// Patience is how long a wait survives losing the cluster.
	Patience time.Duration
	// Waiting, if set, is told why the wait goes on, at each look.
	Waiting func(reasons []string)
}

// ContestedError is a floor that was not written since it would not stay.
type ContestedError struct{}

func (*ContestedError) Error() string {
	return "the cluster has an AutoscalingCoordinator, the actor that the first job with Ray Data or Ray Train leaves behind, and it replaces the cluster-wide resource request every 20 seconds"
}

// InfeasibleError is a floor that autoscaler v2 can't grow the cluster to. It was
// taken back.
type InfeasibleError struct{ Bundles []ray.Bundle }

func (e *InfeasibleError) Error() string {
	return fmt.Sprintf("the cluster can't grow to hold %s: no node type has this, or not as many nodes as it takes may be added; Ray then drops the whole request", list(e.Bundles))
}

// OverwrittenError is a floor that somebody replaced while it was waited for.
type OverwrittenError struct{ Theirs, Ours []ray.Bundle }

func (e *OverwrittenError) Error() string {
	return fmt.Sprintf("somebody replaced the cluster-wide resource request meanwhile: it is %s, and was %s", list(e.Theirs), list(e.Ours))
}

// WaitError is a floor that is written and stays, and whose nodes are not there yet.
type WaitError struct {
	Reasons []string
	Err     error // of the context
}

func (e *WaitError) Error() string { return "what is missing: " + strings.Join(e.Reasons, "; ") }
func (e *WaitError) Unwrap() error { return e.Err }

// look is how often the GCS is asked while it is waited for. An answer costs it half
// a millisecond.
const look = 250 * time.Millisecond

// Enforce writes the floor, and returns when the autoscaler goes by it and, with
// Capacity, when the nodes are alive. written reports whether it may be on the cluster,
// also where there is an error.
//
// A floor that turns out infeasible is replaced by what was there before, so that
// what was held is held.
func (f Floor) Enforce(ctx context.Context) (written bool, err error) {
	before, err := f.reported(ctx)
	if err != nil {
		return false, err
	}
	if !f.Contested {
		contested, err := f.GCS.Coordinated(ctx)
		if err != nil {
			return false, err
		}
		if contested {
			return false, &ContestedError{}
		}
	}
	if err := f.set(ctx, before.Autoscaler, f.Bundles); err != nil {
		// A lost answer may be one to a request that was done, and so may one that nobody
		// waited for.
		return ray.IsUnreachable(err) || ray.IsKind(err, ray.KindCanceled), err
	}
	err = f.wait(ctx)
	if errors.As(err, new(*InfeasibleError)) {
		back := before.Floor
		if ray.SameBundles(back, f.Bundles) {
			back = nil // of an earlier try that was cut off
		}
		undo := f.set(context.WithoutCancel(ctx), before.Autoscaler, back)
		return undo != nil, errors.Join(err, undo)
	}
	return !errors.As(err, new(*OverwrittenError)), err
}

// reported waits until a young head's autoscaler has reported for the first time: only
// then is it known which one it is.
func (f Floor) reported(ctx context.Context) (gcs.Scaling, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		now, err := f.GCS.Scaling(ctx)
		if err != nil || now.Autoscaler != gcs.AutoscalerUnknown {
			return now, err
		}
		reasons := []string{"the autoscaler has not reported yet"}
		if f.Waiting != nil {
			f.Waiting(reasons)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return now, &WaitError{reasons, context.Cause(ctx)}
		}
	}
}

func (f Floor) set(ctx context.Context, version string, bundles []ray.Bundle) error {
	return f.GCS.SetFloor(ctx, version, f.ClusterID, bundles)
}

// wait follows the floor after it was written.
func (f Floor) wait(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	reasons := []string{"the autoscaler has not made a round yet"}
	var first *gcs.Scaling
	for answered := time.Now(); ; {
		now, err := f.GCS.Scaling(ctx)
		if err == nil {
			answered = time.Now()
			if first == nil {
				first = &now
			}
			reasons, err = f.verdict(ctx, *first, now, reasons)
		}
		switch {
		case ctx.Err() != nil:
			return &WaitError{reasons, context.Cause(ctx)}
		case err != nil && (!ray.IsUnreachable(err) || time.Since(answered) > f.Patience):
			return err
		case err == nil && len(reasons) == 0:
			return nil
		case f.Waiting != nil:
			f.Waiting(reasons)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// verdict says what the floor still waits for, before where that is not known; nothing
// where it is enforced.
func (f Floor) verdict(ctx context.Context, first, now gcs.Scaling, before []string) ([]string, error) {
	switch {
	case !ray.SameBundles(now.Floor, f.Bundles):
		return before, &OverwrittenError{Theirs: now.Floor, Ours: f.Bundles}
	case !now.TakenSince(first):
		return before, nil
	case now.Infeasible():
		return before, &InfeasibleError{f.Bundles}
	case !f.Capacity:
		return nil, nil
	}
	nodes, err := f.GCS.Nodes(ctx)
	if err != nil {
		return before, err
	}
	reasons := NoRoom(f.Bundles, nodes)
	if len(reasons) > 0 {
		reasons = append(reasons, now.Launches.Reasons(time.Now())...)
	}
	return reasons, nil
}

// Drift says how the cluster-wide request differs from ours; nothing where it is
// enforced.
func Drift(ours []ray.Bundle, now gcs.Scaling) []string {
	switch {
	case ray.SameBundles(ours, now.Floor) && now.Infeasible():
		return []string{(&InfeasibleError{ours}).Error()}
	case ray.SameBundles(ours, now.Floor):
		return nil
	case len(now.Floor) == 0:
		return []string{fmt.Sprintf("the cluster-wide resource request is gone, as after a restart of the head, or was taken back by somebody, as Ray Data and Ray Train do; ours is %s", list(ours))}
	}
	return []string{fmt.Sprintf("somebody replaced the cluster-wide resource request: it is %s, ours is %s", list(now.Floor), list(ours))}
}

// Release takes the floor back where it is still ours, and else returns what is there.
// Where no autoscaler runs any more there is nothing that would go by it.
func (f Floor) Release(ctx context.Context) (theirs []ray.Bundle, err error) {
	now, err := f.reported(ctx)
	if err != nil {
		return nil, err
	}
	if !ray.SameBundles(f.Bundles, now.Floor) {
		return now.Floor, nil
	}
	if len(now.Floor) == 0 || now.Autoscaler == gcs.AutoscalerNone {
		return nil, nil
	}
	return nil, f.set(ctx, now.Autoscaler, nil)
}

// NoRoom says what of bundles the alive nodes could not hold, were they empty; nothing
// where they can.
func NoRoom(bundles []ray.Bundle, nodes []ray.Node) []string {
	lack := Lack(bundles, nodes)
	if len(lack) == 0 {
		return nil
	}
	return []string{"no room for " + list(lack)}
}

// Lack is what of bundles the alive nodes could not hold, were they empty: the
// request is for what the cluster has, not for what is free of it. Bundles are put
// where they fit, those that need most first, as Ray's autoscaler does.
func Lack(bundles []ray.Bundle, nodes []ray.Node) []ray.Bundle {
	var room []ray.Node
	for _, n := range nodes {
		if n.Alive() {
			n.Total = maps.Clone(n.Total)
			room = append(room, n)
		}
	}
	bundles = ray.NormalBundles(bundles)
	slices.SortStableFunc(bundles, func(a, b ray.Bundle) int {
		return cmp.Or(len(b.Selectors)-len(a.Selectors), len(b.Resources)-len(a.Resources), cmp.Compare(most(b), most(a)))
	})
	var out []ray.Bundle
	for _, b := range bundles {
		for b.Count > 0 && place(b, room) {
			b.Count--
		}
		if b.Count > 0 {
			out = append(out, b)
		}
	}
	return ray.NormalBundles(out)
}

// most is the largest amount of one resource that the bundle takes.
func most(b ray.Bundle) float64 { return slices.Max(slices.Collect(maps.Values(b.Resources))) }

// place takes the bundle's resources of the first node that has them.
func place(b ray.Bundle, room []ray.Node) bool {
	for _, n := range room {
		if !b.Fits(n) {
			continue
		}
		for name, v := range b.Resources {
			n.Total[name] -= v
		}
		return true
	}
	return false
}

func list(bundles []ray.Bundle) string {
	if len(bundles) == 0 {
		return "empty"
	}
	var parts []string
	for _, b := range bundles {
		parts = append(parts, b.String())
	}
	return strings.Join(parts, " and ")
}
