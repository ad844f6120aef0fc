# A cluster that is waited for, a job that runs on its workers, and what the
# cluster consists of. `make demo` applies this to a Ray of its own; for a cluster
# of yours: terraform apply -var address=http://head:8265 -var nodes=3

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
  description = "Address of the Ray cluster, for example http://head:8265."
}

variable "nodes" {
  type        = number
  default     = 3
  description = "How many nodes the cluster should have, its head included."
}

provider "ray" {
  address = var.address
  owner   = "demo"
}

# Apply goes on when the nodes are there; with watch, a plan reports it when
# they no longer are.
resource "ray_cluster_connection" "demo" {
  address    = var.address
  watch      = true
  ready_when = { nodes = var.nodes }
  timeouts   = { create = "2m", update = "2m" }
}

# The directory is packaged and uploaded; a change of its content runs the job
# again.
resource "ray_job" "pi" {
  cluster     = ray_cluster_connection.demo.cluster
  name        = "pi"
  command     = ["python", "pi.py"]
  working_dir = "${path.module}/job"
}

# depends_on: an apply that waits for nodes reads these after the wait.
data "ray_nodes" "demo" {
  cluster    = ray_cluster_connection.demo.cluster
  depends_on = [ray_cluster_connection.demo]
}

data "ray_cluster_resources" "demo" {
  cluster    = ray_cluster_connection.demo.cluster
  depends_on = [ray_cluster_connection.demo]
}

data "ray_cluster_health" "demo" {
  cluster    = ray_cluster_connection.demo.cluster
  min_nodes  = var.nodes
  depends_on = [ray_cluster_connection.demo]
}

# A check never blocks; it says in every plan and apply whether the cluster is
# well. The data source stands outside, since Terraform reads one inside again in
# an apply, and so no plan would ever be empty.
check "cluster_is_healthy" {
  assert {
    condition     = data.ray_cluster_health.demo.healthy
    error_message = "The cluster is not healthy: ${join("; ", data.ray_cluster_health.demo.reasons)}"
  }
}
