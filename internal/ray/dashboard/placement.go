package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// PlacementGroups lists the placement groups of all namespaces that are not
// removed. GET /api/v0/placement_groups?detail=true, since Ray 2.0. Ray does not
// tell a group's namespace.
func (c *Client) PlacementGroups(ctx context.Context) ([]ray.PlacementGroup, error) {
	var v struct {
		Data struct {
			Result struct {
				Total  int            `json:"total"`
				Shown  int            `json:"num_after_truncation"`
				Result []placementRow `json:"result"`
			} `json:"result"`
		} `json:"data"`
	}
	k := call{
		op: "list the placement groups", method: http.MethodGet, path: "/api/v0/placement_groups",
		query: url.Values{
			// Ray keeps the removed ones, and libraries such as Tune make and remove many.
			"filter_keys": {"state"}, "filter_predicates": {"!="}, "filter_values": {string(ray.PlacementRemoved)},
			"detail": {"true"}, "limit": {"10000"}, // the most that any Ray allows
		},
	}
	if err := c.getJSON(ctx, k, &v); err != nil {
		return nil, err
	}
	r := v.Data.Result
	if r.Result == nil || r.Shown < r.Total {
		return nil, &ray.Error{Kind: ray.KindProtocol, Op: k.op, Address: c.URL(), Message: fmt.Sprintf("the answer shows %d of %d placement groups", r.Shown, r.Total)}
	}
	groups := make([]ray.PlacementGroup, 0, len(r.Result))
	for _, row := range r.Result {
		groups = append(groups, row.group())
	}
	return groups, nil
}

type placementRow struct {
	ID       string                  `json:"placement_group_id"`
	Name     string                  `json:"name"`
	State    ray.PlacementGroupState `json:"state"`
	Detached bool                    `json:"is_detached"`
	Stats    struct {
		Scheduling string `json:"scheduling_state"`
	} `json:"stats"`
	Bundles []struct {
		Resources     ray.Resources     `json:"unit_resources"`
		NodeID        string            `json:"node_id"`
		LabelSelector map[string]string `json:"label_selector"`
	} `json:"bundles"`
}

func (r placementRow) group() ray.PlacementGroup {
	g := ray.PlacementGroup{ID: r.ID, Name: r.Name, State: r.State, Detached: r.Detached, Scheduling: r.Stats.Scheduling}
	for _, b := range r.Bundles {
		g.Bundles = append(g.Bundles, ray.PlacementBundle{Resources: b.Resources, LabelSelector: b.LabelSelector, NodeID: b.NodeID})
	}
	return g
}
