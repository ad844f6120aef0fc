//go:build unix

package raytest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serveCode is an application model:app with one deployment, Model.
const serveCode = `
from ray import serve


@serve.deployment(ray_actor_options={"num_cpus": 0.1}, autoscaling_config={"min_replicas": 1, "max_replicas": 2})
class Model:
    async def __call__(self, request):
        return "ok"


app = Model.bind()
`

// DeployServe has Serve run applications, by name, all of the code model:app, whose one
// deployment is Model and scales from 1 to 2 replicas. The value is what the config says
// of deployments, "" for nothing. It is what a pipeline does: others are deleted. Their
// environment has TOKEN=planted. It returns once they run.
func (h *Head) DeployServe(ctx context.Context, applications map[string]string) error {
	if err := os.WriteFile(filepath.Join(h.TempDir, "model.py"), []byte(serveCode), 0o600); err != nil {
		return err
	}
	var list []map[string]any
	for name, deployments := range applications {
		app := map[string]any{
			"name": name, "route_prefix": "/" + name, "import_path": "model:app",
			"runtime_env": map[string]any{"env_vars": map[string]string{"PYTHONPATH": h.TempDir, "TOKEN": "planted"}},
		}
		if deployments != "" {
			app["deployments"] = json.RawMessage(deployments)
		}
		list = append(list, app)
	}
	config, err := json.Marshal(map[string]any{"proxy_location": "Disabled", "applications": list})
	if err != nil {
		return err
	}
	if err := h.serve(ctx, http.MethodPut, string(config), nil); err != nil {
		return err
	}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		var all struct {
			Applications map[string]struct{ Status, Message string }
		}
		if err := h.serve(ctx, http.MethodGet, "", &all); err != nil {
			return err
		}
		waiting := ""
		for name := range applications {
			switch app := all.Applications[name]; app.Status {
			case "RUNNING":
			case "DEPLOY_FAILED", "UNHEALTHY":
				return fmt.Errorf("application %s is %s: %s", name, app.Status, app.Message)
			default:
				waiting = name
			}
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for application %s: %w", waiting, context.Cause(ctx))
		}
	}
}

// serve is a request about Serve.
func (h *Head) serve(ctx context.Context, method, body string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, h.DashboardURL+"/api/serve/applications/", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of the Serve applications: status %d", method, resp.StatusCode)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
