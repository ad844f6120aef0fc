package rayrpc

import (
	"bytes"
	"context"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
)

// trail remembers how far the newest connection attempt came.
type trail struct {
	mu      sync.Mutex
	attempt attempt
}

// attempt is one try to connect: dial, handshake, first bytes of the server.
type attempt struct {
	// number tells attempts apart, as a connection may outlive the next attempt.
	number int
	// dialErr and handshakeErr are what stopped it, if anything did.
	dialErr, handshakeErr error
	// secure is true where TLS was spoken.
	secure bool
	// connected is true once the handshake, if any, was over.
	connected bool
	// first are the first bytes that the server sent, after TLS.
	first []byte
}

// firstBytes is how much of a server's greeting is kept: enough for "HTTP/1.1 ".
const firstBytes = 16

// spokeHTTP1 reports whether the server answered as an HTTP/1 server does. A
// gRPC server begins with an HTTP/2 SETTINGS frame.
func (a attempt) spokeHTTP1() bool { return bytes.HasPrefix(a.first, []byte("HTTP/")) }

// silent reports whether the server closed without a word, or has not spoken yet.
func (a attempt) silent() bool { return a.connected && len(a.first) == 0 }

// last returns the newest attempt.
func (t *trail) last() attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.attempt
}

// change changes attempt n if it still is the newest.
func (t *trail) change(n int, f func(*attempt)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.attempt.number == n {
		f(&t.attempt)
	}
}

// dialer returns dial with its outcome noted. Each dial begins an attempt.
func (t *trail) dialer(dial func(context.Context, string) (net.Conn, error)) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		t.mu.Lock()
		n := t.attempt.number + 1
		t.mu.Unlock()
		conn, err := dial(ctx, address)
		t.mu.Lock()
		t.attempt = attempt{number: n, dialErr: err}
		t.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return &dialled{Conn: conn, number: n}, nil
	}
}

// dialled carries an attempt's number from the dial to the handshake.
type dialled struct {
	net.Conn
	number int
}

// watchedCredentials notes the outcome of handshakes and the server's first bytes.
type watchedCredentials struct {
	credentials.TransportCredentials
	trail *trail
}

// ClientHandshake does the inner handshake.
func (w *watchedCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	n := 0
	if d, ok := raw.(*dialled); ok {
		n = d.number
	}
	secure := w.Info().SecurityProtocol == "tls"
	conn, info, err := w.TransportCredentials.ClientHandshake(ctx, authority, raw)
	w.trail.change(n, func(a *attempt) {
		a.handshakeErr, a.secure, a.connected = err, secure, err == nil
	})
	if err != nil {
		return nil, nil, err
	}
	return &watchedConn{Conn: conn, trail: w.trail, number: n}, info, nil
}

// Clone copies the credentials; the trail is shared.
func (w *watchedCredentials) Clone() credentials.TransportCredentials {
	return &watchedCredentials{TransportCredentials: w.TransportCredentials.Clone(), trail: w.trail}
}

// watchedConn notes the first bytes read. gRPC reads from one goroutine.
type watchedConn struct {
	net.Conn
	trail  *trail
	number int
	noted  int
}

// Read reads, and notes the first bytes.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if room := firstBytes - c.noted; room > 0 && n > 0 {
		head := bytes.Clone(p[:min(n, room)])
		c.noted += len(head)
		c.trail.change(c.number, func(a *attempt) { a.first = append(a.first, head...) })
	}
	return n, err
}
