terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

provider "ray" {
  owner = "secrets"
}

variable "database_password" {
  type        = string
  ephemeral   = true # neither in the plan nor in the state
  description = "Password that the job logs in with, as in TF_VAR_database_password."
}

resource "ray_job" "load" {
  name       = "secrets-load"
  entrypoint = "test -n \"$DATABASE_PASSWORD\" && echo loading as $DATABASE_USER"

  runtime_env = {
    env_vars = { DATABASE_USER = "loader" } # hidden in output, but in the state
  }

  env_vars_wo         = { DATABASE_PASSWORD = var.database_password }
  env_vars_wo_version = 1 # raise it with each new password

  # Any field of the runtime_env can be write-only; this one only names the job's
  # Python, to keep the example small.
  runtime_env_json_wo         = jsonencode({ py_executable = "python" })
  runtime_env_json_wo_version = 1
}
