package dashboard

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// packagePath is the route of gcs://name.
func packagePath(op, uri string) (string, error) {
	name, ok := strings.CutPrefix(uri, "gcs://")
	if !ok || name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return "", &ray.Error{Kind: ray.KindInvalid, Op: op, Message: "the URI of an uploaded package is gcs://<name>"}
	}
	return "/api/packages/gcs/" + url.PathEscape(name), nil
}

// HasPackage reports whether the cluster has the package gcs://name, and pins the
// name for 600 s whether it does or not. An upload does not pin, so ask before
// uploading, and submit within the 600 s. GET /api/packages/gcs/{name}, since Ray
// 2.0.
func (c *Client) HasPackage(ctx context.Context, uri string) (bool, error) {
	k := call{op: "look for package " + uri, method: http.MethodGet, missing: fmt.Sprintf(textNoPackage, uri)}
	var err error
	if k.path, err = packagePath(k.op, uri); err != nil {
		return false, err
	}
	// The answer is empty; a body is somebody else's.
	err = c.do(ctx, k, emptyAnswer)
	if ray.IsKind(err, ray.KindNotFound) {
		return false, nil
	}
	return err == nil, err
}

// PutPackage uploads size bytes of body as gcs://name, over whatever is there. PUT
// /api/packages/gcs/{name}, since Ray 2.0. Ray takes at most 100 MiB (104857600
// bytes): KindInvalid with status 413 above it. An error of body itself is
// returned wrapped. Uploading again does no harm.
func (c *Client) PutPackage(ctx context.Context, uri string, size int64, body io.Reader) error {
	k := call{op: "upload package " + uri, method: http.MethodPut, body: body, size: size}
	var err error
	if k.path, err = packagePath(k.op, uri); err != nil {
		return err
	}
	return c.do(ctx, k, emptyAnswer)
}

func emptyAnswer(_ *http.Response, body io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(body, 200))
	if err != nil {
		return err
	}
	if len(b) > 0 {
		return fmt.Errorf("it should be empty and is %q", b)
	}
	return nil
}
