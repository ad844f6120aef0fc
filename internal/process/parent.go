package process

import (
	"context"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
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

// fullServer is every interface that tf6server looks for in a provider server.
type fullServer interface {
	tfprotov6.ProviderServer
	tfprotov6.ListResourceServer
	tfprotov6.ActionServer
	tfprotov6.StateStoreServer
}

// Server passes everything on to a provider server and knows which changes are
// under way, so that the process can end between them.
type Server struct {
	fullServer

	changes sync.WaitGroup
}

// Wrap returns s as a Server; ok is false where s lacks one of the interfaces
// that the wrapper would hide.
func Wrap(s tfprotov6.ProviderServer) (wrapped *Server, ok bool) {
	full, ok := s.(fullServer)
	return &Server{fullServer: full}, ok
}

// ApplyResourceChange counts the change as under way.
func (s *Server) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	s.changes.Add(1)
	defer s.changes.Done()
	return s.fullServer.ApplyResourceChange(ctx, req)
}

// Finish cancels all calls and waits until the changes have ended, at most for
// grace. A change that is in the middle of a request to Ray finishes it, so that
// nothing is cut off half-way; one that waits for a job stops waiting.
func (s *Server) Finish(ctx context.Context, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	// The framework's answer to StopProvider holds nothing.
	_, _ = s.StopProvider(ctx, &tfprotov6.StopProviderRequest{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.changes.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
