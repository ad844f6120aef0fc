package ray

// PlacementGroupState is the state of a placement group, as Ray spells it.
type PlacementGroupState string

// The states of a placement group. One that lost a bundle with its node is
// RESCHEDULING until another node takes the bundle. PREPARED is between PENDING and
// CREATED, since Ray 2.31.
const (
	PlacementPending      PlacementGroupState = "PENDING"
	PlacementPrepared     PlacementGroupState = "PREPARED"
	PlacementCreated      PlacementGroupState = "CREATED"
	PlacementRemoved      PlacementGroupState = "REMOVED"
	PlacementRescheduling PlacementGroupState = "RESCHEDULING"
)

// PlacementGroup is a placement group as the state API shows it.
type PlacementGroup struct {
	// ID is 36 hex digits.
	ID string
	// Name is unique among the groups of a Ray namespace that are not removed, and
	// empty for most.
	Name     string
	State    PlacementGroupState
	Detached bool
	Bundles  []PlacementBundle
	// Scheduling is how the last attempt to place it went: FINISHED, NO_RESOURCES
	// where some node could hold a bundle if it had room, INFEASIBLE where none could.
	Scheduling string
}

// PlacementBundle is what a placement group holds on one node.
type PlacementBundle struct {
	Resources Resources
	// LabelSelector is what the node's labels must meet; since Ray 2.49.
	LabelSelector LabelSelector
	// NodeID is empty while no node holds it.
	NodeID string
}

// Placed is how many bundles a node holds.
func (p PlacementGroup) Placed() int {
	n := 0
	for _, b := range p.Bundles {
		if b.NodeID != "" {
			n++
		}
	}
	return n
}
