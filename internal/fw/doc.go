// Package fw is the small glue between this provider and the plugin framework:
// what every resource and data source would otherwise copy.
//
//   - Resource and DataSource are embedded; they take the pool from the provider.
//   - ClusterAttribute is the cluster argument that all of them have, TargetOf
//     reads it.
//   - AddError is the one place where an error becomes a diagnostic: the summary
//     says what could not be done to which object, the detail what Ray said and
//     what to do next.
//   - Duration, Timeouts and the validators of addresses.
//
// It holds nothing of what Ray is (package ray) or how it is reached (package
// conn), and no resource.
package fw
