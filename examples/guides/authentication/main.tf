terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

variable "address" {
  type        = string
  description = "Address of the cluster that most resources use."
}

variable "training_address" {
  type        = string
  description = "Address of another cluster, with a token of its own."
}

variable "token" {
  type      = string
  sensitive = true
  default   = null
}

variable "training_token" {
  type      = string
  sensitive = true
  default   = null
}

provider "ray" {
  address = var.address
  owner   = "authentication"
  token   = var.token

  # The provider's own token never goes to another address: each cluster has
  # its own entry, by its address as it is written in resources.
  credentials = {
    (var.training_address) = {
      token = var.training_token
    }
  }
}

data "ray_cluster" "main" {}

data "ray_cluster" "training" {
  cluster = { address = var.training_address }
}

output "authentication" {
  value = {
    main     = data.ray_cluster.main.authentication_mode
    training = data.ray_cluster.training.authentication_mode
  }
}
