"""`ray kuberay-autoscaler`, for a head that is not at port 6379 of this pod.

Arguments: the cluster's name, its namespace, the file with the token, the address of
the GCS. What the code finds in a head pod's environment comes in the environment.
"""

import sys

from ray.autoscaler._private.kuberay import node_provider, run_autoscaler

name, namespace, node_provider.IN_CLUSTER_TOKEN_PATH, gcs = sys.argv[1:]
run_autoscaler.run_kuberay_autoscaler(name, namespace, gcs)
