terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS.
provider "ray" {
  owner = "life-cycle"
}

variable "release" {
  type    = string
  default = "1"
}

# A batch job: apply is green when it SUCCEEDED. A new release runs it again.
resource "ray_job" "migrate" {
  name       = "migrate"
  entrypoint = "echo migrated"
  triggers   = { release = var.release }

  start_timeout     = "10m"  # else it is stopped, and the error says what it waited for
  execution_timeout = "1h"   # else it is stopped
  on_interrupt      = "stop" # so does Ctrl-C
}

# A job whose failure is an answer, not an error: what depends on it looks at
# its status.
resource "ray_job" "probe" {
  name           = "probe"
  entrypoint     = "exit 3"
  ignore_failure = true
}

# A service: apply is green when it RUNs, and destroy stops it within 30 s. It is
# run again where a plan finds that it failed or is gone, and not where somebody
# stopped it.
resource "ray_job" "worker" {
  depends_on   = [ray_job.migrate]
  name         = "worker"
  entrypoint   = "sleep infinity"
  wait_for     = "RUNNING"
  rerun_on     = ["FAILED", "MISSING", "CLUSTER_REPLACED"] # the default with RUNNING
  stop_timeout = "30s"
}

# A job that returns a value, with its whole log in a file.
resource "ray_job" "evaluate" {
  name       = "evaluate"
  entrypoint = "echo 'RAY_JOB_RESULT={\"accuracy\": 0.93}'"
  log_file   = "${path.module}/logs/evaluate.log"
}

output "accuracy" {
  value = try(ray_job.evaluate.result.accuracy, null)
}

output "probe" {
  value = "${ray_job.probe.status} with exit code ${ray_job.probe.driver_exit_code}"
}
