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

resource "ray_job" "trial" {
  for_each   = { small = 0.1, large = 0.01 }
  name       = "trial-${each.key}"
  entrypoint = "echo rate ${each.value}"
  wait_for   = "SUBMITTED"
}

# Passed when one of the trials has SUCCEEDED.
resource "ray_job_wait" "trials" {
  jobs    = [for job in ray_job.trial : job.submission_id]
  require = "any"
}

output "first" {
  value = ray_job_wait.trials.succeeded
}
