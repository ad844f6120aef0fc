package conn

import (
	"context"
	"sync"
	"time"
)

// memo is a look-up that many ask for and one makes. A good answer is kept for
// the process; a bad one as long as keep says. The look-up ends when the last one
// who waits for it has gone, so that it outlives no caller.
type memo[T any] struct {
	mu      sync.Mutex
	have    bool
	value   T
	err     error
	errTill time.Time
	flight  *flight[T]
}

type flight[T any] struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	value   T
	err     error
}

// forever keeps an error for the process.
const forever = 1000 * time.Hour

// get returns the answer. keep, which may be nil, says for how long an error is
// believed; the end of a caller's own context is never one.
func (m *memo[T]) get(ctx context.Context, keep func(error) time.Duration, look func(context.Context) (T, error)) (T, error) {
	m.mu.Lock()
	switch {
	case m.have:
		defer m.mu.Unlock()
		return m.value, nil
	case m.err != nil && time.Now().Before(m.errTill):
		defer m.mu.Unlock()
		var zero T
		return zero, m.err
	case ctx.Err() != nil:
		m.mu.Unlock()
		var zero T
		return zero, canceled(ctx)
	}
	f := m.flight
	if f == nil {
		f = &flight[T]{done: make(chan struct{})}
		var shared context.Context
		shared, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
		m.flight = f
		go m.run(shared, f, keep, look)
	}
	f.waiters++
	m.mu.Unlock()

	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
	}
	m.mu.Lock()
	f.waiters--
	if f.waiters == 0 {
		f.cancel()
		if m.flight == f {
			m.flight = nil
		}
	}
	m.mu.Unlock()
	var zero T
	return zero, canceled(ctx)
}

func (m *memo[T]) run(ctx context.Context, f *flight[T], keep func(error) time.Duration, look func(context.Context) (T, error)) {
	f.value, f.err = look(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight == f { // else all callers have gone, and nobody's answer this is
		m.flight = nil
		switch {
		case f.err == nil:
			m.have, m.value = true, f.value
		case keep != nil:
			m.err, m.errTill = f.err, time.Now().Add(keep(f.err))
		}
	}
	f.cancel()
	close(f.done)
}

// set makes v the answer.
func (m *memo[T]) set(v T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.have, m.value = true, v
}

// peek returns the answer if there is one.
func (m *memo[T]) peek() (T, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.value, m.have
}
