output "ray_version" {
  value = ray_cluster_connection.demo.ray_version
}

output "nodes" {
  description = "CPUs of the nodes that are alive, by name."
  value       = { for node in data.ray_nodes.demo.nodes : node.name => lookup(node.resources, "CPU", 0) }
}

output "cpus" {
  description = "CPUs of the whole cluster."
  value       = data.ray_cluster_resources.demo.total.CPU
}

output "job" {
  description = "What Ray calls the job, and how it ended."
  value = {
    submission_id = ray_job.pi.submission_id
    status        = ray_job.pi.status
    package       = ray_job.pi.package_uri
    url           = ray_job.pi.url
  }
}
