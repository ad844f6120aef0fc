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

# As a gate: the job is not submitted to a cluster that is not well.
data "ray_cluster_health" "gate" {
  min_nodes          = 1
  required_resources = { CPU = 1 }
}

resource "ray_job" "nightly" {
  name       = "nightly"
  entrypoint = "true"

  lifecycle {
    precondition {
      condition     = data.ray_cluster_health.gate.healthy
      error_message = join("; ", data.ray_cluster_health.gate.reasons)
    }
  }
}

# As a check: every plan and apply warns, nothing is blocked. The data source
# stands outside of the check block: inside, every plan would read it again in
# apply, and plan -detailed-exitcode never be 0.
data "ray_cluster_health" "deaths" {
  unexpected_deaths = { max = 0, within = "1h" }
}

check "no_node_dies" {
  assert {
    condition     = data.ray_cluster_health.deaths.healthy
    error_message = join("; ", data.ray_cluster_health.deaths.reasons)
  }
}
