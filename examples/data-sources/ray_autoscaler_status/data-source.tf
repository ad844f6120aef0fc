terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS. Only the GCS knows the
# autoscaler; it is found from the dashboard where it can be reached.
provider "ray" {}

data "ray_autoscaler_status" "this" {}

# A warning in every plan and apply while the cloud does not give the nodes.
check "launches" {
  assert {
    condition     = length(data.ray_autoscaler_status.this.failed_launches) == 0
    error_message = "Nodes could not be added: ${join("; ", [for l in data.ray_autoscaler_status.this.failed_launches : "${l.count} of ${l.node_type}: ${coalesce(l.reason, "no reason given")}"])}"
  }
}

# And while a node_floor of a ray_autoscaling_policy does not hold.
check "node_floors" {
  assert {
    condition     = alltrue([for f in data.ray_autoscaler_status.this.node_floors : f.held == f.count])
    error_message = "Nodes are missing: ${join("; ", [for f in data.ray_autoscaler_status.this.node_floors : "policy ${f.policy} of ${coalesce(f.owner, "nobody")}, ${f.reason}" if f.reason != null])}"
  }
}

# The cluster-wide resource request, as 2 x {"CPU":1}.
output "floor" {
  value = [for bundle in data.ray_autoscaler_status.this.floor : "${bundle.count} x ${jsonencode(bundle.resources)}"]
}
