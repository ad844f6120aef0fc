// Package gcs asks a Ray cluster's Global Control Service (port 6379, gRPC), the
// place where nodes, their deaths, live resources and the internal key-value
// store are known first. No Python and no Ray on this side: the messages are in
// package raypb.
//
//	c, err := gcs.New(gcs.Options{Address: "10.0.0.1:6379"}) // does not dial
//	nodes, err := c.Nodes(ctx)
//
// All but SetFloor and CancelUnplaced only reads. A call costs about half a millisecond of the
// GCS's time; node and status lists grow by 0.7 kB a node, dead ones included.
//
// # Which cluster
//
// The GCS of a replaced cluster answers on the same address. With
// Options.ClusterID every call carries that id, and another cluster's GCS refuses
// it: ray.KindWrongCluster. ClusterID and CheckAlive are asked without it, so
// that they can say who is there instead.
//
// # What it does not do
//
// Ray promises nothing for these interfaces; the messages were compared with those
// of Ray 2.9.3 and 2.60.0. Requests are empty wherever Ray
// allows it, a call that a Ray does not have is ray.KindUnsupported, and nothing
// that can end a GCS can be sent (see package raypb). There is no retry here.
package gcs
