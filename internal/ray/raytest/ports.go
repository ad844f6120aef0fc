//go:build unix

package raytest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// A node's ports are one block, so that heads started at the same time by
// different processes never collide: the first port of a block is a listener
// held for as long as the node lives, and whoever can't take it takes another
// block. The blocks lie below the ephemeral range of Linux (32768 and up), whose
// ports any outgoing connection may take, and above 23000 to 24000, where Ray's
// client proxy starts its per-session servers (util/client/server/proxier.py).
const (
	firstBlock   = 24200
	blockSize    = 200
	blocks       = 42
	servicePorts = 16 // the rest of a block is for workers
)

// portBlock is a reserved block of ports.
type portBlock struct {
	base int
	lock net.Listener
}

// reservePorts takes a free block whose service ports nobody listens on.
func reservePorts() (*portBlock, error) {
	for _, i := range rand.Perm(blocks) {
		base := firstBlock + i*blockSize
		lock, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base)))
		if err != nil {
			continue
		}
		if freeAfter(base) {
			return &portBlock{base: base, lock: lock}, nil
		}
		if err := lock.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no free block of %d ports in %d to %d", blockSize, firstBlock, firstBlock+blocks*blockSize)
}

// freeAfter reports whether the service ports after base are free on every
// address, which is what Ray binds some of them on.
func freeAfter(base int) bool {
	for p := base + 1; p < base+servicePorts; p++ {
		l, err := net.Listen("tcp", ":"+strconv.Itoa(p))
		if err != nil {
			return false
		}
		if err := l.Close(); err != nil {
			return false
		}
	}
	return true
}

// port returns the i-th service port, from 1.
func (b *portBlock) port(i int) int { return b.base + i }

// release gives the block back.
func (b *portBlock) release() error {
	if err := b.lock.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
