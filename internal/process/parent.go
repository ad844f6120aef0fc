package process

import (
	"context"
	"os"
	"runtime"
	"time"
)

// Orphaned returns a channel that is closed when the process's parent has died.
//
// go-plugin's server lives until its client tells it to stop, so the provider of
// a Terraform that was killed would stay for ever. On Unix an orphan gets another
// parent (not always 1: there are subreapers), which is looked for every
// interval. On Windows the parent id never changes, but a parent can be waited
// for. The watch ends with ctx.
func Orphaned(ctx context.Context, interval time.Duration) <-chan struct{} {
	parent := os.Getppid()
	if runtime.GOOS == "windows" {
		return exited(parent)
	}
	return changed(ctx, interval, parent, os.Getppid)
}

// changed closes its channel when ppid no longer returns parent.
func changed(ctx context.Context, interval time.Duration, parent int, ppid func() int) <-chan struct{} {
	orphaned := make(chan struct{})
	go func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for ppid() == parent {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		close(orphaned)
	}()
	return orphaned
}

// exited closes its channel when the process has ended. On Windows any process
// can be waited for, not only a child.
func exited(pid int) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		p, err := os.FindProcess(pid)
		if err == nil {
			_, err = p.Wait()
		}
		if err == nil {
			close(ended)
		}
	}()
	return ended
}
