// Package kuberay speaks to the Kubernetes API of a cluster that KubeRay runs Ray on:
// it reads a RayCluster and changes its autoscaling without touching what is others'.
//
// # Who owns what
//
// A RayCluster has three writers besides its author. Ray's autoscaler writes replicas
// and scaleStrategy of the worker groups, by their index in the list and without any
// guard. The KubeRay operator writes the status. Helm, Argo CD and the like write what
// their charts say, when they are asked to. So this package
//
//   - writes minReplicas, maxReplicas and idleTimeoutSeconds of a group, and
//     idleTimeoutSeconds and upscalingMode of autoscalerOptions, only those that its
//     caller named, and nothing else, ever;
//   - never inserts, removes or moves a group;
//   - writes with one JSON Patch whose test operations name the object's uid, the
//     group's name and the old value of each field: a moved group, another object and
//     another writer of the same field refuse it, and a busy autoscaler does not. A
//     resource version would refuse for each of its writes.
//
// Server-side apply is not used: worker groups are one atomic list to it, so that an
// apply of one group takes the whole list, and drops those it does not name.
//
// # What nobody checks
//
// The API server takes a minReplicas above maxReplicas, and the operator then stops
// reconciling the whole RayCluster and says so in an Event. Findings has the operator's
// checks (ValidateRayClusterSpec of KubeRay 1.6), to be asked before anything is
// written.
//
// This is the only package that imports k8s.io, and of client-go only its dynamic
// client: the typed one costs 22 MB more.
package kuberay
