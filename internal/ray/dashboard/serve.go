package dashboard

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

const servePath = "/api/serve/applications/"

// Serve tells of Ray Serve and its applications, as Ray wrote it: package ray/serve
// reads it. GET /api/serve/applications/, since Ray 2.4. Without Serve on the cluster
// the answer has no controller; where Serve is not installed it is KindUnsupported. It
// holds the env_vars of runtime environments in plain text.
func (c *Client) Serve(ctx context.Context) ([]byte, error) {
	var v json.RawMessage
	err := c.getJSON(ctx, call{op: "read the Serve applications", method: http.MethodGet, path: servePath}, &v)
	return v, err
}

// DeployServe makes config the one of all declarative applications: those that it does
// not name are deleted, and Serve is started where it does not run. PUT
// /api/serve/applications/, since Ray 2.4. Ray looks at little of it before it answers;
// what becomes of it is told by Serve. An answer that is lost, and any of 500, leaves
// open whether it was taken.
func (c *Client) DeployServe(ctx context.Context, config json.RawMessage) error {
	k := call{op: "deploy the Serve config", method: http.MethodPut, path: servePath, json: config}
	return c.do(ctx, k, func(*http.Response, io.Reader) error { return nil })
}

// invalidConfig is what pydantic says of a config, one line for each error. It quotes
// what it was given, up to 50 characters, which may hold secrets: that is left out.
func invalidConfig(text string) string {
	var faults []string
	place := ""
	for line := range strings.Lines(text) {
		fault, _, _ := strings.Cut(strings.TrimRight(line, "\n"), " [type=")
		switch {
		case strings.Contains(line, textValidation), strings.HasPrefix(line, "    For further information"):
		case strings.HasPrefix(line, "  "):
			faults = append(faults, place+strings.TrimPrefix(strings.TrimSpace(fault), "Value error, "))
		default:
			place = strings.TrimSpace(line) + ": "
		}
	}
	return clip(strings.Join(faults, "; "))
}
