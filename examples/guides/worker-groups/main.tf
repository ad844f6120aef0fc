terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# Which Kubernetes comes from KUBE_CONFIG_PATH and KUBE_CTX; see the argument
# kubernetes for other ways.
provider "ray" {
  owner = "infra/ml-prod"
}

variable "working_hours" {
  type    = bool
  default = true
}

# The RayCluster ray in namespace ml, as Helm or kubectl made it. Its other groups,
# and how many workers there are at a time, stay as they are.
resource "ray_autoscaling_policy" "workers" {
  name = "workers"
  worker_groups = {
    kuberay = { namespace = "ml", name = "ray" }
    groups = {
      cpu = {
        min_replicas = var.working_hours ? 2 : 0
        max_replicas = 8
        idle_timeout = "10m"
      }
    }
    idle_timeout = "2m"
  }
}
