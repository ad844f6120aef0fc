package gcs

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"net"
	"time"

	"google.golang.org/grpc"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/rayrpc"
)

// DefaultTimeout bounds a call where Options.Timeout is zero.
const DefaultTimeout = 10 * time.Second

// Options say where a GCS is and how to be let in.
type Options struct {
	// Address is host:port; Ray's default port is 6379.
	Address string
	// TLS is nil for plaintext. Ray's gRPC TLS is mutual.
	TLS *tls.Config
	// Token returns the bearer token of a call; nil or "" sends none.
	Token func(ctx context.Context) (string, error)
	// ClusterID, 56 hex digits, is sent with calls when set: another cluster's GCS
	// then refuses them.
	ClusterID string
	// UserAgent names the program.
	UserAgent string
	// Timeout bounds each call, dial included; DefaultTimeout where zero.
	Timeout time.Duration
	// Dial replaces the plain TCP dial.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Client asks one GCS. It is safe for concurrent use.
type Client struct {
	conn      *rayrpc.Conn
	clusterID string
	timeout   time.Duration

	nodes  raypb.NodeInfoGcsServiceClient
	kv     raypb.InternalKVGcsServiceClient
	actors raypb.ActorInfoGcsServiceClient
	scaler raypb.AutoscalerStateServiceClient
}

// New returns a client. It does not dial: the first call does. The error is of
// ray.KindInvalid.
func New(o Options) (*Client, error) {
	conn, err := rayrpc.New(rayrpc.Options{
		Address: o.Address, TLS: o.TLS, Token: o.Token, UserAgent: o.UserAgent, Dial: o.Dial,
	})
	if err != nil {
		return nil, err
	}
	c := &Client{
		conn:      conn,
		clusterID: o.ClusterID,
		timeout:   o.Timeout,
		nodes:     raypb.NewNodeInfoGcsServiceClient(conn.GRPC()),
		kv:        raypb.NewInternalKVGcsServiceClient(conn.GRPC()),
		actors:    raypb.NewActorInfoGcsServiceClient(conn.GRPC()),
		scaler:    raypb.NewAutoscalerStateServiceClient(conn.GRPC()),
	}
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
	}
	return c, nil
}

// Close closes the connection. Calls under way end with ray.KindCanceled.
func (c *Client) Close() error {
	c.conn.Close()
	return nil
}

// Address is the address that the client was made with.
func (c *Client) Address() string { return c.conn.Address }

// metaClusterID has underscores: Ray 2.60 ignores ray-cluster-id.
const metaClusterID = "ray_cluster_id"

// call makes one call with the client's credentials, cluster id and time limit,
// and checks the verdict inside the reply.
func call[Q, R any](ctx context.Context, c *Client, op string, method func(context.Context, *Q, ...grpc.CallOption) (*R, error), request *Q) (*R, error) {
	var pairs []string
	if c.clusterID != "" {
		pairs = append(pairs, metaClusterID, c.clusterID)
	}
	return callWith(ctx, c, op, method, request, pairs...)
}

// callWith is call with metadata of the caller's choice.
func callWith[Q, R any](ctx context.Context, c *Client, op string, method func(context.Context, *Q, ...grpc.CallOption) (*R, error), request *Q, pairs ...string) (*R, error) {
	inner, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	out, err := c.conn.Outgoing(inner, pairs...)
	if err != nil {
		return nil, c.conn.Error(ctx, op, err)
	}
	reply, err := method(out, request)
	if err != nil {
		return nil, c.conn.Error(ctx, op, err)
	}
	if r, ok := any(reply).(interface{ GetStatus() *raypb.GcsStatus }); ok {
		if err := c.statusError(op, r.GetStatus()); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// Codes of GcsStatus (src/ray/common/status.h) that a caller can act on.
const (
	statusOK             = 0
	statusInvalid        = 4
	statusNotImplemented = 10
	statusTimedOut       = 12
	statusNotFound       = 17
)

// statusError is the error of a GcsStatus, which most replies carry: gRPC says OK
// also where the GCS does not.
func (c *Client) statusError(op string, s *raypb.GcsStatus) error {
	if s.GetCode() == statusOK {
		return nil
	}
	kind := ray.KindServer
	switch s.GetCode() {
	case statusInvalid:
		kind = ray.KindInvalid
	case statusNotImplemented:
		kind = ray.KindUnsupported
	case statusTimedOut:
		kind = ray.KindTimeout
	case statusNotFound:
		kind = ray.KindNotFound
	}
	return &ray.Error{Kind: kind, Op: op, Address: c.conn.Address, Message: s.GetMessage()}
}

// protocolError says that an answer is not what Ray sends.
func (c *Client) protocolError(op, message string, cause error) error {
	return &ray.Error{Kind: ray.KindProtocol, Op: op, Address: c.conn.Address, Message: message, Err: cause}
}

// hexID renders Ray's binary ids as Ray shows them.
func hexID(id []byte) string { return hex.EncodeToString(id) }
