terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS.
provider "ray" {}

data "ray_cluster" "this" {
  lifecycle {
    postcondition {
      condition     = self.authentication_mode == "disabled" || self.authentication_mode == "token"
      error_message = "Unexpected authentication mode ${self.authentication_mode}."
    }
  }
}

output "ray" {
  value = "Ray ${data.ray_cluster.this.ray_version} on Python ${data.ray_cluster.this.python_version}, autoscaler ${data.ray_cluster.this.autoscaler}"
}
