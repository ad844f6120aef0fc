// Package autoscaling is what is about the autoscaler of a cluster:
// ray_autoscaling_policy, which says how few nodes it may leave, and the data source
// ray_autoscaler_status.
//
// A policy has one backend, which is what it is enforced by. resource_floor is Ray's
// cluster-wide resource request, whose engine is package ray/autoscaler: one per
// cluster, for all policies of a process one lock and one claim.
//
// node_floor is detached STRICT_SPREAD placement groups in the Ray namespace
// terraform.ray-iac, one for each group of nodes, whose bundles are so small that
// they cost nothing, but keep an autoscaler from letting their nodes go. What is
// worth knowing before changing it:
//
//   - Groups are named <owner>/<policy>/<group>/<8 hex digits of the spec>. By the
//     name a policy finds its own again, after a crash and for its destroy, and the
//     spec in it makes a change another group: the new one is whole before the old
//     one goes, so that nodes which both hold stay.
//   - Ray has no HTTP route that makes a placement group, and its gRPC method crashes
//     the GCS of a caller who is no driver. So a short job does it, by Ray's public
//     Python API (node_floor.py), and the dashboard's port is enough. The job looks
//     before it acts, and its record is deleted once it is done.
//   - What is there is read from the state API, never concluded from what a job said.
//   - Bundles of object_store_memory do not hold a node: Ray counts the store's real
//     use, so that the node is idle and goes (Ray 2.60, seen on autoscaler v2: the node
//     was replaced every 6 s). Those of memory do.
//   - The state holds no names and ids of placement groups: all follow from owner, name
//     and node_floor, which Delete has.
//
// serve_deployment changes Serve's config through package ray/serve, and
// worker_groups changes a RayCluster through package kuberay, whose comments say how.
// What they write over was others', so the state keeps what was there before (previous).
// worker_groups keeps in the private state what the last look saw: an update is refused
// where somebody has written since.
package autoscaling
