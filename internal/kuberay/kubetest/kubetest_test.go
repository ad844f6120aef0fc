//go:build unix

package kubetest_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
)

func TestRealServer_withoutKubeRay(t *testing.T) {
	t.Parallel()
	s, err := kubetest.Start(t.Context(), kubetest.Options{NoCRDs: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateRayCluster(t.Context(), kubetest.RayClusterOptions{Name: "ml"})
	if !kubetest.HasStatus(err, http.StatusNotFound) {
		t.Errorf("without custom resource definitions: %v, want 404", err)
	}
	if err := s.InstallCRDs(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := s.CreateRayCluster(t.Context(), kubetest.RayClusterOptions{Name: "ml"})
	if err != nil {
		t.Fatal(err)
	}
	if object, err := c.Get(t.Context()); err != nil || object["kind"] != "RayCluster" {
		t.Errorf("read back: %v, %v", object, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", s.Dir, err)
	}
}
