package rayrpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/rayrpc"
)

// connect returns a connection that is closed when the test ends.
func connect(t *testing.T, o rayrpc.Options) *rayrpc.Conn {
	t.Helper()
	conn, err := rayrpc.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// pingLimit is when ping gives up by itself.
const pingLimit = 20 * time.Second

// ping makes one call and returns what Error makes of its outcome.
func ping(ctx context.Context, conn *rayrpc.Conn) error {
	inner, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	out, err := conn.Outgoing(inner)
	if err == nil {
		_, err = raypb.NewNodeInfoGcsServiceClient(conn.GRPC()).CheckAlive(out, &raypb.CheckAliveRequest{})
	}
	return conn.Error(ctx, "ping", err)
}

// listen serves each connection with handle until the test ends.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c)
		}
	}()
	return l.Addr().String()
}

// serveGRPC serves a GCS that answers CheckAlive with answer.
func serveGRPC(t *testing.T, answer error, options ...grpc.ServerOption) (*grpc.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(options...)
	raypb.RegisterNodeInfoGcsServiceServer(s, nodeInfo{answer: answer})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return s, l.Addr().String()
}

type nodeInfo struct {
	raypb.UnimplementedNodeInfoGcsServiceServer
	answer error
}

// errHang makes CheckAlive wait for its caller to give up.
var errHang = errors.New("hang")

func (n nodeInfo) CheckAlive(ctx context.Context, _ *raypb.CheckAliveRequest) (*raypb.CheckAliveReply, error) {
	if errors.Is(n.answer, errHang) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &raypb.CheckAliveReply{}, n.answer
}

func wantKind(t *testing.T, err error, kind ray.Kind, words string) {
	t.Helper()
	if got := ray.KindOf(err); got != kind {
		t.Fatalf("error %v is of kind %q, want %q", err, got, kind)
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("error %q does not say %q", err, words)
	}
}

func TestNew_refusesWhatIsNotHostPort(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "localhost", "http://localhost:6379", "ray://h:1", ":6379", "h:", "::1", "h:1/x"} {
		if _, err := rayrpc.New(rayrpc.Options{Address: address}); !ray.IsKind(err, ray.KindInvalid) {
			t.Errorf("New(%q) = %v, want an error of kind invalid", address, err)
		}
	}
	if _, err := rayrpc.New(rayrpc.Options{Address: "[::1]:6379"}); err != nil {
		t.Errorf("New with an IPv6 address: %v", err)
	}
}

func TestError_ofServersThatAreNoGRPC(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	// Ray with RAY_USE_TLS=1 closes without a word: plaintext, no client
	// certificate and another CA's certificate look alike.
	closer := func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	_, plain := serveGRPC(t, nil)
	cases := []struct {
		name    string
		options rayrpc.Options
		kind    ray.Kind
		words   string
	}{
		{"refused", rayrpc.Options{Address: "127.0.0.1:1"}, ray.KindUnavailable, "connection refused"},
		{"a dashboard", rayrpc.Options{Address: web.Listener.Addr().String()}, ray.KindProtocol, "the port speaks HTTP, not gRPC"},
		{"closes without a word", rayrpc.Options{Address: listen(t, closer)}, ray.KindTLS, "may require mutual TLS (RAY_USE_TLS=1)"},
		{"speaks something else", rayrpc.Options{Address: listen(t, func(c net.Conn) {
			_, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.9\r\n"))
		})}, ray.KindProtocol, "does not speak gRPC"},
		{"TLS where none is", rayrpc.Options{Address: plain, TLS: &tls.Config{InsecureSkipVerify: true}}, ray.KindTLS, "does not speak TLS"},
		{"no such host", rayrpc.Options{Address: "nowhere:1", Dial: func(context.Context, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nowhere", IsNotFound: true}}
		}}, ray.KindDNS, "lookup nowhere: no such host"},
		{"the dialer's own kind", rayrpc.Options{Address: "nowhere:1", Dial: func(context.Context, string) (net.Conn, error) {
			return nil, &ray.Error{Kind: ray.KindForbidden, Op: "dial through the proxy"}
		}}, ray.KindForbidden, "dial through the proxy"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wantKind(t, ping(t.Context(), connect(t, c.options)), c.kind, c.words)
		})
	}
}

func TestError_ofStatuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		code    codes.Code
		message string
		kind    ray.Kind
	}{
		{"another cluster", codes.Unauthenticated, "WrongClusterID: Perhaps the client is accessing GCS after it has restarted.", ray.KindWrongCluster},
		{"token refused by a GCS", codes.Unauthenticated, "InvalidAuthToken: Authentication token is missing or incorrect", ray.KindUnauthenticated},
		{"token refused by a Ray Client server", codes.Unauthenticated, "Invalid or missing authentication token", ray.KindUnauthenticated},
		{"call that this Ray lacks", codes.Unimplemented, "", ray.KindUnsupported},
		{"forbidden", codes.PermissionDenied, "no", ray.KindForbidden},
		{"session unknown", codes.NotFound, "Failed to serialize response!", ray.KindNotFound},
		{"server gives up", codes.Unavailable, "draining", ray.KindUnavailable},
		{"server's own deadline", codes.DeadlineExceeded, "too slow", ray.KindTimeout},
		{"bug", codes.Internal, "boom", ray.KindServer},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, address := serveGRPC(t, status.Error(c.code, c.message))
			err := ping(t.Context(), connect(t, rayrpc.Options{Address: address}))
			wantKind(t, err, c.kind, c.message)
			var e *ray.Error
			if !errors.As(err, &e) || e.Code != c.code.String() || e.Address != address || e.Op != "ping" {
				t.Errorf("error %#v, want code %s at %s", e, c.code, address)
			}
		})
	}
}

func TestError_ofAProxyThatSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
	}))
	web.Config.Protocols = p
	web.Start()
	t.Cleanup(web.Close)
	err := ping(t.Context(), connect(t, rayrpc.Options{Address: web.Listener.Addr().String()}))
	wantKind(t, err, ray.KindProtocol, "502")
}

func TestError_ofAServerThatDiesIsUnavailable(t *testing.T) {
	t.Parallel()
	s, address := serveGRPC(t, errHang)
	conn := connect(t, rayrpc.Options{Address: address})
	timer := time.AfterFunc(200*time.Millisecond, s.Stop)
	defer timer.Stop()
	wantKind(t, ping(t.Context(), conn), ray.KindUnavailable, "")
}

func TestError_ofCallersThatGiveUp(t *testing.T) {
	t.Parallel()
	_, hangs := serveGRPC(t, errHang)
	ended := t.Context().Done()
	// A connection that nobody holds is closed by the garbage collector.
	mute := listen(t, func(c net.Conn) {
		<-ended
		_ = c.Close()
	})
	for name, address := range map[string]string{"call under way": hangs, "server that says nothing": mute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(100*time.Millisecond, cancel)
			defer timer.Stop()
			start := time.Now()
			err := ping(ctx, connect(t, rayrpc.Options{Address: address}))
			wantKind(t, err, ray.KindCanceled, "")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v is not context.Canceled", err)
			}
			if d := time.Since(start); d >= pingLimit {
				t.Errorf("gave up after %s, not when its caller did", d)
			}
			ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			wantKind(t, ping(ctx, connect(t, rayrpc.Options{Address: address})), ray.KindTimeout, "")
		})
	}
}

func TestOutgoing_tokenErrorsAreNoRefusalOfTheServer(t *testing.T) {
	t.Parallel()
	err := ping(t.Context(), connect(t, rayrpc.Options{Address: "127.0.0.1:1", Token: func(context.Context) (string, error) {
		return "", errors.New("open token: no such file")
	}}))
	wantKind(t, err, ray.KindUnauthenticated, "open token: no such file")
}

func TestError_ofTLS(t *testing.T) {
	t.Parallel()
	ca, caKey := certificate(t, nil, nil)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	leaf, _ := certificate(t, ca.Leaf, caKey)
	_, address := serveMutual(t, leaf, pool)
	cases := []struct {
		name   string
		config *tls.Config
		kind   ray.Kind // KindUnknown: no error
		words  string
	}{
		{"right", &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{leaf}}, ray.KindUnknown, ""},
		{"unknown CA", &tls.Config{}, ray.KindTLS, "is this cluster's CA in the configuration?"},
		{"no client certificate", &tls.Config{RootCAs: pool}, ray.KindTLS, "client certificate"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := ping(t.Context(), connect(t, rayrpc.Options{Address: address, TLS: c.config}))
			if c.kind == ray.KindUnknown {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantKind(t, err, c.kind, c.words)
		})
	}
}
