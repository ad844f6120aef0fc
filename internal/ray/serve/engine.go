package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// Engine changes the config of one cluster, one change at a time.
type Engine struct {
	dial func(context.Context) (*dashboard.Client, error)
	turn chan struct{} // held by who reads and writes
}

// New is the engine of the cluster whose dashboard dial returns.
func New(dial func(context.Context) (*dashboard.Client, error)) *Engine {
	return &Engine{dial: dial, turn: make(chan struct{}, 1)}
}

// State reads what Serve tells.
func (e *Engine) State(ctx context.Context) (*State, error) {
	api, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := api.Serve(ctx)
	if err != nil {
		return nil, err
	}
	return Read(answer)
}

// mostWrites is how often a change is written that somebody overwrites each time.
const mostWrites = 5

// Change writes the edit until the config has it: it is asked again after each write, and
// then returns no Config. The edit of the first look is returned, and whether something
// was, or may have been, written.
func (e *Engine) Change(ctx context.Context, edit func(*State) (Edit, error)) (first Edit, written bool, err error) {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return Edit{}, false, context.Cause(ctx)
	}
	for writes := 0; ; writes++ {
		// It is known for sure only now: what an earlier look saw may be old.
		s, err := e.State(ctx)
		if err != nil {
			return first, written, err
		}
		next, err := edit(s)
		if err != nil {
			return first, written, err
		}
		if writes == 0 {
			first = next
		}
		switch {
		case next.Config == nil:
			return first, written, nil
		case writes == mostWrites:
			return first, written, overwritten(writes)
		}
		if err := e.write(ctx, next, edit); err != nil {
			return first, written || ray.OutcomeUnknown(err), err
		}
		written = true
	}
}

// write sends the config. Where the answer leaves open whether it was taken, a look
// tells.
func (e *Engine) write(ctx context.Context, next Edit, edit func(*State) (Edit, error)) error {
	api, err := e.dial(ctx)
	if err != nil {
		return err
	}
	err = api.DeployServe(ctx, next.Config)
	if !ray.OutcomeUnknown(err) {
		return err
	}
	s, lost := e.State(ctx)
	if lost != nil {
		return err
	}
	if again, refused := edit(s); refused == nil && again.Config == nil {
		return nil
	}
	if answer, ok := errors.AsType[*ray.Error](err); ok && answer.Status != 0 {
		// Ray is done with it, and has not taken it.
		known := *answer
		known.OutcomeUnknown = false
		return &known
	}
	return err
}

// WaitError is a target that is in the config, and not in effect yet.
type WaitError struct {
	Reasons []string
	Err     error // of the context
}

// Error says what is missing.
func (e *WaitError) Error() string { return "what is missing: " + strings.Join(e.Reasons, "; ") }

// Unwrap returns the context's error.
func (e *WaitError) Unwrap() error { return e.Err }

// lookEvery is how often an application is looked at that is waited for: an answer costs
// the head some milliseconds.
const lookEvery = 300 * time.Millisecond

// Enforce gives a deployment its autoscaling and waits until the application runs with
// it. Waits survive losing the cluster for patience; waiting is told why they go on.
// The edit that was made first is returned, and whether something was, or may have been,
// written.
func (e *Engine) Enforce(ctx context.Context, t Target, patience time.Duration, waiting func([]string)) (first Edit, written bool, err error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var reasons []string
	var answered time.Time
	for set, writes := false, 0; ; {
		now, err := reasons, error(nil)
		if !set {
			var edit Edit
			var wrote bool
			edit, wrote, err = e.Change(ctx, func(s *State) (Edit, error) { return s.Set(t) })
			set = err == nil
			if !written {
				first = edit
			}
			if wrote {
				written = true
				writes++
			}
		}
		if set {
			now, set, err = e.missing(ctx, t)
		}
		if wait, ok := errors.AsType[*NotReadyError](err); ok {
			now, err = []string{wait.Reason}, nil
		}
		switch {
		case err == nil && len(now) == 0:
			return first, written, nil
		case ctx.Err() != nil:
			return first, written, &WaitError{reasons, context.Cause(ctx)}
		case err != nil && (!ray.IsUnreachable(err) || time.Since(answered) > patience):
			return first, written, err
		case err == nil && writes > mostWrites:
			return first, written, overwritten(writes)
		case err == nil:
			answered, reasons = time.Now(), now
			waiting(reasons)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func overwritten(writes int) error {
	return fmt.Errorf("the Serve config was written %d times, and somebody wrote another each time: who else deploys to this cluster?", writes)
}

// missing says what is not in effect yet. An application that runs without it has
// another config by now: set is false, and it is to be written again.
func (e *Engine) missing(ctx context.Context, t Target) (reasons []string, set bool, err error) {
	s, err := e.State(ctx)
	if err != nil {
		return nil, true, err
	}
	reasons, err = s.settled(t)
	return reasons, s.apps[t.Application].Status != Running, err
}
