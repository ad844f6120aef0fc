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

resource "ray_job" "report" {
  name       = "report-to-read"
  entrypoint = "echo rows: 42"
}

# The last lines of a job's log. A log may hold secrets, so that it is sensitive.
data "ray_job_logs" "report" {
  submission_id = ray_job.report.submission_id
  lines         = 20
}

output "log" {
  value     = data.ray_job_logs.report.text
  sensitive = true
}
