package provider_test

import (
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubefake"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// The API server's proxy does not carry gRPC: what needs the GCS says so, and what to
// write or to use in its place.
func TestWhatNeedsTheGCSBehindKubernetes(t *testing.T) {
	t.Parallel()
	head := raytest.NewFake()
	t.Cleanup(head.Close)
	k := kubefake.New("for-kubernetes")
	t.Cleanup(k.Close)
	k.Set("ml/ray", kubefake.RayCluster{Dashboard: head.URL()})
	for name, test := range map[string]struct {
		add   func(tf *core.Core)
		wants []string
	}{
		"resource_floor": {
			func(tf *core.Core) {
				tf.Resource("ray_autoscaling_policy.x", m{"name": "warm", "resource_floor": m{"bundles": []any{m{"resources": m{"CPU": 1}}}}})
			},
			[]string{"passes on HTTP only", "gcs_address", "node_floor"},
		},
		"ray_autoscaler_status": {
			func(tf *core.Core) { tf.Data("data.ray_autoscaler_status.x", nil) },
			[]string{"passes on HTTP only", "gcs_address", "ray_nodes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tf := terraform(t, nil)
			tf.Provider(m{"address": "kuberay://ml/ray", "owner": "test", "kubernetes": m{"host": k.URL, "cluster_ca_certificate": k.CA, "token": "for-kubernetes"}})
			test.add(tf)
			errs := tf.Apply().Diagnostics().Errors()
			for _, want := range test.wants {
				if !errs.Contains(want) {
					t.Errorf("nothing says %q:\n%s", want, errs)
				}
			}
			if len(errs) != 1 {
				t.Errorf("got %d errors, want one", len(errs))
			}
		})
	}
}
