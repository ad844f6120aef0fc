// Package faults proves that a ray_job runs exactly once, by breaking it: each
// fault is made to happen many times, at moments that chance chooses, and then the
// user applies again. What must hold afterwards is counted in four columns, all of
// which must be 0:
//
//   - duplicates: an entrypoint began although a run of it was live, or had
//     SUCCEEDED, on the same cluster, and nobody had asked for another.
//   - lost: an apply was green, but the work was not done, or the state does not hold
//     the job that did it.
//   - orphans: a job of ours is on the cluster that no state holds.
//   - untruthful: an apply was green on a job that did not succeed, or an apply
//     failed although nothing was wrong any more, or a plan after a green apply
//     was not empty.
//
// The truth is not asked from Terraform or from records: the fake head writes down
// each run of an entrypoint, and on a real Ray the entrypoints do so themselves.
//
// `make faults` runs all of it and prints the table; `make faults FAULT=... SEED=...`
// repeats one run. A short form is part of `make test`.
package faults
