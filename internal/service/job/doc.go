// Package job is ray_job: one submission to Ray's Jobs API as a Terraform
// resource.
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
//   - All that Delete needs stands in state attributes: the Delete of a tainted
//     object gets no private data.
package job
