package autoscaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/serve"
)

func serveDeploymentKind() kind {
	return kind{
		attribute: "serve_deployment",
		object:    func(m *policyModel) types.Object { return m.ServeDeployment },
		backend: func(ctx context.Context, m *policyModel, pool *conn.Pool, cluster *conn.Cluster, id string, diags *diag.Diagnostics) backend {
			s := m.serving(ctx, pool, cluster, diags)
			s.clusterID = id
			return s
		},
		same: func(_ context.Context, m, o *policyModel, _ *diag.Diagnostics) bool {
			return m.ServeDeployment.Equal(o.ServeDeployment)
		},
		validate: validateServeDeployment,
		check:    checkServeDeployment,
		claims: func(ctx context.Context, m *policyModel, _ *conn.Cluster, diags *diag.Diagnostics) []claim {
			_, target, known := m.serveDeployment(ctx, diags)
			if !known {
				return nil
			}
			return []claim{{
				deploymentKey(target), path.Root("serve_deployment"), fmt.Sprintf("Two policies are for deployment %s of application %s", target.Deployment, target.Application),
				"Each would take what the other wrote for its own. Put both in one.",
			}}
		},
		keeps: func(ctx context.Context, m *policyModel, diags *diag.Diagnostics) bool {
			model, _, _ := m.serveDeployment(ctx, diags)
			return model.OnDestroy.ValueString() != onDestroyRestore
		},
		recorded: true, // only the state tells what was there before
		previous: func(context.Context, *policyModel, *policyModel, *diag.Diagnostics) types.String {
			return types.StringUnknown()
		},
	}
}

// serving is the autoscaling of one deployment of Serve.
type serving struct {
	pool    *conn.Pool
	cluster *conn.Cluster
	policy  string
	target  serve.Target
	// clusterID is of the cluster that answers, empty where that is not known.
	clusterID string

	// before is what the config said before the policy, earlier the target of the state;
	// known is set where the state has both.
	before  serve.Previous
	earlier serve.Target
	known   bool

	written bool
}

var _ remembering = (*serving)(nil)

// serving is the policy's on a cluster.
func (m *policyModel) serving(ctx context.Context, pool *conn.Pool, cluster *conn.Cluster, diags *diag.Diagnostics) *serving {
	_, target, _ := m.serveDeployment(ctx, diags)
	s := &serving{pool: pool, cluster: cluster, policy: m.Name.ValueString(), target: target}
	if previous := m.Previous.ValueString(); previous != "" {
		_ = json.Unmarshal([]byte(previous), &s.before) // what else stands there leaves it to the code
	}
	return s
}

type serveKey struct{}

// engine changes the cluster's Serve config, one change at a time for the whole process.
func (s *serving) engine() *serve.Engine {
	e, _ := s.cluster.Value(serveKey{}, func() any { return serve.New(s.cluster.Dashboard) }).(*serve.Engine) // the key is of a type of this package's own
	return e
}

func deploymentKey(t serve.Target) string {
	return fmt.Sprintf("deployment %s of application %s", t.Deployment, t.Application)
}

func (s *serving) at() path.Path { return path.Root("serve_deployment") }

func (s *serving) key() string { return deploymentKey(s.target) }

// supported: a RayService writes the config of its clusters itself.
func (s *serving) supported(ctx context.Context) error {
	if _, ok := s.cluster.RayCluster(); !ok {
		return nil // over HTTP nobody tells
	}
	r, err := readRayCluster(ctx, s.pool, s.cluster)
	if err != nil {
		return err
	}
	if owner := r.Controller(); strings.HasPrefix(owner, "RayService ") {
		return fmt.Errorf("%s owns the cluster and writes its Serve config again whenever it differs from serveConfigV2: set autoscaling_config there", owner)
	}
	return nil
}

func (s *serving) enforce(ctx context.Context) error {
	defer forget[*serve.State](s.cluster)
	first, written, err := s.engine().Enforce(ctx, s.target, s.pool.MaxUnreachable(), tellWaiting(ctx, s.policy, "deployment"))
	s.written = written
	if written || err == nil {
		if s.known {
			s.before = s.before.Managed(first.Previous, s.earlier, s.target)
		} else {
			s.before = first.Previous
		}
	}
	if wait, ok := errors.AsType[*serve.WaitError](err); ok {
		return &unenforcedError{reasons: wait.Reasons, interrupted: !errors.Is(err, jobs.ErrDeadline)}
	}
	return err
}

func (s *serving) made() bool { return s.written }

func (s *serving) tookOver() string { return "" }

func (s *serving) advice() string {
	return "Where replicas only take longer, raise timeouts; where they never start, look at what Serve says of the application (serve status) and at the replicas' logs."
}

func (s *serving) since(ctx context.Context, state *policyModel, _ []byte, diags *diag.Diagnostics) {
	if state.ClusterID.ValueString() == s.clusterID {
		_, s.earlier, s.known = state.serveDeployment(ctx, diags)
	}
}

// seen: Ray has no compare-and-swap, so that what a plan saw can't guard a write.
func (s *serving) seen() []byte { return []byte(`{}`) }

func (s *serving) previous() types.String {
	b, err := json.Marshal(s.before)
	if err != nil {
		panic("autoscaling: " + err.Error()) // it was JSON
	}
	return types.StringValue(string(b))
}

func (s *serving) drift(ctx context.Context) (string, []string, error) {
	id, err := clusterID(ctx, s.cluster)
	if err != nil {
		return "", nil, err
	}
	now, err := shared(ctx, s.cluster, s.engine().State)
	if err != nil {
		return "", nil, err
	}
	return id, now.Drift(s.target), nil
}

func (s *serving) release(ctx context.Context) (string, error) {
	defer forget[*serve.State](s.cluster)
	var left []string
	_, _, err := s.engine().Change(ctx, func(now *serve.State) (serve.Edit, error) {
		e, l, err := now.Restore(s.target, s.before)
		left = l
		return e, err
	})
	if refused, ok := errors.AsType[*serve.RefusedError](err); ok {
		// Nothing of the policy's is left to take back, or it may not be touched.
		return fmt.Sprintf("What was there before was not put back: %s.", refused.Reason), nil
	}
	if err != nil || len(left) == 0 {
		return "", err
	}
	return fmt.Sprintf("What was there before was put back, except: %s.", strings.Join(left, "; ")), nil
}

// checkServeDeployment says what an apply would meet in Serve as it is.
func checkServeDeployment(ctx context.Context, r *policy, cluster *conn.Cluster, plan *policyModel, _ bool, diags *diag.Diagnostics) {
	_, target, known := plan.serveDeployment(ctx, diags)
	if r.Pool().PlanChecks() == conn.PlanChecksOff || cluster.NeedsSession() || !known {
		return
	}
	s := plan.serving(ctx, r.Pool(), cluster, diags)
	find := func(summary, detail string) { fw.AddFinding(diags, r.Pool(), s.at(), summary, detail) }
	if err := s.supported(ctx); err != nil {
		if !ray.IsUnreachable(err) {
			find(fmt.Sprintf("Policy %s is for a cluster of a RayService", s.policy), fw.Detail(err))
		}
		return
	}
	now, err := shared(ctx, s.cluster, s.engine().State)
	switch {
	case ray.IsKind(err, ray.KindUnsupported):
		find(fmt.Sprintf("Policy %s needs Ray Serve", s.policy), fw.Detail(err))
		return
	case err != nil:
		return // the apply will say what is wrong, if it still is
	}
	edit, err := now.Set(target)
	switch {
	case errors.As(err, new(*serve.RefusedError)):
		find(fmt.Sprintf("Policy %s can't be enforced as things are", s.policy), fw.Sentence(err.Error())+" As things are the apply is an error.")
	case err != nil: // it is being deployed
	case edit.Restarts:
		diags.AddAttributeWarning(s.at(), fmt.Sprintf("Policy %s replaces the replicas of application %s", s.policy, target.Application),
			"Ray takes a first autoscaling_config, the last one's end and a change of policy for a change of the application's code: it builds the application anew and replaces all replicas of all of its deployments.")
	}
	if unknown := now.Unknown(target); len(unknown) > 0 {
		find(fmt.Sprintf("Policy %s needs a newer Ray", s.policy), fmt.Sprintf("The cluster's Ray does not know %s of autoscaling_config, and ignores what it does not know.", strings.Join(unknown, " and ")))
	}
}
