package autoscaling

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// checkRequest says what an apply would meet on the cluster as it is; own is set where
// the request that is there may be the policy's.
func checkRequest(ctx context.Context, r *policy, cluster *conn.Cluster, plan *policyModel, own bool, diags *diag.Diagnostics) {
	written, known := plan.writtenBundles(ctx, diags)
	bundles := ray.NormalBundles(written)
	if r.Pool().PlanChecks() == conn.PlanChecksOff || cluster.NeedsSession() || !known {
		return
	}
	b := plan.request(ctx, r.Pool(), cluster, "", diags)
	find := func(summary, detail string) { fw.AddFinding(diags, r.Pool(), b.at(), summary, detail) }
	if err := b.supported(ctx); err != nil {
		find(fmt.Sprintf("Policy %s needs a newer Ray", b.policy), fw.Detail(err))
	}
	gcs, err := cluster.GCS(ctx)
	if err != nil {
		return // the apply will say what is wrong, if it still is
	}
	now, err := gcs.Scaling(ctx)
	if err != nil {
		return
	}
	labels := slices.ContainsFunc(bundles, func(b ray.Bundle) bool { return len(b.Selectors) > 0 })
	switch {
	case now.Autoscaler == conn.AutoscalerNone:
		find(fmt.Sprintf("Policy %s is for a cluster without autoscaler", b.policy), fmt.Sprintf("The cluster at %s has none, so that nothing would enforce a resource floor: the apply is an error.", cluster.Address()))
		return
	case now.Autoscaler == conn.AutoscalerV1 && labels:
		find(fmt.Sprintf("Policy %s needs autoscaler v2", b.policy), fmt.Sprintf("The cluster at %s runs v1, whose resource request knows no label_selector: the apply is an error. Ask for a resource that only the wanted nodes have.", cluster.Address()))
	}
	if nodes, err := gcs.Nodes(ctx); err == nil {
		r.checkBundles(nodes, written, diags)
	}
	if contested, err := gcs.Coordinated(ctx); err == nil && contested && !b.floor.Contested {
		find(fmt.Sprintf("Policy %s would not stay", b.policy), "Ray Data or Ray Train has run on the cluster, and its AutoscalingCoordinator replaces the cluster-wide resource request every 20 seconds: the apply is an error. Use node_floor, which it leaves alone, or set contested = true.")
	}
	if !own && len(now.Floor) > 0 && !ray.SameBundles(bundles, now.Floor) {
		var theirs []string
		for _, b := range now.Floor {
			theirs = append(theirs, b.String())
		}
		diags.AddAttributeWarning(b.at(), fmt.Sprintf("Policy %s replaces another resource request", b.policy),
			fmt.Sprintf("The cluster-wide resource request is now %s. Ray does not tell whose it is. The apply replaces it.", strings.Join(theirs, " and ")))
	}
}
