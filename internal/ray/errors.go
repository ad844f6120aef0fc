package ray

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is what went wrong, as far as a caller can act on it.
type Kind int

const (
	// KindUnknown is an error that fits no other kind.
	KindUnknown Kind = iota
	// KindInvalid is a request that Ray refused as malformed (400, 413, 415).
	KindInvalid
	// KindUnauthenticated is a missing or malformed credential (401).
	KindUnauthenticated
	// KindForbidden is a credential that Ray, or a proxy, refused (403).
	KindForbidden
	// KindNotFound is an object that Ray does not know (404).
	KindNotFound
	// KindConflict is a request that the object's present state forbids: an id
	// that exists already, a delete of a running job.
	KindConflict
	// KindUnavailable is a cluster that could not be reached, or could not serve
	// the request now (connection refused, 502 to 504, no agent).
	KindUnavailable
	// KindTimeout is an answer that did not come in time.
	KindTimeout
	// KindDNS is a host name that did not resolve.
	KindDNS
	// KindTLS is a failed TLS handshake, TLS where there is none, or none where
	// there is.
	KindTLS
	// KindProtocol is an answer that is not Ray's: HTML of a proxy, half a JSON,
	// another protocol on the port.
	KindProtocol
	// KindUnsupported is a feature that this Ray does not have.
	KindUnsupported
	// KindWrongCluster is an answer from another cluster than the expected one.
	KindWrongCluster
	// KindCanceled is a call given up by its caller.
	KindCanceled
	// KindServer is any other failure inside Ray (500).
	KindServer
)

var kindNames = [...]string{
	"unknown", "invalid", "unauthenticated", "forbidden", "not found", "conflict", "unavailable", "timeout",
	"dns", "tls", "protocol", "unsupported", "wrong cluster", "canceled", "server",
}

// String returns the kind's name, for messages and logs.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind(%d)", int(k))
	}
	return kindNames[k]
}

// Error is an operation on a Ray cluster that failed.
type Error struct {
	// Kind is the failure's class.
	Kind Kind
	// Op is what was tried, in the infinitive: "submit job nightly-0a1b2c3d4e".
	Op string
	// Address is where, without credentials.
	Address string
	// Status is the HTTP status, or 0 where there was no HTTP answer. Ray's head
	// wraps its agent's errors in a 500: this is the inner, real status.
	Status int
	// Code is the gRPC code's name, or empty.
	Code string
	// Message is what Ray said: the last line of its answer, without traceback.
	Message string
	// OutcomeUnknown is true where a write may have happened although the call
	// failed: the request may have been sent, and its answer was lost.
	OutcomeUnknown bool
	// Err is the cause, or nil.
	Err error
}

// Error says the operation, the place and the reason in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Address != "" {
		fmt.Fprintf(&b, " at %s", e.Address)
	}
	b.WriteString(": ")
	switch {
	case e.Status != 0:
		fmt.Fprintf(&b, "HTTP %d", e.Status)
	case e.Code != "":
		b.WriteString(e.Code)
	default:
		b.WriteString(e.Kind.String())
	}
	switch {
	case e.Message != "":
		fmt.Fprintf(&b, ": %s", e.Message)
	case e.Err != nil:
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the *Error that err is or wraps, else KindUnknown.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindUnknown
}

// IsKind reports whether err is, or wraps, an *Error of one of the kinds.
func IsKind(err error, kinds ...Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.Contains(kinds, e.Kind)
}

// IsUnreachable reports whether err says that the cluster could not be asked:
// nothing is known about it. Refused credentials (401, 403) are an answer, so
// they are never "unreachable".
func IsUnreachable(err error) bool {
	return IsKind(err, KindUnavailable, KindTimeout, KindDNS, KindTLS, KindProtocol)
}

// OutcomeUnknown reports whether err leaves open that the write took place.
func OutcomeUnknown(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.OutcomeUnknown
}
