package kuberay

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Error is a call of the Kubernetes API that failed. It wraps a *ray.Error, whose kind
// is set from what the API server said.
type Error struct {
	err *ray.Error
	// Verb, Resource and Namespace are what was asked for, in the words of a Role.
	Verb, Resource, Namespace string
}

// Error is the text of the error that it wraps.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the *ray.Error.
func (e *Error) Unwrap() error { return e.err }

// Answered reports whether the API server answered: then the error is about what was
// asked for, and not about the way there.
func (e *Error) Answered() bool {
	_, ok := errors.AsType[*apierrors.StatusError](e.err.Err)
	return ok || e.err.Err == nil
}

// call is a request to the API server, for its errors.
type call struct {
	op, verb, resource, namespace string
	write                         bool
}

// translate makes err, of a call, an *Error.
func (c *Client) translate(ctx context.Context, k call, err error) error {
	if err == nil {
		return nil
	}
	e := &ray.Error{Op: k.op, Address: c.Host(), Err: err}
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		e.Status, e.Message = int(status.Status().Code), status.Status().Message
		e.Kind = kindOf(err)
		e.OutcomeUnknown = k.write && e.Status >= 500
		if e.Kind == ray.KindNotFound && !named(status) {
			e.Kind = ray.KindUnsupported
			e.Message = "this Kubernetes has no custom resource RayCluster of ray.io/v1; is KubeRay 1.0 or newer installed there?"
		}
	} else {
		e.Kind, e.Message = kindOfTransport(ctx, err)
		e.OutcomeUnknown = k.write
	}
	return &Error{e, k.verb, k.resource, k.namespace}
}

// named reports whether a 404 is of an object. That of a resource that the server does
// not have names none.
func named(s *apierrors.StatusError) bool {
	return s.Status().Details != nil && s.Status().Details.Name != ""
}

func kindOf(err error) ray.Kind {
	switch {
	case apierrors.IsNotFound(err):
		return ray.KindNotFound
	case apierrors.IsForbidden(err):
		return ray.KindForbidden
	case apierrors.IsUnauthorized(err):
		return ray.KindUnauthenticated
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return ray.KindConflict
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsUnsupportedMediaType(err):
		return ray.KindInvalid
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		return ray.KindTimeout
	case apierrors.IsServiceUnavailable(err), apierrors.IsTooManyRequests(err):
		return ray.KindUnavailable
	case apierrors.IsInternalError(err):
		return ray.KindServer
	}
	return ray.KindUnknown
}

// kindOfTransport classifies an error of a request that got no answer.
func kindOfTransport(ctx context.Context, err error) (ray.Kind, string) {
	if u, ok := errors.AsType[*url.Error](err); ok && u.Err != nil {
		err = u.Err // the rest repeats method and URL
	}
	text := err.Error()
	var (
		dns   *net.DNSError
		timed net.Error
		op    *net.OpError
	)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ray.KindTimeout, "the time for it was over before an answer came"
	case ctx.Err() != nil:
		return ray.KindCanceled, "given up by the caller"
	case strings.Contains(text, "getting credentials"): // client-go's exec plugins have no type
		return ray.KindUnauthenticated, text
	case errors.As(err, &dns):
		return ray.KindDNS, text
	case strings.Contains(text, "x509: "), strings.Contains(text, "tls: "):
		return ray.KindTLS, text
	case errors.As(err, &timed) && timed.Timeout():
		return ray.KindTimeout, text
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return ray.KindUnavailable, text
	}
	return ray.KindUnknown, text
}
