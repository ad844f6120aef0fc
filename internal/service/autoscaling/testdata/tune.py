"""A Ray Tune job of four trials, each a placement group of one CPU."""

import sys
import time

from ray import tune


def objective(config):
    for i in range(10):
        time.sleep(1)
        tune.report({"score": config["x"] ** 2 + i})


results = tune.Tuner(
    objective,
    param_space={"x": tune.grid_search([1, 2, 3, 4])},
    tune_config=tune.TuneConfig(metric="score", mode="min"),
    run_config=tune.RunConfig(name="tune", storage_path=sys.argv[1]),
).fit()
print("best", results.get_best_result().config)
