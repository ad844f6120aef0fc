package raytest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Match says which requests a fault befalls.
type Match struct {
	// Route is as Requests counts it, as in "POST /api/jobs/"; empty is any.
	Route string
	// ID is the submission id, or the name of the package; empty is any.
	ID string
	// Skip lets so many matching requests pass first.
	Skip int
	// Times is how many it befalls then: 0 is one, negative all.
	Times int
}

// Fault is what befalls a request. Those below are all that there are; each names
// what was seen on a real Ray or on the way to one.
type Fault struct {
	name  string
	serve func(f *Fake, i *Injected, w http.ResponseWriter, r *request, act func() answer)
}

// String names the fault.
func (x Fault) String() string { return x.name }

// Injected is a fault at work.
type Injected struct {
	match  Match
	fault  Fault
	mu     sync.Mutex
	seen   int
	hits   int
	thawed chan struct{}
	hit    chan struct{} // closed at the first hit
	after  sync.WaitGroup
}

// Hits is how many requests it befell so far.
func (i *Injected) Hits() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.hits
}

// Hit is closed when it befalls the first request.
func (i *Injected) Hit() <-chan struct{} { return i.hit }

// Thaw lets requests go on that FreezeAgent holds, and waits until they have taken
// effect. Later ones pass.
func (i *Injected) Thaw() {
	i.mu.Lock()
	select {
	case <-i.thawed:
	default:
		close(i.thawed)
	}
	i.mu.Unlock()
	i.after.Wait()
}

// Fail injects a fault. Of several that match, the one injected first comes first.
func (f *Fake) Fail(m Match, x Fault) *Injected {
	if m.Times == 0 {
		m.Times = 1
	}
	i := &Injected{match: m, fault: x, thawed: make(chan struct{}), hit: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, i)
	return i
}

// Sever is what kill -9 of a client does to the head: nothing more arrives of the
// process that is told by this part of its User-Agent. What has arrived takes
// effect.
func (f *Fake) Sever(agent string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.severed = append(f.severed, agent)
}

func (f *Fake) isSevered(agent string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.severed, func(s string) bool { return strings.Contains(agent, s) })
}

// ClearFaults removes all faults.
func (f *Fake) ClearFaults() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// fault returns the fault that befalls r, or nil.
func (f *Fake) fault(r *request) *Injected {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.faults {
		if i.takes(r) {
			return i
		}
	}
	return nil
}

func (i *Injected) takes(r *request) bool {
	if (i.match.Route != "" && i.match.Route != r.route) || (i.match.ID != "" && i.match.ID != r.id) {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	select {
	case <-i.thawed:
		return false
	default:
	}
	i.seen++
	if i.seen <= i.match.Skip || (i.match.Times > 0 && i.hits >= i.match.Times) {
		return false
	}
	i.hits++
	i.after.Add(1) // here, since Thaw closes thawed under the same lock and waits
	if i.hits == 1 {
		close(i.hit)
	}
	return true
}

// LoseAnswer lets the request take effect and breaks the connection without an
// answer: a head, or a proxy, that is killed after it passed the request on. Clients
// see EOF (2.60.0, SIGKILL of the dashboard while its agent had the POST).
func LoseAnswer() Fault {
	return Fault{"answer lost", func(_ *Fake, _ *Injected, w http.ResponseWriter, _ *request, act func() answer) {
		act()
		abort(w, false)
	}}
}

// FreezeAgent holds the request without answer until Thaw, or Close. Then it takes
// effect, although the client has gone: with the agent's process stopped, a POST
// hung past 25 s and its job was run when the process went on (Ray 2.60.0).
func FreezeAgent() Fault {
	return Fault{"frozen agent", func(f *Fake, i *Injected, w http.ResponseWriter, _ *request, act func() answer) {
		select {
		case <-i.thawed:
			act().write(w)
		case <-f.done:
		}
	}}
}

// NoAgent is the head's answer when its agent is not there for 10 s; the request
// takes no effect (job_head.py, submit_job).
func NoAgent() Fault {
	return AnswerWith(http.StatusInternalServerError, kindText, "No available agent to submit job, please try again later.")
}

// ProxyPage is an ingress that has no answer from Ray: nginx' page for 502, 503
// or 504. The request takes no effect.
func ProxyPage(status int) Fault {
	s := fmt.Sprintf("%d %s", status, http.StatusText(status))
	return AnswerWith(status, "text/html", "<html>\r\n<head><title>"+s+"</title></head>\r\n<body>\r\n<center><h1>"+s+
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
}

// ProxyPageAfter is the same after the request took effect: an ingress whose
// time-out (60 s with nginx) is shorter than Ray's work.
func ProxyPageAfter(status int) Fault {
	page := ProxyPage(status)
	return Fault{"page after the effect", func(f *Fake, i *Injected, w http.ResponseWriter, r *request, act func() answer) {
		act()
		page.serve(f, i, w, r, act)
	}}
}

// AnswerWith answers in Ray's place; the request takes no effect.
func AnswerWith(status int, contentType, body string) Fault {
	return Fault{fmt.Sprintf("answer %d", status), func(_ *Fake, _ *Injected, w http.ResponseWriter, _ *request, _ func() answer) {
		answer{status, contentType, body}.write(w)
	}}
}

// RedirectTo is a login proxy that sends everybody to its page.
func RedirectTo(url string) Fault {
	return Fault{"redirect", func(_ *Fake, _ *Injected, w http.ResponseWriter, _ *request, _ func() answer) {
		w.Header().Set("Location", url)
		answer{http.StatusFound, "text/html", "<html><title>Sign in</title></html>"}.write(w)
	}}
}

// HalfAnswer lets the request take effect and breaks the connection in the middle
// of the answer: a dashboard that is killed while it sends a list.
func HalfAnswer() Fault {
	return Fault{"half an answer", func(_ *Fake, _ *Injected, w http.ResponseWriter, _ *request, act func() answer) {
		a := act()
		w.Header().Set("Content-Type", a.kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body[:len(a.body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}}
}

// HalfJSON is the same with a whole HTTP message around the half: a proxy that
// limits the size of bodies.
func HalfJSON() Fault {
	return Fault{"half a JSON", func(_ *Fake, _ *Injected, w http.ResponseWriter, _ *request, act func() answer) {
		a := act()
		a.body = a.body[:len(a.body)/2]
		a.write(w)
	}}
}

// Reset resets the connection (RST) before the request takes effect, as a load
// balancer does that has lost its backend.
func Reset() Fault {
	return Fault{"connection reset", func(_ *Fake, _ *Injected, w http.ResponseWriter, _ *request, _ func() answer) { abort(w, true) }}
}

// Slow answers after d: a head under load took 20 to 40 times its usual time.
func Slow(d time.Duration) Fault {
	return Fault{"slow", func(f *Fake, _ *Injected, w http.ResponseWriter, _ *request, act func() answer) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			act().write(w)
		case <-f.done:
		}
	}}
}

// abort ends a connection without an answer.
func abort(w http.ResponseWriter, reset bool) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if t, ok := c.(*net.TCPConn); ok && reset {
		_ = t.SetLinger(0) // or it ends with FIN, which is as good for the purpose
	}
	_ = c.Close()
}
