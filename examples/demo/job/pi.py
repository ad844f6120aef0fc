"""Estimates pi with darts, thrown on every worker of the cluster at once."""

import collections
import random

import ray

TASKS = 12
DARTS = 100_000  # of each task


@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def throw(seed):
    """Returns how many darts hit the quarter circle, and the node they flew on."""
    rng = random.Random(seed)
    hits = sum(rng.random() ** 2 + rng.random() ** 2 <= 1 for _ in range(DARTS))
    return hits, ray.get_runtime_context().get_node_id()


ray.init(log_to_driver=False)
results = ray.get([throw.remote(seed) for seed in range(TASKS)])

names = {node["NodeID"]: node["NodeName"] for node in ray.nodes()}
for name, tasks in sorted(collections.Counter(names[node] for _, node in results).items()):
    print(f"{name} ran {tasks} of {TASKS} tasks")
print(f"pi is about {4 * sum(hits for hits, _ in results) / TASKS / DARTS:.4f} after {TASKS * DARTS:,} darts")
