terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS.
provider "ray" {
  owner = "infra/ml-prod"
}

# At least one node whose type declares the custom resource worker, as in
# resources: {CPU: 8, worker: 1}. Idle or not, it stays.
resource "ray_autoscaling_policy" "floor" {
  name = "floor"
  node_floor = {
    groups = {
      workers = { count = 1, resource = "worker" }
    }
  }
}
