import {
  to = ray_job.features
  identity = {
    submission_id = "features-0a1b2c3d4e"
  }
}
