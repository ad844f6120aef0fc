terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS.
provider "ray" {
  owner = "fan-out"
}

variable "shards" {
  type        = number
  description = "How many jobs share the work."
  default     = 4
}

# Submitted, not waited for: each is done within a fraction of a second.
resource "ray_job" "shard" {
  for_each   = toset([for i in range(var.shards) : format("%03d", i)])
  name       = "shard-${each.key}"
  entrypoint = "echo shard ${each.key}"
  wait_for   = "SUBMITTED"
}

# One resource waits for all of them.
resource "ray_job_wait" "shards" {
  jobs     = [for job in ray_job.shard : job.submission_id]
  timeouts = { create = "2h", update = "2h" }
}

# Begins when all have succeeded.
resource "ray_job" "merge" {
  depends_on = [ray_job_wait.shards]
  name       = "merge"
  entrypoint = "echo merge ${var.shards} shards"
}

output "succeeded" {
  value = length(ray_job_wait.shards.succeeded)
}
