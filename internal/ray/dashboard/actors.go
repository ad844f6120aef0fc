package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// supervisorName is JOB_ACTOR_NAME_TEMPLATE of dashboard/modules/job/common.py.
const supervisorName = "_ray_internal_job_actor_"

// actorDead is the one state that an actor does not leave.
const actorDead = "DEAD"

// SupervisorAlive reports whether the actor lives, or will, that runs the
// entrypoint of a submission: the entrypoint ends with it at the latest, within a
// second. GET /api/v0/actors, filtered by the actor's name, since Ray 2.0. A
// submission that Ray does not know has none.
func (c *Client) SupervisorAlive(ctx context.Context, submissionID string) (bool, error) {
	var v struct {
		Data struct {
			Result struct {
				Result []struct {
					Name  string `json:"name"`
					State string `json:"state"`
				} `json:"result"`
			} `json:"result"`
		} `json:"data"`
	}
	name := supervisorName + submissionID
	k := call{
		op: fmt.Sprintf("look for the supervisor of job %q", submissionID), method: http.MethodGet, path: "/api/v0/actors",
		query: url.Values{"filter_keys": {"name"}, "filter_predicates": {"="}, "filter_values": {name}, "limit": {"1000"}},
	}
	if err := c.getJSON(ctx, k, &v); err != nil {
		return false, err
	}
	if v.Data.Result.Result == nil {
		return false, &ray.Error{Kind: ray.KindProtocol, Op: k.op, Address: c.URL(), Message: "the answer lists no actors"}
	}
	for _, actor := range v.Data.Result.Result {
		// An id that was used again has had several.
		if actor.Name == name && actor.State != actorDead {
			return true, nil
		}
	}
	return false, nil
}
