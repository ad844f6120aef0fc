package rayrpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Sentences for what a user can mend. Plaintext where Ray wants TLS, TLS without
// a client certificate and TLS with another CA's certificate all look the same
// from here: the server closes without a word (Ray 2.60, RAY_USE_TLS=1).
const (
	hintMutualTLS = "the server closed the connection without an answer; the port may require mutual TLS (RAY_USE_TLS=1), or nothing serves behind it"
	hintClientTLS = "the server closed the connection after the TLS handshake; Ray's gRPC TLS is mutual, so it may want a client certificate of its own CA"
	hintNoTLS     = "the port does not speak TLS"
	hintHTTP      = "the port speaks HTTP, not gRPC; a dashboard's address starts with http://"
	hintNotGRPC   = "the port does not speak gRPC"
)

// Error turns what a gRPC call returned into a *ray.Error: op is what was tried,
// ctx the caller's own context. It is nil where err is nil, and err itself where
// that is a *ray.Error already.
func (c *Conn) Error(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if errors.As(err, new(*ray.Error)) {
		return err
	}
	st, isStatus := status.FromError(err)
	e := &ray.Error{Op: op, Address: c.Address, Err: err}
	if isStatus {
		e.Code, e.Message = st.Code().String(), st.Message()
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		e.Kind, e.Err = ray.KindCanceled, ctxErr
		if errors.Is(ctxErr, context.DeadlineExceeded) {
			e.Kind = ray.KindTimeout
			c.explainTimeout(e)
		}
		return e
	}
	if !isStatus {
		// The credentials of the call could not be had.
		e.Kind, e.Message = ray.KindUnauthenticated, err.Error()
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			e.Kind = ray.KindTimeout
		}
		return e
	}
	e.Kind = kindOf(st)
	switch st.Code() {
	case codes.Unavailable:
		c.explainUnavailable(e)
	case codes.DeadlineExceeded:
		c.explainTimeout(e)
	}
	return e
}

// kindOf is the kind of a status that a server, or gRPC itself, returned. It is
// the one place that reads words:
//
//	16 "WrongClusterID: Perhaps the client is accessing GCS after it has restarted."
//	16 "InvalidAuthToken: Authentication token is missing or incorrect"    (GCS)
//	16 "Invalid or missing authentication token"                           (Ray Client)
//	12 "unexpected HTTP status code received from server: 404 (Not Found)" (gRPC, of a proxy)
func kindOf(st *status.Status) ray.Kind {
	if m := st.Message(); strings.HasPrefix(m, "unexpected HTTP status code received from server") ||
		strings.Contains(m, "received unexpected content-type") {
		return ray.KindProtocol
	}
	switch st.Code() {
	case codes.Unauthenticated:
		if strings.HasPrefix(st.Message(), "WrongClusterID:") {
			return ray.KindWrongCluster
		}
		return ray.KindUnauthenticated
	case codes.PermissionDenied:
		return ray.KindForbidden
	case codes.InvalidArgument, codes.OutOfRange:
		return ray.KindInvalid
	case codes.NotFound:
		return ray.KindNotFound
	case codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted:
		return ray.KindConflict
	case codes.Unimplemented:
		return ray.KindUnsupported
	case codes.Unavailable:
		return ray.KindUnavailable
	case codes.DeadlineExceeded:
		return ray.KindTimeout
	case codes.Canceled:
		return ray.KindCanceled
	default:
		return ray.KindServer
	}
}

// explainUnavailable refines a call that found no connection, by the newest
// attempt to make one. A connection that once spoke HTTP/2 and then broke is
// merely unavailable: a GCS that dies looks like that.
func (c *Conn) explainUnavailable(e *ray.Error) {
	if e.Kind != ray.KindUnavailable {
		return
	}
	a := c.trail.last()
	switch {
	case a.dialErr != nil:
		e.Kind, e.Message, e.Err = dialKind(a.dialErr), a.dialErr.Error(), a.dialErr
	case a.handshakeErr != nil:
		explainHandshake(e, a.handshakeErr)
	case a.spokeHTTP1():
		e.Kind, e.Message = ray.KindProtocol, hintHTTP
	case a.silent() && a.secure:
		e.Kind, e.Message = ray.KindTLS, hintClientTLS
	case a.silent():
		e.Kind, e.Message = ray.KindTLS, hintMutualTLS
	case len(a.first) >= 4 && a.first[3] != frameSettings:
		e.Kind, e.Message = ray.KindProtocol, hintNotGRPC
	}
}

// frameSettings is the type of the frame that every HTTP/2 server sends first
// (RFC 9113, 3.4); the type is byte 3 of a frame.
const frameSettings = 0x4

// explainTimeout says where the time went if no connection was made.
func (c *Conn) explainTimeout(e *ray.Error) {
	a := c.trail.last()
	switch {
	case a.dialErr != nil:
		e.Kind, e.Message = dialKind(a.dialErr), a.dialErr.Error()
	case a.silent():
		e.Message = "connected, but the server said nothing in time"
	case !a.connected:
		e.Message = "no connection in time"
	}
}

// dialKind is the kind of an error of the dialer. A caller's dialer may return
// a *ray.Error of its own.
func dialKind(err error) ray.Kind {
	if k := ray.KindOf(err); k != ray.KindUnknown {
		return k
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return ray.KindDNS
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return ray.KindTimeout
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return ray.KindTimeout
	}
	return ray.KindUnavailable
}

// explainHandshake names what a failed TLS handshake tells.
func explainHandshake(e *ray.Error, err error) {
	e.Kind, e.Message, e.Err = ray.KindTLS, err.Error(), err
	var record tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &record):
		e.Message = hintNoTLS
	case errors.As(err, &unknown):
		e.Message = err.Error() + " (is this cluster's CA in the configuration?)"
	}
}
