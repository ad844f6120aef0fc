//go:build unix

package raytest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Autoscaler is one of Ray's two autoscalers.
type Autoscaler string

// The autoscalers of a head. Ray 2.60 runs v1 unless told otherwise; `ray up` and
// KubeRay tell it so.
const (
	AutoscalerV1 Autoscaler = "v1"
	AutoscalerV2 Autoscaler = "v2"
)

// AutoscalerTick is how often the autoscaler of a Head looks; Ray's default is 5 s.
const AutoscalerTick = time.Second

// autoscalerConfig is what `ray start --autoscaling-config` reads: nodes are
// made by nodeProvider. Ray's short name for such a cluster, fake_multinode, works
// in no wheel, since the defaults that it loads are in none; an external provider
// needs none, but then every list must be there.
//
// v2 asks for all nodes in one call, v1 with a call for each, and v1 knows nodes
// by their address, of which this machine has one.
const autoscalerConfig = `
cluster_name: raytest
max_workers: 6
idle_timeout_minutes: 0.1
upscaling_speed: 10
provider:
  type: external
  module: raytest_nodes.NodeProvider
  gcs_address: %q
  head_node_id: %q
  launch_multiple: %t
  use_node_id_as_ip: %t
  disable_node_updaters: true
  disable_launch_config_check: true
available_node_types:
  ray.head.default:
    resources: {CPU: 0}
    max_workers: 0
    node_config: {}
  small:
    resources: {CPU: 1, memory: 100000000, object_store_memory: 80000000, small: 1}
    labels: {tier: small}
    max_workers: 4
    node_config: {}
  big:
    resources: {CPU: 4, memory: 100000000, object_store_memory: 80000000, big: 1}
    labels: {tier: big}
    max_workers: 2
    node_config: {}
  broken:
    resources: {broken: 1}
    max_workers: 1
    node_config: {}
head_node_type: ray.head.default
auth: {}
docker: {}
initialization_commands: []
setup_commands: []
head_setup_commands: []
worker_setup_commands: []
head_start_ray_commands: []
worker_start_ray_commands: []
file_mounts: {}
cluster_synced_files: []
file_mounts_sync_continuously: false
rsync_exclude: []
rsync_filter: []
`

// nodeProvider makes nodes that are processes of this machine. Ray's own gives the
// first node of every head the same id, and so the head itself where
// RAY_FAKE_CLUSTER is set for `ray start`: a GCS that knows these nodes as dead,
// after a restart with Redis, would not let them in. It also hands memory, which the
// node types of real clusters declare, to Ray as a custom resource, which Ray
// refuses: a node here has what Ray finds.
const nodeProvider = `
import os
import secrets

os.environ["RAY_FAKE_CLUSTER"] = "1"

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.autoscaler.node_launch_exception import NodeLaunchException


class NodeProvider(FakeMultiNodeProvider):
    def _next_hex_node_id(self):
        return secrets.token_hex(28)

    def _create_node_with_resources_and_labels(self, node_config, tags, count, resources, labels):
        if "broken" in resources:
            raise NodeLaunchException("OutOfStock", "nodes of type broken can not be launched", None)
        resources = {name: v for name, v in resources.items() if name != "memory"}
        super()._create_node_with_resources_and_labels(node_config, tags, count, resources, labels)
`

// autoscalerArgs writes the configuration for a head whose GCS has its address,
// and returns the argument that names it.
func (h *Head) autoscalerArgs() ([]string, error) {
	if h.opts.Autoscaler == "" {
		return nil, nil
	}
	v1 := h.opts.Autoscaler == AutoscalerV1
	text := fmt.Sprintf(autoscalerConfig, h.GCSAddress, h.nodeID(), !v1, v1)
	config := filepath.Join(h.autoscalerDir(), "autoscaler.yaml")
	err := errors.Join(
		os.MkdirAll(h.autoscalerDir(), 0o700),
		os.WriteFile(config, []byte(text), 0o600),
		os.WriteFile(filepath.Join(h.autoscalerDir(), "raytest_nodes.py"), []byte(nodeProvider), 0o600),
	)
	return []string{"--autoscaling-config=" + config}, err
}

// autoscalerEnv are the settings of the head's processes. The workers, children of
// its autoscaler, inherit them, and with them the marks by which they are ended.
func (h *Head) autoscalerEnv() []string {
	if h.opts.Autoscaler == "" {
		return nil
	}
	env := []string{
		"PYTHONPATH=" + h.autoscalerDir(),
		fmt.Sprintf("AUTOSCALER_UPDATE_INTERVAL_S=%g", AutoscalerTick.Seconds()),
		"RAY_OVERRIDE_NODE_ID_FOR_TESTING=" + h.nodeID(),
		"RAY_CLOUD_INSTANCE_ID=" + h.nodeID(),
		"RAY_NODE_TYPE_NAME=ray.head.default",
	}
	if h.opts.Autoscaler == AutoscalerV2 {
		env = append(env, "RAY_enable_autoscaler_v2=1")
	}
	return env
}

func (h *Head) autoscalerDir() string { return filepath.Join(h.TempDir, "autoscaler") }

// nodeID is the id of an autoscaling head's own node, another one after each
// start. The provider has to know it beforehand.
func (h *Head) nodeID() string { return fmt.Sprintf("%056x", h.restarts+1) }

// autoscalerReports is nil once the autoscaler has reported for the first time.
func (h *Head) autoscalerReports(ctx context.Context) error {
	text, err := h.request(ctx, http.MethodGet, "/api/cluster_status?format=1", nil)
	if err == nil && !strings.Contains(string(text), "Node status") {
		err = errors.New(string(text))
	}
	return err
}
