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

module "autoscaling" {
  source = "./modules/autoscaling"

  name        = "flexcore"
  autoscaling = yamldecode(file("${path.module}/runtime.yaml")).runtime.config.autoscaling
}
