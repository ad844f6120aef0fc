package autoscaling

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// workerGroupClaims are the fields of the RayCluster, each of which one policy manages.
func workerGroupClaims(ctx context.Context, m *policyModel, cluster *conn.Cluster, diags *diag.Diagnostics) []claim {
	g, ok := m.workerGroups(ctx, diags)
	name, named := cluster.RayCluster()
	if !ok || !named {
		return nil
	}
	values, _ := g.values(ctx, diags)
	var claims []claim
	for _, f := range values.Fields() {
		claims = append(claims, claim{
			key: fieldKey(name, f), at: attributeOf(f), summary: "Two policies set " + fieldText(f),
			detail: fmt.Sprintf("Another policy of this plan sets %s, and each would write over the other's. Let one of them set it.", fieldKey(name, f)),
		})
	}
	return claims
}

// checkWorkerGroups says what an apply would meet on the RayCluster as it is, and has the
// API server try it.
func checkWorkerGroups(ctx context.Context, r *policy, cluster *conn.Cluster, plan *policyModel, _ bool, diags *diag.Diagnostics) {
	pool, policy := r.Pool(), plan.Name.ValueString()
	at := path.Root("worker_groups")
	if _, ok := cluster.RayCluster(); !ok {
		fw.AddError(diags, at, fmt.Sprintf("Policy %s names no RayCluster", policy), errNoRayCluster(cluster))
		return
	}
	client, err := pool.Kubernetes()
	if err != nil {
		fw.AddError(diags, at, fmt.Sprintf("Policy %s has no Kubernetes", policy), err)
		return
	}
	g, _ := plan.workerGroups(ctx, diags)
	if _, known := g.values(ctx, diags); !known || pool.PlanChecks() == conn.PlanChecksOff {
		return
	}
	s := plan.scaling(ctx, pool, cluster, "", diags)
	now, err := client.RayCluster(ctx, s.name)
	switch {
	case ray.IsUnreachable(err):
		return // the apply will say what is wrong, if it still is
	case ray.IsKind(err, ray.KindNotFound):
		fw.AddFinding(diags, pool, at, fmt.Sprintf("RayCluster %s does not exist yet", s.name), fmt.Sprintf("The apply of policy %s is an error unless it is there by then, with the groups that are named here.", policy))
		return
	case err != nil:
		fw.AddFinding(diags, pool, at, fmt.Sprintf("Policy %s can't read its RayCluster", policy), fw.Detail(err))
		return
	}
	stop := false
	for _, f := range now.Findings(s.values, kuberay.Intent{Recreate: s.recreate}) {
		summary := fmt.Sprintf("RayCluster %s: %s", s.name, f.Summary)
		if f.Field.Group != "" {
			summary = fmt.Sprintf("Group %s of RayCluster %s: %s", f.Field.Group, s.name, f.Summary)
		}
		if f.Refused {
			stop = true
			fw.AddFinding(diags, pool, attributeOf(f.Field), summary, f.Detail+" As things are the apply is an error.")
		} else {
			diags.AddAttributeWarning(attributeOf(f.Field), summary, f.Detail)
		}
	}
	if stop || pool.ReadOnly() {
		return
	}
	if _, _, err := client.Scale(ctx, s.name, kuberay.Change{UID: now.UID, Want: s.values, DryRun: true}); err != nil && !ray.IsUnreachable(err) {
		fw.AddFinding(diags, pool, at, fmt.Sprintf("Kubernetes would refuse policy %s", policy), "The API server was asked to try the write without doing it. "+fw.Detail(err))
	}
}
