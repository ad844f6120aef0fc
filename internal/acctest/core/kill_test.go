package core_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
)

func TestInterruptWaitsForTheCallAndStartsNoMore(t *testing.T) {
	t.Parallel()
	tf, cloud := newThings(t, core.Parallelism(1))
	entered := make(chan struct{}, 2)
	cloud.set(func(c *world) {
		c.onCreate = func(ctx context.Context) {
			entered <- struct{}{}
			<-ctx.Done()
		}
	})
	tf.Resource("x_thing.a", map[string]any{"name": "a"})
	tf.Resource("x_thing.b", map[string]any{"name": "b"})
	run := tf.StartApply()
	<-entered
	run.Interrupt()
	r := run.Wait()
	if r.ExitCode() != 1 || !r.Diagnostics().Contains("execution halted") {
		t.Errorf("got exit code %d\n%s", r.ExitCode(), r.Diagnostics())
	}
	if diff := cmp.Diff([]string{"x_thing.a"}, tf.Addresses()); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if tf.Tainted("x_thing.a") {
		t.Error("a Create that returned success is not tainted by an interrupt")
	}
	if got := cloud.count("stop"); got != 1 {
		t.Errorf("StopProvider calls: got %d, want 1", got)
	}
}

func TestKills(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		kill      func(*core.Run)
		exit      int
		cancelled bool
	}{
		"both":      {(*core.Run).Kill, -1, false},
		"terraform": {(*core.Run).KillTerraform, -1, true},
		"provider":  {(*core.Run).KillProvider, 1, false},
		"two interrupts": {func(r *core.Run) {
			r.Interrupt()
			r.Interrupt()
		}, -1, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf, cloud := newThings(t)
			entered, cancelled, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
			cloud.set(func(c *world) {
				c.onCreate = func(ctx context.Context) {
					close(entered)
					<-ctx.Done()
					close(cancelled)
					if name == "two interrupts" {
						<-ended // it does not return before the second
					}
				}
			})
			tf.Resource("x_thing.a", map[string]any{"name": "a"})
			run := tf.StartApply()
			<-entered
			tc.kill(run)
			r := run.Wait()
			close(ended)
			if r.ExitCode() != tc.exit {
				t.Errorf("exit code: got %d, want %d", r.ExitCode(), tc.exit)
			}
			if got := tf.Addresses(); len(got) != 0 {
				t.Errorf("state: got %v, want none", got)
			}
			if tc.cancelled {
				<-cancelled
			} else {
				select {
				case <-cancelled:
					t.Error("the context was cancelled, which a killed provider cannot see")
				case <-time.After(50 * time.Millisecond):
				}
			}
			cloud.set(func(c *world) { c.onCreate = nil })
			tf.MustApply() // the next command works
		})
	}
}
