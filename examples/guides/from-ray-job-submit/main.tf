# Was, in a CI script:
#
#   ray job submit --address "$RAY_ADDRESS" --submission-id "nightly-$CI_RUN" \
#     --working-dir src --runtime-env-json '{"env_vars": {"STAGE": "prod"}}' \
#     --entrypoint-num-cpus 1 --metadata-json '{"team": "ml"}' \
#     -- python report.py --day 2026-11-24

terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address comes from RAY_ADDRESS, as with the CLI. The owner is the same in
# every run: it must not come from a variable of the CI.
provider "ray" {
  owner            = "reports/prod"
  default_metadata = { team = "ml" }
}

variable "day" {
  type    = string
  default = "2026-11-24"
}

resource "ray_job" "report" {
  name                = "report"
  command             = ["python", "report.py", "--day", var.day]
  working_dir         = "${path.module}/src"
  runtime_env         = { env_vars = { STAGE = "prod" } }
  entrypoint_num_cpus = 1
}
