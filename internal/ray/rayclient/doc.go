// Package rayclient asks a Ray Client server (port 10001, gRPC, ray:// in Ray's
// words) where the rest of its cluster is: the dashboard and the GCS.
//
//	found, err := rayclient.Discover(ctx, rayclient.Options{Address: "10.0.0.1:10001"})
//
// It is a bootstrap, not a way to work. The server answers next to nothing
// without a session, and a session costs the head a Python driver process, 2 to 4
// seconds, and a row in its list of jobs. So Discover opens one, asks, and ends
// it; do that once, never in each read. Ping opens none.
//
// A session is ended in every case: by a clean-up request where the server can
// hear one, else by the end of its stream. With a grace period of 0 the driver
// then ends at once; the idle process that ran it leaves 30 s later, after Ray's
// own clients too (TIMEOUT_FOR_SPECIFIC_SERVER_S). The job configuration of a session is a
// Python pickle: none is sent.
package rayclient
