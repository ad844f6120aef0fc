//go:build unix

package kubetest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

//go:embed run_autoscaler.py
var runAutoscalerScript string

// Pods are what the pods of a RayCluster run, as processes of this machine: a head, a
// worker node for each worker pod, and the autoscaler of the head pod.
type Pods struct {
	// Head is the Ray of the head pod.
	Head *raytest.Head

	cluster    *RayCluster
	autoscaler *process
	end        context.CancelFunc
	loop       sync.WaitGroup

	mu    sync.Mutex
	nodes map[string]*raytest.Node // by pod; nil while it starts
	err   error
}

// RunPods runs the pods of the cluster, those of now and those to come, until Close. It
// needs the operator. Ray starts with the arguments and the environment that the
// operator has written into each pod, but for addresses and ports. A pod is called ready
// before its Ray is; one that is deleted ends its node as a scale-down does.
func (c *RayCluster) RunPods(ctx context.Context) (*Pods, error) {
	p := &Pods{cluster: c, nodes: map[string]*raytest.Node{}}
	var head pod
	err := poll(ctx, c.Name+" to have a head pod", func(ctx context.Context) error {
		pods, err := c.pods(ctx, "head")
		if err == nil && len(pods) == 0 {
			err = errors.New("there is none")
		}
		if err == nil {
			head = pods[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	args, env, err := head.rayStart(ctx)
	if err != nil {
		return nil, err
	}
	if p.Head, err = raytest.StartHead(ctx, raytest.HeadOptions{Args: args, Env: env}); err != nil {
		return nil, err
	}
	if err := p.start(ctx, head); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// start makes the head known and begins to run the rest.
func (p *Pods) start(ctx context.Context, head pod) error {
	dashboard, err := url.Parse(p.Head.DashboardURL)
	if err != nil {
		return err
	}
	if err := p.cluster.ServeHead(ctx, map[string]string{"dashboard": dashboard.Host}); err != nil {
		return err
	}
	loop, end := context.WithCancel(context.WithoutCancel(ctx))
	p.end = end
	p.loop.Go(func() { p.run(loop) })
	return p.startAutoscaler(ctx, head.Metadata.Name)
}

// startAutoscaler runs what the second container of a head pod does: `ray
// kuberay-autoscaler`, looking once a second and not every five.
func (p *Pods) startAutoscaler(ctx context.Context, pod string) error {
	c := p.cluster
	token, env, err := c.inPod(ctx)
	if err != nil {
		return err
	}
	bin := filepath.Dir(p.Head.RayBin)
	env = append(env,
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "RAY_HEAD_POD_NAME="+pod, "KUBERAY_CRD_VER=v1",
		fmt.Sprintf("AUTOSCALER_UPDATE_INTERVAL_S=%g", raytest.AutoscalerTick.Seconds()), "RAY_AUTH_MODE=disabled",
	)
	p.autoscaler, err = c.server.runAs("autoscaler-"+c.Namespace+"-"+c.Name, filepath.Join(bin, "python"), env, "-c", runAutoscalerScript, c.Name, c.Namespace, token, p.Head.GCSAddress)
	return err
}

// run starts and ends worker nodes as their pods come and go.
func (p *Pods) run(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if pods, err := p.cluster.pods(ctx, "worker"); err == nil { // else the next round
			p.follow(ctx, pods)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// follow starts what is new among the pods and ends what is gone.
func (p *Pods) follow(ctx context.Context, pods []pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	there := map[string]bool{}
	for _, pod := range pods {
		name := pod.Metadata.Name
		there[name] = true
		if _, known := p.nodes[name]; !known && pod.Status.Phase == "Running" {
			p.nodes[name] = nil
			p.loop.Go(func() { p.add(ctx, pod) })
		}
	}
	for name, node := range p.nodes {
		if node != nil && !there[name] {
			delete(p.nodes, name)
			p.loop.Go(func() { p.fail(node.Stop(ctx)) })
		}
	}
}

// add runs the Ray of a worker pod.
func (p *Pods) add(ctx context.Context, pod pod) {
	args, env, err := pod.rayStart(ctx)
	var node *raytest.Node
	if err == nil {
		node, err = p.Head.AddNode(ctx, raytest.NodeOptions{Args: args, Env: env})
	}
	if err != nil {
		p.fail(fmt.Errorf("run pod %s: %w", pod.Metadata.Name, err))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[pod.Metadata.Name] = node
}

// Workers are the worker pods whose Ray runs, sorted.
func (p *Pods) Workers() (pods []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pod, node := range p.nodes {
		if node != nil {
			pods = append(pods, pod)
		}
	}
	slices.Sort(pods)
	return pods
}

// Kill ends the Ray of a worker pod at once, as a lost machine would, and calls the pod
// Failed, as a kubelet does of a pod that may not restart.
func (p *Pods) Kill(ctx context.Context, pod string) error {
	p.mu.Lock()
	node := p.nodes[pod]
	p.mu.Unlock()
	if node == nil {
		return fmt.Errorf("nothing runs in pod %s", pod)
	}
	if err := node.Kill(ctx); err != nil {
		return err
	}
	return p.cluster.server.report(ctx, p.cluster.Namespace, pod, Object{"phase": "Failed", "reason": "Killed"})
}

// Err is what went wrong since the start, or nil.
func (p *Pods) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *Pods) fail(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = errors.Join(p.err, err)
}

// Close ends all Ray of the cluster. The pods stay.
func (p *Pods) Close() error {
	if p.end != nil {
		p.end()
	}
	var err error
	if p.autoscaler != nil {
		err = kill(p.autoscaler.self)
	}
	err = errors.Join(err, p.Head.Stop()) // what is being started ends with it
	p.loop.Wait()
	return err
}

// pods are those of the cluster, of type head or worker.
func (c *RayCluster) pods(ctx context.Context, of string) ([]pod, error) {
	var list struct{ Items []pod }
	selector := url.QueryEscape("ray.io/cluster=" + c.Name + ",ray.io/node-type=" + of)
	err := c.server.Do(ctx, Request{Path: "/api/v1/namespaces/" + c.Namespace + "/pods?labelSelector=" + selector}, &list)
	return list.Items, err
}

// What of a pod's `ray start` makes sense for a process that shares a machine with
// those of other pods, and what of its environment does not.
var (
	kept    = []string{"--num-cpus", "--num-gpus", "--memory", "--resources", "--labels", "--no-monitor"}
	dropped = []string{"FQ_RAY_IP", "RAY_IP", "RAY_PORT", "RAY_ADDRESS", startCommand}
)

// startCommand is the variable in which the operator leaves the container's command.
const startCommand = "KUBERAY_GEN_RAY_START_CMD"

// rayStart are the arguments of `ray start` and the environment that the operator gave
// to the pod.
func (p pod) rayStart(ctx context.Context) (args, env []string, err error) {
	command := ""
	for _, v := range p.Spec.Containers[0].Env {
		if v.Name == startCommand {
			command = v.Value
		}
		if !slices.Contains(dropped, v.Name) {
			env = append(env, v.Name+"="+p.value(v.Value, v.ValueFrom.FieldRef.FieldPath))
		}
	}
	// The container's shell takes the quotes away, so a shell does here.
	out, err := exec.CommandContext(ctx, "sh", "-c", "ray() { printf '%s\\n' \"$@\"; }\n"+command).Output()
	if err != nil {
		return nil, nil, fmt.Errorf("read %q: %w", command, err)
	}
	for arg := range strings.Lines(string(out)) {
		arg = strings.TrimSuffix(arg, "\n")
		if flag, _, _ := strings.Cut(arg, "="); slices.Contains(kept, flag) {
			args = append(args, arg)
		}
	}
	return args, env, nil
}

// value is that of a variable: written there, or a field of the pod.
func (p pod) value(written, field string) string {
	if label, ok := strings.CutPrefix(field, "metadata.labels['"); ok {
		return p.Metadata.Labels[strings.TrimSuffix(label, "']")]
	}
	switch field {
	case "metadata.name":
		return p.Metadata.Name
	case "metadata.namespace":
		return p.Metadata.Namespace
	}
	return written
}
