//go:build unix

package kubetest

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

//go:embed autoscaler.py
var autoscalerScript string

// Autoscaler is Ray's autoscaler code for KubeRay, as it runs beside a head: it
// reads the RayCluster and patches it. What it would decide from the load of a
// cluster, the test decides.
type Autoscaler struct {
	mu   sync.Mutex // one call at a time
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	logs bytes.Buffer
	stop sync.Once
	err  error
}

// AutoscalerConfig is what the autoscaler has made of the RayCluster.
type AutoscalerConfig struct {
	// Groups are the worker groups, by name; the head's is headgroup.
	Groups             map[string]AutoscalerGroup `json:"available_node_types"`
	IdleTimeoutMinutes float64                    `json:"idle_timeout_minutes"`
	UpscalingSpeed     float64                    `json:"upscaling_speed"`
	MaxWorkers         int                        `json:"max_workers"`
}

// AutoscalerGroup is what the autoscaler has made of a worker group.
type AutoscalerGroup struct {
	MinWorkers   int      `json:"min_workers"`
	MaxWorkers   int      `json:"max_workers"`
	IdleTimeoutS *float64 `json:"idle_timeout_s"`
}

// Instance is a pod as the autoscaler sees it.
type Instance struct {
	Pod     string `json:"pod"`
	Group   string `json:"group"`
	Head    bool   `json:"head"`
	Running bool   `json:"running"`
}

// autoscalerRules are what the operator lets an autoscaler do.
var autoscalerRules = []Rule{
	{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "patch"}},
	{APIGroups: []string{"ray.io"}, Resources: []string{"rayclusters"}, Verbs: []string{"get", "patch"}},
}

// StartAutoscaler starts the autoscaler code of the Ray that raytest's heads run, as
// a service account with the rights that the operator gives to an autoscaler. It
// ends with the process that started it.
func (c *RayCluster) StartAutoscaler(ctx context.Context) (*Autoscaler, error) {
	ray, err := raytest.RayBin("")
	if err != nil {
		return nil, err
	}
	token, env, err := c.inPod(ctx)
	if err != nil {
		return nil, err
	}
	a := &Autoscaler{cmd: exec.Command(filepath.Join(filepath.Dir(ray), "python"), "-c", autoscalerScript, c.Name, c.Namespace, token)}
	a.cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+c.server.Dir)
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	a.cmd.Stderr = &a.logs
	in, err := a.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.in, a.out = in, bufio.NewReader(out)
	return a, a.cmd.Start()
}

// inPod is what the autoscaler finds in its pod to reach the API server: the file with
// its service account's token, and variables of its environment.
func (c *RayCluster) inPod(ctx context.Context) (token string, env []string, err error) {
	user, err := c.server.Account(ctx, c.Namespace, c.Name+"-autoscaler", autoscalerRules...)
	if err != nil {
		return "", nil, err
	}
	server, err := url.Parse(c.server.URL)
	if err != nil {
		return "", nil, err
	}
	token = c.server.file("token-" + c.Namespace + "-" + c.Name)
	return token, []string{
		"KUBERNETES_SERVICE_HOST=" + server.Hostname(), "KUBERNETES_SERVICE_PORT_HTTPS=" + server.Port(),
		"RAY_KUBERAY_CA_CERT_PATH=" + c.server.CAFile,
	}, os.WriteFile(token, []byte(user.Token), 0o600)
}

// Config reads the RayCluster as the autoscaler does before each round.
func (a *Autoscaler) Config(ctx context.Context) (AutoscalerConfig, error) {
	var config AutoscalerConfig
	err := a.call(ctx, &config, "config")
	return config, err
}

// Instances lists the cluster's pods.
func (a *Autoscaler) Instances(ctx context.Context) ([]Instance, error) {
	var list []Instance
	err := a.call(ctx, &list, "instances")
	return list, err
}

// Launch asks for count more workers of a group.
func (a *Autoscaler) Launch(ctx context.Context, group string, count int) error {
	return a.call(ctx, nil, "launch", group, count)
}

// Terminate lets workers go.
func (a *Autoscaler) Terminate(ctx context.Context, pods ...string) error {
	return a.call(ctx, nil, "terminate", pods)
}

// Race patches replicas of the group count times without a pause, from 1 to count,
// by the index that the group had at the beginning. It fails at the first patch that
// the server refuses.
func (a *Autoscaler) Race(ctx context.Context, group string, count int) error {
	return a.call(ctx, nil, "race", group, count)
}

// call makes one call; when ctx ends before it, the autoscaler does too.
func (a *Autoscaler) call(ctx context.Context, out any, name string, args ...any) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if args == nil {
		args = []any{}
	}
	line, err := json.Marshal(Object{"call": name, "args": args})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = a.cmd.Process.Kill() })()
	if _, err := a.in.Write(append(line, '\n')); err != nil {
		return a.ended(ctx, err)
	}
	line, err = a.out.ReadBytes('\n')
	if err != nil {
		return a.ended(ctx, err)
	}
	var answer struct {
		Result json.RawMessage
		Error  string
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return errors.New("Ray's autoscaler: " + answer.Error)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, out)
}

// ended explains an autoscaler that answers no more.
func (a *Autoscaler) ended(ctx context.Context, err error) error {
	closed := a.Close()
	return fmt.Errorf("Ray's autoscaler ended: %w\n%s", errors.Join(ctx.Err(), err, closed), a.logs.String())
}

// Close ends the autoscaler and waits for it. Further calls do nothing.
func (a *Autoscaler) Close() error {
	a.stop.Do(func() {
		a.err = errors.Join(a.in.Close(), kill(a.cmd.Process))
		_ = a.cmd.Wait() // it was killed, so this is an error
	})
	return a.err
}

// kill ends a process that may have ended by itself.
func kill(p *os.Process) error {
	if err := p.Kill(); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
