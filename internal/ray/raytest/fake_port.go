package raytest

import (
	"errors"
	"net"
)

// heldPort is the port of 127.0.0.1 where a fake listens, with breaks. A connection to
// it that stays open holds it through them: the kernel gives it to no other socket
// (Linux; elsewhere it may, as it may any port that was free for a while). A socket
// that is bound and does not listen would hold it too, but on macOS who connects to
// one waits in place of being refused.
type heldPort struct {
	addr string // set by the first listen
	ends []net.Conn
}

// listen takes a free port, and the same one each time it is called again.
func (p *heldPort) listen() (net.Listener, error) {
	if p.addr != "" {
		return net.Listen("tcp", p.addr)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	far, err := l.Accept()
	if err != nil {
		return nil, errors.Join(err, near.Close(), l.Close())
	}
	p.addr, p.ends = l.Addr().String(), []net.Conn{near, far}
	return l, nil
}

// release gives the port back.
func (p *heldPort) release() {
	for _, c := range p.ends {
		_ = c.Close() // nothing was sent
	}
}
