package autoscaling

import (
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Names of placement groups are on users' clusters: they never change.
func TestNamesOfPlacementGroups(t *testing.T) {
	t.Parallel()
	for want, g := range map[string]group{
		"team/a/p/small/90702b90": resourceGroup("small", 1, "small"),
		"team/a/p/small/43d3a69a": resourceGroup("small", 2, "small"),
		"team/a/p/big/b7412ab3":   labelGroup("big", 1, map[string]string{"tier": "in(big, huge)", "a": "b"}),
	} {
		f := &floor{owner: "team/a", policy: "p"}
		if got := f.placementName(g); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if !f.owns(want) {
			t.Errorf("%s is not its own", want)
		}
	}
	one := labelGroup("g", 1, map[string]string{"tier": "in(big,huge)", "a": "b"}).spec()
	same := labelGroup("g", 1, map[string]string{"tier": "in(huge, big)", "a": "in(b)"}).spec()
	if one != same {
		t.Errorf("the same selector in other words is %s, want %s", same, one)
	}
	without := &floor{policy: "p"}
	if got, want := without.placementName(resourceGroup("small", 1, "small")), "/p/small/90702b90"; got != want || !without.owns(want) {
		t.Errorf("without an owner: got %s, want %s", got, want)
	}
}

func TestOwns(t *testing.T) {
	t.Parallel()
	f := &floor{owner: "a/b", policy: "p"}
	for name, want := range map[string]bool{
		"a/b/p/g/01234567": true, "a/b/p/g/0123456": false, "a/p/g/01234567": false, "b/p/g/01234567": false,
		"x/a/b/p/g/01234567": false, "a/b/q/g/01234567": false, "p/g/01234567": false, "a/b/p": false, "": false,
	} {
		if got := f.owns(name); got != want {
			t.Errorf("%q: got %t, want %t", name, got, want)
		}
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	g := resourceGroup("g", 2, "small")
	f := &floor{owner: "o", policy: "p", groups: []group{g}}
	pending := ray.PlacementGroup{Name: f.placementName(g), State: ray.PlacementPending, Bundles: make([]ray.PlacementBundle, 2), Scheduling: "NO_RESOURCES"}
	whole := pending
	whole.State = ray.PlacementCreated
	for want, all := range map[string][]ray.PlacementGroup{
		"group g: its placement group is not there":                         nil,
		"group g: 0 of 2 nodes held (no node that fits is free)":            {pending},
		"placement group o/p/h/01234567 of an earlier apply is still there": {whole, {Name: "o/p/h/01234567"}},
		"": {whole, {Name: "other"}},
	} {
		got := ""
		for _, r := range f.sort(all).reasons() {
			got += r
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
