package acctest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// providerDir is the directory of the provider's binary, built once per test
// process: a value that is computed once, not state.
var providerDir = sync.OnceValues(buildProvider)

// Root is the root of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// buildProvider builds into bin/, where Go sees that nothing changed and does
// not link again. RAYTEST_PROVIDER names a binary to take instead.
func buildProvider() (string, error) {
	if given := os.Getenv("RAYTEST_PROVIDER"); given != "" {
		if _, err := os.Stat(given); err != nil {
			return "", fmt.Errorf("RAYTEST_PROVIDER: %w", err)
		}
		return filepath.Dir(given), nil
	}
	dir := filepath.Join(Root(), "bin", "acctest")
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "terraform-provider-ray"), ".")
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the provider: %w\n%s", err, out)
	}
	return dir, nil
}

// cliConfig is the CLI's configuration: the provider under both hosts.
func cliConfig(dir string) string {
	return fmt.Sprintf(`provider_installation {
  dev_overrides {
    "registry.terraform.io/ray-iac/ray" = %q
    "registry.opentofu.org/ray-iac/ray" = %q
  }
  direct {}
}
`, dir, dir)
}

// scrubbed is the environment without what would make a run depend on the
// user's settings. A configuration file that is not there stops OpenTofu.
func scrubbed() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "TF_") || strings.HasPrefix(name, "RAY") || name == "HOME" ||
			name == "HTTP_PROXY" || name == "HTTPS_PROXY" || name == "http_proxy" || name == "https_proxy"
	})
}
