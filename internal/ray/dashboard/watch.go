package dashboard

import (
	"context"
	"errors"
	"io"
	"time"
)

// watch ends a request that makes no progress for a while.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
}

func newWatch(ctx context.Context, idle time.Duration) *watch {
	w := &watch{idle: idle}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(idle, func() { w.cancel(errIdle) })
	return w
}

func (w *watch) progress() {
	// A timer that has fired stays so: the request is over.
	if w.timer.Stop() {
		w.timer.Reset(w.idle)
	}
}

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// idled reports whether the watch ended the request.
func (w *watch) idled() bool { return errors.Is(context.Cause(w.ctx), errIdle) }

// progressReader tells a watch of what is read, and keeps the error it ended
// with: a broken connection must not pass for a malformed answer, nor an
// unreadable file for a broken connection.
type progressReader struct {
	r     io.Reader
	watch *watch
	err   error
}

// Read reads from r.
func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.watch.progress()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		p.err = err
	}
	return n, err
}
