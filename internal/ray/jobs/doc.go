// Package jobs is the engine of ray_job without Terraform: a submission to Ray's
// Jobs API that runs exactly once, whatever is cut off on the way.
//
// # How a job runs once
//
// Ray knows no idempotency key but the submission id, and its check for a
// duplicate id is atomic. So the id is a pure function of the owner and of all
// inputs of the job (Inputs.Digest, BaseID), with the attempt's number behind it,
// and every submission carries a Stamp in its metadata that says whose it is.
// Engine.Submit looks which attempts the server has, decides (adopt the last one
// or submit the next), and posts. An answer that was lost is never followed by
// another id: the engine looks, and posts the same id again only where Ray does
// not know it.
//
// # What a process remembers
//
// Terraform runs Create and Delete of different resources at the same time. The
// Registry holds, for one process, the ids that it owns (submitted or adopted) and
// those that it released (deleted, stopped or abandoned), so that a Delete never
// removes what a Create just took, and a Create never takes back what a Delete
// just let go.
//
// # What it does not do
//
// It is no scheduler and no retry loop for failed entrypoints. It promises one run
// per live cluster: an entrypoint that is no Ray driver may outlive a dead head,
// and Ray cannot know.
package jobs
