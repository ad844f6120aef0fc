terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

variable "run_id" {
  description = "What started this apply, such as the id of a CI pipeline."
  type        = string
  default     = "local"
}

# The address of the cluster comes from RAY_ADDRESS. Each job of this
# configuration carries its workspace and the run that submitted it; neither is an
# input of the jobs, so that a new run does not run them again.
provider "ray" {
  owner = "infra/examples"

  default_metadata = {
    workspace = terraform.workspace
    run_id    = var.run_id
  }
}

resource "ray_job" "audited" {
  name       = "audited"
  entrypoint = "echo done"
}

# Who ran what: the jobs of this workspace, by run.
data "ray_jobs" "workspace" {
  owner = "infra/examples"
  name  = "audited"
  metadata = {
    workspace = terraform.workspace
  }

  depends_on = [ray_job.audited]
}

output "runs" {
  value = {
    for job in data.ray_jobs.workspace.jobs : job.submission_id => "${job.metadata.run_id} at ${job.submitted_at}: ${job.status}"
  }
}

# What went wrong lately, whoever submitted it.
data "ray_jobs" "failed" {
  statuses   = ["FAILED"]
  newer_than = "1h"
  limit      = 20
}

check "nothing_failed" {
  assert {
    condition     = data.ray_jobs.failed.total == 0
    error_message = "Jobs failed within the last hour: ${join(", ", data.ray_jobs.failed.jobs[*].submission_id)}"
  }
}
