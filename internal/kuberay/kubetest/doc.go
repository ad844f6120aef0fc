// Package kubetest is Kubernetes with KubeRay for tests, without a container
// engine: what the provider speaks to, and what else writes to the same objects.
//
//	s, err := kubetest.Start(ctx, kubetest.Options{Operator: true})
//	defer s.Close()
//	c, err := s.CreateRayCluster(ctx, kubetest.RayClusterOptions{Name: "ml"})
//	... // use s.Admin.Kubeconfig
//
// It needs no testing.TB, so that programs can use it too. A server is ready in
// some 5 seconds, 10 with the operator, and takes 800 MB: share one per package of
// tests, with a namespace or a name of its own for each test. It ends with the
// process that started it, however that process ends.
//
// What is real: kube-apiserver and etcd (authentication, RBAC, schemas, conflicts,
// events, the proxy to services), KubeRay's operator and its custom resource
// definitions, and Ray's own autoscaler code, which reads and patches a RayCluster
// as it does in a head pod: where the test decides what it does (StartAutoscaler), or
// for the load of the Ray that the pods run (RunPods).
//
// What stands in, as far as the operator and the provider can see it:
//
//   - for kubelets, a loop that gives every pod an address and calls it running. A
//     pod with a nodeSelector stays Pending, as there is no such node.
//   - for the garbage collector, RayCluster.Delete, which also deletes the pods and
//     the services of the cluster.
//   - for the controller of endpoints and the network of pods, RayCluster.ServeHead,
//     which leads what is asked of the head's service to a server of this machine.
//
// Nothing runs in the pods unless RunPods runs it, as processes of this machine, which
// share its address: autoscaler v1, which knows nodes by theirs, would not do. There is
// no scheduler and no controller manager: no pod has a node, a deleted namespace stays
// Terminating, and nothing else that a controller would do happens.
package kubetest
