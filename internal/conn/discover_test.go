package conn

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// pair is a dashboard and a GCS that know of each other.
func pair(t *testing.T, token string, change func(*raytest.GCSState)) (*raytest.Fake, *raytest.FakeGCS) {
	t.Helper()
	opts := []raytest.Option{raytest.WithPrefix("")}
	if token != "" {
		opts = append(opts, raytest.WithToken(token))
	}
	fake := raytest.NewFake(opts...)
	t.Cleanup(fake.Close)
	state := raytest.GCSState{
		ClusterID: fake.Cluster().ClusterID, Token: token, Nodes: fake.Nodes(),
		DashboardAddress: strings.TrimPrefix(fake.URL(), "http://"),
	}
	if change != nil {
		change(&state)
	}
	gcs, err := raytest.StartFakeGCS(state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gcs.Close)
	fake.SetGCSAddress(gcs.Address())
	return fake, gcs
}

func clusterOf(t *testing.T, cfg Config, target Target) *Cluster {
	t.Helper()
	pool := NewPool(cfg)
	t.Cleanup(pool.Close)
	c, err := pool.Cluster(target)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNodesComeFromTheGCSOfTheSameCluster(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "secret"} {
		fake, gcs := pair(t, token, nil)
		for _, target := range []Target{{Address: fake.URL()}, {Address: gcs.Address()}, {Address: fake.URL(), GCSAddress: gcs.Address()}} {
			c := clusterOf(t, Config{Credential: Credential{Token: token}}, target)
			nodes, source, err := c.Nodes(t.Context())
			if err != nil || source != SourceGCS || len(nodes) != 1 {
				t.Errorf("%+v, token %q: got %d nodes from %q, %v", target, token, len(nodes), source, err)
			}
			info, err := c.Info(t.Context())
			if err != nil || info.ClusterID != fake.Cluster().ClusterID {
				t.Errorf("%+v, token %q: got %+v, %v", target, token, info, err)
			}
			if d, err := c.Dashboard(t.Context()); err != nil || d.URL() != fake.URL() {
				t.Errorf("%+v, token %q: got dashboard %v, %v", target, token, d, err)
			}
		}
	}
}

// For what only the GCS knows, a head is given time to tell where that is.
func TestYoungHeadIsGivenTime(t *testing.T) {
	t.Parallel()
	fake, gcs := pair(t, "", nil)
	fake.Fail(raytest.Match{Route: "GET /nodes"}, raytest.AnswerWith(http.StatusOK, "application/json", `{"result": true, "msg": "", "data": {"summary": []}}`))
	c := clusterOf(t, Config{Address: fake.URL()}, Target{})
	if _, err := c.GCS(t.Context()); !errors.Is(err, dashboard.ErrNotReported) {
		t.Errorf("a young head: %v", err)
	}
	if g, err := c.NeedGCS(t.Context()); err != nil || g.Address() != gcs.Address() {
		t.Errorf("found %v, %v", g, err)
	}
}

func TestGCSOfAnotherClusterIsNotBelieved(t *testing.T) {
	t.Parallel()
	fake, gcs := pair(t, "", func(s *raytest.GCSState) { s.ClusterID = strings.Repeat("ee", 28) })
	c := clusterOf(t, Config{Address: fake.URL()}, Target{})
	for range 3 {
		if _, source, err := c.Nodes(t.Context()); err != nil || source != SourceHTTP {
			t.Fatalf("got source %q, %v, want http", source, err)
		}
	}
	if n := gcs.Calls(""); n != 1 {
		t.Errorf("the GCS was asked %d times, want once for the process", n)
	}

	// One that the user wrote is a mistake to show.
	c = clusterOf(t, Config{Address: fake.URL()}, Target{Address: fake.URL(), GCSAddress: gcs.Address()})
	if _, _, err := c.Nodes(t.Context()); !ray.IsKind(err, ray.KindWrongCluster) {
		t.Errorf("written gcs_address: got %v, want KindWrongCluster", err)
	}
	// So is a GCS address whose cluster names a dashboard of another cluster.
	c = clusterOf(t, Config{}, Target{Address: gcs.Address()})
	if _, err := c.Dashboard(t.Context()); !ray.IsKind(err, ray.KindWrongCluster) {
		t.Errorf("dashboard of another cluster: got %v, want KindWrongCluster", err)
	}
}

// connections is how many wait at l, which nobody else accepts from.
func connections(t *testing.T, l net.Listener) int {
	t.Helper()
	last, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = last.Close() }()
	for n := 0; ; n++ {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if c.RemoteAddr().String() == last.LocalAddr().String() {
			return n
		}
	}
}

func TestGCSThatDoesNotAnswerCostsTwoSecondsOnce(t *testing.T) {
	t.Parallel()
	// The kernel accepts for it; nobody ever speaks.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	fake := raytest.NewFake()
	defer fake.Close()
	fake.SetGCSAddress(silent.Addr().String())
	c := clusterOf(t, Config{Address: fake.URL()}, Target{})

	start := time.Now()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, source, err := c.Nodes(t.Context()); err != nil || source != SourceHTTP {
				t.Errorf("got source %q, %v, want http", source, err)
			}
		})
	}
	wg.Wait()
	if d := time.Since(start); d >= dialTimeout {
		t.Errorf("20 look-ups took %s, the time of an address that was written", d)
	}
	if _, _, err := c.Nodes(t.Context()); err != nil {
		t.Errorf("the next look-up: %v", err)
	}
	if n := connections(t, silent); n > 1 {
		t.Errorf("the GCS was tried %d times, want once for all look-ups", n)
	}
}

func TestInfoIsAskedOnce(t *testing.T) {
	t.Parallel()
	fake := raytest.NewFake()
	defer fake.Close()
	c := clusterOf(t, Config{Address: fake.URL()}, Target{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := c.Info(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := fake.Requests()["GET /api/version"]; n != 1 {
		t.Errorf("GET /api/version was asked %d times, want 1", n)
	}
	fake.Restart(false)
	old, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now, err := c.InfoNow(t.Context())
	if err != nil || now.ClusterID == old.ClusterID {
		t.Errorf("InfoNow after a restart: got %s, %v, want another id than %s", now.ClusterID, err, old.ClusterID)
	}
	if again, err := c.Info(t.Context()); err != nil || again != now {
		t.Errorf("Info after InfoNow: got %+v, %v", again, err)
	}
}

func TestClusterThatCannotBeReachedIsNotAskedByEverybody(t *testing.T) {
	t.Parallel()
	fake := raytest.NewFake()
	defer fake.Close()
	fake.Fail(raytest.Match{Times: -1}, raytest.Reset())
	c := clusterOf(t, Config{Address: fake.URL()}, Target{})
	start := time.Now()
	for range 200 {
		if _, err := c.Info(t.Context()); !ray.IsUnreachable(err) {
			t.Fatalf("got %v, want unreachable", err)
		}
	}
	asked := 0
	for _, n := range fake.Requests() {
		asked += n
	}
	if d := time.Since(start); asked > 1+int(d/errorTTL) {
		t.Errorf("200 look-ups in %s asked %d times, want once in %s", d, asked, errorTTL)
	}
}

func TestRequireNamesBothVersions(t *testing.T) {
	t.Parallel()
	fake := raytest.NewFake(raytest.WithVersion("2.40.0"))
	defer fake.Close()
	c := clusterOf(t, Config{Address: fake.URL()}, Target{})
	if err := c.Require(t.Context(), "entrypoint_memory", ray.Version{2, 8, 0}); err != nil {
		t.Error(err)
	}
	err := c.Require(t.Context(), "entrypoint_label_selector", ray.Version{2, 54, 0})
	if !ray.IsKind(err, ray.KindUnsupported) || !strings.Contains(err.Error(), "needs Ray >= 2.54.0, this cluster runs 2.40.0") {
		t.Errorf("got %v", err)
	}
}

func TestOldRayIsComparedByItsHeadNode(t *testing.T) {
	t.Parallel()
	fake := raytest.NewFake(raytest.WithVersion("2.9.3"))
	defer fake.Close()
	head := fake.Nodes()[0].NodeID
	for id, want := range map[string]string{head: SourceGCS, strings.Repeat("ab", 28): SourceHTTP} {
		gcs, err := raytest.StartFakeGCS(raytest.GCSState{
			RayVersion: "2.9.3", Nodes: fake.Nodes(),
			KV: map[string]map[string][]byte{"job": {"head_node_id": []byte(id)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer gcs.Close()
		fake.SetGCSAddress(gcs.Address())
		c := clusterOf(t, Config{Address: fake.URL()}, Target{})
		if _, source, err := c.Nodes(t.Context()); err != nil || source != want {
			t.Errorf("head node %s: got source %q, %v, want %q", id, source, err, want)
		}
	}
}

func TestCandidatesPreferTheUsersHost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ primary, reported, want string }{
		{"http://head:8265", "10.0.0.5:6379", "head:6379 10.0.0.5:6379"},
		{"http://head:8265", "127.0.0.1:6379", "head:6379"},
		{"http://head:8265", "localhost:6379", "head:6379"},
		{"http://head:8265", "0.0.0.0:6379", "head:6379"},
		{"http://127.0.0.1:8265", "192.0.2.2:6379", "127.0.0.1:6379 192.0.2.2:6379"},
		{"http://head:8265", "head:6379", "head:6379"},
		{"http://head:8265", "[fd00::5]:6379", "head:6379 [fd00::5]:6379"},
		{"http://head:8265", "nonsense", ""},
		{"http://head:8265", "http://evil:1/", ""},
		{"http://head:8265", "user@evil:6379", "head:6379"},
	} {
		c := clusterOf(t, Config{}, Target{Address: test.primary})
		var got []string
		for _, a := range c.candidates(endpoint{addr: c.to.primary}, test.reported, FormGCS) {
			got = append(got, a.addr.String())
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%s reports %s: got %q, want %q", test.primary, test.reported, s, test.want)
		}
	}
}

func TestHintIsBelievedByItsClusterID(t *testing.T) {
	t.Parallel()
	fake := raytest.NewFake()
	defer fake.Close()
	// Nothing listens at the Ray Client address: only the hint can lead anywhere.
	target := Target{Address: "ray://127.0.0.1:1"}
	c := clusterOf(t, Config{}, target)
	c.Hint(fake.URL(), fake.Cluster().ClusterID)
	if d, err := c.Dashboard(t.Context()); err != nil || d.URL() != fake.URL() {
		t.Errorf("got %v, %v", d, err)
	}
	c = clusterOf(t, Config{}, target)
	c.Hint(fake.URL(), strings.Repeat("ab", 28))
	if _, err := c.Dashboard(t.Context()); !ray.IsUnreachable(err) {
		t.Errorf("with another cluster's id: got %v, want unreachable", err)
	}
}

func TestMemoEndsItsLookUpWithTheLastCaller(t *testing.T) {
	t.Parallel()
	var m memo[int]
	ended := make(chan error, 1)
	look := func(ctx context.Context) (int, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return 0, ctx.Err()
	}
	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, ctx := range []context.Context{first, second} {
		wg.Go(func() {
			if _, err := m.get(ctx, nil, look); !ray.IsKind(err, ray.KindCanceled) {
				t.Errorf("got %v, want KindCanceled", err)
			}
		})
	}
	for {
		m.mu.Lock()
		both := m.flight != nil && m.flight.waiters == 2
		m.mu.Unlock()
		if both {
			break
		}
	}
	cancelFirst()
	select {
	case err := <-ended:
		t.Fatalf("the look-up ended with its first caller: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	cancelSecond()
	wg.Wait()
	<-ended
	if v, err := m.get(t.Context(), nil, func(context.Context) (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Errorf("the next look-up: got %d, %v", v, err)
	}
}
