terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS.
provider "ray" {}

# The nodes that are alive; states = ["DEAD"] lists the dead ones with their
# reasons.
data "ray_nodes" "alive" {}

output "head" {
  value = one([for node in data.ray_nodes.alive.nodes : node.ip if node.head])
}

output "cpus_by_node" {
  value = { for node in data.ray_nodes.alive.nodes : node.node_id => lookup(node.resources, "CPU", 0) }
}
