import ray


@ray.remote
def square(n):
    return n * n


ray.init(log_to_driver=False)
print(sum(ray.get([square.remote(n) for n in range(10)])))
