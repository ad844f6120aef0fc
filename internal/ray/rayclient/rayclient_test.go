package rayclient_test

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/rayclient"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// server answers as Ray 2.60.0's client server does.
type server struct {
	raypb.UnimplementedRayletDriverServer
	raypb.UnimplementedRayletDataStreamerServer

	// token, if not empty, is what calls must carry.
	token string
	// failures are answers to the first sessions' init, each a traceback.
	failures []string
	// hang is closed when a session has reached init; that session then gets no
	// answer.
	hang chan struct{}

	mu       sync.Mutex
	sessions map[string]bool // open sessions by client id
	opened   int
	cleaned  int // ended by request
	grace    []int32
}

// serve starts s and returns its address.
func serve(t *testing.T, s *server) string {
	t.Helper()
	s.sessions = map[string]bool{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	raypb.RegisterRayletDriverServer(g, s)
	raypb.RegisterRayletDataStreamerServer(g, s)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	return l.Addr().String()
}

// count is how many sessions were tried.
func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// admit returns the call's client id.
func (s *server) admit(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if s.token != "" && strings.Join(md.Get("authorization"), ",") != "Bearer "+s.token {
		return "", status.Error(codes.Unauthenticated, "Invalid or missing authentication token")
	}
	return strings.Join(md.Get("client_id"), ","), nil
}

func (s *server) ClusterInfo(ctx context.Context, r *raypb.ClusterInfoRequest) (*raypb.ClusterInfoResponse, error) {
	id, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	reply := &raypb.ClusterInfoResponse{Type: r.GetType()}
	if r.GetType() == raypb.ClusterInfoType_PING {
		reply.ResponseType = &raypb.ClusterInfoResponse_Json{Json: "{}"}
		return reply, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sessions[id] {
		return nil, status.Error(codes.NotFound, "Failed to serialize response!")
	}
	switch r.GetType() {
	case raypb.ClusterInfoType_DASHBOARD_URL:
		reply.ResponseType = &raypb.ClusterInfoResponse_Json{Json: `{"dashboard_url": "127.0.0.1:8265"}`}
	case raypb.ClusterInfoType_RUNTIME_CONTEXT:
		reply.ResponseType = &raypb.ClusterInfoResponse_RuntimeContext_{RuntimeContext: &raypb.ClusterInfoResponse_RuntimeContext{
			GcsAddress: "10.0.0.1:6379", SessionName: "session_1",
		}}
	}
	return reply, nil
}

func (s *server) Datapath(stream raypb.RayletDataStreamer_DatapathServer) error {
	id, err := s.admit(stream.Context())
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.opened++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.sessions, id)
		s.mu.Unlock()
	}()
	for {
		request, err := stream.Recv()
		if err != nil {
			return nil // the client closed its side, or is gone
		}
		reply, last := s.answer(stream.Context(), id, request)
		if err := stream.Send(reply); err != nil || last {
			return err
		}
	}
}

// answer answers one request; last is true where Ray then ends the stream.
func (s *server) answer(ctx context.Context, id string, r *raypb.DataRequest) (reply *raypb.DataResponse, last bool) {
	reply = &raypb.DataResponse{ReqId: r.GetReqId()}
	switch {
	case r.GetInit() != nil:
		if s.hang != nil {
			close(s.hang)
			<-ctx.Done()
			return reply, true
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.grace = append(s.grace, r.GetInit().GetReconnectGracePeriod())
		init := &raypb.InitResponse{Ok: true}
		if len(s.failures) > 0 {
			init, s.failures = &raypb.InitResponse{Msg: s.failures[0]}, s.failures[1:]
		}
		s.sessions[id] = init.GetOk()
		reply.Type = &raypb.DataResponse_Init{Init: init}
		return reply, !init.GetOk()
	case r.GetConnectionInfo() != nil:
		reply.Type = &raypb.DataResponse_ConnectionInfo{ConnectionInfo: &raypb.ConnectionInfoResponse{
			NumClients: 1, RayVersion: "2.60.0", PythonVersion: "3.13.0",
		}}
	case r.GetConnectionCleanup() != nil:
		s.mu.Lock()
		s.cleaned++
		s.mu.Unlock()
		reply.Type = &raypb.DataResponse_ConnectionCleanup{ConnectionCleanup: &raypb.ConnectionCleanupResponse{}}
	}
	return reply, false
}

// traceback is what Ray 2.60.0 answered when the driver that it forked crashed.
const traceback = "Traceback (most recent call last):\n  File \"proxier.py\", line 396, in start_specific_server\n" +
	"psutil.ZombieProcess: PID still exists but it's a zombie (pid=11267)\n"

func TestDiscover_opensOneSessionAndEndsIt(t *testing.T) {
	t.Parallel()
	s := &server{token: "t"}
	address := serve(t, s)
	got, err := rayclient.Discover(t.Context(), rayclient.Options{
		Address: address, Token: func(context.Context) (string, error) { return "t", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := rayclient.Discovery{
		DashboardURL: "127.0.0.1:8265", GCSAddress: "10.0.0.1:6379", SessionName: "session_1",
		RayVersion: "2.60.0", PythonVersion: "3.13.0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("discovery (-want +got):\n%s", diff)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened != 1 || s.cleaned != 1 || !cmp.Equal(s.grace, []int32{0}) {
		t.Errorf("%d sessions, %d ended by request, grace periods %v; want one of each, and 0", s.opened, s.cleaned, s.grace)
	}
}

func TestDiscover_driverThatDidNotStart(t *testing.T) {
	t.Parallel()
	s := &server{failures: []string{traceback}}
	_, err := rayclient.Discover(t.Context(), rayclient.Options{Address: serve(t, s)})
	if n := s.count(); err != nil || n != 2 {
		t.Errorf("one failure: %v after %d tries, want none after 2", err, n)
	}
	s = &server{failures: []string{traceback, traceback, traceback, traceback}}
	_, err = rayclient.Discover(t.Context(), rayclient.Options{Address: serve(t, s)})
	if !ray.IsKind(err, ray.KindServer) || !strings.HasSuffix(err.Error(), "it's a zombie (pid=11267)") {
		t.Errorf("failures for ever: %v, want an error of kind server with the traceback's last line", err)
	}
}

func TestDiscover_cancelledWhileTheDriverStarts(t *testing.T) {
	t.Parallel()
	s := &server{hang: make(chan struct{})}
	address := serve(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-s.hang
		cancel()
	}()
	start := time.Now()
	_, err := rayclient.Discover(ctx, rayclient.Options{Address: address})
	if !ray.IsKind(err, ray.KindCanceled) || time.Since(start) >= rayclient.DefaultTimeout {
		t.Errorf("Discover = %v after %s, want an error of kind canceled before its own time limit", err, time.Since(start))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	gcs, err := raytest.StartFakeGCS(raytest.GCSState{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gcs.Close)
	token := serve(t, &server{token: "t"})
	cases := []struct {
		name, address string
		kind          ray.Kind
	}{
		{"no token", token, ray.KindUnauthenticated},
		{"a GCS", gcs.Address(), ray.KindProtocol},
		{"a URL", "ray://127.0.0.1:10001", ray.KindInvalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := rayclient.Options{Address: c.address}
			if err := rayclient.Ping(t.Context(), o); !ray.IsKind(err, c.kind) {
				t.Errorf("Ping: %v, want an error of kind %s", err, c.kind)
			}
			if _, err := rayclient.Discover(t.Context(), o); !ray.IsKind(err, c.kind) {
				t.Errorf("Discover: %v, want an error of kind %s", err, c.kind)
			}
		})
	}
}

// A real head, whose client server and GCS the variables name. It gains one
// driver, which is over when the test ends.
func TestDiscover_real(t *testing.T) {
	t.Parallel()
	address, gcsAddress := os.Getenv("RAYTEST_CLIENT_ADDRESS"), os.Getenv("RAYTEST_GCS_ADDRESS")
	if address == "" || gcsAddress == "" {
		t.Skip("ring 3: RAYTEST_CLIENT_ADDRESS and RAYTEST_GCS_ADDRESS name no real head")
	}
	o := rayclient.Options{Address: address}
	if err := rayclient.Ping(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := rayclient.Ping(t.Context(), rayclient.Options{Address: gcsAddress}); !ray.IsKind(err, ray.KindProtocol) {
		t.Errorf("Ping of the GCS: %v, want an error of kind protocol", err)
	}
	got, err := rayclient.Discover(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(got.GCSAddress)
	if _, want, _ := net.SplitHostPort(gcsAddress); err != nil || port != want {
		t.Errorf("GCS address %q, want port %s", got.GCSAddress, want)
	}
	if _, _, err := net.SplitHostPort(got.DashboardURL); err != nil {
		t.Errorf("dashboard %q is not host:port", got.DashboardURL)
	}
	if _, ok := ray.ParseVersion(got.RayVersion); !ok || got.PythonVersion == "" {
		t.Errorf("versions %q and %q", got.RayVersion, got.PythonVersion)
	}
}
