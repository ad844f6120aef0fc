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

# Application chat is deployed by others, with serve deploy. What is not written here
# stays as they wrote it.
resource "ray_autoscaling_policy" "chat" {
  name = "chat"
  serve_deployment = {
    application = "chat"
    deployment  = "Model"
    autoscaling_config = {
      max_replicas            = 20
      target_ongoing_requests = 5
      downscale_delay_s       = 900
    }
  }
}
