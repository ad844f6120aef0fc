//go:build unix

package raytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest/keeper"
)

// HeadOptions describe a real Ray head. The zero value is a head of the default
// Ray with two CPUs.
type HeadOptions struct {
	// RayBin is the ray command; "" means $RAY_VENV/bin/ray, else the venv in the
	// cache directory that `make venv` fills.
	RayBin string
	// NumCPUs are logical; 0 means 2, or none with an Autoscaler; negative means none.
	NumCPUs int
	// Resources and Labels of the head, besides CPU and memory.
	Resources map[string]float64
	Labels    map[string]string
	// Token switches token authentication on (Ray 2.52 and later).
	Token string
	// Env are further NAME=value settings of the head's processes, which see no
	// RAY_* variable of the caller's environment.
	Env []string
	// Args are further arguments of `ray start`.
	Args []string
	// NoDashboard leaves the dashboard out: only the GCS answers.
	NoDashboard bool
	// Autoscaler makes the head add worker nodes where they are needed and let them
	// go 6 s after their last use, looking once a second: up to 4 of type small (1
	// CPU, resource small, label tier=small) and 2 of type big (4 CPU, big,
	// tier=big). A node of type broken (resource broken) can not be launched.
	Autoscaler Autoscaler
	// Redis makes the head keep what it knows in a Redis server, so that it is the
	// same cluster after Restart (GCS fault tolerance).
	Redis *Redis
	// Cold returns as soon as the head node is alive, without the warm-up job and
	// the autoscaler's first round. Its first submission then waits a second or two
	// for the job agent.
	Cold bool
}

// Head is a running Ray head, alone on its ports and in its directory. It ends
// with the process that started it, however that process ends.
type Head struct {
	// DashboardURL is http://127.0.0.1:port, GCSAddress and ClientAddress are
	// host:port.
	DashboardURL, GCSAddress, ClientAddress string
	// TempDir holds Ray's sessions and logs; removed by Stop.
	TempDir string
	// Token is the one that the head wants, or "".
	Token string
	// RayBin is the ray command that runs it.
	RayBin string

	opts     HeadOptions
	keeper   *keeper.Keeper
	self     *Node
	restarts int

	adding sync.Mutex // one node at a time: two would take the same names for their sockets

	mu    sync.Mutex
	nodes []*Node
	count int
	stop  sync.Once
	err   error
}

// NodeOptions describe a worker node.
type NodeOptions struct {
	// NumCPUs are logical; 0 means 1, negative means none.
	NumCPUs int
	// Resources and Labels of the node, besides CPU and memory.
	Resources map[string]float64
	Labels    map[string]string
	// Env and Args as in HeadOptions.
	Env, Args []string
}

// Node is one Ray node: a raylet, its agents and its workers.
type Node struct {
	// ID is Ray's id of the node, 56 hex digits, and Name what the state API calls
	// node_name.
	ID, Name string

	head    *Head
	mark    string
	session int // the pid of `ray start`, which leads it
	log     string
	ports   *portBlock
	before  string        // the id of the node that this one takes the place of, or ""
	dead    chan struct{} // closed when `ray start --block` has ended
}

// objectStore is close to the least that a raylet accepts, 75 MiB.
const objectStore = 100_000_000

// StartHead starts a head and returns when its node is alive and its job agent
// has run a job, raytest-warm-up, which stays in the list of jobs. On an error
// everything is stopped, and the error ends with what Ray wrote to its logs.
func StartHead(ctx context.Context, opts HeadOptions) (*Head, error) {
	bin, err := RayBin(opts.RayBin)
	if err != nil {
		return nil, err
	}
	// Not os.TempDir: Ray puts Unix sockets some 70 characters below, and a socket's
	// path has at most 107 (103 on macOS).
	dir, err := os.MkdirTemp("/tmp", "raytest")
	if err != nil {
		return nil, fmt.Errorf("make a directory for a Ray head: %w", err)
	}
	h := &Head{TempDir: dir, Token: opts.Token, RayBin: bin, opts: opts}
	h.keeper, err = keeper.Start(h.clusterMark(), dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := h.start(ctx); err != nil {
		log := h.Log()
		return nil, errors.Join(fmt.Errorf("start a Ray head: %w\n%s", err, log), h.Stop())
	}
	return h, nil
}

// start starts the head's own node and waits until it is of use.
func (h *Head) start(ctx context.Context) error {
	node, err := h.launch(ctx, "head", h.args, h.nodeOptions())
	h.self = node
	if err != nil || h.opts.NoDashboard || h.opts.Cold {
		return err
	}
	if err := node.waitFor(ctx, "a first job to run", h.warmUp); err != nil {
		return err
	}
	if err := node.waitFor(ctx, "the head to report its command line", h.reported); err != nil || h.opts.Autoscaler == "" {
		return err
	}
	return node.waitFor(ctx, "the autoscaler to report", h.autoscalerReports)
}

// args are those of `ray start --head` on these ports.
func (h *Head) args(ports *portBlock) ([]string, error) {
	h.DashboardURL = "http://127.0.0.1:" + strconv.Itoa(ports.port(2))
	h.ClientAddress = "127.0.0.1:" + strconv.Itoa(ports.port(3))
	h.GCSAddress = "127.0.0.1:" + strconv.Itoa(ports.port(1))
	autoscaler, err := h.autoscalerArgs()
	return append(autoscaler,
		"--head",
		"--port="+strconv.Itoa(ports.port(1)),
		"--ray-client-server-port="+strconv.Itoa(ports.port(3)),
		"--include-dashboard="+strconv.FormatBool(!h.opts.NoDashboard),
		"--dashboard-host=127.0.0.1",
		"--dashboard-port="+strconv.Itoa(ports.port(2)),
	), err
}

func (h *Head) nodeOptions() NodeOptions {
	otherwise := 2
	if h.opts.Autoscaler != "" {
		otherwise = 0
	}
	o := NodeOptions{NumCPUs: cpus(h.opts.NumCPUs, otherwise), Resources: h.opts.Resources, Labels: h.opts.Labels, Env: append(h.autoscalerEnv(), h.opts.Env...), Args: h.opts.Args}
	if r := h.opts.Redis; r != nil {
		o.Env = append(slices.Clone(o.Env), "RAY_REDIS_ADDRESS="+r.Address, "RAY_external_storage_namespace="+filepath.Base(h.TempDir))
	}
	return o
}

// Restart starts the head anew on its addresses after Kill, and returns when its
// node is alive. With Redis it is the same cluster, and no job was asked about yet;
// without it is another one, which knows nothing.
func (h *Head) Restart(ctx context.Context) error {
	before := h.self
	for attempt := 1; ; attempt++ {
		n, err := h.startAgain(ctx, before)
		if n != nil {
			h.self = n
		}
		if err == nil {
			return nil
		}
		err = fmt.Errorf("restart a Ray head: %w\n%s", err, h.Log())
		if n == nil || attempt == 3 || ctx.Err() != nil || !strings.Contains(tail(n.log, 4<<10), startTimedOut) {
			return err
		}
		if err := errors.Join(n.Kill(ctx), os.Rename(n.log, fmt.Sprintf("%s.restart-%d", n.log, attempt))); err != nil {
			return err
		}
	}
}

// startAgain starts the head's own node in the place of one that has ended.
func (h *Head) startAgain(ctx context.Context, before *Node) (*Node, error) {
	h.restarts++
	args, err := h.args(before.ports)
	if err != nil {
		return nil, err
	}
	n, err := h.startNode(before.ports, before.Name, args, h.nodeOptions())
	if err != nil {
		return nil, err
	}
	n.before = before.ID
	if h.opts.NoDashboard {
		return n, n.waitFor(ctx, "the GCS to listen", h.dialGCS)
	}
	return n, n.waitAlive(ctx)
}

// AddNode adds a worker node and returns when Ray counts it as alive. Calls at once wait
// for each other.
func (h *Head) AddNode(ctx context.Context, opts NodeOptions) (*Node, error) {
	h.adding.Lock()
	defer h.adding.Unlock()
	h.mu.Lock()
	h.count++
	name := "node-" + strconv.Itoa(h.count)
	h.mu.Unlock()
	opts.NumCPUs = cpus(opts.NumCPUs, 1)
	n, err := h.launch(ctx, name, func(*portBlock) ([]string, error) { return []string{"--address=" + h.GCSAddress}, nil }, opts)
	if err != nil {
		return nil, fmt.Errorf("add a Ray node: %w\n%s", err, h.Log())
	}
	h.mu.Lock()
	h.nodes = append(h.nodes, n)
	h.mu.Unlock()
	return n, nil
}

// startTimedOut is what `ray start` says on a machine so busy that a raylet does
// not register within 30 s, a limit that Ray 2.60 has no setting for
// (_private/node.py). Trying again is all that helps.
const startTimedOut = "The current node timed out during startup"

// launch starts a node and waits until it is alive, or, on a head without
// dashboard, until its GCS listens. On an error nothing of it is left.
func (h *Head) launch(ctx context.Context, name string, args func(*portBlock) ([]string, error), opts NodeOptions) (*Node, error) {
	for attempt := 1; ; attempt++ {
		ports, err := reservePorts()
		if err != nil {
			return nil, err
		}
		given, err := args(ports)
		if err != nil {
			return nil, errors.Join(err, ports.release())
		}
		n, err := h.startNode(ports, name, given, opts)
		if err != nil {
			return nil, err
		}
		if h.opts.NoDashboard {
			err = n.waitFor(ctx, "the GCS to listen", h.dialGCS)
		} else {
			err = n.waitAlive(ctx)
		}
		if err == nil {
			return n, nil
		}
		busy := strings.Contains(tail(n.log, 4<<10), startTimedOut)
		err = errors.Join(err, n.Kill(context.WithoutCancel(ctx)), ports.release())
		if !busy || attempt == 3 || ctx.Err() != nil {
			return nil, err
		}
		if err := os.Rename(n.log, fmt.Sprintf("%s.%d", n.log, attempt)); err != nil {
			return nil, err
		}
	}
}

// dialGCS reports whether something listens on the GCS's port.
func (h *Head) dialGCS(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", h.GCSAddress)
	if err != nil {
		return err
	}
	return conn.Close()
}

// cpus maps the zero value to the default and a negative one to none.
func cpus(n, otherwise int) int {
	switch {
	case n == 0:
		return otherwise
	case n < 0:
		return 0
	}
	return n
}

// startNode runs `ray start --block` with ports of its own for everything that
// otherwise has a fixed default.
func (h *Head) startNode(ports *portBlock, name string, args []string, opts NodeOptions) (*Node, error) {
	n := &Node{Name: name, head: h, mark: h.nodeMark(name), log: filepath.Join(h.TempDir, name+".out"), ports: ports, dead: make(chan struct{})}
	args = append([]string{"start", "--block", "--disable-usage-stats"}, args...)
	args = append(args,
		"--temp-dir="+h.TempDir,
		"--node-name="+name,
		"--node-ip-address=127.0.0.1",
		"--num-cpus="+strconv.Itoa(opts.NumCPUs),
		"--object-store-memory="+strconv.Itoa(objectStore),
		"--dashboard-agent-listen-port="+strconv.Itoa(ports.port(4)),
		"--dashboard-agent-grpc-port="+strconv.Itoa(ports.port(5)),
		"--metrics-export-port="+strconv.Itoa(ports.port(6)),
		"--runtime-env-agent-port="+strconv.Itoa(ports.port(7)),
		"--node-manager-port="+strconv.Itoa(ports.port(8)),
		"--object-manager-port="+strconv.Itoa(ports.port(9)),
		"--min-worker-port="+strconv.Itoa(ports.port(servicePorts)),
		"--max-worker-port="+strconv.Itoa(ports.port(blockSize-1)),
	)
	if len(opts.Resources) > 0 {
		text, err := json.Marshal(opts.Resources)
		if err != nil {
			return nil, errors.Join(err, ports.release())
		}
		args = append(args, "--resources="+string(text))
	}
	if len(opts.Labels) > 0 {
		var pairs []string
		for k, v := range opts.Labels {
			pairs = append(pairs, k+"="+v)
		}
		slices.Sort(pairs)
		args = append(args, "--labels="+strings.Join(pairs, ","))
	}
	cmd := exec.Command(h.RayBin, append(args, opts.Args...)...)
	cmd.Env = append(h.env(ports, n.mark), opts.Env...)
	cmd.Dir = h.TempDir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := os.OpenFile(n.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, errors.Join(err, ports.release())
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, out.Close(), ports.release())
	}
	n.session = cmd.Process.Pid
	if err := h.keeper.Add(n.session); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait(), out.Close(), ports.release())
	}
	go func() {
		defer close(n.dead)
		// The exit status says nothing: a stopped node ends with one too.
		_ = cmd.Wait()
		_ = out.Close()
	}()
	return n, nil
}

// env is the caller's environment without Ray's and Python's own variables, and
// with the marks by which the keeper finds every process of the node.
func (h *Head) env(ports *portBlock, mark string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "RAY") || strings.HasPrefix(name, "PYTHON") || strings.HasPrefix(name, "TF_")
	})
	env = append(env,
		h.clusterMark(), mark,
		// As in an activated venv: the entrypoint "python ..." is the Python that has Ray.
		"PATH="+filepath.Dir(h.RayBin)+string(os.PathListSeparator)+os.Getenv("PATH"),
		"RAY_USAGE_STATS_ENABLED=0",
		"DASHBOARD_METRIC_PORT="+strconv.Itoa(ports.port(10)),
		"AUTOSCALER_METRIC_PORT="+strconv.Itoa(ports.port(11)),
	)
	if h.Token == "" {
		// Ray 2.60 switches authentication on where it finds ~/.ray/auth_token.
		return append(env, "RAY_AUTH_MODE=disabled")
	}
	return append(env, "RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN="+h.Token)
}

// The marks end in a character that no name has, so that none is the beginning
// of another.
func (h *Head) clusterMark() string         { return "RAYTEST_CLUSTER=" + h.TempDir + ";" }
func (h *Head) nodeMark(name string) string { return "RAYTEST_NODE=" + h.TempDir + "/" + name + ";" }

// Kill ends the head's own processes at once, as a lost machine would. Worker
// nodes notice by themselves. Logs stay until Stop.
func (h *Head) Kill(ctx context.Context) error { return h.self.Kill(ctx) }

// Stop kills the head and its nodes, waits until no process is left and removes
// the directory. Further calls do nothing.
func (h *Head) Stop() error {
	h.stop.Do(func() {
		if h.keeper == nil {
			return
		}
		h.err = h.keeper.Close()
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, n := range append(h.nodes, h.self) {
			if n != nil {
				<-n.dead
				h.err = errors.Join(h.err, n.ports.release())
			}
		}
	})
	return h.err
}

// Close is Stop.
func (h *Head) Close() error { return h.Stop() }

// Kill ends the node's raylet and all its processes with kill -9, as a lost
// machine would: the GCS calls it dead, UNEXPECTED_TERMINATION, when its health
// checks have failed.
func (n *Node) Kill(ctx context.Context) error {
	return n.head.keeper.End(ctx, "KILL", n.session, n.mark)
}

// Stop ends the node as a scale-down would: the raylet says good-bye, and the
// GCS records EXPECTED_TERMINATION.
func (n *Node) Stop(ctx context.Context) error {
	return n.head.keeper.End(ctx, "TERM", n.session, n.mark)
}

// waitFor polls ready until it returns nil, the context ends, or the node dies.
func (n *Node) waitFor(ctx context.Context, what string, ready func(context.Context) error) error {
	return keeper.WaitFor(ctx, what, "`ray start`", n.dead, ready)
}

// RayBin finds the ray command: the given one, $RAY_VENV/bin/ray, or the one in the
// venv in the cache directory that `make venv` fills.
func RayBin(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	venv := os.Getenv("RAY_VENV")
	if venv == "" {
		cache := os.Getenv("RAY_TF_CACHE")
		if cache == "" {
			base, err := os.UserHomeDir()
			if err != nil {
				return "", err
			}
			if xdg := os.Getenv("XDG_CACHE_HOME"); xdg != "" {
				cache = filepath.Join(xdg, "terraform-provider-ray")
			} else {
				cache = filepath.Join(base, ".cache", "terraform-provider-ray")
			}
		}
		venv = filepath.Join(cache, "venv")
	}
	bin := filepath.Join(venv, "bin", "ray")
	if _, err := os.Stat(bin); err != nil {
		return "", fmt.Errorf("no Ray at %s: `make venv` installs it, or set RAY_VENV to a venv that has it", bin)
	}
	return bin, nil
}
