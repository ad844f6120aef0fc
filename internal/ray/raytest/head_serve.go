//go:build unix

package raytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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
	if _, err := h.request(ctx, http.MethodPut, servePath, config); err != nil {
		return err
	}
	var failed error
	err = h.self.waitFor(ctx, "the applications to run", func(ctx context.Context) error {
		body, err := h.ServeApplications(ctx)
		if err != nil {
			return err
		}
		var all struct {
			Applications map[string]struct{ Status, Message string }
		}
		if err := json.Unmarshal(body, &all); err != nil {
			return err
		}
		for name := range applications {
			switch app := all.Applications[name]; app.Status {
			case "RUNNING":
			case "DEPLOY_FAILED", "UNHEALTHY":
				failed = fmt.Errorf("application %s is %s: %s", name, app.Status, app.Message)
				return nil
			default:
				return fmt.Errorf("application %s is %s", name, app.Status)
			}
		}
		return nil
	})
	return errors.Join(err, failed)
}

const servePath = "/api/serve/applications/"

// ServeApplications is what the head tells of Serve.
func (h *Head) ServeApplications(ctx context.Context) ([]byte, error) {
	return h.request(ctx, http.MethodGet, servePath, nil)
}
