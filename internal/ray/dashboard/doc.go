// Package dashboard talks to a Ray head's dashboard, by HTTP on port 8265: the
// Jobs API, packages, versions and the parts of the state API that show nodes
// and logs. Everything that changes a cluster goes through it.
//
// A Client has one base URL, which may have a path prefix (a dashboard behind an
// ingress), and one http.Client whose transport owns credentials, TLS and
// proxies. New does not dial. Every method takes a context, obeys it at once, and
// returns errors that are *ray.Error:
//
//	c, err := dashboard.New(dashboard.Options{URL: "https://ray.example.org/prod"})
//	job, err := c.Job(ctx, "nightly-0a1b2c3d4e")
//	if ray.IsKind(err, ray.KindNotFound) { ... } // Ray itself said so
//
// What it takes care of, because Ray's dashboard is particular:
//
//   - Trailing slashes are part of Ray's routes: /api/jobs is a 404 and so is
//     //api/jobs/. There are no redirects in Ray, so one that comes is a proxy's; it
//     is reported and never followed, since credentials would cross with it.
//   - Ray >= 2.52 answers 405 to any write that looks as if a browser sent it, so
//     Origin, Referer and Sec-Fetch-* are never set on writes. GETs of jobs are
//     sent with "Sec-Fetch-Mode: cors": Ray >= 2.59 then masks the values of env_vars,
//     and earlier releases ignore it on GETs.
//   - The head passes writes to its agent and answers 500 for whatever the agent
//     refuses, with the real status and a traceback in the text. One function,
//     translate, reads such texts; nothing else decides by text.
//   - "Not found" makes callers drop objects. A 404 therefore only is KindNotFound
//     when it has the words that Ray uses; the 404 page of something else is
//     KindProtocol.
//   - Ray has no time-out between head and agent: a POST to a head with a frozen
//     agent hangs, and takes effect when the agent wakes up. A write whose request
//     may have left this process and has no answer is marked OutcomeUnknown.
//
// Time-outs are idle ones: RequestTimeout runs anew with each byte sent or
// received, so that a large upload is not cut off while it makes progress.
//
// What it does not do: it does not repeat writes, choose ids, poll, or decide
// what an outcome means (package jobs does), and it never reads the environment.
package dashboard
