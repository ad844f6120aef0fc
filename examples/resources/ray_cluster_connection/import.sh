# By any address of the cluster:
terraform import ray_cluster_connection.main http://ray-head:8265
