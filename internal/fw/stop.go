package fw

import (
	"context"
	"time"
)

// stopGrace is how long a call whose context ended waits for the CLI's word that it
// asked for that. Terraform cancels its calls and sends StopProvider within a
// millisecond of a Ctrl-C, in either order.
const stopGrace = 200 * time.Millisecond

type stopKey struct{}

// WithStop returns the context of a provider's call in which StopAsked knows of asked,
// which is closed once the CLI has asked the provider to stop.
func WithStop(ctx context.Context, asked <-chan struct{}) context.Context {
	return context.WithValue(ctx, stopKey{}, asked)
}

// StopAsked reports whether ctx, which has ended, did so because the CLI asked the
// provider to stop, as it does at a Ctrl-C. A CLI that was killed, and a connection
// that broke, end a context too, and ask for nothing.
func StopAsked(ctx context.Context) bool {
	asked, ok := ctx.Value(stopKey{}).(<-chan struct{})
	if !ok {
		return false
	}
	t := time.NewTimer(stopGrace)
	defer t.Stop()
	select {
	case <-asked:
		return true
	case <-t.C:
		return false
	}
}
