//go:build unix

package raytest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest/keeper"
)

// Redis is a Redis server for heads that outlive their own death. It ends with the
// process that started it.
type Redis struct {
	// Address is host:port.
	Address string

	dir    string
	keeper *keeper.Keeper
	ports  *portBlock
	dead   chan struct{}
}

// StartRedis starts a server that keeps everything in memory: $REDIS_SERVER, which
// `make` sets to the one in its cache.
func StartRedis(ctx context.Context) (*Redis, error) {
	bin := os.Getenv("REDIS_SERVER")
	if bin == "" {
		return nil, errors.New("REDIS_SERVER is not set: run this through make, which fetches a Redis server")
	}
	ports, err := reservePorts()
	if err != nil {
		return nil, err
	}
	r := &Redis{Address: "127.0.0.1:" + strconv.Itoa(ports.port(1)), ports: ports, dead: make(chan struct{})}
	if err := r.start(ctx, bin); err != nil {
		return nil, errors.Join(fmt.Errorf("start Redis: %w", err), r.Close())
	}
	return r, nil
}

func (r *Redis) start(ctx context.Context, bin string) error {
	var err error
	if r.dir, err = os.MkdirTemp("", "raytest-redis"); err != nil {
		close(r.dead)
		return err
	}
	mark := "RAYTEST_CLUSTER=" + r.dir + ";"
	if r.keeper, err = keeper.Start(mark, r.dir); err != nil {
		close(r.dead)
		return err
	}
	cmd := exec.Command(bin, "--bind", "127.0.0.1", "--port", strconv.Itoa(r.ports.port(1)), "--save", "", "--dir", r.dir, "--logfile", filepath.Join(r.dir, "log"))
	cmd.Env = append(os.Environ(), mark)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		close(r.dead)
		return err
	}
	go func() {
		defer close(r.dead)
		_ = cmd.Wait() // a killed server ends with an error
	}()
	if err := r.keeper.Add(cmd.Process.Pid); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-r.dead:
			return fmt.Errorf("%s ended: %s", bin, tail(filepath.Join(r.dir, "log"), 2<<10))
		case <-ctx.Done():
			return err
		}
	}
}

// Close ends the server and waits until it has gone.
func (r *Redis) Close() error {
	var err error
	if r.keeper != nil {
		err = r.keeper.Close()
		<-r.dead
	}
	return errors.Join(err, r.ports.release())
}
