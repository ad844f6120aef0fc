terraform {
  required_version = ">= 1.11"
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
  address = var.address
  owner   = "getting-started"
}

# Waits until the cluster is there, and shows when it was replaced.
resource "ray_cluster_connection" "main" {
  address    = var.address
  ready_when = { nodes = 1 }
}

# Uploads job/, runs it once, waits for SUCCEEDED; a changed file runs it again.
resource "ray_job" "hello" {
  cluster     = ray_cluster_connection.main.cluster
  name        = "hello"
  command     = ["python", "hello.py"]
  working_dir = "${path.module}/job"
}

output "job" {
  value = "${ray_job.hello.submission_id} ${ray_job.hello.status}, ran on Ray ${ray_cluster_connection.main.ray_version}"
}
