package ray

import (
	"sort"
	"strconv"
	"strings"
	"time"
)

// Resources are logical resources by Ray's own name: CPU, GPU, memory and
// object_store_memory (bytes), accelerator_type:..., node:..., custom ones.
type Resources map[string]float64

// Names returns the resource names, sorted.
func (r Resources) Names() []string {
	names := make([]string, 0, len(r))
	for n := range r {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Add adds o to r.
func (r Resources) Add(o Resources) {
	for n, v := range o {
		r[n] += v
	}
}

// Cluster is who a cluster is and what it runs.
type Cluster struct {
	// ClusterID is 56 hex digits; empty on Ray before 2.31 asked over HTTP. It
	// survives a head restart with Redis and changes with every other restart.
	ClusterID string
	// SessionName names the head's session; empty on Ray before 2.35 over HTTP.
	SessionName string
	// RayVersion is as in "2.60.0".
	RayVersion string
	// PythonVersion is the head's, as in "3.13.0"; empty where it can't be asked.
	PythonVersion string
	// StartedAt is when the session began; zero where unknown.
	StartedAt time.Time
	// AuthenticationMode is "disabled" or "token"; "disabled" before Ray 2.52.
	AuthenticationMode string
}

// NodeState is the state of a Ray node.
type NodeState string

// Node states. IDLE and DRAINING are only known from the GCS; over HTTP such
// nodes read as ALIVE.
const (
	NodeAlive    NodeState = "ALIVE"
	NodeIdle     NodeState = "IDLE"
	NodeDraining NodeState = "DRAINING"
	NodeDead     NodeState = "DEAD"
)

// Death reasons of a node (ray.rpc.NodeDeathInfo.Reason). Only
// UNEXPECTED_TERMINATION is an alarm; the others are ordinary endings.
const (
	DeathUnspecified    = "UNSPECIFIED"
	DeathExpected       = "EXPECTED_TERMINATION"
	DeathUnexpected     = "UNEXPECTED_TERMINATION"
	DeathDrainPreempted = "AUTOSCALER_DRAIN_PREEMPTED"
	DeathDrainIdle      = "AUTOSCALER_DRAIN_IDLE"
)

// Well-known names of resources and labels.
const (
	HeadNodeResource       = "node:__internal_head__"
	AcceleratorTypePrefix  = "accelerator_type:"
	LabelAcceleratorType   = "ray.io/accelerator-type"
	LabelNodeGroup         = "ray.io/node-group"
	LabelNodeID            = "ray.io/node-id"
	ResourceNodeNamePrefix = "node:"
)

// Node is one Ray node.
type Node struct {
	// NodeID is 56 hex digits.
	NodeID string
	Name   string
	IP     string
	// Hostname, NodeType, InstanceID are only known from the GCS.
	Hostname, NodeType, InstanceID string
	Head                           bool
	State                          NodeState
	// DeathReason is one of the Death constants for a dead node, else empty.
	DeathReason, DeathMessage string
	Labels                    map[string]string
	// Total are the node's logical resources. Available is nil where the source
	// does not know them.
	Total, Available Resources
	// StartedAt and EndedAt are zero where not known or not over.
	StartedAt, EndedAt time.Time
	// IdleFor is how long an idle node has been idle; from the GCS only.
	IdleFor time.Duration
}

// Alive reports whether the node can run work: alive or idle, not draining.
func (n Node) Alive() bool { return n.State == NodeAlive || n.State == NodeIdle }

// Version is a Ray release as major, minor, patch.
type Version [3]int

// ParseVersion reads "2.60.0", also with a suffix such as "3.0.0.dev0" or
// "2.9.0rc1". ok is false where s has no leading major.minor.
func ParseVersion(s string) (v Version, ok bool) {
	parts := strings.SplitN(s, ".", 4)
	if len(parts) < 2 {
		return v, false
	}
	for i := 0; i < 3 && i < len(parts); i++ {
		digits := parts[i]
		if j := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); j >= 0 {
			digits = digits[:j]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			return v, i >= 2
		}
		v[i] = n
	}
	return v, true
}

// Less reports whether v is an earlier release than o.
func (v Version) Less(o Version) bool {
	for i := range v {
		if v[i] != o[i] {
			return v[i] < o[i]
		}
	}
	return false
}

// String returns "major.minor.patch".
func (v Version) String() string {
	return strconv.Itoa(v[0]) + "." + strconv.Itoa(v[1]) + "." + strconv.Itoa(v[2])
}
