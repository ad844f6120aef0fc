package rayclient

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/rayrpc"
)

const (
	// DefaultTimeout bounds Discover where Options.Timeout is zero. It took 3 s on a
	// quiet head and 19 s on a busy one that had just started.
	DefaultTimeout = time.Minute
	// pingTimeout bounds Ping where Options.Timeout is zero.
	pingTimeout = 10 * time.Second
	// cleanupTimeout bounds the polite end of a session. Without an answer its
	// stream is cut.
	cleanupTimeout = 3 * time.Second
	// openTries is how often a session is tried; openPause grows with each try.
	openTries = 3
	openPause = 500 * time.Millisecond
)

// Options say where a Ray Client server is and how to be let in.
type Options struct {
	// Address is host:port; Ray's default port is 10001.
	Address string
	// TLS is nil for plaintext. Ray's gRPC TLS is mutual.
	TLS *tls.Config
	// Token returns the bearer token; nil or "" sends none.
	Token func(ctx context.Context) (string, error)
	// UserAgent names the program.
	UserAgent string
	// Timeout bounds the whole of Ping or Discover.
	Timeout time.Duration
	// Dial replaces the plain TCP dial.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Discovery is what a Ray Client server tells of its cluster.
type Discovery struct {
	// DashboardURL is host:port in the head's own view: 127.0.0.1 where the
	// dashboard is bound to localhost, which is Ray's default. Empty where none runs.
	DashboardURL string
	// GCSAddress is host:port in the head's own view.
	GCSAddress string
	// SessionName is empty on older Rays: not in 2.50, in 2.60.
	SessionName string
	// RayVersion and PythonVersion are the server's.
	RayVersion, PythonVersion string
}

// Ping asks for a sign of life, without a session. It checks a token, as the
// server does for every call.
//
// RayletDriver/ClusterInfo PING, in Ray 2.9 already.
func Ping(ctx context.Context, o Options) error {
	conn, err := o.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	if o.Timeout <= 0 {
		o.Timeout = pingTimeout
	}
	inner, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	return ping(ctx, inner, conn)
}

// ping is Ping on a connection; inner is ctx with a time limit.
func ping(ctx, inner context.Context, conn *rayrpc.Conn) error {
	const op = "ping the Ray Client server"
	out, err := conn.Outgoing(inner)
	if err != nil {
		return conn.Error(ctx, op, err)
	}
	_, err = raypb.NewRayletDriverClient(conn.GRPC()).ClusterInfo(out,
		&raypb.ClusterInfoRequest{Type: raypb.ClusterInfoType_PING})
	err = conn.Error(ctx, op, err)
	if ray.IsKind(err, ray.KindUnsupported) {
		// A GCS answers Unimplemented with an empty message.
		return &ray.Error{
			Kind: ray.KindProtocol, Op: op, Address: conn.Address, Err: err,
			Message: "the port speaks gRPC, but is not a Ray Client server; is it the GCS port?",
		}
	}
	return err
}

// Discover opens one session, asks where the rest of the cluster is, and ends
// the session. It takes 2 to 4 s. When ctx ends it returns at once; the session
// then ends with its stream. A driver that the server could not start is tried
// twice more.
//
// RayletDataStreamer/Datapath and RayletDriver/ClusterInfo, in Ray 2.9 already.
func Discover(ctx context.Context, o Options) (Discovery, error) {
	conn, err := o.connect()
	if err != nil {
		return Discovery{}, err
	}
	defer conn.Close()
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	inner, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	// What is wrong with the address or the token costs no session.
	if err := ping(ctx, inner, conn); err != nil {
		return Discovery{}, err
	}
	s, err := openPatiently(ctx, inner, conn)
	if err != nil {
		return Discovery{}, err
	}
	defer s.end()
	return s.discover()
}

// openPatiently opens a session and tries again where the server could not start
// the driver, so that there is none yet. Ray 2.60's server forks it from a process
// with gRPC threads, and the child may crash ("Check failed: next_worker->state ==
// KICKED"): seen for one of two sessions within a second.
func openPatiently(caller, inner context.Context, conn *rayrpc.Conn) (*session, error) {
	for tries := 1; ; tries++ {
		s, err := open(caller, inner, conn)
		if tries == openTries || !ray.IsKind(err, ray.KindServer) {
			return s, err
		}
		timer := time.NewTimer(time.Duration(tries) * openPause)
		select {
		case <-inner.Done():
			timer.Stop()
			return nil, err
		case <-timer.C:
		}
	}
}

// connect makes the connection, undialled.
func (o Options) connect() (*rayrpc.Conn, error) {
	return rayrpc.New(rayrpc.Options{Address: o.Address, TLS: o.TLS, Token: o.Token, UserAgent: o.UserAgent, Dial: o.Dial})
}

// session is one driver process on the head.
type session struct {
	conn *rayrpc.Conn
	// caller is the context that the caller gave; out carries the session's id and
	// credentials, and ends with the time limit or by cut.
	caller, out context.Context
	cut         context.CancelFunc
	stream      raypb.RayletDataStreamer_DatapathClient
	driver      raypb.RayletDriverClient
	lastID      int32
}

// open opens a session and waits until its driver runs.
func open(caller, inner context.Context, conn *rayrpc.Conn) (*session, error) {
	const op = "open a Ray Client session"
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, conn.Error(caller, op, err)
	}
	out, err := conn.Outgoing(inner, "client_id", hex.EncodeToString(id[:]), "reconnecting", "False")
	if err != nil {
		return nil, conn.Error(caller, op, err)
	}
	out, cut := context.WithCancel(out)
	stream, err := raypb.NewRayletDataStreamerClient(conn.GRPC()).Datapath(out)
	if err != nil {
		cut()
		return nil, conn.Error(caller, op, err)
	}
	s := &session{conn: conn, caller: caller, out: out, cut: cut, stream: stream, driver: raypb.NewRayletDriverClient(conn.GRPC())}
	reply, err := s.ask(op, &raypb.DataRequest{Type: &raypb.DataRequest_Init{
		Init: &raypb.InitRequest{RayInitKwargs: "{}", ReconnectGracePeriod: 0},
	}})
	if err != nil {
		s.cut()
		return nil, err
	}
	if init := reply.GetInit(); !init.GetOk() {
		s.cut()
		return nil, &ray.Error{Kind: ray.KindServer, Op: op, Address: conn.Address, Message: lastLine(init.GetMsg())}
	}
	return s, nil
}

// ask sends one request on the stream and returns its answer. The server answers
// in order; answers to other requests are passed over.
func (s *session) ask(op string, request *raypb.DataRequest) (*raypb.DataResponse, error) {
	s.lastID++
	request.ReqId = s.lastID
	// After a failed Send the reason comes from Recv (io.EOF says only that).
	if err := s.stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
		return nil, s.conn.Error(s.caller, op, err)
	}
	for {
		reply, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, &ray.Error{
				Kind: ray.KindUnavailable, Op: op, Address: s.conn.Address,
				Message: "the server ended the session", Err: err,
			}
		}
		if err != nil {
			return nil, s.conn.Error(s.caller, op, err)
		}
		if reply.GetReqId() == request.ReqId {
			return reply, nil
		}
	}
}

// discover asks an open session.
func (s *session) discover() (Discovery, error) {
	var d Discovery
	reply, err := s.ask("ask for the versions", &raypb.DataRequest{
		Type: &raypb.DataRequest_ConnectionInfo{ConnectionInfo: &raypb.ConnectionInfoRequest{}},
	})
	if err != nil {
		return d, err
	}
	info := reply.GetConnectionInfo()
	d.RayVersion, d.PythonVersion = info.GetRayVersion(), info.GetPythonVersion()

	where, err := s.clusterInfo("ask for the GCS address", raypb.ClusterInfoType_RUNTIME_CONTEXT)
	if err != nil {
		return d, err
	}
	d.GCSAddress = where.GetRuntimeContext().GetGcsAddress()
	d.SessionName = where.GetRuntimeContext().GetSessionName()

	const op = "ask for the dashboard's address"
	dashboard, err := s.clusterInfo(op, raypb.ClusterInfoType_DASHBOARD_URL)
	if err != nil {
		return d, err
	}
	var body struct {
		URL string `json:"dashboard_url"`
	}
	if err := json.Unmarshal([]byte(dashboard.GetJson()), &body); err != nil {
		return d, &ray.Error{
			Kind: ray.KindProtocol, Op: op, Address: s.conn.Address,
			Message: "not the JSON that Ray writes", Err: err,
		}
	}
	d.DashboardURL = body.URL
	return d, nil
}

// clusterInfo makes one unary call in the session.
func (s *session) clusterInfo(op string, what raypb.ClusterInfoType_TypeEnum) (*raypb.ClusterInfoResponse, error) {
	reply, err := s.driver.ClusterInfo(s.out, &raypb.ClusterInfoRequest{Type: what})
	return reply, s.conn.Error(s.caller, op, err)
}

// end ends the session: by a clean-up request where its stream still lives, and
// by cutting the stream.
func (s *session) end() {
	defer s.cut()
	if s.out.Err() != nil {
		return
	}
	timer := time.AfterFunc(cleanupTimeout, s.cut)
	defer timer.Stop()
	if _, err := s.ask("end the Ray Client session", &raypb.DataRequest{
		Type: &raypb.DataRequest_ConnectionCleanup{ConnectionCleanup: &raypb.ConnectionCleanupRequest{}},
	}); err != nil {
		// The stream is broken: the server ends the session for that.
		return
	}
	if err := s.stream.CloseSend(); err != nil {
		return
	}
	// The server ends the stream when the driver is told to go.
	for {
		if _, err := s.stream.Recv(); err != nil {
			return
		}
	}
}

// lastLine is the last line of a Python traceback: the exception.
func lastLine(traceback string) string {
	traceback = strings.TrimSpace(traceback)
	return traceback[strings.LastIndexByte(traceback, '\n')+1:]
}
