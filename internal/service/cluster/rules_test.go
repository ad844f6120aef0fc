package cluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

func TestConstraint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		constraint, version string
		want                bool
	}{
		{">= 2.50, < 3", "2.50.0", true},
		{">= 2.50, < 3", "2.49.9", false},
		{">= 2.50, < 3", "3.0.0", false},
		{">=2.50,<3", "2.60.1", true},
		{"2.60", "2.60.0", true},
		{"= 2.60.0", "2.60.1", false},
		{"!= 2.55.1", "2.55.1", false},
		{"!= 2.55.1", "2.55.0", true},
		{"> 2.60", "2.60.0", false},
		{"<= 2.60", "2.60.1", false},
		{"~> 2.50", "2.99.0", true},
		{"~> 2.50", "3.0.0", false},
		{"~> 2.50.1", "2.50.9", true},
		{"~> 2.50.1", "2.51.0", false},
		{"~> 2.50.1", "2.50.0", false},
		{">= 3", "3.0.0.dev0", true},
		{">= 2.9", "2.10.0", true},
	} {
		c, err := parseConstraint(test.constraint)
		if err != nil {
			t.Errorf("%s: %v", test.constraint, err)
			continue
		}
		v, _ := ray.ParseVersion(test.version)
		if got := c.allows(v); got != test.want {
			t.Errorf("%s allows %s: got %v, want %v", test.constraint, test.version, got, test.want)
		}
	}
	for _, s := range []string{"", " ", ">=", "2.60,", "2.x", "v2.60", "=> 2", "1.2.3.4", ">= -1", "~> 2", "2.60 3.0"} {
		if _, err := parseConstraint(s); err == nil {
			t.Errorf("%q: no error", s)
		}
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	head := ray.Node{Head: true, State: ray.NodeAlive, Total: ray.Resources{"CPU": 2, "memory": 2e10}}
	gpu := ray.Node{State: ray.NodeIdle, Total: ray.Resources{"GPU": 8}, Labels: map[string]string{"a": "b"}}
	draining := gpu
	draining.State = ray.NodeDraining
	dead := gpu
	dead.State = ray.NodeDead
	for name, test := range map[string]struct {
		want  want
		nodes []ray.Node
		got   []string
	}{
		"head alone":          {want{}, []ray.Node{head}, nil},
		"nothing":             {want{}, nil, []string{"no head node is alive"}},
		"idle counts":         {want{nodes: 2, resources: ray.Resources{"GPU": 8}}, []ray.Node{head, gpu}, nil},
		"draining, dead":      {want{nodes: 2, resources: ray.Resources{"GPU": 8}}, []ray.Node{head, draining, dead}, []string{"1/2 nodes", "GPU 0/8"}},
		"labels alone":        {want{labels: map[string]string{"a": "b"}}, []ray.Node{head}, []string{"0/1 nodes with a=b"}},
		"labels on resources": {want{labels: map[string]string{"a": "b"}, resources: ray.Resources{"CPU": 1}}, []ray.Node{head, gpu}, []string{"CPU 0/1"}},
		"bytes":               {want{resources: ray.Resources{"memory": 3e10}}, []ray.Node{head}, []string{"memory 20000000000/30000000000"}},
		"sum of thirds":       {want{resources: ray.Resources{"x": 1}}, []ray.Node{head, {State: ray.NodeAlive, Total: ray.Resources{"x": 0.1 + 0.2}}, {State: ray.NodeAlive, Total: ray.Resources{"x": 0.7}}}, nil},
	} {
		if diff := cmp.Diff(test.got, test.want.missing(test.nodes)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
