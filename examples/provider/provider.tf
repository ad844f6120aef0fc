terraform {
  required_version = ">= 1.11"
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

variable "ray_token" {
  type      = string
  sensitive = true
  default   = null
}

# The address comes from RAY_ADDRESS where it is not set here.
provider "ray" {
  # address = "https://ray.example.com"
  owner = "infra/examples"
  token = var.ray_token

  default_metadata = {
    team = "ml-platform"
  }
}
