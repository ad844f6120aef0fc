terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

variable "address" {
  type        = string
  description = "Address of the Ray cluster, for example http://ray-head:8265."
}

provider "ray" {
  owner = "infra/ml-prod"
}

# Apply goes on when the cluster has the nodes and CPUs; with watch, a plan says
# so when it no longer has them.
resource "ray_cluster_connection" "main" {
  address              = var.address
  required_ray_version = ">= 2.9"
  watch                = true

  ready_when = {
    nodes     = 1
    resources = { CPU = 2 }
  }

  timeouts = {
    create = "20m"
    update = "20m"
  }
}

# Jobs use the connection's addresses. When the cluster was replaced, its
# cluster_id changes, and with it this job.
resource "ray_job" "warm_up" {
  cluster    = ray_cluster_connection.main.cluster
  name       = "warm-up"
  entrypoint = "true"

  lifecycle {
    replace_triggered_by = [ray_cluster_connection.main.cluster_id]
  }
}

output "ray_version" {
  value = ray_cluster_connection.main.ray_version
}
