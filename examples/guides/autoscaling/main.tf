terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS.
provider "ray" {
  owner = "guide-autoscaling"
}

variable "working_hours" {
  type        = bool
  description = "Whether the cluster is to be warm."
  default     = true
}

# Warm nodes while people work. Without the policy the autoscaler decides alone.
resource "ray_autoscaling_policy" "warm" {
  count = var.working_hours ? 1 : 0
  name  = "warm"
  node_floor = {
    groups = {
      workers   = { count = 1, resource = "worker" }
      on_demand = { count = 1, label_selector = { "ray.io/market-type" = "!spot" } }
    }
  }
}

# Begins when the nodes are there.
resource "ray_job" "report" {
  depends_on = [ray_autoscaling_policy.warm]
  name       = "report"
  entrypoint = "echo the nodes are there"
}
