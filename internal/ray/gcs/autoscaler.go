package gcs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
)

// What Autoscaler returns.
const (
	AutoscalerNone    = "none"
	AutoscalerV1      = "v1"
	AutoscalerV2      = "v2"
	AutoscalerUnknown = "unknown"
)

// firstTick is how long an autoscaler may take to report for the first time: it
// took 15 s from the head's start on a loaded machine of two cores.
const firstTick = time.Minute

// Autoscaler returns which autoscaler can add nodes to the cluster: none, v1, v2,
// or unknown while a young head's has not reported yet.
//
// A head that was started without an autoscaling configuration runs one too, in a
// read-only mode that only reports. It is told by the node types: the read-only
// v1 names one node_<id> for each node, and under v2 a node has a type only where
// an autoscaler's launcher gave it one (RAY_NODE_TYPE_NAME); nor does a read-only
// v2 launch anything.
//
// Key __autoscaler_v2_enabled of namespace __autoscaler, in Ray 2.9 already.
func (c *Client) Autoscaler(ctx context.Context) (string, error) {
	enabled, found, err := c.KVGet(ctx, nsAutoscaler, keyV2Enabled)
	if err != nil {
		return "", err
	}
	if found && string(enabled) == "1" {
		return c.autoscalerV2(ctx)
	}
	report, found, err := c.reportV1(ctx)
	switch {
	case err != nil:
		return "", err
	case !found:
		return c.noReport(ctx)
	case report.readOnly():
		return AutoscalerNone, nil
	}
	return AutoscalerV1, nil
}

// autoscalerV2 tells v2 from none where the head says that it runs v2.
func (c *Client) autoscalerV2(ctx context.Context) (string, error) {
	status, err := c.clusterStatus(ctx)
	if err != nil {
		return "", err
	}
	if status.GetAutoscalingState() == nil {
		return c.noReport(ctx)
	}
	if l := launchesV2(status.GetAutoscalingState()); len(l.Pending)+len(l.Failed) > 0 {
		return AutoscalerV2, nil
	}
	for _, n := range status.GetClusterResourceState().GetNodeStates() {
		if n.GetRayNodeTypeName() != "" {
			return AutoscalerV2, nil
		}
	}
	return AutoscalerNone, nil
}

// noReport is none on a head that is old enough for an autoscaler to have
// reported: `ray start --no-monitor`, which KubeRay uses, runs none.
func (c *Client) noReport(ctx context.Context) (string, error) {
	head, found, err := c.head(ctx)
	switch {
	case err != nil:
		return "", err
	case found && !head.StartedAt.IsZero() && time.Since(head.StartedAt) > firstTick:
		return AutoscalerNone, nil
	}
	return AutoscalerUnknown, nil
}

// Launch is one or more nodes of a type that an autoscaler is about to add, or
// could not add.
type Launch struct {
	// NodeType is the type's name in the autoscaler's configuration: the worker
	// group under KubeRay.
	NodeType string
	// InstanceType is the cloud's name of the machine; v2 only.
	InstanceType string
	Count        int
	// Instance is the cloud's id of a machine that is starting; else empty.
	Instance string
	// Detail is how far a pending one is, or why one failed; often empty.
	Detail string
	// RequestedAt and FailedAt are zero where not known or not so.
	RequestedAt, FailedAt time.Time
}

// Launches is what an autoscaler is doing, as of its last round.
type Launches struct {
	Pending, Failed []Launch
	// Infeasible are the distinct shapes of tasks and actors that no node type can
	// hold; v2 only.
	Infeasible []ray.Resources
	// InfeasibleGroups are bundles of placement groups that no node type can hold, or
	// for which as many nodes as they need may not be added; v2 only.
	InfeasibleGroups []Demand
}

// Launches returns what the autoscaler reported last; empty where there is none.
// Failed launches are kept for long, the newest are last.
//
// AutoscalerStateService/GetClusterStatus, in Ray 2.9 already, for v2; key
// __autoscaling_status for v1.
func (c *Client) Launches(ctx context.Context) (Launches, error) {
	status, err := c.clusterStatus(ctx)
	if err != nil && !ray.IsKind(err, ray.KindUnsupported) {
		return Launches{}, err
	}
	if state := status.GetAutoscalingState(); state != nil {
		return launchesV2(state), nil
	}
	report, found, err := c.reportV1(ctx)
	if err != nil || !found {
		return Launches{}, err
	}
	return report.launches(), nil
}

// launchesV2 reads the report of autoscaler v2.
func launchesV2(state *raypb.AutoscalingState) Launches {
	var out Launches
	for _, p := range state.GetPendingInstanceRequests() {
		out.Pending = append(out.Pending, Launch{
			NodeType: p.GetRayNodeTypeName(), InstanceType: p.GetInstanceTypeName(),
			Count: int(p.GetCount()), RequestedAt: timeS(p.GetRequestTs()),
		})
	}
	for _, p := range state.GetPendingInstances() {
		out.Pending = append(out.Pending, Launch{
			NodeType: p.GetRayNodeTypeName(), InstanceType: p.GetInstanceTypeName(),
			Count: 1, Instance: p.GetInstanceId(), Detail: p.GetDetails(),
		})
	}
	for _, f := range state.GetFailedInstanceRequests() {
		out.Failed = append(out.Failed, Launch{
			NodeType: f.GetRayNodeTypeName(), InstanceType: f.GetInstanceTypeName(), Count: int(f.GetCount()),
			Detail: f.GetReason(), RequestedAt: timeS(f.GetStartTs()), FailedAt: timeS(f.GetFailedTs()),
		})
	}
	slices.SortStableFunc(out.Failed, func(a, b Launch) int {
		return cmp.Or(a.FailedAt.Compare(b.FailedAt), cmp.Compare(a.NodeType, b.NodeType))
	})
	out.Infeasible = shapes(state.GetInfeasibleResourceRequests())
	out.InfeasibleGroups = gangs(state.GetInfeasibleGangResourceRequests())
	return out
}

// shapes returns the distinct shapes of requests, which Ray lists one by one.
func shapes(requests []*raypb.ResourceRequest) []ray.Resources {
	distinct := map[string]ray.Resources{}
	for _, r := range requests {
		shape := ray.Resources(r.GetResourcesBundle())
		var key strings.Builder
		for _, name := range shape.Names() {
			fmt.Fprintf(&key, "%q:%s,", name, strconv.FormatFloat(shape[name], 'g', -1, 64))
		}
		distinct[key.String()] = shape
	}
	var out []ray.Resources
	for _, key := range slices.Sorted(maps.Keys(distinct)) {
		out = append(out, distinct[key])
	}
	return out
}

// timeS is a time in seconds since the epoch; zero stays zero.
func timeS(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

// reportV1 is what autoscaler v1 writes to __autoscaling_status
// (AutoscalerSummary in autoscaler/_private/autoscaler.py).
type reportV1 struct {
	ActiveNodes     map[string]int `json:"active_nodes"`
	PendingNodes    [][]string     `json:"pending_nodes"` // ip, type, status
	PendingLaunches map[string]int `json:"pending_launches"`
	FailedNodes     [][]string     `json:"failed_nodes"` // ip, type
	Availability    struct {
		Records map[string]struct {
			Available bool    `json:"is_available"`
			Checked   float64 `json:"last_checked_timestamp"`
			Reason    *struct {
				Category    string `json:"category"`
				Description string `json:"description"`
			} `json:"unavailable_node_information"`
		} `json:"node_availabilities"`
	} `json:"node_availability_summary"`

	taken []floorV1
}

// reportV1 reads the report; found is false where none was written.
func (c *Client) reportV1(ctx context.Context) (*reportV1, bool, error) {
	value, found, err := c.KVGet(ctx, "", keyV1Status)
	if err != nil || !found {
		return nil, false, err
	}
	var status struct {
		Report *reportV1 `json:"autoscaler_report"`
		Load   struct {
			Floor []floorV1 `json:"request_demand"`
		} `json:"load_metrics_report"`
	}
	if err := json.Unmarshal(value, &status); err != nil {
		return nil, false, c.protocolError("read the autoscaler's report", "not the JSON that Ray writes", err)
	}
	if status.Report == nil {
		return nil, false, nil
	}
	status.Report.taken = status.Load.Floor
	return status.Report, true, nil
}

// floorV1 is one shape of the cluster-wide request as v1 reports it: [{"CPU": 1}, 2].
type floorV1 ray.Bundle

// UnmarshalJSON reads the pair.
func (f *floorV1) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&f.Resources, &f.Count})
}

// floor is the cluster-wide request that the last round went by.
func (r *reportV1) floor() []ray.Bundle {
	var out []ray.Bundle
	for _, f := range r.taken {
		out = append(out, ray.Bundle(f))
	}
	return ray.NormalBundles(out)
}

// readOnly reports whether every node type is one that the read-only provider
// makes up (format_readonly_node_type in autoscaler/_private/util.py).
func (r *reportV1) readOnly() bool {
	for name := range r.ActiveNodes {
		id, ok := strings.CutPrefix(name, "node_")
		if !ok || len(id) != 56 {
			return false
		}
	}
	return len(r.ActiveNodes) > 0
}

// launches reads pending and failed launches, in a fixed order.
func (r *reportV1) launches() Launches {
	var out Launches
	for _, t := range slices.Sorted(maps.Keys(r.PendingLaunches)) {
		out.Pending = append(out.Pending, Launch{NodeType: t, Count: r.PendingLaunches[t]})
	}
	for _, n := range r.PendingNodes {
		if len(n) == 3 {
			out.Pending = append(out.Pending, Launch{NodeType: n[1], Count: 1, Instance: n[0], Detail: n[2]})
		}
	}
	for _, n := range r.FailedNodes {
		if len(n) == 2 {
			out.Failed = append(out.Failed, Launch{NodeType: n[1], Count: 1, Instance: n[0]})
		}
	}
	for _, t := range slices.Sorted(maps.Keys(r.Availability.Records)) {
		rec := r.Availability.Records[t]
		if rec.Available || rec.Reason == nil {
			continue
		}
		out.Failed = append(out.Failed, Launch{
			NodeType: t, Count: 1, Detail: strings.TrimSpace(rec.Reason.Category + ": " + rec.Reason.Description),
			FailedAt: time.Unix(int64(rec.Checked), 0).UTC(),
		})
	}
	return out
}
