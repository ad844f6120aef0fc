"""Ray's own autoscaler code, one call for each line of JSON that is read.

Arguments: the cluster's name, its namespace, the file with the token. What the
code finds in a head pod's environment comes in the environment. It ends with its
input.
"""

import json
import sys

import requests
from ray.autoscaler._private.kuberay import node_provider
from ray.autoscaler._private.kuberay.autoscaling_config import AutoscalingConfigProducer
from ray.autoscaler.v2.instance_manager.cloud_providers.kuberay.cloud_provider import KubeRayProvider
from ray.core.generated.instance_manager_pb2 import NodeKind

name, namespace, node_provider.IN_CLUSTER_TOKEN_PATH = sys.argv[1:]


class NoGCS:
    """Stands in for the client that only pods which are resized in place are for."""

    def __getattr__(self, _):
        return lambda *args, **kwargs: {}


producer = AutoscalingConfigProducer(name, namespace)
provider = KubeRayProvider(name, {"namespace": namespace}, NoGCS())
submitted = 0
# One connection for all patches, where Ray makes one for each: a race is to be fast.
requests.patch = requests.Session().patch


def config():
    return producer()


def instances():
    return [
        {"pod": pod, "group": i.node_type, "head": i.node_kind == NodeKind.HEAD, "running": i.is_running}
        for pod, i in provider.get_non_terminated().items()
    ]


def scale(call):
    """Launches or terminates, and raises what the provider reports of it."""
    global submitted
    submitted += 1
    call(str(submitted))
    errors = provider.poll_errors()
    if errors:
        raise RuntimeError("; ".join(str(e) for e in errors))


def launch(group, count):
    scale(lambda request: provider.launch({group: count}, request))


def terminate(pods):
    scale(lambda request: provider.terminate(pods, request))


def race(group, count):
    """Writes replicas 1 to count as fast as it can, by the index that it read first."""
    client, path = provider._k8s_api_client, "rayclusters/" + name
    index = node_provider._worker_group_index(client.get(path), group)
    for replicas in range(1, count + 1):
        client.patch(path, [node_provider.worker_replica_patch(index, replicas)])


calls = {f.__name__: f for f in (config, instances, launch, terminate, race)}
for line in sys.stdin:
    call = json.loads(line)
    try:
        answer = {"result": calls[call["call"]](*call["args"])}
    except Exception as e:
        answer = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answer, default=str), flush=True)
