package dashboard

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// maxRetryAfter is the longest Retry-After that is obeyed; a server that asks
// for more gets the caller's own poll instead.
const maxRetryAfter = 30 * time.Second

// Retry says how often, and how fast, a GET is repeated. It is repeated for 429,
// 502, 503, 504 and connections that broke; for a refused connection only after
// the client has had an answer. A Retry-After of the answer is obeyed. The zero
// value repeats nothing.
type Retry struct {
	// Max is how many repetitions follow the first try.
	Max int
	// MinBackoff, default 100 ms, is the first wait; each further one doubles, up to
	// MaxBackoff, default 2 s.
	MinBackoff, MaxBackoff time.Duration
}

// wait waits before repetition n, counted from 0. It is false if ctx ended first.
func (r Retry) wait(ctx context.Context, n int, after time.Duration) bool {
	d, most := r.MinBackoff, r.MaxBackoff
	if d <= 0 {
		d = 100 * time.Millisecond
	}
	if most <= 0 {
		most = 2 * time.Second
	}
	for ; n > 0 && d < most; n-- {
		d *= 2
	}
	d = max(min(d, most), after)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return false // the error in hand says more than "deadline exceeded"
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// retryable reports whether a GET that failed so may be repeated.
func (c *Client) retryable(err error) bool {
	var e *ray.Error
	if !errors.As(err, &e) || e.Kind != ray.KindUnavailable {
		return false
	}
	return e.Status != 0 || c.answered.Load()
}

// retryAfter reads the Retry-After header, in seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	var d time.Duration
	if s, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(max(s, 0), 3600)) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
