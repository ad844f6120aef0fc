terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

provider "ray" {
  owner = "python-requirements"
}

resource "ray_job" "report" {
  name       = "python-requirements-report"
  entrypoint = "python -c 'import click; print(click.__name__)'"

  runtime_env = {
    pip = { requirements_file = "${path.module}/requirements.txt" }
  }
}
