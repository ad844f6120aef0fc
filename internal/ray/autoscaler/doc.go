// Package autoscaler is the engine of resource floors: the cluster-wide resource
// request of Ray (ray.autoscaler.sdk.request_resources), written so that it is known
// to be enforced, and taken back.
//
// A cluster has one such request. It has no owner and no version; whoever writes
// replaces it wholesale, and the one before is gone. What follows from that is done
// here:
//
//   - Enforce reads back what it wrote, until the autoscaler has made a round that
//     went by it, and says whose request is there where it is not ours.
//   - Ray Data and Ray Train v2 leave a detached actor behind, AutoscalingCoordinator,
//     that replaces the request every 20 s by what their jobs need. Where it lives, a
//     floor is not written, unless that is asked for.
//   - Autoscaler v2 enforces all of a request or nothing. Where it says that the
//     cluster can't grow to hold all, the request before is put back. v1 enforces what
//     fits and says nothing: there only the wait for the nodes shows it.
//   - v2 keeps the request in the memory of the GCS: a restart loses it, also with
//     Redis. Drift says so.
//   - Release takes back only what is still ours.
//
// Between a look and a write somebody else may write: Ray has no compare-and-swap.
package autoscaler
