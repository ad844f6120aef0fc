package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Nodes lists the nodes, dead ones included, in Ray's order. GET
// /api/v0/nodes?detail=true, since Ray 2.0. Names of resources and labels are
// Ray's own here; /nodes and /api/cluster_status mangle them. Only totals are
// known, and nothing of draining or idling. The list is empty for some seconds
// after a head has begun to answer: the dashboard is up before the raylet is.
func (c *Client) Nodes(ctx context.Context) ([]ray.Node, error) {
	var v struct {
		Data struct {
			Result struct {
				Total  int       `json:"total"`
				Shown  int       `json:"num_after_truncation"`
				Result []nodeRow `json:"result"`
			} `json:"result"`
		} `json:"data"`
	}
	k := call{
		op: "list the nodes", method: http.MethodGet, path: "/api/v0/nodes",
		// 10000 is the most that any Ray allows; without limit it is 100.
		query: url.Values{"detail": {"true"}, "limit": {"10000"}},
	}
	if err := c.getJSON(ctx, k, &v); err != nil {
		return nil, err
	}
	r := v.Data.Result
	if r.Result == nil || r.Shown < r.Total {
		return nil, &ray.Error{Kind: ray.KindProtocol, Op: k.op, Address: c.URL(), Message: fmt.Sprintf("the answer shows %d of %d nodes", r.Shown, r.Total)}
	}
	nodes := make([]ray.Node, 0, len(r.Result))
	for _, row := range r.Result {
		nodes = append(nodes, row.node())
	}
	return nodes, nil
}

type nodeRow struct {
	NodeID         string            `json:"node_id"`
	NodeIP         string            `json:"node_ip"`
	IsHead         bool              `json:"is_head_node"`
	State          string            `json:"state"`
	StateMessage   string            `json:"state_message"`
	NodeName       string            `json:"node_name"`
	ResourcesTotal ray.Resources     `json:"resources_total"`
	Labels         map[string]string `json:"labels"`
	StartMs        int64             `json:"start_time_ms"`
	EndMs          int64             `json:"end_time_ms"`
}

func (r nodeRow) node() ray.Node {
	n := ray.Node{
		NodeID: r.NodeID, Name: r.NodeName, IP: r.NodeIP, Head: r.IsHead, State: ray.NodeAlive, Labels: r.Labels,
		Total: r.ResourcesTotal, StartedAt: millis(r.StartMs), EndedAt: millis(r.EndMs),
	}
	if r.State == string(ray.NodeDead) {
		n.State = ray.NodeDead
		n.DeathReason, n.DeathMessage = deathReason(r.StateMessage)
	}
	return n
}

// deathReason undoes ray.dashboard.utils.compose_state_message, which writes the
// reason of ray.rpc.NodeDeathInfo as words before the message.
func deathReason(s string) (reason, message string) {
	for _, r := range [...]struct{ words, reason string }{
		{"Expected termination", ray.DeathExpected},
		{"Unexpected termination", ray.DeathUnexpected},
		{"Terminated due to preemption", ray.DeathDrainPreempted},
		{"Terminated due to idle (no Ray activity)", ray.DeathDrainIdle},
	} {
		if rest, ok := strings.CutPrefix(s, r.words); ok && (rest == "" || strings.HasPrefix(rest, ": ")) {
			return r.reason, strings.TrimPrefix(rest, ": ")
		}
	}
	return ray.DeathUnspecified, s
}

// summary is the part of /nodes?view=summary that is used. Everything else in it
// has mangled names.
type summary struct {
	Data struct {
		Summary []struct {
			Cmdline []string `json:"cmdline"`
			Raylet  struct {
				NodeID    string                     `json:"nodeId"`
				State     string                     `json:"state"`
				IsHead    bool                       `json:"isHeadNode"`
				Resources map[string]json.RawMessage `json:"resourcesTotal"`
			} `json:"raylet"`
		} `json:"summary"`
		Logical map[string]string `json:"nodeLogicalResources"`
	} `json:"data"`
}

func (c *Client) summary(ctx context.Context, op string) (summary, error) {
	var s summary
	err := c.getJSON(ctx, call{op: op, method: http.MethodGet, path: "/nodes", query: url.Values{"view": {"summary"}}}, &s)
	return s, err
}

// Usage is what is available on each node, by node id, as far as HTTP shows it:
// GET /nodes?view=summary (since Ray 2.0, up to 2 s old) has it as text for
// people, without the resources named node:..., and with bytes rounded to two
// digits. A node that the text leaves out is not in the map.
func (c *Client) Usage(ctx context.Context) (map[string]ray.Resources, error) {
	s, err := c.summary(ctx, "ask for the usage of the nodes")
	if err != nil {
		return nil, err
	}
	exact := map[string]map[string]json.RawMessage{}
	for _, n := range s.Data.Summary {
		exact[n.Raylet.NodeID] = n.Raylet.Resources
	}
	out := make(map[string]ray.Resources, len(s.Data.Logical))
	for id, text := range s.Data.Logical {
		r := ray.Resources{}
		for line := range strings.SplitSeq(text, "\n") {
			name, available, total, ok := parseUsage(line)
			if !ok {
				continue
			}
			// The totals of bytes are exact beside the text, under mangled names.
			var t float64
			if raw, ok := exact[id][map[string]string{"memory": "memory", "object_store_memory": "objectStoreMemory"}[name]]; ok &&
				json.Unmarshal(raw, &t) == nil {
				available += t - total
			}
			r[name] = max(available, 0)
		}
		out[id] = r
	}
	return out, nil
}

// parseUsage reads a line of ray.autoscaler._private.util.parse_usage:
// "0.5/2.0 CPU", "0B/23.01GiB memory", "1.0/4.0 CPU (0.0 used of 2.0 reserved in
// placement groups)". What a placement group reserves is not available, used or
// not.
func parseUsage(line string) (name string, available, total float64, ok bool) {
	amounts, name, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok {
		return "", 0, 0, false
	}
	u, t, ok := strings.Cut(amounts, "/")
	used, ok1 := quantity(u)
	total, ok2 := quantity(t)
	if !ok || !ok1 || !ok2 {
		return "", 0, 0, false
	}
	available = total - used
	if n, group, ok := strings.Cut(name, " ("); ok {
		name = n
		if f := strings.Fields(group); len(f) > 3 && f[1] == "used" && f[2] == "of" {
			pgUsed, ok1 := quantity(f[0])
			pgTotal, ok2 := quantity(f[3])
			if ok1 && ok2 {
				available -= pgTotal - pgUsed
			}
		}
	}
	return name, available, total, true
}

// quantity reads "2.0" and what ray.autoscaler._private.util.format_memory writes.
func quantity(s string) (float64, bool) {
	unit := 1.0
	for _, u := range [...]struct {
		suffix string
		bytes  float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, unit = rest, u.bytes
			break
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return f * unit, err == nil
}

// ErrNotReported is a head that is young: its agent reports within seconds.
var ErrNotReported = errors.New("no head node has reported its command line yet")

// GCSAddress is host:port of the GCS as the head's raylet was told on its command
// line; GET /nodes?view=summary, since Ray 2.0. It is the cluster's own view: the
// port may not be reachable from here. ErrNotReported while the head has not
// reported its command line, some seconds after a start.
func (c *Client) GCSAddress(ctx context.Context) (string, error) {
	const op = "ask for the address of the GCS"
	s, err := c.summary(ctx, op)
	if err != nil {
		return "", err
	}
	for _, n := range s.Data.Summary {
		if !n.Raylet.IsHead || n.Raylet.State == string(ray.NodeDead) {
			continue
		}
		for _, arg := range n.Cmdline {
			if a, ok := strings.CutPrefix(arg, "--gcs-address="); ok && a != "" {
				return a, nil
			}
		}
	}
	return "", &ray.Error{Kind: ray.KindUnavailable, Op: op, Address: c.URL(), Err: ErrNotReported}
}
