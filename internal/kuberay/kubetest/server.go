//go:build unix

package kubetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest/keeper"
)

// Options describe a server. The zero value is one that serves RayClusters, and
// nobody looks after them.
type Options struct {
	// Bin is the directory with kube-apiserver, ray-operator and crds; "" means
	// $KUBETEST_BIN, which `make` sets to the one that it fills.
	Bin string
	// NoCRDs leaves KubeRay's custom resource definition out, as on a server where
	// KubeRay was never installed; InstallCRDs adds it.
	NoCRDs bool
	// Operator runs KubeRay's operator with all its custom resource definitions, and
	// what stands in for kubelets. It costs some seconds more.
	Operator bool
}

// Server is a running Kubernetes API server.
type Server struct {
	// URL is https://127.0.0.1:port.
	URL string
	// CA is the certificate (PEM) that the server's own is signed with, CAFile a file
	// that has it.
	CA, CAFile string
	// Admin may do everything.
	Admin User
	// Dir holds everything that the server writes; removed by Close.
	Dir string

	bin     string
	keeper  *keeper.Keeper
	client  *http.Client
	issuer  *authority
	network *network

	mu        sync.Mutex
	processes []*process
	cancel    context.CancelFunc // ends the loops
	loops     sync.WaitGroup
	stop      sync.Once
	err       error
}

// process is one that the keeper ends.
type process struct {
	name string
	log  string
	self *os.Process
	dead chan struct{}
}

// Start starts a server and returns when it is ready and RayClusters are
// served. On an error everything is stopped, and the error ends with what the
// server wrote to its log.
func Start(ctx context.Context, opts Options) (*Server, error) {
	bin := opts.Bin
	if bin == "" {
		bin = os.Getenv("KUBETEST_BIN")
	}
	if bin == "" {
		return nil, errors.New("KUBETEST_BIN is not set: run this through make, which builds a Kubernetes API server")
	}
	// Not os.TempDir: etcd puts a Unix socket below, whose path has at most 107
	// characters (103 on macOS).
	dir, err := os.MkdirTemp("/tmp", "kubetest")
	if err != nil {
		return nil, fmt.Errorf("make a directory for a Kubernetes API server: %w", err)
	}
	s := &Server{Dir: dir, bin: bin}
	if s.keeper, err = keeper.Start(s.mark(), dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.start(ctx, opts); err != nil {
		log := s.Log()
		return nil, errors.Join(fmt.Errorf("start a Kubernetes API server: %w\n%s", err, log), s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, opts Options) error {
	loops, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	if err := s.makeCredentials(); err != nil {
		return err
	}
	if err := s.startNetwork(loops); err != nil {
		return err
	}
	// The same memory at the end of a start, a fifth less of processor time.
	gc := []string{"GOGC=400", "GOMEMLIMIT=700MiB"}
	apiserver, err := s.run("kube-apiserver", gc, append([]string{s.Dir}, s.flags()...)...)
	if err != nil {
		return err
	}
	if err := keeper.WaitFor(ctx, "the server to be ready", apiserver.name, apiserver.dead, s.ready); err != nil {
		return err
	}
	if s.Admin, err = s.kubeconfig(s.Admin); err != nil {
		return err
	}
	switch {
	case opts.Operator:
		return s.startOperator(ctx, loops)
	case opts.NoCRDs:
		return nil
	}
	return s.InstallCRDs(ctx)
}

// flags are those of kube-apiserver.
func (s *Server) flags() []string {
	return []string{
		"--tls-cert-file=" + s.file("server.crt"), "--tls-private-key-file=" + s.file("server.key"),
		"--client-ca-file=" + s.CAFile, "--token-auth-file=" + s.file("tokens.csv"), "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + s.file("accounts.key"), "--service-account-signing-key-file=" + s.file("accounts.key"),
		"--service-cluster-ip-range=10.0.0.0/24",
		"--egress-selector-config-file=" + s.file("egress.yaml"),
		// No controller makes the service account that each pod would need.
		"--disable-admission-plugins=ServiceAccount",
		"--endpoint-reconciler-type=none",
	}
}

// ready finds out where the server listens and asks it whether it is ready.
func (s *Server) ready(ctx context.Context) error {
	if s.URL == "" {
		url, err := os.ReadFile(s.file("url"))
		if err != nil {
			return err
		}
		s.URL = string(url)
	}
	return s.Do(ctx, Request{Path: "/readyz"}, nil)
}

// run starts a program of s.bin.
func (s *Server) run(name string, env []string, args ...string) (*process, error) {
	p, err := s.runAs(name, filepath.Join(s.bin, name), env, args...)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("no %s in %s: `make kube` builds it", name, s.bin)
	}
	return p, err
}

// runAs starts a program, which ends with the server. It sees none of the environment
// that steers Kubernetes' clients or proxies.
func (s *Server) runAs(name, program string, env []string, args ...string) (*process, error) {
	p := &process{name: name, log: s.file(name + ".log"), dead: make(chan struct{})}
	cmd := exec.Command(program, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir, s.mark()}, env...)
	cmd.Dir = s.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	p.self = cmd.Process
	go func() {
		defer close(p.dead)
		// The exit status says nothing: a stopped process ends with one too.
		_ = cmd.Wait()
		_ = out.Close()
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return p, s.keeper.Add(cmd.Process.Pid)
}

// mark is in the environment of all processes. It ends in a character that no name
// has, so that none is the beginning of another.
func (s *Server) mark() string { return "KUBETEST_SERVER=" + s.Dir + ";" }

func (s *Server) file(name string) string { return filepath.Join(s.Dir, name) }

// Close kills the server and what runs beside it, waits until no process is left
// and removes the directory. Further calls do nothing.
func (s *Server) Close() error {
	s.stop.Do(func() {
		if s.cancel != nil {
			s.cancel()
		}
		s.loops.Wait()
		s.err = s.keeper.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range s.processes {
			<-p.dead
		}
		if s.client != nil {
			s.client.CloseIdleConnections()
		}
	})
	return s.err
}

// Log returns the ends of the logs, for the message of a failed test.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, p := range s.processes {
		text, err := os.ReadFile(p.log)
		if err != nil {
			continue
		}
		lines := slices.Collect(strings.Lines(string(text)))
		fmt.Fprintf(&b, "--- %s\n%s\n", p.name, strings.Join(lines[max(0, len(lines)-40):], ""))
	}
	return b.String()
}

// poll calls ready until it returns nil or the context ends.
func poll(ctx context.Context, what string, ready func(context.Context) error) error {
	return keeper.WaitFor(ctx, what, "", nil, ready)
}
