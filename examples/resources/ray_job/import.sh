# By submission id, on the provider's cluster:
terraform import ray_job.features features-0a1b2c3d4e

# By address and submission id, on another cluster:
terraform import ray_job.features 'http://ray-head:8265|features-0a1b2c3d4e'
