// Package conn turns configuration into live clients of Ray clusters.
//
// A Pool holds what the provider was configured with and hands out one Cluster
// per target, the same one for the same target, so that all resources of a
// process share connections, look-ups and locks. Making either dials nothing.
// A Cluster makes its clients when they are first asked for and remembers what
// it found out: where the dashboard and the GCS are, who the cluster is, that
// the GCS can't be reached from here.
//
// # Where a credential goes
//
// A token, a header or a client certificate goes to the address that it is for
// and nowhere else:
//
//   - an entry of credentials goes to the address that is its key;
//   - the provider's own goes to the provider's address; where the provider has
//     none, to the addresses that resources write;
//   - an address that a cluster reported gets one only where its host is the
//     host that the user wrote. A loopback address reported by a remote head is
//     first replaced by the user's host, since 127.0.0.1 there is not
//     127.0.0.1 here;
//   - a token that was given for an https address is not sent in the clear to an
//     address that was discovered;
//   - a redirect is never followed;
//   - through Kubernetes' API server Ray's token goes in X-Ray-Authorization, and
//     only below the proxy of the head that the user wrote. Authorization is
//     Kubernetes' own, and ends there.
//
// # Choice of source
//
// Nodes come from the GCS where it answers and over HTTP elsewhere. The GCS is
// believed only if it has the cluster id of the dashboard. That it can't be
// reached is found out once, in two seconds at most.
//
// This package, and main for its logs and memory, are the only ones that read
// the environment. It knows nothing of Terraform.
package conn
