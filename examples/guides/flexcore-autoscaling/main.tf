terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS.
provider "ray" {
  owner = "guide-flexcore-autoscaling"
}

locals {
  autoscaling = yamldecode(file("${path.module}/runtime.yaml")).runtime.config.autoscaling
}

module "autoscaling" {
  source = "./modules/autoscaling"

  name        = "flexcore"
  autoscaling = local.autoscaling
}

# The same where KubeRay runs the cluster. Which Kubernetes comes from
# KUBE_CONFIG_PATH and KUBE_CTX.
module "autoscaling_kuberay" {
  source = "./modules/autoscaling"

  name         = "flexcore-kuberay"
  autoscaling  = local.autoscaling
  ray_cluster  = { namespace = "ml", name = "ray" }
  worker_group = "gpu"
}
