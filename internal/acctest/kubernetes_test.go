//go:build unix

package acctest_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
)

// aboutKubernetes reports whether an example is about a RayCluster.
func aboutKubernetes(t *testing.T, dir string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.tf"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "kuberay")
	})
}

var rayCluster struct {
	sync.Once
	kubeconfig string
	err        error
}

// kubernetes is a kubeconfig for an API server with the KubeRay operator, started once,
// which ends with the process. Its RayCluster ml/ray has the dashboard for its own. The
// user may do what the guide says is needed, and no more.
func kubernetes(dashboard string) (kubeconfig string, err error) {
	rayCluster.Do(func() {
		rayCluster.kubeconfig, rayCluster.err = startKubernetes(context.Background(), dashboard)
	})
	return rayCluster.kubeconfig, rayCluster.err
}

func startKubernetes(ctx context.Context, dashboard string) (kubeconfig string, err error) {
	rules, err := documentedRole()
	if err != nil {
		return "", err
	}
	s, err := kubetest.Start(ctx, kubetest.Options{Operator: true})
	if err != nil {
		return "", err
	}
	if err := s.CreateNamespace(ctx, "ml"); err != nil {
		return "", err
	}
	c, err := s.CreateRayCluster(ctx, kubetest.RayClusterOptions{Namespace: "ml", Name: "ray"})
	if err != nil {
		return "", err
	}
	u, err := url.Parse(dashboard)
	if err != nil {
		return "", err
	}
	if err := c.ServeHead(ctx, map[string]string{"dashboard": u.Host}); err != nil {
		return "", err
	}
	user, err := s.Account(ctx, "ml", "terraform", rules...)
	return user.Kubeconfig, err
}

// documentedRole is what the guide says that the user needs.
func documentedRole() ([]kubetest.Rule, error) {
	text, err := os.ReadFile(filepath.Join(acctest.Root(), "examples", "guides", "kuberay", "role.yaml"))
	if err != nil {
		return nil, err
	}
	var role struct {
		Rules []struct {
			APIGroups []string `yaml:"apiGroups"`
			Resources []string `yaml:"resources"`
			Verbs     []string `yaml:"verbs"`
		} `yaml:"rules"`
	}
	if err := yaml.Unmarshal(text, &role); err != nil {
		return nil, err
	}
	var rules []kubetest.Rule
	for _, r := range role.Rules {
		rules = append(rules, kubetest.Rule{APIGroups: r.APIGroups, Resources: r.Resources, Verbs: r.Verbs})
	}
	return rules, nil
}
