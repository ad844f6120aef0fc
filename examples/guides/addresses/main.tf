terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

variable "dashboard_url" {
  type        = string
  description = "Of the dashboard, for example http://ray-head:8265."
}

variable "gcs_address" {
  type        = string
  description = "Of the GCS, for example ray-head:6379."
}

variable "client_address" {
  type        = string
  description = "Of the Ray Client server, for example ray://ray-head:10001."
}

# No address: each resource names its cluster.
provider "ray" {
  owner = "addresses"
}

# One address is enough; the others are discovered from it where that is
# possible.
resource "ray_cluster_connection" "by_dashboard" {
  address = var.dashboard_url
}

resource "ray_cluster_connection" "by_gcs" {
  address = var.gcs_address
}

# What would be discovered can be written instead: then no Ray Client session
# is opened to look for the dashboard.
resource "ray_cluster_connection" "by_client" {
  address       = var.client_address
  dashboard_url = var.dashboard_url
  gcs_address   = var.gcs_address
}

locals {
  connections = [
    ray_cluster_connection.by_dashboard,
    ray_cluster_connection.by_gcs,
    ray_cluster_connection.by_client,
  ]
}

# Whatever the address, it is one cluster.
check "one_cluster" {
  assert {
    condition     = length(distinct(local.connections[*].cluster_id)) == 1
    error_message = "The three addresses are of different clusters: ${join(", ", local.connections[*].cluster_id)}"
  }
}

output "cluster_id" {
  value = ray_cluster_connection.by_dashboard.cluster_id
}
