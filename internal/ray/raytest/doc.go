// Package raytest is Ray for tests: real heads, and a fake that can fail on cue.
//
// StartHead starts a real head on free ports, with its own temporary directory and
// process group; it needs no testing.TB, so that programs can use it too.
//
//	h, err := raytest.StartHead(ctx, raytest.HeadOptions{NumCPUs: 2})
//	defer h.Close()
//
// With HeadOptions.Autoscaler it is a whole autoscaling cluster: nodes come where
// work asks for them, and go when it is done.
//
// NewFake serves the routes of a dashboard that the provider uses out of this
// process, in a millisecond:
//
//	f := raytest.NewFake(raytest.WithVersion("2.40.0"))
//	defer f.Close()
//	i := f.Fail(raytest.Match{Route: "POST /api/jobs/"}, raytest.LoseAnswer())
//	... // use f.URL()
//	if n := f.Executions("nightly-1"); n != 1 { ... }
//
// The fake counts how often each submission's entrypoint ran, so that a test can
// demand exactly once, and how often each route was asked. Its time is the
// machine's, or a Clock that only moves when told. Entrypoints are read by a tiny
// shell (true, false, exit, sleep, echo, WithCommand); nothing is executed.
//
// Rule: teach the fake nothing that a real Ray did not show. Its bodies are built
// from those that a real head gave, in testdata/ray-<version>, byte for byte but
// for ids, times and addresses. Conformance is one suite that runs on the fake and
// on a real head; what the fake gains goes into it too. Each fault says what it
// imitates.
//
// What the fake does not do: it runs no code, counts no used resources, connects
// no drivers (job_id is always null), and knows only the routes in fake_http.go.
package raytest
