terraform {
  required_providers {
    ray = { source = "ray-iac/ray" }
  }
}

variable "kubeconfig" {
  type    = string
  default = "~/.kube/config"
}

variable "ray_token" {
  type      = string
  sensitive = true
  default   = null
}

provider "ray" {
  owner = "examples/kuberay"
  token = var.ray_token # where the RayCluster has authOptions.mode = token

  kubernetes = {
    config_path = var.kubeconfig
  }
}

# Waits until the operator has made the RayCluster and its head is alive.
resource "ray_cluster_connection" "ml" {
  kuberay    = { namespace = "ml", name = "ray" }
  ready_when = { nodes = 1 }
}

resource "ray_job" "hello" {
  name       = "hello"
  cluster    = ray_cluster_connection.ml.cluster
  entrypoint = "python -c 'import ray; ray.init(); print(ray.cluster_resources())'"
}

# The address says the same in one line, here and in a job's cluster.
data "ray_nodes" "ml" {
  cluster    = { address = "kuberay://ml/ray" }
  depends_on = [ray_cluster_connection.ml]
}

output "nodes" {
  value = length(data.ray_nodes.ml.nodes)
}
