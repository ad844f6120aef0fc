// Package raypb holds the messages and calls of Ray's gRPC interfaces that this
// module uses, and nothing else of them.
//
// Ray publishes its .proto files with its source and promises no compatibility
// for them, so the four files here are cut down by hand to the fields that are
// read. Package names, message names and field numbers are Ray's: the bytes on
// the wire are the same. What the files leave out can't be sent; two requests
// that end a GCS are left out for that reason, see gcs_service.proto and
// autoscaler.proto.
//
// The Go code is generated; run go generate after a change.
package raypb

//go:generate go run -C ../../tools/proto .
