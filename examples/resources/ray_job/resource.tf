terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS, for example
# http://ray-head:8265.
provider "ray" {
  owner = "infra/ml-prod"
}

# Packages the directory job/, runs the entrypoint in it, and waits for
# SUCCEEDED. It runs once: applying again does nothing, changing a file runs it
# again.
resource "ray_job" "features" {
  name        = "features"
  entrypoint  = "python features.py --day 2026-11-23"
  working_dir = "${path.module}/job"
  excludes    = ["*.parquet"]

  runtime_env = {
    env_vars = {
      LOG_LEVEL = "info"
    }
  }

  entrypoint_num_cpus = 1

  metadata = {
    dataset = "clicks"
  }

  timeouts = {
    create = "30m"
  }
}

# Another job that waits for the first one, with arguments instead of a shell
# line.
resource "ray_job" "report" {
  name    = "report"
  command = ["echo", "features by ${ray_job.features.submission_id}"]

  # Any value; a change runs the job again.
  triggers = {
    month = "2026-11"
  }
}

output "status" {
  value = ray_job.report.status
}
