package process

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

func TestQuiet_onlyWhereNobodyAsksForLogs(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		environ []string
		quiet   bool
	}{
		"nothing":        {nil, true},
		"other":          {[]string{"TF_LOG_PATH=x", "TF_VAR_a=b", "HOME=/"}, true},
		"empty":          {[]string{"TF_LOG="}, true},
		"core":           {[]string{"TF_LOG=DEBUG"}, false},
		"providers":      {[]string{"TF_LOG_PROVIDER=TRACE"}, false},
		"this provider":  {[]string{"TF_LOG_PROVIDER_RAY=INFO"}, false},
		"other provider": {[]string{"TF_LOG_PROVIDER_AWS=INFO"}, true},
		"sdk":            {[]string{"TF_LOG_SDK_PROTO=WARN"}, false},
		"acceptance":     {[]string{"TF_ACC_LOG=1"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Quiet(c.environ)
			if (got != nil) != c.quiet {
				t.Errorf("Quiet(%q) = %q, want any: %t", c.environ, got, c.quiet)
			}
			if c.quiet && !slices.Contains(got, "TF_LOG_SDK") {
				t.Errorf("Quiet(%q) = %q lacks TF_LOG_SDK", c.environ, got)
			}
		})
	}
}

func TestChanged_noticesANewParentWithinAnInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ppid atomic.Int64
		ppid.Store(42)
		orphaned := changed(t.Context(), time.Second, 42, func() int { return int(ppid.Load()) })
		time.Sleep(time.Minute)
		select {
		case <-orphaned:
			t.Fatal("orphaned although the parent is the same")
		default:
		}
		ppid.Store(7)
		began := time.Now()
		<-orphaned
		if took := time.Since(began); took > time.Second {
			t.Errorf("noticed after %s", took)
		}
	})
}

func TestWrap_keepsEveryInterfaceOfTheFramework(t *testing.T) {
	t.Parallel()
	if _, ok := Wrap(providerserver.NewProtocol6(nilProvider{})()); !ok {
		t.Error("the framework's server lacks an interface that Server passes on")
	}
}

// nilProvider stands in for a provider that is never asked anything.
type nilProvider struct{ provider.Provider }

// slowServer is busy with a change until it may finish.
type slowServer struct {
	fullServer
	stopped chan struct{}
	finish  chan struct{}
}

func (s *slowServer) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	close(s.stopped)
	return &tfprotov6.StopProviderResponse{}, nil
}

func (s *slowServer) ApplyResourceChange(context.Context, *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	<-s.finish
	return &tfprotov6.ApplyResourceChangeResponse{}, nil
}

func TestFinish_waitsForTheChangeUnderWay(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ change, want time.Duration }{
		"idle":                  {0, 0},
		"a change that ends":    {3 * time.Second, 3 * time.Second},
		"a change that hangs":   {time.Hour, 10 * time.Second},
		"a change that is fast": {time.Millisecond, time.Millisecond},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				slow := &slowServer{stopped: make(chan struct{}), finish: make(chan struct{})}
				s := &Server{fullServer: slow, asked: make(chan struct{})}
				if c.change > 0 {
					go func() { _, _ = s.ApplyResourceChange(t.Context(), nil) }()
					synctest.Wait()
					time.AfterFunc(c.change, func() { close(slow.finish) })
				}
				began := time.Now()
				s.Finish(t.Context(), 10*time.Second)
				if took := time.Since(began); took != c.want {
					t.Errorf("took %s, want %s", took, c.want)
				}
				<-slow.stopped
				time.Sleep(c.change) // until the change has ended too
				synctest.Wait()
			})
		})
	}
}

// askedServer answers each change with whether the CLI asked to stop it.
type askedServer struct {
	fullServer
	begun chan struct{}
	asked chan bool
}

func (s *askedServer) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

func (s *askedServer) ApplyResourceChange(ctx context.Context, _ *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	s.begun <- struct{}{}
	<-ctx.Done()
	s.asked <- fw.StopAsked(ctx)
	return &tfprotov6.ApplyResourceChangeResponse{}, nil
}

func TestServer_knowsWhetherTheCLIAsked(t *testing.T) {
	t.Parallel()
	ask := func(s *Server) { _, _ = s.StopProvider(context.Background(), &tfprotov6.StopProviderRequest{}) }
	for name, c := range map[string]struct {
		before, during func(s *Server, cancel func())
		want           bool
	}{
		"asked, then cancelled":       {nil, func(s *Server, cancel func()) { ask(s); cancel() }, true},
		"cancelled, then asked":       {nil, func(s *Server, cancel func()) { cancel(); time.Sleep(50 * time.Millisecond); ask(s) }, true},
		"connection broken":           {nil, func(_ *Server, cancel func()) { cancel() }, false},
		"orphaned":                    {nil, func(s *Server, cancel func()) { cancel(); s.Finish(context.Background(), time.Second) }, false},
		"another CLI asked, debugged": {func(s *Server, _ func()) { ask(s) }, func(_ *Server, cancel func()) { cancel() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inner := &askedServer{begun: make(chan struct{}), asked: make(chan bool, 1)}
				s := &Server{fullServer: inner, asked: make(chan struct{})}
				ctx, cancel := context.WithCancel(t.Context())
				if c.before != nil {
					c.before(s, cancel)
				}
				go func() { _, _ = s.ApplyResourceChange(ctx, nil) }()
				<-inner.begun
				c.during(s, cancel)
				if got := <-inner.asked; got != c.want {
					t.Errorf("asked is %t, want %t", got, c.want)
				}
			})
		})
	}
}
