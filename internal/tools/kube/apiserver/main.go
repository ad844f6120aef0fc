// Command apiserver is a Kubernetes API server for tests: kube-apiserver and the
// etcd that it needs in one process, which wants nothing but a directory.
//
// Usage:
//
//	apiserver DIR [flags of kube-apiserver]
//
// It listens on a free port of 127.0.0.1 and writes https://127.0.0.1:port into
// DIR/url as soon as that is decided. etcd is to be found only through a socket in
// DIR. Nothing is synced to disk: what is in there is gone with the process, which
// ends on SIGTERM or SIGINT.
//
// It is a module of its own since k8s.io/kubernetes can only be required together
// with a replace for each of its parts, those in go.mod.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: apiserver DIR [flags of kube-apiserver]")
		os.Exit(2)
	}
	if err := run(genericapiserver.SetupSignalContext(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, dir string, args []string) error {
	etcd, err := startEtcd(dir)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer etcd.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	opts, err := serverOptions(ctx, listener, etcd, args)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := writeFile(filepath.Join(dir, "url"), "https://"+listener.Addr().String()); err != nil {
		return errors.Join(err, listener.Close())
	}
	return app.Run(ctx, opts)
}

// startEtcd starts an etcd with one member and returns when it serves.
func startEtcd(dir string) (*embed.Etcd, error) {
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dir, "etcd")
	cfg.Name = "test"
	cfg.LogLevel = "error"
	cfg.UnsafeNoFsync = true
	client := url.URL{Scheme: "unix", Path: filepath.Join(dir, "etcd.sock")}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls = nil // there are none
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case err := <-e.Err():
		e.Close()
		return nil, err
	}
}

// serverOptions are those of kube-apiserver, by args, on this listener and etcd.
func serverOptions(ctx context.Context, listener net.Listener, etcd *embed.Etcd, args []string) (options.CompletedOptions, error) {
	s := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("apiserver", pflag.ContinueOnError)
	for _, set := range s.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(args); err != nil {
		return options.CompletedOptions{}, err
	}
	addr := listener.Addr().(*net.TCPAddr)
	s.SecureServing.Listener = listener
	s.SecureServing.BindPort = addr.Port
	s.SecureServing.ExternalAddress = addr.IP
	s.Etcd.StorageConfig.Transport.ServerList = []string{etcd.Config().AdvertiseClientUrls[0].String()}
	if err := s.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return options.CompletedOptions{}, err
	}
	// What the server asks of itself is none of the user's business.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	completed, err := s.Complete(ctx)
	if err != nil {
		return options.CompletedOptions{}, err
	}
	return completed, utilerrors.NewAggregate(completed.Validate())
}

// writeFile writes a file that appears only when it is whole.
func writeFile(name, text string) error {
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
