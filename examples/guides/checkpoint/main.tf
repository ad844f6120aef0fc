terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS.
provider "ray" {
  owner = "checkpoint"
}

variable "storage" {
  type        = string
  description = "Where checkpoints are kept: a directory that all nodes share, or a URI that the job can write to."
}

# Runs up to three times in one apply: after a failure of the cluster, and after
# the exit code 75 by which the job says that another attempt is worth it.
resource "ray_job" "train" {
  name            = "train"
  entrypoint      = "python train.py"
  working_dir     = "${path.module}/job"
  checkpoint_path = "${var.storage}/train"

  retry = {
    max_attempts = 3
    exit_codes   = [75]
    min_backoff  = "1s"
  }
}

output "attempts" {
  value = [for a in ray_job.train.attempts : "${a.submission_id} ${a.status}"]
}
