package rayrpc

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// maxReply bounds one answer. 1,000 job records are 0.6 MB, one node about 0.7 kB.
const maxReply = 256 << 20

// Options say where a gRPC port of Ray is and how to be let in.
type Options struct {
	// Address is host:port; a literal IPv6 host stands in brackets.
	Address string
	// TLS is nil for plaintext. Ray's gRPC TLS (RAY_USE_TLS=1) is mutual: it takes
	// a client certificate too.
	TLS *tls.Config
	// Token returns the bearer token of one call; nil, or an empty token, sends
	// none. It may block, and must obey ctx. Ray sends tokens over plaintext as
	// well, so nothing here asks for TLS.
	Token func(ctx context.Context) (string, error)
	// UserAgent stands before gRPC's own.
	UserAgent string
	// Dial opens the connection below TLS; nil is a plain TCP dial, without any
	// proxy.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Conn is one lazily dialled gRPC connection. It is safe for concurrent use.
type Conn struct {
	// Address is the address as given.
	Address string

	grpc  *grpc.ClientConn
	token func(context.Context) (string, error)
	trail *trail
}

// New checks the options and returns a connection that is not dialled yet. The
// error is of ray.KindInvalid.
func New(o Options) (*Conn, error) {
	if err := checkAddress(o.Address); err != nil {
		return nil, err
	}
	dial := o.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	inner := insecure.NewCredentials()
	if o.TLS != nil {
		inner = credentials.NewTLS(o.TLS)
	}
	t := &trail{}
	// "passthrough" leaves the name to the dialer: gRPC's own resolver says
	// "produced zero addresses" for every failure, a dialer says which.
	cc, err := grpc.NewClient("passthrough:///"+o.Address,
		grpc.WithTransportCredentials(&watchedCredentials{TransportCredentials: inner, trail: t}),
		grpc.WithContextDialer(t.dialer(dial)),
		grpc.WithUserAgent(o.UserAgent),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply)),
		grpc.WithDisableServiceConfig(),
		// Between dials calls fail at once with the last error. gRPC's own limit of
		// two minutes would hide for that long that a restarted head is back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
		// A ping goes with the first call after a pause, so that a connection that
		// a NAT dropped is found in 5 s. None goes while no call is under way: C++
		// servers close connections that ping without data.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 5 * time.Second}),
	)
	if err != nil {
		return nil, &ray.Error{Kind: ray.KindInvalid, Op: "connect", Address: o.Address, Message: err.Error(), Err: err}
	}
	return &Conn{Address: o.Address, grpc: cc, token: o.Token, trail: t}, nil
}

// checkAddress refuses what is not host:port.
func checkAddress(address string) error {
	invalid := func(message string) error {
		return &ray.Error{Kind: ray.KindInvalid, Op: "connect", Address: address, Message: message}
	}
	if strings.Contains(address, "://") || strings.Contains(address, "/") {
		return invalid("want host:port, without a scheme")
	}
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return invalid("want host:port")
	case host == "" || port == "":
		return invalid("want host:port, both given")
	}
	return nil
}

// GRPC is what generated clients take.
func (c *Conn) GRPC() grpc.ClientConnInterface { return c.grpc }

// Close closes the connection and ends its calls with ray.KindCanceled.
func (c *Conn) Close() {
	if err := c.grpc.Close(); err != nil {
		return // It was closed already.
	}
}

// Outgoing returns ctx with the credentials of one call, and the pairs.
func (c *Conn) Outgoing(ctx context.Context, pairs ...string) (context.Context, error) {
	if c.token != nil {
		token, err := c.token(ctx)
		if err != nil {
			return nil, err
		}
		if token != "" {
			// Ray takes exactly this spelling: "bearer" and a bare token are refused.
			pairs = append(pairs, "authorization", "Bearer "+token)
		}
	}
	if len(pairs) == 0 {
		return ctx, nil
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...), nil
}
