package job

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
)

// claimKind is what a plan wants with a submission id.
type claimKind int

const (
	// claimCreate is a resource without a prior object.
	claimCreate claimKind = iota
	// claimRecreate is the second half of a replacement.
	claimRecreate
	// claimUpdate is a resource with a prior object, also the first half of a
	// replacement.
	claimUpdate
	// claimDestroy is a resource that goes.
	claimDestroy
)

// claims are the ids that the resources of one plan want. A provider is not told
// the addresses of its resources, so two that want one id are told by what they
// want: only a resource of its own creates.
type claims struct {
	mu  sync.Mutex
	ids map[string]map[claimKind]int
}

type claimsKey struct{}

func (c *claims) add(id string, kind claimKind) map[claimKind]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil {
		c.ids = map[string]map[claimKind]int{}
	}
	if c.ids[id] == nil {
		c.ids[id] = map[claimKind]int{}
	}
	c.ids[id][kind]++
	seen := map[claimKind]int{}
	maps.Copy(seen, c.ids[id])
	return seen
}

// carriedOut ends the claims of an id that a Create has taken: with
// create_before_destroy core plans the destroy of the old object only now, and nothing
// contends with it any more.
func carriedOut(cluster *conn.Cluster, id string) {
	all := claimsOf(cluster)
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.ids, id)
}

func claimsOf(cluster *conn.Cluster) *claims {
	all, _ := cluster.Value(claimsKey{}, func() any { return new(claims) }).(*claims)
	return all
}

// claim records what a plan wants with an id, or with the first id of an attempt
// sequence, and reports two that can't both have it.
func (r *jobResource) claim(ctx context.Context, m *jobModel, id string, kind claimKind, diags *diag.Diagnostics) {
	cluster := r.cluster(ctx, m, &diag.Diagnostics{})
	if cluster == nil || id == "" {
		return
	}
	seen := claimsOf(cluster).add(id, kind)
	creates := seen[claimCreate] > 0
	switch {
	case seen[claimCreate]+seen[claimRecreate] > 1, creates && seen[claimUpdate] > 0 && seen[claimRecreate] == 0 && kind != claimDestroy:
		summary := fmt.Sprintf("Two resources claim job %s", m.label())
		detail := fmt.Sprintf("Another resource of this plan has the same name, owner and inputs, so both would manage submission %q. Give each its own name, or different triggers. (If this stands in the way of a destroy: terraform destroy -refresh=false.)", id)
		// An error on an object that stays as it is would also stand in the way of
		// its destroy, so only a resource to be created gets one.
		if kind == claimUpdate {
			diags.AddAttributeWarning(path.Root("name"), summary, detail)
		} else {
			diags.AddAttributeError(path.Root("name"), summary, detail)
		}
	case creates && seen[claimDestroy] > 0 && recordedRuns(cluster, id) > 1:
		// A tainted object and a deposed one, which failed before it under
		// create_before_destroy: both go, and the next attempt comes.
	case creates && seen[claimDestroy] > 0:
		diags.AddWarning(fmt.Sprintf("Job %s is destroyed and created in one plan", m.label()),
			fmt.Sprintf("Submission %q belongs to a resource that goes and to one that comes, as after a rename. Terraform does both at one time: the job is stopped, deleted and run again or, where the new resource comes first, taken over as it is; the apply says which. If it was only renamed, add a moved block.", id))
	}
}

// claimID is what a recorded job claims: the first id of its attempts, or the id
// that the user chose.
func (m *jobModel) claimID(ctx context.Context) string {
	if base, ok := m.base(ctx); ok {
		return base
	}
	return m.SubmissionID.ValueString()
}
