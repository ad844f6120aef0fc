// Package provider is the Terraform provider: its schema, its configuration, and
// the registry of the services that it offers.
//
// Configure makes the pool of package conn and hands it to every resource and
// data source. It dials nothing: a plan of a configuration whose cluster does not
// exist yet must work. Values that Terraform does not know yet are passed on as
// unknown, never replaced by the environment.
//
// A new kind of resource is added to its service package, a new service to
// registry.go; the tests of this package then hold its schema to the house's
// rules.
package provider
