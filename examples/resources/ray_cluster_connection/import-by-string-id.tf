import {
  to = ray_cluster_connection.main
  id = "http://ray-head:8265"
}
