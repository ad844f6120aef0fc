package ray

import (
	"context"
	"time"
)

// WithGrace returns a context that outlives the end of ctx by d: for a call whose
// outcome should be known although its caller wants to stop.
func WithGrace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return out, func() { stop(); cancel() }
}
