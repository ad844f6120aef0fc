terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

provider "ray" {
  owner = "python-modules"
}

# The job imports the package "features" wherever its tasks run.
resource "ray_job" "scale" {
  name        = "python-modules-scale"
  entrypoint  = "python scale.py"
  working_dir = "${path.module}/job"
  py_modules  = ["${path.module}/features"]
}

output "scaled" {
  value = ray_job.scale.result
}
