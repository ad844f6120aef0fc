package autoscaling_test

import (
	"maps"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
)

// What no RayCluster could make right is told without asking for one.
func TestWorkerGroups_validate(t *testing.T) {
	t.Parallel()
	cpu := func(group m) m { return m{"groups": m{"cpu": group}} }
	for name, test := range map[string]struct {
		groups m
		want   []string
	}{
		"nothing":            {m{}, []string{"manages nothing", "worker_groups"}},
		"a group of nothing": {m{"idle_timeout": "60s", "groups": m{"cpu": m{}}}, []string{"Nothing is set for group cpu", `groups["cpu"]`}},
		"no groups":          {m{"groups": m{}}, []string{"must contain at least 1 elements"}},
		"min above max":      {cpu(m{"min_replicas": 3, "max_replicas": 2}), []string{"min_replicas = 3 is above max_replicas = 2", `groups["cpu"].min_replicas`}},
		"negative":           {cpu(m{"min_replicas": -1}), []string{"must be between 0 and 2147483647", "min_replicas"}},
		"too many":           {cpu(m{"max_replicas": 1 << 31}), []string{"must be between 0 and 2147483647", "max_replicas"}},
		"half a second":      {cpu(m{"idle_timeout": "1500ms"}), []string{`write "1s" or "2s"`, "idle_timeout"}},
		"no unit":            {m{"idle_timeout": "60"}, []string{"is not a number with a unit", "idle_timeout"}},
		"a negative time":    {m{"idle_timeout": "-60s"}, []string{"is negative", "idle_timeout"}},
		"another mode":       {m{"upscaling_mode": "Fast"}, []string{`"Default" "Aggressive" "Conservative"`, "upscaling_mode"}},
		"another on_destroy": {m{"idle_timeout": "60s", "on_destroy": "delete"}, []string{`"keep" "restore"`, "on_destroy"}},
		"no name of a thing": {m{"idle_timeout": "60s", "kuberay": m{"namespace": "ml", "name": "Ray_1"}}, []string{"This can't be a RayCluster", "kuberay"}},
		"no namespace":       {m{"idle_timeout": "60s", "kuberay": m{"namespace": "", "name": "ray"}}, []string{"kuberay"}},
		"a name from later":  {m{"idle_timeout": "60s", "kuberay": m{"namespace": "ml", "name": core.Later("ray")}}, nil},
		"a bound from later": {cpu(m{"min_replicas": 3, "max_replicas": core.Later(2)}), nil},
		"all of it":          {m{"idle_timeout": "1m30s", "upscaling_mode": "Default", "groups": m{"cpu": m{"min_replicas": 0, "max_replicas": 0, "idle_timeout": "0s"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf := core.New(t, server("test"))
			tf.Provider(m{"kubernetes": m{"config_path": "/nowhere"}})
			groups := m{"kuberay": m{"namespace": "ml", "name": "ray"}}
			maps.Copy(groups, test.groups)
			tf.Resource(policy, m{"name": "p", "worker_groups": groups})
			ds := tf.Validate()
			if test.want == nil && ds.HasErrors() {
				t.Error(ds)
			}
			mustContain(t, ds.Errors(), test.want...)
		})
	}
	tf := core.New(t, server("test"))
	tf.Resource(policy, m{"name": "p", "worker_groups": m{"idle_timeout": "60s"}, "node_floor": m{"groups": m{"g": m{"count": 1, "resource": "x"}}}})
	mustContain(t, tf.Validate().Errors(), "two backends", "node_floor or worker_groups")
}
