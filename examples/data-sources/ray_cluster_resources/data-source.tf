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

data "ray_cluster_resources" "this" {}

locals {
  has_gpus = lookup(data.ray_cluster_resources.this.total, "GPU", 0) > 0
}

# What the cluster has decides how the job runs.
resource "ray_job" "train" {
  name    = "train"
  command = ["echo", local.has_gpus ? "training on GPUs" : "training on CPUs"]

  lifecycle {
    precondition {
      condition     = data.ray_cluster_resources.this.total.CPU >= 1
      error_message = "The cluster has no CPU at all."
    }
  }
}

output "gpus_by_type" {
  value = { for type, a in data.ray_cluster_resources.this.accelerators : type => a.total }
}
