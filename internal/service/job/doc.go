// Package job is ray_job, one submission to Ray's Jobs API as a Terraform resource,
// and ray_job_wait, a gate on many of them.
//
// The engine that submits exactly once is package ray/jobs; here is what Terraform
// sees of it. What is worth knowing before changing anything:
//
//   - submission_id, status and what follows from them are planned unknown and
//     decided in Create: a plan's look-up only warns, because what it found may be
//     gone, or there, when the plan is applied.
//   - Replacement is decided attribute by attribute with semantic equality
//     (job_plan.go). The digest only names the job and finds it again.
//   - Terraform taints every object that comes with an error from Create. So a job
//     that is over without success comes with state, and one that merely could not
//     be waited for comes without: the next apply finds it by its stamp.
//   - An interrupted wait comes back as a success with the private marker
//     "waiting"; the next plan shows an in-place update that waits on. A verdict
//     that such an update finds sets the marker "failed_wait", which plans the
//     replacement that a taint would.
//   - A retry is another submission within one apply (retry.go), so where an update
//     waits on with retry set, even submission_id is planned unknown.
//   - A gate owns nothing on the cluster. One that was not passed comes back as an
//     error without state, and is planned again.
//   - All that Delete needs stands in state attributes: the Delete of a tainted
//     object gets no private data.
package job
