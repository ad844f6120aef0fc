"""A Ray Train job of two workers and some 40 s, without a framework."""

import json
import os
import sys
import tempfile
import time

import ray.train
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer


def loop(config):
    first = ray.train.get_context().get_world_rank() == 0
    for step in range(config["steps"]):
        time.sleep(1)
        metrics = {"step": step}
        if not first:
            ray.train.report(metrics)
            continue
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "step.json"), "w") as file:
                json.dump(metrics, file)
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(directory))


result = DataParallelTrainer(
    loop,
    train_loop_config={"steps": 30},
    scaling_config=ray.train.ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
    run_config=ray.train.RunConfig(name="train", storage_path=sys.argv[1]),
).fit()
print("metrics", result.metrics)
