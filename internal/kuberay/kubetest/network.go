//go:build unix

package kubetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
)

// network stands in for the network of pods: it leads what the API server sends to
// a pod's address to a server of this machine.
//
// The API server accepts no endpoint with a loopback address, and asks an egress
// proxy (HTTP CONNECT on a Unix socket, as konnectivity's) for all that it sends to
// pods: that proxy is what listens here.
type network struct {
	listener net.Listener

	mu     sync.Mutex
	routes map[string]string // pod's host:port to host:port of this machine
}

// egress is the configuration that names the proxy.
const egress = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport: {uds: {udsName: %s}}
`

// startNetwork starts the proxy, which ends with ctx.
func (s *Server) startNetwork(ctx context.Context) error {
	socket := s.file("network.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	s.network = &network{listener: listener, routes: map[string]string{}}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	s.loops.Go(func() { s.network.serve(ctx, &s.loops) })
	return os.WriteFile(s.file("egress.yaml"), fmt.Appendf(nil, egress, socket), 0o600)
}

func (n *network) serve(ctx context.Context, loops *sync.WaitGroup) {
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			return // closed
		}
		loops.Go(func() { n.connect(ctx, conn) })
	}
}

// connect serves one CONNECT.
func (n *network) connect(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	in := bufio.NewReader(conn)
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	n.mu.Lock()
	target, ok := n.routes[req.Host]
	n.mu.Unlock()
	if !ok {
		fmt.Fprintf(conn, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	out, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		fmt.Fprintf(conn, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { _ = out.Close() })()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	// Whichever end closes first closes the other.
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	_, _ = io.Copy(conn, out)
	_ = conn.Close()
	<-done
}

// ServeHead leads what is asked of the cluster's head service to servers of this
// machine: ports maps a port's name in the service (dashboard, gcs-server, client)
// to host:port. It needs the operator, who makes the service and the head pod, and
// does what a controller of endpoints would do. GET
// /api/v1/namespaces/NAMESPACE/services/NAME:dashboard/proxy/ then reaches it.
func (c *RayCluster) ServeHead(ctx context.Context, ports map[string]string) error {
	var head struct {
		Status struct {
			Head struct{ PodIP, PodName, ServiceName string }
		}
	}
	err := poll(ctx, c.Name+" to have a head", func(ctx context.Context) error {
		if err := c.server.Do(ctx, Request{Path: c.Path()}, &head); err != nil {
			return err
		}
		if h := head.Status.Head; h.PodIP == "" || h.PodName == "" || h.ServiceName == "" {
			return fmt.Errorf("its status says %+v", h)
		}
		return nil
	})
	if err != nil {
		return err
	}
	h := head.Status.Head
	var service struct {
		Spec struct {
			Ports []struct {
				Name string
				Port int
			}
		}
	}
	if err := c.server.Do(ctx, Request{Path: "/api/v1/namespaces/" + c.Namespace + "/services/" + h.ServiceName}, &service); err != nil {
		return err
	}
	routes, slice := map[string]string{}, []Object{}
	for _, port := range service.Spec.Ports {
		if target := ports[port.Name]; target != "" {
			routes[net.JoinHostPort(h.PodIP, strconv.Itoa(port.Port))] = target
			slice = append(slice, Object{"name": port.Name, "port": port.Port, "protocol": "TCP"})
		}
	}
	if len(slice) != len(ports) {
		return errors.New("the head's service " + h.ServiceName + " has not all these ports")
	}
	err = c.server.apply(ctx, "/apis/discovery.k8s.io/v1/namespaces/"+c.Namespace+"/endpointslices/"+url.PathEscape(h.ServiceName), Object{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": slice,
		"metadata": Object{"name": h.ServiceName, "namespace": c.Namespace, "labels": Object{"kubernetes.io/service-name": h.ServiceName}},
		"endpoints": []Object{{
			"addresses": []string{h.PodIP}, "conditions": Object{"ready": true},
			"targetRef": Object{"kind": "Pod", "namespace": c.Namespace, "name": h.PodName},
		}},
	})
	if err != nil {
		return err
	}
	// The proxy sees the slice a moment later. Nothing is led anywhere until it does.
	err = poll(ctx, h.ServiceName+" to have endpoints", func(ctx context.Context) error {
		for port := range ports {
			err := c.server.Do(ctx, Request{Path: "/api/v1/namespaces/" + c.Namespace + "/services/" + h.ServiceName + ":" + port + "/proxy/"}, nil)
			if status, ok := errors.AsType[*StatusError](err); ok && strings.Contains(status.Message, "no endpoints available") {
				return err
			}
		}
		return nil
	})
	c.server.network.mu.Lock()
	defer c.server.network.mu.Unlock()
	maps.Copy(c.server.network.routes, routes)
	return err
}
