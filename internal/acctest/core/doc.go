// Package core plays the part of Terraform's core over a provider's RPCs, in
// the test's own process, so that a behaviour which needs plans, applies,
// replacements, taints, interrupts and kills is tested in milliseconds and
// without a Terraform binary.
//
//	tf := core.New(t, func() tfprotov6.ProviderServer {
//		return providerserver.NewProtocol6(provider.New("test")())()
//	})
//	tf.Provider(map[string]any{"address": fake.URL})
//	tf.Resource("ray_job.a", map[string]any{"name": "a", "entrypoint": "true"})
//	if got := tf.Plan().Action("ray_job.a"); got != core.Create { ... }
//	tf.MustApply()
//	tf.State("ray_job.a")["status"]
//
// # What is faithful
//
// The order and the contents of the calls are those of Terraform 1.11 to 1.17
// and OpenTofu 1.12 as read in Terraform's source and seen by a logging
// provider: every command is a process of its own (one server for plan, a new
// one for apply), state goes through its JSON form and UpgradeResourceState,
// a replacement is planned twice (the second time without a prior object, with
// the private bytes of the first), a tainted object is planned once, as if it
// did not exist and without private bytes, and its Delete inside a replacement
// gets none either. A plan is checked against the configuration, the final
// plan against the plan, and the result against the final plan, with core's
// own texts, so that "Provider produced inconsistent result after apply" is
// seen here first.
//
// # What is not
//
// There is no expression language: a reference is [Ref], a value that only
// apply learns is [Later]. There are no modules, provisioners, conditions,
// outputs, actions and providers other than the one under test, and
// create_before_destroy does not spread to the resources it depends on.
// A killed provider ([Run.Kill]) lives in the test's own process: it gets no
// answers to give and its context is not cancelled before the test ends, but
// code that was not blocked goes on. Stop it at the server that it talks to.
package core
