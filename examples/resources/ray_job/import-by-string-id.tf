import {
  to = ray_job.features
  id = "features-0a1b2c3d4e"
}
