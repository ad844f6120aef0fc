package gcs_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/gcs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// Ids of the tests' nodes.
var (
	headID   = strings.Repeat("0a", 28)
	workerID = strings.Repeat("1b", 28)
	killedID = strings.Repeat("2c", 28)
	drainID  = strings.Repeat("3d", 28)
)

// start starts a fake and returns it with a client; change may change the client's
// options.
func start(t *testing.T, state raytest.GCSState, change ...func(*gcs.Options)) (*raytest.FakeGCS, *gcs.Client) {
	t.Helper()
	fake, err := raytest.StartFakeGCS(state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return fake, client(t, fake.Address(), change...)
}

func client(t *testing.T, address string, change ...func(*gcs.Options)) *gcs.Client {
	t.Helper()
	o := gcs.Options{Address: address, UserAgent: "test", Timeout: 5 * time.Second}
	for _, f := range change {
		f(&o)
	}
	c, err := gcs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// at is a time that survives the wire.
func at(s int) time.Time { return time.Date(2026, 11, 23, 12, 0, s, 0, time.UTC) }

func nodes() []ray.Node {
	return []ray.Node{
		{
			NodeID: headID, Name: "10.0.0.1", IP: "10.0.0.1", Hostname: "head", Head: true, State: ray.NodeAlive,
			Labels: map[string]string{"ray.io/node-id": headID},
			Total:  ray.Resources{"CPU": 4, "GPU": 1, "memory": 8e9}, Available: ray.Resources{"CPU": 1.5, "GPU": 0, "memory": 8e9},
			StartedAt: at(0),
		},
		{
			NodeID: workerID, Name: "10.0.0.2", IP: "10.0.0.2", NodeType: "small", InstanceID: "i-1", State: ray.NodeIdle,
			Labels: map[string]string{"tier": "small"}, Total: ray.Resources{"CPU": 1}, Available: ray.Resources{"CPU": 1},
			StartedAt: at(1), IdleFor: 90 * time.Second,
		},
		{
			NodeID: killedID, Name: "10.0.0.3", IP: "10.0.0.3", State: ray.NodeDead, Total: ray.Resources{"CPU": 1},
			DeathReason: ray.DeathUnexpected, DeathMessage: "health check failed due to missing too many heartbeats",
			StartedAt: at(2), EndedAt: at(30),
		},
		{
			NodeID: drainID, Name: "10.0.0.4", IP: "10.0.0.4", State: ray.NodeDraining,
			Total: ray.Resources{"CPU": 1}, Available: ray.Resources{"CPU": 1}, StartedAt: at(3),
		},
	}
}

func TestNodes_mergesDeathsAndLiveResources(t *testing.T) {
	t.Parallel()
	want := nodes()
	backwards := []ray.Node{want[3], want[2], want[1], want[0]}
	_, c := start(t, raytest.GCSState{Nodes: backwards})
	got, err := c.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

func TestNodes_withoutLiveResources(t *testing.T) {
	t.Parallel()
	_, c := start(t, raytest.GCSState{Nodes: nodes(), Missing: []string{"GetClusterStatus"}})
	got, err := c.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range got {
		if n.Available != nil {
			t.Errorf("node %s has Available %v, want nil: nobody knows", n.IP, n.Available)
		}
	}
	if got[1].State != ray.NodeAlive || got[2].State != ray.NodeDead {
		t.Errorf("states %s and %s, want ALIVE and DEAD", got[1].State, got[2].State)
	}
}

func TestCluster_saysWhoItIs(t *testing.T) {
	t.Parallel()
	fake, c := start(t, raytest.GCSState{
		PythonVersion: "3.13.0", SessionName: "session_2026-11-23_12-00-00_000000_1", Nodes: nodes(),
	})
	want := ray.Cluster{
		ClusterID: strings.Repeat("c1", 28), SessionName: "session_2026-11-23_12-00-00_000000_1",
		RayVersion: "2.60.0", PythonVersion: "3.13.0", AuthenticationMode: "disabled", StartedAt: at(0),
	}
	got, err := c.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cluster (-want +got):\n%s", diff)
	}

	fake.Update(func(s *raytest.GCSState) {
		s.KV = map[string]map[string][]byte{"cluster": {"CLUSTER_METADATA": []byte(
			`{"ray_version": "2.60.0", "python_version": "3.13.0", "session_start_timestamp_ms": 1795435195000}`)}}
	})
	if got, err = c.Cluster(t.Context()); err != nil || !got.StartedAt.Equal(time.UnixMilli(1795435195000)) {
		t.Errorf("with usage statistics: started at %v, %v, want the metadata's own time", got.StartedAt, err)
	}
}

func TestToken_isSentAndItsAbsenceToldApart(t *testing.T) {
	t.Parallel()
	fake, none := start(t, raytest.GCSState{Token: "s3cret"})
	token := func(s string) func(*gcs.Options) {
		return func(o *gcs.Options) { o.Token = func(context.Context) (string, error) { return s, nil } }
	}
	for name, c := range map[string]*gcs.Client{"none": none, "empty": client(t, fake.Address(), token("")), "wrong": client(t, fake.Address(), token("s3cre"))} {
		_, err := c.CheckAlive(t.Context())
		if !ray.IsKind(err, ray.KindUnauthenticated) || strings.Contains(err.Error(), "s3cre") {
			t.Errorf("%s token: %v, want an error of kind unauthenticated without the token", name, err)
		}
	}
	c := client(t, fake.Address(), token("s3cret"))
	if got, err := c.Cluster(t.Context()); err != nil || got.AuthenticationMode != "token" {
		t.Errorf("right token: mode %q, %v, want token", got.AuthenticationMode, err)
	}
}

func TestClusterID_anotherClusterIsRefusedButNamed(t *testing.T) {
	t.Parallel()
	first := strings.Repeat("c1", 28)
	fake, c := start(t, raytest.GCSState{Nodes: nodes()}, func(o *gcs.Options) { o.ClusterID = first })
	if _, err := c.Nodes(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := strings.Repeat("d2", 28)
	if err := fake.Restart(second); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 100 { // the client dials again after its back-off
		if _, err = c.Nodes(t.Context()); !ray.IsKind(err, ray.KindUnavailable) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !ray.IsKind(err, ray.KindWrongCluster) {
		t.Errorf("Nodes of another cluster: %v, want an error of kind wrong cluster", err)
	}
	if got, err := c.ClusterID(t.Context()); err != nil || got != second {
		t.Errorf("ClusterID = %q, %v, want %q", got, err, second)
	}
}

func TestKV(t *testing.T) {
	t.Parallel()
	many := map[string][]byte{}
	var keys []string
	for i := range 2100 {
		key := fmt.Sprintf("k%05d", i)
		many[key], keys = fmt.Append(nil, i), append(keys, key)
	}
	fake, c := start(t, raytest.GCSState{KV: map[string]map[string][]byte{"many": many, "x": {"empty": {}}}})
	ctx := t.Context()
	if v, ok, err := c.KVGet(ctx, "x", "missing"); v != nil || ok || err != nil {
		t.Errorf("missing key: %q, %v, %v, want none and no error", v, ok, err)
	}
	if _, ok, err := c.KVGet(ctx, "x", "empty"); !ok || err != nil {
		t.Errorf("empty value: found %v, %v, want found", ok, err)
	}
	got, err := c.KVKeys(ctx, "many", "k0000")
	if diff := cmp.Diff(keys[:10], got); diff != "" || err != nil {
		t.Errorf("keys by prefix, %v (-want +got):\n%s", err, diff)
	}
	values, err := c.KVMultiGet(ctx, "many", append(keys, "missing"))
	if diff := cmp.Diff(many, values); diff != "" || err != nil {
		t.Errorf("values, %v (-want +got):\n%s", err, diff)
	}
	if n := fake.Calls("InternalKVMultiGet"); n != 2 {
		t.Errorf("2,101 keys took %d calls, want 2", n)
	}
	if values, err = c.KVMultiGet(ctx, "many", nil); len(values) != 0 || err != nil || fake.Calls("InternalKVMultiGet") != 2 {
		t.Errorf("no keys: %v, %v, want nothing and no call", values, err)
	}
}

func TestJobs_decodesRecords(t *testing.T) {
	t.Parallel()
	exit := 3
	want := []ray.Job{
		{
			SubmissionID: "a-1", Status: ray.JobFailed, Entrypoint: "exit 3", Message: "Job entrypoint command failed",
			ErrorType: "JOB_ENTRYPOINT_COMMAND_ERROR", StartTime: at(1), EndTime: at(2), Metadata: map[string]string{"k": "v"},
			RuntimeEnv: []byte(`{"env_vars":{"X":"y"}}`), DriverNodeID: headID, DriverExitCode: &exit,
		},
		{SubmissionID: "a-2", Status: ray.JobPending, Entrypoint: "true", StartTime: at(3), RuntimeEnv: []byte("{}")},
	}
	other := ray.Job{SubmissionID: "b-1", Status: ray.JobRunning}
	fake, c := start(t, raytest.GCSState{Jobs: append([]ray.Job{other}, want...)})
	got, err := c.JobRecords(t.Context(), "a-", nil)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("records by prefix, %v (-want +got):\n%s", err, diff)
	}
	if n := fake.Calls(""); n != 2 {
		t.Errorf("took %d calls, want 2", n)
	}
	got, err = c.JobRecords(t.Context(), "", func(id string) bool { return id == "a-2" })
	if diff := cmp.Diff(want[1:], got); diff != "" || err != nil {
		t.Errorf("kept records, %v (-want +got):\n%s", err, diff)
	}
	got, err = c.Jobs(t.Context(), []string{"gone", "a-2", "a-1", "a-1"})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("records by id, %v (-want +got):\n%s", err, diff)
	}
}

func TestJobs_refusesWhatIsNotARecord(t *testing.T) {
	t.Parallel()
	for name, record := range map[string]string{
		"half": `{"status": "RUN`, "status": `{"status": "DONE"}`, "runtime env": `{"status": "RUNNING", "runtime_env_json": "{"}`,
	} {
		_, c := start(t, raytest.GCSState{KV: map[string]map[string][]byte{"job": {"_ray_internal_job_info_x": []byte(record)}}})
		if _, err := c.Jobs(t.Context(), []string{"x"}); !ray.IsKind(err, ray.KindProtocol) {
			t.Errorf("%s: %v, want an error of kind protocol", name, err)
		}
	}
}

func TestAutoscaler(t *testing.T) {
	t.Parallel()
	old, young, typed := nodes(), nodes(), nodes()
	young[0].StartedAt = time.Now()
	old[1].NodeType, young[1].NodeType = "", ""
	typed[0].NodeType = "head-group"
	kv := func(v2, status string) map[string]map[string][]byte {
		m := map[string]map[string][]byte{"__autoscaler": {"__autoscaler_v2_enabled": []byte(v2)}, "": {}}
		if status != "" {
			m[""]["__autoscaling_status"] = []byte(status)
		}
		return m
	}
	readOnly := fmt.Sprintf(`{"autoscaler_report": {"active_nodes": {"node_%s": 1}}}`, headID)
	launched := `{"autoscaler_report": {"active_nodes": {"ray.head.default": 1}}}`
	report := &raypb.AutoscalingState{}
	cases := []struct {
		name  string
		state raytest.GCSState
		want  string
	}{
		{"v1", raytest.GCSState{Nodes: old, KV: kv("0", launched)}, gcs.AutoscalerV1},
		{"v1 that only reports", raytest.GCSState{Nodes: old, KV: kv("0", readOnly)}, gcs.AutoscalerNone},
		{"v2", raytest.GCSState{Nodes: typed, KV: kv("1", ""), Autoscaling: report}, gcs.AutoscalerV2},
		{"v2 that only reports", raytest.GCSState{Nodes: old, KV: kv("1", ""), Autoscaling: report}, gcs.AutoscalerNone},
		{"v2, no report yet", raytest.GCSState{Nodes: young, KV: kv("1", "")}, gcs.AutoscalerUnknown},
		{"v1, no report yet", raytest.GCSState{Nodes: young, KV: kv("0", "")}, gcs.AutoscalerUnknown},
		{"no monitor", raytest.GCSState{Nodes: old, KV: kv("0", "")}, gcs.AutoscalerNone},
		{"a Ray that knows no v2", raytest.GCSState{Nodes: old, KV: map[string]map[string][]byte{"": {"__autoscaling_status": []byte(launched)}}}, gcs.AutoscalerV1},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, c := start(t, tc.state)
			if got, err := c.Autoscaler(t.Context()); err != nil || got != tc.want {
				t.Errorf("Autoscaler = %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestLaunches_ofV2(t *testing.T) {
	t.Parallel()
	shape := func(m map[string]float64) *raypb.ResourceRequest { return &raypb.ResourceRequest{ResourcesBundle: m} }
	_, c := start(t, raytest.GCSState{Autoscaling: &raypb.AutoscalingState{
		PendingInstanceRequests: []*raypb.PendingInstanceRequest{{RayNodeTypeName: "gpu", InstanceTypeName: "p5", Count: 2, RequestTs: at(1).Unix()}},
		PendingInstances:        []*raypb.PendingInstance{{RayNodeTypeName: "gpu", InstanceId: "i-7", Details: "starting"}},
		FailedInstanceRequests: []*raypb.FailedInstanceRequest{
			{RayNodeTypeName: "gpu", Count: 1, Reason: "quota", StartTs: at(5).Unix(), FailedTs: at(9).Unix()},
			{RayNodeTypeName: "cpu", Count: 3, FailedTs: at(8).Unix()},
		},
		InfeasibleResourceRequests:     []*raypb.ResourceRequest{shape(map[string]float64{"CPU": 64}), shape(map[string]float64{"CPU": 64})},
		InfeasibleGangResourceRequests: []*raypb.GangResourceRequest{{Requests: []*raypb.ResourceRequest{shape(map[string]float64{"GPU": 9})}, Details: "ab:PACK|PENDING"}},
	}})
	want := gcs.Launches{
		Pending: []gcs.Launch{
			{NodeType: "gpu", InstanceType: "p5", Count: 2, RequestedAt: at(1)},
			{NodeType: "gpu", Count: 1, Instance: "i-7", Detail: "starting"},
		},
		Failed: []gcs.Launch{
			{NodeType: "cpu", Count: 3, FailedAt: at(8)},
			{NodeType: "gpu", Count: 1, Detail: "quota", RequestedAt: at(5), FailedAt: at(9)},
		},
		Infeasible:       []ray.Resources{{"CPU": 64}},
		InfeasibleGroups: []gcs.Demand{{Bundle: ray.Bundle{Resources: ray.Resources{"GPU": 9}, Count: 1}, Strategy: "PACK"}},
	}
	got, err := c.Launches(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("launches, %v (-want +got):\n%s", err, diff)
	}
}

func TestLaunches_ofV1(t *testing.T) {
	t.Parallel()
	_, c := start(t, raytest.GCSState{KV: map[string]map[string][]byte{"": {"__autoscaling_status": []byte(`{"autoscaler_report": {
		"active_nodes": {"ray.head.default": 1}, "pending_nodes": [["10.0.0.9", "small", "setting-up"]], "pending_launches": {"small": 2},
		"failed_nodes": [["10.0.0.8", "big"]], "node_availability_summary": {"node_availabilities": {"big": {"node_type": "big",
		"is_available": false, "last_checked_timestamp": 1795435200.5,
		"unavailable_node_information": {"category": "QuotaExceeded", "description": "no more of these"}}}}}}`)}}})
	want := gcs.Launches{
		Pending: []gcs.Launch{{NodeType: "small", Count: 2}, {NodeType: "small", Count: 1, Instance: "10.0.0.9", Detail: "setting-up"}},
		Failed: []gcs.Launch{
			{NodeType: "big", Count: 1, Instance: "10.0.0.8"},
			{NodeType: "big", Count: 1, Detail: "QuotaExceeded: no more of these", FailedAt: time.Unix(1795435200, 0).UTC()},
		},
	}
	got, err := c.Launches(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("launches, %v (-want +got):\n%s", err, diff)
	}
}

func TestDashboardAddressAndHead(t *testing.T) {
	t.Parallel()
	fake, c := start(t, raytest.GCSState{Nodes: nodes(), DashboardAddress: "127.0.0.1:8265"})
	if got, err := c.DashboardAddress(t.Context()); got != "127.0.0.1:8265" || err != nil {
		t.Errorf("DashboardAddress = %q, %v", got, err)
	}
	if got, err := c.HeadNodeID(t.Context()); got != headID || err != nil {
		t.Errorf("HeadNodeID = %q, %v, want %q", got, err, headID)
	}
	fake.Update(func(s *raytest.GCSState) { s.DashboardAddress = "" })
	if _, err := c.DashboardAddress(t.Context()); !ray.IsKind(err, ray.KindNotFound) {
		t.Errorf("without a dashboard: %v, want an error of kind not found", err)
	}
	fake.Update(func(s *raytest.GCSState) {
		s.KV = map[string]map[string][]byte{"job": {"head_node_id": {}}}
	})
	if got, err := c.HeadNodeID(t.Context()); got != headID || err != nil {
		t.Errorf("without the key: HeadNodeID = %q, %v, want %q", got, err, headID)
	}
}

func TestCheckAlive_ofAServerThatIsNoGCS(t *testing.T) {
	t.Parallel()
	_, c := start(t, raytest.GCSState{Missing: []string{"CheckAlive", "GetClusterId"}})
	if _, err := c.CheckAlive(t.Context()); !ray.IsKind(err, ray.KindProtocol) || !strings.Contains(err.Error(), "is not a GCS") {
		t.Errorf("CheckAlive: %v, want an error of kind protocol", err)
	}
}

func TestUnreachable_isToldAndGivenUpOn(t *testing.T) {
	t.Parallel()
	fake, c := start(t, raytest.GCSState{})
	fake.Stop()
	if _, err := c.Cluster(t.Context()); !ray.IsKind(err, ray.KindUnavailable) || !ray.IsUnreachable(err) {
		t.Errorf("GCS down: %v, want an error of kind unavailable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Cluster": func() error { _, err := c.Cluster(ctx); return err },
		"Nodes":   func() error { _, err := c.Nodes(ctx); return err },
	} {
		if err := call(); !ray.IsKind(err, ray.KindCanceled) {
			t.Errorf("%s after cancellation: %v, want an error of kind canceled", name, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CheckAlive(t.Context()); !ray.IsKind(err, ray.KindCanceled) {
		t.Errorf("after Close: %v, want an error of kind canceled", err)
	}
}
