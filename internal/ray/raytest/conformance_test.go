package raytest

import (
	"net/http"
	"os"
	"testing"
	"time"
)

func TestFakeConforms(t *testing.T) {
	t.Parallel()
	f := NewFake(WithMonitorLag(200 * time.Millisecond))
	t.Cleanup(f.Close)
	Conformance(t, Target{URL: f.URL(), Own: true, Settle: 300 * time.Millisecond})
	if f.OverlappingSubmits() != 0 {
		t.Errorf("%d submits overlapped", f.OverlappingSubmits())
	}
}

// TestRealRayConforms runs where RAYTEST_DASHBOARD_URL names the dashboard of a
// head that is there for tests, RAYTEST_TOKEN its token if it has one, and
// RAYTEST_DASHBOARD_OWN says that nobody else uses it.
func TestRealRayConforms(t *testing.T) {
	url := os.Getenv("RAYTEST_DASHBOARD_URL")
	if url == "" {
		t.Skip("RAYTEST_DASHBOARD_URL is not set; the make target that starts a head sets it")
	}
	Conformance(t, Target{URL: url, HTTP: &http.Client{Transport: bearer(os.Getenv("RAYTEST_TOKEN"))}, Own: os.Getenv("RAYTEST_DASHBOARD_OWN") != ""})
}
