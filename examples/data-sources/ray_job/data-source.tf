terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS.
provider "ray" {
  owner = "infra/examples"
}

resource "ray_job" "features" {
  name       = "features-to-read"
  entrypoint = "echo done"
}

# A job by its submission id, whoever submitted it: here one of this
# configuration, so that there is one.
data "ray_job" "features" {
  submission_id = ray_job.features.submission_id
}

output "seen" {
  value = "${data.ray_job.features.name}, attempt ${data.ray_job.features.attempt}, of ${data.ray_job.features.owner}: ${data.ray_job.features.status}"
}
