import json

import ray

import features


@ray.remote
def scaled(value):
    return features.scale(value, 0, 10)


ray.init()
print("RAY_JOB_RESULT=" + json.dumps(ray.get([scaled.remote(v) for v in (1, 5, 10)])))
