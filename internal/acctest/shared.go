package acctest

import (
	"os"
	"testing"
)

// Ray is where a Ray cluster answers.
type Ray struct {
	DashboardURL  string // http://127.0.0.1:port
	GCSAddress    string // 127.0.0.1:port
	ClientAddress string // ray://127.0.0.1:port
}

// Shared returns the cluster that the tests of a run share. Without TF_ACC the
// test is skipped, as those of terraform-plugin-testing are; with it and
// without a cluster the test fails.
func Shared(t testing.TB) Ray {
	t.Helper()
	gate(t)
	need := func(name string) string {
		v := os.Getenv(name)
		if v == "" {
			t.Fatalf("%s is not set: run this test with `make testacc RUN=%s`", name, t.Name())
		}
		return v
	}
	return Ray{
		DashboardURL:  need("RAYTEST_DASHBOARD_URL"),
		GCSAddress:    need("RAYTEST_GCS_ADDRESS"),
		ClientAddress: "ray://" + need("RAYTEST_CLIENT_ADDRESS"),
	}
}

func gate(t testing.TB) {
	t.Helper()
	if os.Getenv("TF_ACC") == "" {
		t.Skip("acceptance tests run with TF_ACC=1, see `make testacc`")
	}
}
