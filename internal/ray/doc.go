// Package ray says what Ray is, for any Go program: the domain types, the
// typed errors and the capabilities of a cluster. It knows nothing of Terraform,
// reads no environment and holds no state.
//
// A Ray cluster answers on three ports, each with a package of its own below
// this one:
//
//   - the dashboard (8265, HTTP): package dashboard. Jobs, packages, versions and
//     the state API. Everything that changes a cluster goes through it.
//   - the GCS (6379, gRPC): package gcs. Nodes with their death reasons, live
//     resources, the internal key-value store. Fast, but often not reachable from
//     outside the cluster's network.
//   - the Ray Client server (10001, gRPC): package rayclient. Used once to find
//     the other two.
//
// Package jobs is the engine of a submission that runs exactly once, package
// workdir makes the packages that jobs run in.
//
// All of these return errors that are, or wrap, *Error: decide with errors.As or
// IsKind, never by text.
package ray
