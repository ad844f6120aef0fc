// Package cluster holds ray_cluster_connection, which proves, waits for and
// watches a cluster, and the data sources about a cluster as a whole:
// ray_cluster, ray_cluster_resources, ray_nodes and ray_cluster_health.
//
// None of them changes a cluster. What they show comes from package conn, which
// chooses between the GCS and the dashboard.
package cluster
