package process

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

// fullServer is every interface that tf6server looks for in a provider server.
type fullServer interface {
	tfprotov6.ProviderServer
	tfprotov6.ListResourceServer
	tfprotov6.ActionServer
	tfprotov6.StateStoreServer
}

// Server passes everything on to a provider server. It knows which changes are under
// way, so that the process can end between them, and tells them whether the CLI asked
// the provider to stop (fw.StopAsked).
type Server struct {
	fullServer

	changes sync.WaitGroup

	mu    sync.Mutex
	asked chan struct{} // closed when the CLI asks the calls under way to stop
}

// Wrap returns s as a Server; ok is false where s lacks one of the interfaces
// that the wrapper would hide.
func Wrap(s tfprotov6.ProviderServer) (wrapped *Server, ok bool) {
	full, ok := s.(fullServer)
	return &Server{fullServer: full, asked: make(chan struct{})}, ok
}

// ApplyResourceChange counts the change as under way.
func (s *Server) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	s.changes.Add(1)
	defer s.changes.Done()
	s.mu.Lock()
	asked := s.asked
	s.mu.Unlock()
	return s.fullServer.ApplyResourceChange(fw.WithStop(ctx, asked), req)
}

// StopProvider is the CLI's word that it was interrupted. A provider that is debugged
// outlives it.
func (s *Server) StopProvider(ctx context.Context, req *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	s.mu.Lock()
	close(s.asked)
	s.asked = make(chan struct{})
	s.mu.Unlock()
	return s.fullServer.StopProvider(ctx, req)
}

// Finish cancels all calls and waits until the changes have ended, at most for
// grace. A change that is in the middle of a request to Ray finishes it, so that
// nothing is cut off half-way; one that waits for a job stops waiting.
func (s *Server) Finish(ctx context.Context, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	// The framework's answer holds nothing. This stop is not the CLI's.
	_, _ = s.fullServer.StopProvider(ctx, &tfprotov6.StopProviderRequest{})
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
