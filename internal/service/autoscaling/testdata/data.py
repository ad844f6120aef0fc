"""A Ray Data job of some 40 s on two CPUs."""

import time

import ray


def slow(batch):
    time.sleep(2)
    batch["twice"] = batch["id"] * 2
    return batch


rows = ray.data.range(4000, override_num_blocks=40).map_batches(slow, batch_size=100)
print("rows", rows.materialize().count())
