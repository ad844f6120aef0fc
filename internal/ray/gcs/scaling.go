package gcs

import (
	"context"
	"encoding/json"
	"math"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
)

// Demand is work that waits for a place.
type Demand struct {
	ray.Bundle
	// Strategy is that of a placement group whose bundles wait, as STRICT_SPREAD;
	// empty for tasks and actors.
	Strategy string
}

// Scaling is what an autoscaler is asked for and does, as of its last round.
type Scaling struct {
	// Autoscaler is as Client.Autoscaler returns it.
	Autoscaler string
	Launches   Launches
	// Waiting is all work that waits; InfeasibleDemand is what of it no node type can
	// hold, which only v2 tells.
	Waiting, InfeasibleDemand []Demand
	// Floor is the cluster-wide request: what the whole cluster must be able to
	// hold, busy or not. There is one per cluster, and the last writer's replaces
	// all before it. In its normal form (ray.NormalBundles).
	Floor []ray.Bundle
	// InfeasibleFloor is the floor of v2's last round where the cluster can't grow to
	// hold all of it, and for that reason nothing of it is enforced. v1 enforces what
	// fits and says nothing.
	InfeasibleFloor []ray.Bundle

	state, seen int64        // v2: the number of this state, and of that of its last round
	taken       []ray.Bundle // v1: the floor of its last round
}

// Infeasible reports whether v2 has found that the cluster can't grow to hold Floor,
// the present one: its verdict on one before may be there for a round.
func (s Scaling) Infeasible() bool {
	return len(s.InfeasibleFloor) > 0 && ray.SameBundles(s.InfeasibleFloor, s.Floor)
}

// TakenSince reports whether the autoscaler made a round that went by Floor, as it
// was in an earlier answer and still is in s.
func (s Scaling) TakenSince(earlier Scaling) bool {
	if !ray.SameBundles(s.Floor, earlier.Floor) {
		return false
	}
	if s.Autoscaler == AutoscalerV1 {
		return ray.SameBundles(s.taken, s.Floor)
	}
	return s.seen > earlier.state
}

// Scaling asks for all of it.
//
// AutoscalerStateService/GetClusterStatus, in Ray 2.9 already; and for v1 keys
// __autoscaling_status and autoscaler_resource_request.
func (c *Client) Scaling(ctx context.Context) (Scaling, error) {
	version, err := c.Autoscaler(ctx)
	if err != nil {
		return Scaling{}, err
	}
	status, err := c.clusterStatus(ctx)
	if err != nil {
		return Scaling{}, err
	}
	resources, state := status.GetClusterResourceState(), status.GetAutoscalingState()
	out := Scaling{
		Autoscaler: version,
		state:      resources.GetClusterResourceStateVersion(), seen: state.GetLastSeenClusterResourceStateVersion(),
	}
	for _, r := range resources.GetPendingResourceRequests() {
		out.Waiting = append(out.Waiting, Demand{Bundle: bundle(r.GetRequest(), r.GetCount())})
	}
	out.Waiting = append(normalDemands(out.Waiting), gangs(resources.GetPendingGangResourceRequests())...)
	if version == AutoscalerV1 {
		report, found, err := c.reportV1(ctx)
		if err != nil {
			return Scaling{}, err
		}
		if found {
			out.Launches, out.taken = report.launches(), report.floor()
		}
		out.Floor, err = c.requestV1(ctx)
		return out, err
	}
	out.Launches = launchesV2(state)
	for _, r := range state.GetInfeasibleResourceRequests() {
		out.InfeasibleDemand = append(out.InfeasibleDemand, Demand{Bundle: bundle(r, 1)})
	}
	out.InfeasibleDemand = append(normalDemands(out.InfeasibleDemand), gangs(state.GetInfeasibleGangResourceRequests())...)
	out.Floor = constraint(resources.GetClusterResourceConstraints())
	out.InfeasibleFloor = constraint(state.GetInfeasibleClusterResourceConstraints())
	return out, nil
}

// bundle reads one shape.
func bundle(r *raypb.ResourceRequest, count int64) ray.Bundle {
	b := ray.Bundle{Resources: r.GetResourcesBundle(), Count: int(count)}
	for _, s := range r.GetLabelSelectors() {
		selector := ray.LabelSelector{}
		for _, term := range s.GetLabelConstraints() {
			not := term.GetOperator() == raypb.LabelSelectorOperator_LABEL_OPERATOR_NOT_IN
			selector.SetTerms(term.GetLabelKey(), term.GetLabelValues(), not)
		}
		b.Selectors = append(b.Selectors, selector)
	}
	return b
}

// request is the message for a shape.
func request(b ray.Bundle) *raypb.ResourceRequest {
	r := &raypb.ResourceRequest{ResourcesBundle: b.Resources}
	for _, selector := range b.Selectors {
		s := &raypb.LabelSelector{}
		for _, label := range selector.Labels() {
			values, not := selector.Terms(label)
			operator := raypb.LabelSelectorOperator_LABEL_OPERATOR_IN
			if not {
				operator = raypb.LabelSelectorOperator_LABEL_OPERATOR_NOT_IN
			}
			s.LabelConstraints = append(s.LabelConstraints, &raypb.LabelSelectorConstraint{LabelKey: label, Operator: operator, LabelValues: values})
		}
		r.LabelSelectors = append(r.LabelSelectors, s)
	}
	return r
}

// constraint reads the cluster-wide request. Ray sends a list; it holds at most
// one, and one that is empty once a request was taken back.
func constraint(list []*raypb.ClusterResourceConstraint) []ray.Bundle {
	var out []ray.Bundle
	for _, c := range list {
		for _, r := range c.GetResourceRequests() {
			out = append(out, bundle(r.GetRequest(), r.GetCount()))
		}
	}
	return ray.NormalBundles(out)
}

// gangs reads what waits of placement groups, in the order in which Ray lists them.
func gangs(list []*raypb.GangResourceRequest) []Demand {
	var out []Demand
	for _, g := range list {
		var bundles []ray.Bundle
		requests := g.GetRequests()
		if alternatives := g.GetBundleSelectors(); len(alternatives) > 0 {
			requests = alternatives[0].GetResourceRequests() // the same with label selectors
		}
		for _, r := range requests {
			bundles = append(bundles, bundle(r, 1))
		}
		// "<placement group id>:STRICT_SPREAD|PENDING".
		_, strategy, _ := strings.Cut(g.GetDetails(), ":")
		strategy, _, _ = strings.Cut(strategy, "|")
		for _, b := range ray.NormalBundles(bundles) {
			out = append(out, Demand{Bundle: b, Strategy: strategy})
		}
	}
	return out
}

// normalDemands is the normal form of what tasks and actors ask.
func normalDemands(demands []Demand) []Demand {
	var bundles []ray.Bundle
	for _, d := range demands {
		bundles = append(bundles, d.Bundle)
	}
	var out []Demand
	for _, b := range ray.NormalBundles(bundles) {
		out = append(out, Demand{Bundle: b})
	}
	return out
}

// requestV1 reads the request that v1 goes by.
func (c *Client) requestV1(ctx context.Context) ([]ray.Bundle, error) {
	value, found, err := c.KVGet(ctx, "", keyV1Floor)
	if err != nil || !found {
		return nil, err
	}
	var shapes []ray.Resources
	if err := json.Unmarshal(value, &shapes); err != nil {
		return nil, c.protocolError("read the cluster-wide resource request", "not the JSON that Ray writes", err)
	}
	bundles := make([]ray.Bundle, len(shapes))
	for i, shape := range shapes {
		bundles[i] = ray.Bundle{Resources: shape, Count: 1}
	}
	return ray.NormalBundles(bundles), nil
}

// coordinator is the actor of Ray Data and Ray Train v2
// (data/_internal/cluster_autoscaler/default_autoscaling_coordinator.py).
const coordinator = "AutoscalingCoordinator"

// Coordinated reports whether the actor of Ray Data and Ray Train lives that replaces
// the cluster-wide request every 20 s by what their jobs need, and by none where none
// runs. The first such job makes it, and nothing ends it but the cluster.
//
// ActorInfoGcsService/GetNamedActorInfo, in Ray 2.9 already.
func (c *Client) Coordinated(ctx context.Context) (bool, error) {
	reply, err := call(ctx, c, "look for the "+coordinator, c.actors.GetNamedActorInfo,
		&raypb.GetNamedActorInfoRequest{Name: coordinator, RayNamespace: coordinator})
	if ray.IsKind(err, ray.KindNotFound) {
		return false, nil
	}
	return err == nil && reply.GetActorTableData().GetState() != raypb.ActorTableData_DEAD, err
}

// MaxFloor is the most bundles that SetFloor sends: an autoscaler packs them one
// by one in every round.
const MaxFloor = 10_000

// SetFloor replaces the cluster-wide request, whoever wrote it, on a cluster of
// this autoscaler; none takes it back. Another cluster than that of clusterID
// refuses it with ray.KindWrongCluster. That it is taken says nothing of what
// comes of it: read Scaling a round later.
//
// AutoscalerStateService/RequestClusterResourceConstraint, in Ray 2.9 already,
// kept in the GCS's memory, also where there is a Redis, and ignored by v1. For v1
// key autoscaler_resource_request; v1 knows no labels, and goes by its last value
// if the key is deleted.
func (c *Client) SetFloor(ctx context.Context, autoscaler, clusterID string, bundles []ray.Bundle) error {
	const op = "request resources"
	bundles = ray.NormalBundles(bundles)
	if err := c.checkFloor(op, autoscaler, bundles); err != nil {
		return err
	}
	if autoscaler == AutoscalerV2 {
		constraint := &raypb.ClusterResourceConstraint{}
		for _, b := range bundles {
			constraint.ResourceRequests = append(constraint.ResourceRequests, &raypb.ResourceRequestByCount{Request: request(b), Count: int64(b.Count)})
		}
		_, err := callWith(ctx, c, op, c.scaler.RequestClusterResourceConstraint,
			&raypb.RequestClusterResourceConstraintRequest{ClusterResourceConstraint: constraint}, metaClusterID, clusterID)
		return err
	}
	shapes := []ray.Resources{}
	for _, b := range bundles {
		for range b.Count {
			shapes = append(shapes, b.Resources)
		}
	}
	value, err := json.Marshal(shapes)
	if err != nil {
		return &ray.Error{Kind: ray.KindInvalid, Op: op, Address: c.conn.Address, Message: "not numbers", Err: err}
	}
	_, err = callWith(ctx, c, op, c.kv.InternalKVPut,
		&raypb.InternalKVPutRequest{Key: []byte(keyV1Floor), Value: value, Overwrite: true}, metaClusterID, clusterID)
	return err
}

// checkFloor refuses what no autoscaler must be sent.
func (c *Client) checkFloor(op, autoscaler string, bundles []ray.Bundle) error {
	kind, message, total := ray.KindUnknown, "", 0
	for _, b := range bundles {
		total += b.Count
		for _, v := range b.Resources {
			if v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
				kind, message = ray.KindInvalid, b.String()+" is no request for resources"
			}
		}
		if len(b.Selectors) > 0 && autoscaler == AutoscalerV1 {
			kind, message = ray.KindUnsupported, "label selectors need autoscaler v2, this cluster runs v1"
		}
	}
	switch {
	case autoscaler != AutoscalerV1 && autoscaler != AutoscalerV2:
		kind, message = ray.KindUnsupported, "this cluster runs no autoscaler that could add nodes"
	case total > MaxFloor:
		kind, message = ray.KindInvalid, "too many bundles"
	}
	if kind == ray.KindUnknown {
		return nil
	}
	return &ray.Error{Kind: kind, Op: op, Address: c.conn.Address, Message: message}
}
