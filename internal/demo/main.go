//go:build unix

// Command demo shows the provider at work on a real Ray that it starts for the
// purpose; `make demo` runs it from the top of the checkout.
//
// It applies examples/demo as a user would, with a real Terraform or OpenTofu:
// a connection that waits for nodes, a job that packages a directory and computes
// on the workers, nodes and resources as outputs, a health check. Then it makes
// drifts, shows what a plan says of them, repairs them by an apply, and destroys
// everything. Nothing is taken on trust: what the CLI prints is compared with what
// Ray itself answers, and any surprise ends the demo with the whole output and a
// status other than 0.
//
// Whatever happens, nothing stays behind. Ray ends with this process, however
// that ends (see raytest.StartHead), and its directory, which is also where the
// configuration and the state lie, goes with it. The CLI runs in a process group
// of its own, which is stopped on Ctrl-C, SIGTERM, SIGHUP, a closed output and the
// end of the parent; a second Ctrl-C kills it.
//
// Environment:
//
//	TF        Terraform or OpenTofu to use; else terraform, else tofu in PATH
//	TOFU      OpenTofu to use where neither is there
//	RAY_VENV  Python venv that has Ray; else the one that `make venv` made
//
// It is no test: what it shows is tested, in milliseconds and with all its faults,
// elsewhere.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run()) }

// run is main with a status, so that deferred calls run before the end: 0, 1 for
// a surprise, 130 when it was interrupted.
func run() int {
	s := newScreen(os.Stdout)
	d := &demo{screen: s, children: &children{grace: 10 * time.Second}, getenv: os.Getenv}
	ctx, stop := withSignals(context.Background(), s, d.children)
	defer stop()
	err := d.run(ctx)
	if errors.Is(context.Cause(ctx), errInterrupted) {
		s.plain("Stopped: nothing is left running.")
		return 130
	}
	if err != nil {
		s.plain("")
		s.plain("error: %v", err)
		return 1
	}
	return 0
}

var errInterrupted = errors.New("interrupted")

// withSignals ends the context at the first signal, or when the parent has died:
// make passes SIGTERM on to its child alone, and go run does not pass it on at
// all. A second signal kills the children and this process, and Ray with it.
func withSignals(ctx context.Context, s *screen, c *children) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	// SIGPIPE is received so that a write to a closed output is an error and not the
	// end of the process.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		parent := os.Getppid()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var first time.Time
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if os.Getppid() != parent && first.IsZero() {
					first = time.Now()
					cancel(errInterrupted)
				}
			case sig := <-signals:
				switch {
				case first.IsZero():
					first = time.Now()
					cancel(errInterrupted)
					s.plain("")
					s.plain("Stopping (%v). Once more stops at once.", sig)
				// make repeats a SIGTERM that went to the whole group, and every line written to a
				// closed output is another SIGPIPE.
				case sig != syscall.SIGPIPE && time.Since(first) > 500*time.Millisecond:
					c.kill()
					os.Exit(130)
				}
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		<-finished
		cancel(nil)
	}
}

// A surprise is something that should not have happened, with what the CLI wrote.
type surprise struct{ what, output string }

func (e *surprise) Error() string {
	return fmt.Sprintf("%s. The whole output:\n\n%s", e.what, e.output)
}
