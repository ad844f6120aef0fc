package ray_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

func TestNormalBundles(t *testing.T) {
	t.Parallel()
	on := func(selectors ...ray.LabelSelector) []ray.LabelSelector { return selectors }
	got := ray.NormalBundles([]ray.Bundle{
		{Resources: ray.Resources{"GPU": 0.5, "CPU": 1}, Count: 1},
		{Resources: ray.Resources{"CPU": 1}, Selectors: on(ray.LabelSelector{"tier": "in(small)"}), Count: 1},
		{Resources: ray.Resources{"CPU": 1, "GPU": 0.5, "TPU": 0}, Selectors: on(ray.LabelSelector{}), Count: 2},
		{Resources: ray.Resources{"CPU": 1}, Selectors: on(ray.LabelSelector{"tier": "small"}), Count: 1},
		{Resources: ray.Resources{"CPU": 1}, Selectors: on(ray.LabelSelector{"zone": "!in(b, a,b)"}), Count: 1},
		{Resources: ray.Resources{"CPU": 8}},
		{Resources: ray.Resources{"CPU": 0}, Count: 3},
	})
	want := []ray.Bundle{
		{Resources: ray.Resources{"CPU": 1, "GPU": 0.5}, Count: 3},
		{Resources: ray.Resources{"CPU": 1}, Selectors: on(ray.LabelSelector{"tier": "small"}), Count: 2},
		{Resources: ray.Resources{"CPU": 1}, Selectors: on(ray.LabelSelector{"zone": "!in(a,b)"}), Count: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("normal form (-want +got):\n%s", diff)
	}
	if got := want[2].String(); got != "1 x {CPU: 1} with zone=!in(a,b)" {
		t.Errorf("String = %q", got)
	}
	if !ray.SameBundles(nil, []ray.Bundle{{Count: 1}}) {
		t.Error("nothing and a bundle of nothing differ, want the same")
	}
	if ray.SameBundles(want, want[:2]) {
		t.Error("a bundle more is the same, want a difference")
	}
}

func TestLabelSelector_terms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		Values []string
		Not    bool
	}{
		"small":         {[]string{"small"}, false},
		"!small":        {[]string{"small"}, true},
		"in(b, a)":      {[]string{"a", "b"}, false},
		"!in(b,a)":      {[]string{"a", "b"}, true},
		"international": {[]string{"international"}, false},
		"":              {[]string{""}, false},
	} {
		s := ray.LabelSelector{"l": text}
		got := want
		got.Values, got.Not = s.Terms("l")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}
