package raytest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
)

// GCSState is what a FakeGCS knows.
type GCSState struct {
	// ClusterID is 56 hex digits.
	ClusterID string
	// RayVersion, PythonVersion, SessionName and DashboardAddress (host:port) are
	// answered, or published in the key-value store, where not empty.
	RayVersion, PythonVersion, SessionName, DashboardAddress string
	// Token, if not empty, is what every call must carry.
	Token string
	Nodes []ray.Node
	// Jobs are published as records in the key-value store.
	Jobs []ray.Job
	// KV is by namespace, then key. It wins over what the fields above publish.
	KV map[string]map[string][]byte
	// Autoscaling is the report of an autoscaler v2; nil where none has reported. It
	// is always of a round that was made since the last answer, unless Asleep is set.
	Autoscaling *raypb.AutoscalingState
	Asleep      bool
	// Floor is the cluster-wide resource request, as it was last written; nil where
	// none was. What an autoscaler makes of it is Autoscaling's and Nodes' to say.
	Floor *raypb.ClusterResourceConstraint
	// Coordinated is a cluster that has run Ray Data or Ray Train: it has the actor
	// AutoscalingCoordinator. What that does is left to the test.
	Coordinated bool
	// Waiting and WaitingGroups are the work that waits for a place.
	Waiting       []*raypb.ResourceRequestByCount
	WaitingGroups []*raypb.GangResourceRequest
	// Missing are methods, as "GetClusterStatus", that this Ray does not have.
	Missing []string
	// Kill, if set, is told of a job whose supervisor actor is killed before it has a
	// node. The supervisors of PENDING jobs have none.
	Kill func(submissionID string)
	// Refresh, if set, brings the state up to date before each call.
	Refresh func(*GCSState)
}

// FakeGCS is a GCS in this process: a gRPC server on a real TCP port that
// answers the calls that package gcs makes as Ray 2.60.0 does. It does nothing by
// itself: what it knows is set. Close it.
type FakeGCS struct {
	raypb.UnimplementedNodeInfoGcsServiceServer
	raypb.UnimplementedInternalKVGcsServiceServer
	raypb.UnimplementedActorInfoGcsServiceServer
	raypb.UnimplementedAutoscalerStateServiceServer

	port heldPort

	mu      sync.Mutex
	state   GCSState
	calls   map[string]int
	version int64        // of the last state that was given out
	seen    int64        // of that which the autoscaler's last round went by
	server  *grpc.Server // nil while down
	serving sync.WaitGroup
}

// StartFakeGCS starts a GCS on a free port of 127.0.0.1. Empty ClusterID and
// RayVersion get values.
func StartFakeGCS(state GCSState) (*FakeGCS, error) {
	if state.ClusterID == "" {
		state.ClusterID = strings.Repeat("c1", 28)
	}
	if state.RayVersion == "" {
		state.RayVersion = "2.60.0"
	}
	f := &FakeGCS{state: state, calls: map[string]int{}}
	if err := f.Start(); err != nil {
		return nil, err
	}
	return f, nil
}

// Address is host:port. It stays over Stop and Start.
func (f *FakeGCS) Address() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.port.addr
}

// Start serves again after Stop.
func (f *FakeGCS) Start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		return nil
	}
	listener, err := f.port.listen()
	if err != nil {
		return fmt.Errorf("start the fake GCS: %w", err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(f.admit))
	raypb.RegisterNodeInfoGcsServiceServer(server, f)
	raypb.RegisterInternalKVGcsServiceServer(server, f)
	raypb.RegisterActorInfoGcsServiceServer(server, f)
	raypb.RegisterAutoscalerStateServiceServer(server, f)
	f.server = server
	f.serving.Go(func() {
		// Stop ends Serve with nil, or with ErrServerStopped where it came first.
		if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			panic(fmt.Sprintf("the fake GCS ended by itself: %v", err))
		}
	})
	return nil
}

// Stop ends the server as kill -9 does: calls under way break.
func (f *FakeGCS) Stop() {
	f.mu.Lock()
	server := f.server
	f.server = nil
	f.mu.Unlock()
	if server != nil {
		server.Stop()
	}
	f.serving.Wait()
}

// Close ends the server for good.
func (f *FakeGCS) Close() {
	f.Stop()
	f.port.release()
}

// Restart is a head that comes back on its address. Without Redis it has another
// cluster id, and neither nodes, jobs nor keys; with Redis pass the id it has:
// everything stays but the autoscaler's report and the cluster-wide request.
func (f *FakeGCS) Restart(clusterID string) error {
	f.Stop()
	f.Update(func(s *GCSState) {
		s.Autoscaling, s.Floor = nil, nil
		if s.ClusterID != clusterID {
			s.ClusterID, s.Nodes, s.Jobs, s.KV = clusterID, nil, nil, nil
		}
	})
	return f.Start()
}

// Update changes what the GCS knows.
func (f *FakeGCS) Update(change func(*GCSState)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.state)
}

// Calls is how many calls of the method, as "GetAllNodeInfo", came in, refused
// ones included; of all methods where it is empty.
func (f *FakeGCS) Calls(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if method != "" {
		return f.calls[method]
	}
	n := 0
	for _, c := range f.calls {
		n += c
	}
	return n
}

// admit counts a call and refuses it where Ray would, in Ray's words.
func (f *FakeGCS) admit(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	method := path.Base(info.FullMethod)
	f.mu.Lock()
	f.calls[method]++
	if f.state.Refresh != nil {
		f.state.Refresh(&f.state)
	}
	token, id, missing := f.state.Token, f.state.ClusterID, slices.Contains(f.state.Missing, method)
	f.mu.Unlock()

	md, _ := metadata.FromIncomingContext(ctx)
	if token != "" && !slices.Equal(md.Get("authorization"), []string{"Bearer " + token}) {
		// The same words for a missing token and a wrong one, on every method.
		return nil, status.Error(codes.Unauthenticated, "InvalidAuthToken: Authentication token is missing or incorrect")
	}
	// A call without the id is let in; GetClusterId with a wrong one is refused too.
	if sent := md.Get("ray_cluster_id"); len(sent) > 0 && sent[0] != id {
		return nil, status.Error(codes.Unauthenticated, "WrongClusterID: Perhaps the client is accessing GCS after it has restarted.")
	}
	if missing {
		return nil, status.Error(codes.Unimplemented, "")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return handle(ctx, request)
}

// The handlers below run under f.mu, which admit holds.

// CheckAlive answers with the version.
func (f *FakeGCS) CheckAlive(context.Context, *raypb.CheckAliveRequest) (*raypb.CheckAliveReply, error) {
	return &raypb.CheckAliveReply{Status: &raypb.GcsStatus{}, RayVersion: f.state.RayVersion}, nil
}

// GetClusterId answers with the id.
func (f *FakeGCS) GetClusterId(context.Context, *raypb.GetClusterIdRequest) (*raypb.GetClusterIdReply, error) {
	return &raypb.GetClusterIdReply{Status: &raypb.GcsStatus{}, ClusterId: unhex(f.state.ClusterID)}, nil
}

// GetAllNodeInfo lists all nodes, dead ones too.
func (f *FakeGCS) GetAllNodeInfo(context.Context, *raypb.GetAllNodeInfoRequest) (*raypb.GetAllNodeInfoReply, error) {
	reply := &raypb.GetAllNodeInfoReply{Status: &raypb.GcsStatus{}}
	for _, n := range f.state.Nodes {
		info := &raypb.GcsNodeInfo{
			NodeId: unhex(n.NodeID), NodeManagerAddress: n.IP, NodeManagerHostname: n.Hostname,
			ResourcesTotal: n.Total, NodeName: n.Name, InstanceId: n.InstanceID, NodeTypeName: n.NodeType,
			StartTimeMs: millis(n.StartedAt), EndTimeMs: millis(n.EndedAt), IsHeadNode: n.Head, Labels: n.Labels,
		}
		if n.State == ray.NodeDead {
			info.State = raypb.GcsNodeInfo_DEAD
			info.DeathInfo = &raypb.NodeDeathInfo{
				Reason:        raypb.NodeDeathInfo_Reason(raypb.NodeDeathInfo_Reason_value[n.DeathReason]),
				ReasonMessage: n.DeathMessage,
			}
		}
		reply.NodeInfoList = append(reply.NodeInfoList, info)
	}
	return reply, nil
}

// RequestClusterResourceConstraint replaces the cluster-wide request.
func (f *FakeGCS) RequestClusterResourceConstraint(_ context.Context, r *raypb.RequestClusterResourceConstraintRequest) (*raypb.RequestClusterResourceConstraintReply, error) {
	f.state.Floor = r.GetClusterResourceConstraint()
	return &raypb.RequestClusterResourceConstraintReply{}, nil
}

// InternalKVPut writes a value.
func (f *FakeGCS) InternalKVPut(_ context.Context, r *raypb.InternalKVPutRequest) (*raypb.InternalKVPutReply, error) {
	values := maps.Clone(f.state.KV[string(r.GetNamespace())])
	if values == nil {
		values = map[string][]byte{}
	}
	if _, ok := values[string(r.GetKey())]; !ok || r.GetOverwrite() {
		values[string(r.GetKey())] = r.GetValue()
	}
	f.state.KV = maps.Clone(f.state.KV)
	if f.state.KV == nil {
		f.state.KV = map[string]map[string][]byte{}
	}
	f.state.KV[string(r.GetNamespace())] = values
	return &raypb.InternalKVPutReply{Status: &raypb.GcsStatus{}}, nil
}

// GetClusterStatus tells what is free where, the cluster-wide request, what waits,
// and the autoscaler's report.
func (f *FakeGCS) GetClusterStatus(context.Context, *raypb.GetClusterStatusRequest) (*raypb.GetClusterStatusReply, error) {
	if !f.state.Asleep {
		f.version++
		f.seen = f.version
	}
	f.version++
	resources := &raypb.ClusterResourceState{
		ClusterResourceStateVersion: f.version, ClusterSessionName: f.state.SessionName,
		PendingResourceRequests: f.state.Waiting, PendingGangResourceRequests: f.state.WaitingGroups,
	}
	if f.state.Floor != nil {
		resources.ClusterResourceConstraints = []*raypb.ClusterResourceConstraint{f.state.Floor}
	}
	for _, n := range f.state.Nodes {
		s := &raypb.NodeState{NodeId: unhex(n.NodeID), InstanceId: n.InstanceID, RayNodeTypeName: n.NodeType}
		switch n.State {
		case ray.NodeDead:
			s.Status = raypb.NodeStatus_DEAD
		case ray.NodeIdle:
			s.Status, s.IdleDurationMs = raypb.NodeStatus_IDLE, n.IdleFor.Milliseconds()
		case ray.NodeDraining:
			s.Status = raypb.NodeStatus_DRAINING
		default:
			s.Status = raypb.NodeStatus_RUNNING
		}
		if n.State != ray.NodeDead {
			s.AvailableResources = available(n)
		}
		resources.NodeStates = append(resources.NodeStates, s)
	}
	reply := &raypb.GetClusterStatusReply{ClusterResourceState: resources}
	if f.state.Autoscaling != nil {
		reply.AutoscalingState = proto.CloneOf(f.state.Autoscaling)
		reply.AutoscalingState.LastSeenClusterResourceStateVersion = f.seen
	}
	return reply, nil
}

// available is what a node has free; Ray leaves out what is used up.
func available(n ray.Node) map[string]float64 {
	free := n.Available
	if free == nil {
		free = n.Total
	}
	out := map[string]float64{}
	for name, amount := range free {
		if amount != 0 {
			out[name] = amount
		}
	}
	return out
}

const supervisorName = "_ray_internal_job_actor_"

// GetNamedActorInfo knows the supervisors of jobs that are not over, whose actor id is
// the submission id, and the AutoscalingCoordinator.
func (f *FakeGCS) GetNamedActorInfo(_ context.Context, r *raypb.GetNamedActorInfoRequest) (*raypb.GetNamedActorInfoReply, error) {
	if name := "AutoscalingCoordinator"; f.state.Coordinated && r.GetName() == name && r.GetRayNamespace() == name {
		return &raypb.GetNamedActorInfoReply{Status: &raypb.GcsStatus{}, ActorTableData: &raypb.ActorTableData{State: raypb.ActorTableData_ALIVE}}, nil
	}
	id, _ := strings.CutPrefix(r.GetName(), supervisorName)
	for _, j := range f.state.Jobs {
		if j.SubmissionID != id || j.Status.Terminal() || r.GetRayNamespace() != "SUPERVISOR_ACTOR_RAY_NAMESPACE" {
			continue
		}
		actor := &raypb.ActorTableData{ActorId: []byte(id), State: raypb.ActorTableData_ALIVE}
		if j.Status == ray.JobPending {
			actor.State = raypb.ActorTableData_PENDING_CREATION
		}
		return &raypb.GetNamedActorInfoReply{Status: &raypb.GcsStatus{}, ActorTableData: actor}, nil
	}
	return &raypb.GetNamedActorInfoReply{Status: &raypb.GcsStatus{Code: 17, Message: fmt.Sprintf("Actor with name '%s' was not found.", r.GetName())}}, nil
}

// KillActorViaGcs ends a PENDING job.
func (f *FakeGCS) KillActorViaGcs(_ context.Context, r *raypb.KillActorViaGcsRequest) (*raypb.KillActorViaGcsReply, error) {
	id := string(r.GetActorId())
	for _, j := range f.state.Jobs {
		if j.SubmissionID == id && j.Status == ray.JobPending {
			if f.state.Kill != nil {
				f.state.Kill(id)
			}
			return &raypb.KillActorViaGcsReply{Status: &raypb.GcsStatus{}}, nil
		}
	}
	return &raypb.KillActorViaGcsReply{Status: &raypb.GcsStatus{Code: 17, Message: fmt.Sprintf("Could not find actor with ID %x.", r.GetActorId())}}, nil
}

// InternalKVGet answers a missing key with status 17, and the call with OK.
func (f *FakeGCS) InternalKVGet(_ context.Context, r *raypb.InternalKVGetRequest) (*raypb.InternalKVGetReply, error) {
	value, ok := f.namespace(string(r.GetNamespace()))[string(r.GetKey())]
	if !ok {
		return &raypb.InternalKVGetReply{Status: &raypb.GcsStatus{Code: 17, Message: "Failed to find the key"}}, nil
	}
	return &raypb.InternalKVGetReply{Status: &raypb.GcsStatus{}, Value: value}, nil
}

// InternalKVMultiGet leaves out missing keys.
func (f *FakeGCS) InternalKVMultiGet(_ context.Context, r *raypb.InternalKVMultiGetRequest) (*raypb.InternalKVMultiGetReply, error) {
	reply := &raypb.InternalKVMultiGetReply{Status: &raypb.GcsStatus{}}
	values := f.namespace(string(r.GetNamespace()))
	for _, key := range r.GetKeys() {
		if value, ok := values[string(key)]; ok {
			reply.Results = append(reply.Results, &raypb.MapFieldEntry{Key: key, Value: value})
		}
	}
	return reply, nil
}

// InternalKVKeys lists the keys of one namespace, in no order.
func (f *FakeGCS) InternalKVKeys(_ context.Context, r *raypb.InternalKVKeysRequest) (*raypb.InternalKVKeysReply, error) {
	reply := &raypb.InternalKVKeysReply{Status: &raypb.GcsStatus{}}
	for key := range f.namespace(string(r.GetNamespace())) {
		if strings.HasPrefix(key, string(r.GetPrefix())) {
			reply.Results = append(reply.Results, []byte(key))
		}
	}
	return reply, nil
}

// namespace is what the store holds under a namespace: what a Ray 2.60.0 head
// published there, and KV over it.
func (f *FakeGCS) namespace(name string) map[string][]byte {
	s := &f.state
	out := map[string][]byte{}
	switch name {
	case "cluster":
		out["CLUSTER_METADATA"] = fmt.Appendf(nil, `{"ray_version": %q, "python_version": %q, "ray_init_cluster": false}`, s.RayVersion, s.PythonVersion)
	case "session":
		out["session_name"] = []byte(s.SessionName)
	case "dashboard":
		if s.DashboardAddress != "" {
			out["dashboard"] = []byte(s.DashboardAddress)
			out["webui:url"] = []byte(s.DashboardAddress)
		}
	case "job":
		for _, n := range s.Nodes {
			if n.Head && n.State != ray.NodeDead {
				out["head_node_id"] = []byte(n.NodeID)
			}
		}
		for _, j := range s.Jobs {
			out["_ray_internal_job_info_"+j.SubmissionID] = jobRecord(j)
		}
	}
	maps.Copy(out, s.KV[name])
	return out
}

// jobRecord is JobInfo.to_json of Ray's job manager.
func jobRecord(j ray.Job) []byte {
	record := map[string]any{
		"status": j.Status, "entrypoint": j.Entrypoint, "message": j.Message, "error_type": nil,
		"start_time": nil, "end_time": nil, "metadata": j.Metadata,
		"entrypoint_num_cpus": 0, "entrypoint_num_gpus": 0, "entrypoint_memory": 0, "entrypoint_resources": nil,
		"driver_agent_http_address": nil, "driver_node_id": nil, "driver_exit_code": j.DriverExitCode,
		"runtime_env_json": "{}",
	}
	if j.ErrorType != "" {
		record["error_type"] = j.ErrorType
	}
	if j.DriverNodeID != "" {
		record["driver_node_id"] = j.DriverNodeID
	}
	if !j.StartTime.IsZero() {
		record["start_time"] = j.StartTime.UnixMilli()
	}
	if !j.EndTime.IsZero() {
		record["end_time"] = j.EndTime.UnixMilli()
	}
	if len(j.RuntimeEnv) > 0 {
		record["runtime_env_json"] = string(j.RuntimeEnv)
	}
	b, err := json.Marshal(record)
	if err != nil {
		panic(fmt.Sprintf("encode the record of job %s: %v", j.SubmissionID, err))
	}
	return b
}

// unhex is the binary form of an id; a test that sets another id is at fault.
func unhex(id string) []byte {
	b, err := hex.DecodeString(id)
	if err != nil {
		panic(fmt.Sprintf("id %q is not hex", id))
	}
	return b
}

// millis is a time as Ray sends it; the zero time is 0.
func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMilli())
}

// ServeGCS starts a GCS that always shows the fake's cluster, nodes and jobs, and
// takes its token; the fake's head names it. Close both.
func (f *Fake) ServeGCS() (*FakeGCS, error) {
	gcs, err := StartFakeGCS(GCSState{Token: f.token, Refresh: func(s *GCSState) {
		c := f.Cluster()
		s.ClusterID, s.RayVersion, s.PythonVersion, s.SessionName = c.ClusterID, c.RayVersion, c.PythonVersion, c.SessionName
		s.DashboardAddress = f.port.addr
		s.Nodes, s.Jobs = f.Nodes(), f.Jobs()
	}})
	if err != nil {
		return nil, err
	}
	f.SetGCSAddress(gcs.Address())
	return gcs, nil
}
