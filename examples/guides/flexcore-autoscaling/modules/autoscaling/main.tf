terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

variable "name" {
  type        = string
  description = "Name of the policy."
}

variable "autoscaling" {
  type = object({
    enabled     = bool
    min_workers = optional(number, 0)
    max_workers = optional(number)
  })
  description = "The object autoscaling of a FlexCore runtime."

  validation {
    condition     = var.autoscaling.min_workers >= 0 && var.autoscaling.min_workers <= coalesce(var.autoscaling.max_workers, var.autoscaling.min_workers)
    error_message = "min_workers must be at least 0, and at most max_workers."
  }
}

variable "worker_resource" {
  type        = string
  description = "Custom resource that the workers' node type declares, and the head does not have. Not with ray_cluster."
  default     = "worker"
}

variable "ray_cluster" {
  type        = object({ namespace = string, name = string })
  description = "The RayCluster, where KubeRay runs the cluster."
  default     = null
}

variable "worker_group" {
  type        = string
  description = "Worker group of the RayCluster."
  default     = "workers"
}

locals {
  min_workers = var.autoscaling.enabled ? var.autoscaling.min_workers : 0
  max_workers = var.autoscaling.enabled ? var.autoscaling.max_workers : null
  kuberay     = var.ray_cluster != null
}

# KubeRay has both bounds.
resource "ray_autoscaling_policy" "group" {
  count = local.kuberay && var.autoscaling.enabled ? 1 : 0
  name  = var.name
  worker_groups = {
    kuberay = var.ray_cluster
    groups = {
      (var.worker_group) = { min_replicas = local.min_workers, max_replicas = local.max_workers }
    }
  }
}

# Any other cluster takes a floor of nodes.
resource "ray_autoscaling_policy" "workers" {
  count = !local.kuberay && local.min_workers > 0 ? 1 : 0
  name  = var.name
  node_floor = {
    groups = {
      workers = { count = local.min_workers, resource = var.worker_resource }
    }
  }
}

# A warning in every plan and apply, rather than a maximum that nobody keeps.
check "max_workers" {
  assert {
    condition     = local.kuberay || local.max_workers == null
    error_message = "max_workers = ${coalesce(local.max_workers, 0)} is not set: no API of a Ray cluster sets how many nodes its autoscaler may start at most. Write it into the autoscaler's configuration on the head, and leave it out here."
  }
}
