//go:build unix

package keeper

import (
	"context"
	"fmt"
	"time"
)

// WaitFor polls ready until it returns nil, at most two minutes. It ends early with ctx,
// and with the process called name, whose end closes dead; nil is of none.
func WaitFor(ctx context.Context, what, name string, dead <-chan struct{}, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-dead:
			return fmt.Errorf("%s ended while waiting for %s (last: %w)", name, what, err)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last: %w)", what, context.Cause(ctx), err)
		}
	}
}
