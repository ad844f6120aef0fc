package raytest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Fake is a Ray head in this process: the routes of its dashboard that the
// provider uses, over a state machine of jobs, packages and nodes. It is safe for
// concurrent use. Close it.
type Fake struct {
	version   ray.Version
	versionS  string
	prefix    string
	token     string
	clock     func() time.Time
	hold      bool
	delay     time.Duration // from submission to RUNNING
	stopDelay time.Duration // from stop to STOPPED
	lag       time.Duration // of the monitor of a job that is over
	// startTimeout is how long a job may be PENDING.
	startTimeout time.Duration
	commands     map[string]Command
	port         heldPort
	done         chan struct{} // closed by Close
	serving      sync.WaitGroup

	mu          sync.Mutex
	server      *http.Server // nil while down
	started     time.Time
	clusterID   string
	session     string
	gcsAddress  string
	nodes       []ray.Node
	jobs        map[string]*fakeJob
	order       []string // ids in order of submission
	logs        map[string]string
	packages    map[string][]byte
	pins        map[string]time.Time // URI to the end of its pin
	requests    map[string]int
	executions  map[string]int
	runs        []*Execution
	entrypoints map[string]int
	submitting  map[string]int       // POSTs in flight by id
	ended       map[string]time.Time // the last end by id
	ghosts      map[string]time.Time // when a deleted record comes back
	overlaps    int
	faults      []*Injected
	placements  []*fakePlacement // in order of creation
	severed     []string
	serve       *fakeServe // nil where Serve does not run
}

// Option changes a fake before it starts.
type Option func(*Fake)

// WithVersion makes the fake the given Ray release, as in "2.40.0": routes and
// members that came later are missing. Default 2.60.0.
func WithVersion(v string) Option {
	return func(f *Fake) { f.versionS = v }
}

// WithPrefix is the path below which the dashboard is served, default "/ray": a
// client that forgets the prefix of an ingress fails at once.
func WithPrefix(prefix string) Option {
	return func(f *Fake) { f.prefix = strings.TrimRight(prefix, "/") }
}

// WithToken turns on token authentication (RAY_AUTH_MODE=token, since Ray 2.52).
func WithToken(token string) Option { return func(f *Fake) { f.token = token } }

// WithClock takes the time from clock, such as the Now of a Clock. Default
// time.Now.
func WithClock(clock func() time.Time) Option { return func(f *Fake) { f.clock = clock } }

// WithHeldJobs keeps new jobs PENDING until Start.
func WithHeldJobs() Option { return func(f *Fake) { f.hold = true } }

// WithStartDelay is how long a job is PENDING; default 0. A real head takes 0.5 to
// 2 s.
func WithStartDelay(d time.Duration) Option { return func(f *Fake) { f.delay = d } }

// WithStopDelay is how long a job still reads RUNNING after a stop; default 0. A
// real head takes 1.5 s, and 3.1 s where the entrypoint ignores SIGTERM.
func WithStopDelay(d time.Duration) Option { return func(f *Fake) { f.stopDelay = d } }

// WithStartTimeout is RAY_JOB_START_TIMEOUT_SECONDS of the head, default 15 minutes.
func WithStartTimeout(d time.Duration) Option { return func(f *Fake) { f.startTimeout = d } }

// WithMonitorLag is how long Ray's monitor of a job goes on after its end: 1 s on a
// real head (job_manager.py, JOB_MONITOR_LOOP_PERIOD_S), default 0. It then finds the
// supervisor gone and looks at the record again, with two effects that were seen on
// 2.60.0 each time within 1.2 s of the end, and never after 1.5 s:
//
//   - A record that was deleted meanwhile, with {"deleted": true}, comes back as a
//     FAILED one without metadata, its entrypoint "Entrypoint not found.".
//   - A job submitted meanwhile under the same id is failed, and its entrypoint never
//     runs.
func WithMonitorLag(d time.Duration) Option { return func(f *Fake) { f.lag = d } }

// WithCommand makes the fake's shell know a command, as in "python".
func WithCommand(name string, c Command) Option {
	return func(f *Fake) { f.commands[name] = c }
}

// WithNodes replaces the one head node of 2 CPUs. The first should be a head.
func WithNodes(nodes ...ray.Node) Option { return func(f *Fake) { f.nodes = nodes } }

// Clock is a clock that only moves when told to.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at a fixed moment.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// NewFake starts a fake on a free port of 127.0.0.1. It panics if there is none.
func NewFake(opts ...Option) *Fake {
	f := &Fake{
		versionS: "2.60.0", prefix: "/ray", clock: time.Now, commands: map[string]Command{}, done: make(chan struct{}),
		jobs: map[string]*fakeJob{}, logs: map[string]string{}, packages: map[string][]byte{}, pins: map[string]time.Time{},
		requests: map[string]int{}, executions: map[string]int{}, entrypoints: map[string]int{}, submitting: map[string]int{},
		ended: map[string]time.Time{}, ghosts: map[string]time.Time{},
		gcsAddress: "127.0.0.1:6379", startTimeout: 15 * time.Minute,
	}
	for _, o := range opts {
		o(f)
	}
	v, ok := ray.ParseVersion(f.versionS)
	if !ok {
		panic(fmt.Sprintf("raytest: %q is no Ray version", f.versionS))
	}
	f.version = v
	f.begin()
	if f.nodes == nil {
		f.nodes = []ray.Node{f.headNode()}
	}
	if err := f.Up(); err != nil {
		panic("raytest: " + err.Error())
	}
	return f
}

// begin gives the cluster a new identity.
func (f *Fake) begin() {
	f.started = f.clock()
	f.clusterID = randomHex(28)
	f.session = "session_" + f.started.UTC().Format("2006-01-02_15-04-05_000000") + "_" + randomHex(2)
}

func (f *Fake) headNode() ray.Node {
	id := randomHex(28)
	return ray.Node{
		NodeID: id, Name: "127.0.0.1", IP: "127.0.0.1", Head: true, State: ray.NodeAlive,
		Labels: map[string]string{ray.LabelNodeID: id},
		Total: ray.Resources{
			"node:127.0.0.1": 1, "memory": 8 << 30, "object_store_memory": 1e8, "CPU": 2, ray.HeadNodeResource: 1,
		},
		StartedAt: f.clock(),
	}
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)
}

// URL is the dashboard's address, with the prefix.
func (f *Fake) URL() string { return "http://" + f.port.addr + f.prefix }

// Up lets the fake listen again after Down, on the same port.
func (f *Fake) Up() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		return nil
	}
	l, err := f.port.listen()
	if err != nil {
		return err
	}
	s := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	f.server = s
	f.serving.Go(func() { _ = s.Serve(l) }) // ends by Close, with ErrServerClosed
	return nil
}

// Down refuses connections and breaks the open ones, as a head does that is
// killed. Jobs go on; combine with Restart.
func (f *Fake) Down() {
	f.mu.Lock()
	s := f.server
	f.server = nil
	f.mu.Unlock()
	if s != nil {
		_ = s.Close() // closes what it can
	}
}

// Close ends the fake, and requests that hang in it.
func (f *Fake) Close() {
	close(f.done)
	f.Down()
	f.serving.Wait()
	f.port.release()
}

// Restart makes the fake what a head is after a restart. Without Redis the
// cluster has a new id and session and has forgotten jobs, logs, packages and
// placement groups.
// With Redis it keeps them, and has a new head node; jobs that were RUNNING stay so
// until something asks the new head's agent about a job, then they fail
// (measured on 2.60.0), and jobs that were PENDING do not start.
func (f *Fake) Restart(redis bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.settle()
	if redis {
		f.started = now
		for _, j := range f.jobs {
			j.stale = !j.status.Terminal()
			j.run.end(now, ray.JobFailed)
		}
		for i := range f.nodes {
			if f.nodes[i].Head && f.nodes[i].State != ray.NodeDead {
				f.killNode(i, now)
			}
		}
		f.nodes = append(f.nodes, f.headNode())
		return
	}
	for _, run := range f.runs {
		run.end(now, ray.JobFailed)
	}
	f.begin()
	f.jobs, f.order, f.logs = map[string]*fakeJob{}, nil, map[string]string{}
	f.ended, f.ghosts = map[string]time.Time{}, map[string]time.Time{}
	f.packages, f.pins = map[string][]byte{}, map[string]time.Time{}
	f.placements = nil
	f.nodes = []ray.Node{f.headNode()}
}

// AddNode adds a node; an empty id, state and start get values. It returns the id.
func (f *Fake) AddNode(n ray.Node) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n.NodeID == "" {
		n.NodeID = randomHex(28)
	}
	if n.State == "" {
		n.State = ray.NodeAlive
	}
	if n.StartedAt.IsZero() {
		n.StartedAt = f.clock()
	}
	f.nodes = append(f.nodes, n)
	return n.NodeID
}

// KillNode lets a node die as one does whose raylet is killed.
func (f *Fake) KillNode(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.nodes {
		if f.nodes[i].NodeID == id {
			f.killNode(i, f.clock())
		}
	}
}

func (f *Fake) killNode(i int, now time.Time) {
	n := &f.nodes[i]
	n.State, n.EndedAt = ray.NodeDead, now
	n.DeathReason, n.DeathMessage = ray.DeathUnexpected, "health check failed due to missing too many heartbeats"
}

// SetGCSAddress sets the address that the head's command line shows.
func (f *Fake) SetGCSAddress(addr string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gcsAddress = addr
}

// Cluster says who the fake is now.
func (f *Fake) Cluster() ray.Cluster {
	f.mu.Lock()
	defer f.mu.Unlock()
	return ray.Cluster{
		ClusterID: f.clusterID, SessionName: f.session, RayVersion: f.versionS, PythonVersion: "3.13.0",
		StartedAt: time.UnixMilli(f.started.UnixMilli()).UTC(), AuthenticationMode: f.mode(),
	}
}

func (f *Fake) mode() string {
	if f.token != "" {
		return "token"
	}
	return "disabled"
}

// Nodes returns the nodes.
func (f *Fake) Nodes() []ray.Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]ray.Node(nil), f.nodes...)
}

// Requests returns how many requests came, by method and route, as in
// "GET /api/jobs/{id}". Those that a fault swallowed count too.
func (f *Fake) Requests() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.requests)
}

// ResetRequests starts the count of requests anew.
func (f *Fake) ResetRequests() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = map[string]int{}
}

// Packages returns the URIs of the packages, sorted.
func (f *Fake) Packages() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	uris := make([]string, 0, len(f.packages))
	for u := range f.packages {
		uris = append(uris, u)
	}
	sort.Strings(uris)
	return uris
}

// Package returns a package's bytes.
func (f *Fake) Package(uri string) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.packages[uri]
	return b, ok
}

// DropPackage forgets a package, as Ray does when its pin and its last job end.
func (f *Fake) DropPackage(uri string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.packages, uri)
}

// Pinned reports whether a GET of the package's route has pinned it.
func (f *Fake) Pinned(uri string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock().Before(f.pins[uri])
}

// since reports whether the fake is at least Ray 2.minor.
func (f *Fake) since(minor int) bool { return !f.version.Less(ray.Version{2, minor, 0}) }
