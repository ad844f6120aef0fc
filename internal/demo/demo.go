//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// demo is what the steps share.
type demo struct {
	screen   *screen
	children *children
	getenv   func(string) string

	root string        // of the checkout
	head *raytest.Head // nil until it runs
	node *raytest.Node // the worker that will be killed
	api  *dashboard.Client
	dir  string // holds all files of the demo; goes with the head
	cli  *cli   // its dir is a copy of examples/demo
	job  string // submission id of the run of the last apply
}

// step is one step, announced and timed.
type step struct {
	title string
	run   func(context.Context) error
}

func (d *demo) steps() []step {
	return []step{
		{"Start a Ray head and two worker nodes", d.startRay},
		{"Build the provider", d.build},
		{"Apply examples/demo: connect, run a job, read the nodes", d.apply},
		{"Ask Ray itself what happened", d.askRay},
		{"Plan again: there must be nothing to do", d.planNothing},
		{"Drift: kill -9 a worker node, change a file of the job", d.drift},
		{"Plan: what the provider says of it", d.planDrift},
		{"Apply: while a new node starts, the connection waits for it, then the job runs anew", d.repair},
		{"Destroy, and stop Ray", d.destroy},
	}
}

// run runs the steps, then, whatever happened, stops what is left.
func (d *demo) run(ctx context.Context) (err error) {
	begun := time.Now()
	defer func() {
		if d.head != nil {
			err = errors.Join(err, d.head.Stop())
		}
	}()
	if d.root, err = checkout("."); err != nil {
		return err
	}
	f := finder{d.getenv, lookPath, func(bin string) (string, error) { return versionOf(ctx, d.children, bin) }}
	bin, version, err := f.find()
	if err != nil {
		return err
	}
	d.cli = &cli{bin: bin, children: d.children, screen: d.screen}
	d.screen.plain("The provider at work on a real Ray, with %s, version %s.\n", bin, version)
	steps := d.steps()
	d.screen.total = len(steps)
	for _, s := range steps {
		started := time.Now()
		d.screen.begin(s.title)
		if err := s.run(ctx); err != nil {
			return err
		}
		d.screen.took(time.Since(started))
	}
	d.screen.plain("All %d steps did what they should, in %.0fs. Nothing is left running, nothing is left in %s.", len(steps), time.Since(begun).Seconds(), d.dir)
	return nil
}

// checkout returns the directory with the module, at or above dir.
func checkout(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "examples", "demo", "main.tf")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s is not in a checkout of the provider: run `make demo` there", dir)
		}
	}
}

// startRay starts the cluster. Its head has no CPU, so that tasks run on the
// workers.
func (d *demo) startRay(ctx context.Context) (err error) {
	if d.head, err = raytest.StartHead(ctx, raytest.HeadOptions{NumCPUs: -1}); err != nil {
		return err
	}
	d.screen.say("head at %s", d.head.DashboardURL)
	if d.api, err = dashboard.New(dashboard.Options{URL: d.head.DashboardURL, HTTP: &http.Client{}, UserAgent: "terraform-provider-ray-demo"}); err != nil {
		return err
	}
	// One after the other: `ray start` gives a node 30 s (raylet_start_wait_time_s in
	// node.py), which two at once exceed on two busy cores.
	for range 2 {
		if d.node, err = d.addNode(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) addNode(ctx context.Context) (*raytest.Node, error) {
	n, err := d.head.AddNode(ctx, raytest.NodeOptions{NumCPUs: 1})
	if err == nil {
		d.screen.say("%s with 1 CPU", n.Name)
	}
	return n, err
}

// build builds the provider and has the CLI take it from there. All files lie in
// Ray's own directory, which is removed however this process ends.
func (d *demo) build(ctx context.Context) error {
	d.dir = d.head.TempDir
	dir, bin, work := filepath.Join(d.dir, "demo"), filepath.Join(d.dir, "demo", "bin"), filepath.Join(d.dir, "demo", "work")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return err
	}
	// Built as by `make build`, so that what that compiled is not compiled again.
	build := command{dir: d.root, env: append(os.Environ(), "CGO_ENABLED=0"), args: []string{"go", "build", "-trimpath", "-o", filepath.Join(bin, "terraform-provider-ray"), "."}, show: d.screen.quote}
	d.screen.say("$ %s", strings.Join(build.args, " "))
	status, _, err := d.children.run(ctx, build)
	if err != nil {
		return err
	}
	if status != 0 {
		return errors.New("the provider does not build: see above")
	}
	if err := writeRC(dir, bin); err != nil {
		return err
	}
	if err := os.CopyFS(work, os.DirFS(filepath.Join(d.root, "examples", "demo"))); err != nil {
		return err
	}
	d.cli.dir, d.cli.env = work, cliEnviron(dir, d.head.DashboardURL)
	return nil
}

func (d *demo) apply(ctx context.Context) error {
	_, err := d.cli.run(ctx, 0, "apply", "-auto-approve")
	return err
}

// askRay compares the outputs with what Ray says.
func (d *demo) askRay(ctx context.Context) error {
	o, err := d.cli.outputs(ctx)
	if err != nil {
		return err
	}
	jobs, err := d.jobs(ctx)
	if err != nil {
		return err
	}
	if len(jobs) != 1 {
		return fmt.Errorf("apply made one job, and Ray has these: %s", ids(jobs))
	}
	job := jobs[0]
	log, err := d.api.LogTail(ctx, job.SubmissionID, 3)
	if err != nil {
		return err
	}
	d.screen.say("job %s: %s, %q, in %.1fs; the end of its log:", job.SubmissionID, job.Status, job.Entrypoint, job.EndTime.Sub(job.StartTime).Seconds())
	d.screen.quote(strings.TrimSpace(log))
	nodes, err := d.api.Nodes(ctx)
	if err != nil {
		return err
	}
	d.screen.say("nodes: %s", describe(nodes))
	switch made := o.Job.Value; {
	case job.SubmissionID != made.SubmissionID || job.Status != made.Status || job.Status != ray.JobSucceeded:
		return fmt.Errorf("the outputs say that job %s is %s", made.SubmissionID, made.Status)
	case job.SubmissionID == d.job:
		return fmt.Errorf("job %s is still the one from before the change of its file", job.SubmissionID)
	case len(o.Nodes.Value) != alive(nodes):
		return fmt.Errorf("the outputs have %d nodes, and Ray %d", len(o.Nodes.Value), alive(nodes))
	}
	d.job = job.SubmissionID
	return nil
}

// jobs lists what Ray has, without the job that StartHead warmed the head up with:
// on a busy machine Ray's monitor writes its record again after it was deleted.
func (d *demo) jobs(ctx context.Context) ([]ray.Job, error) {
	return d.api.ListJobs(ctx, func(id string) bool { return !strings.HasPrefix(id, "raytest-") })
}

func ids(jobs []ray.Job) string {
	var all []string
	for _, j := range jobs {
		all = append(all, fmt.Sprintf("%s (%s)", j.SubmissionID, j.Status))
	}
	return strings.Join(all, ", ")
}

func alive(nodes []ray.Node) (n int) {
	for _, node := range nodes {
		if node.Alive() {
			n++
		}
	}
	return n
}

// describe lists nodes by name with their states.
func describe(nodes []ray.Node) string {
	var all []string
	for _, n := range nodes {
		text := n.Name + " " + string(n.State)
		if n.DeathReason != "" {
			text += " (" + n.DeathReason + ")"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (d *demo) planNothing(ctx context.Context) error {
	_, err := d.cli.run(ctx, 0, "plan", "-detailed-exitcode")
	return err
}

// What drift changes in the job's file.
const editFrom, editTo = "DARTS = 100_000", "DARTS = 200_000"

// drift kills a worker node, and changes the job's directory while Ray notices.
func (d *demo) drift(ctx context.Context) error {
	d.screen.say("$ kill -9 the processes of %s", d.node.Name)
	if err := d.node.Kill(ctx); err != nil {
		return err
	}
	killed := time.Now()
	d.screen.say("$ sed -i 's/%s/%s/' job/pi.py", editFrom, editTo)
	if err := edit(filepath.Join(d.cli.dir, "job", "pi.py"), editFrom, editTo); err != nil {
		return err
	}
	return d.waitDead(ctx, killed)
}

// edit replaces the one place that says from.
func edit(file, from, to string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), from); n != 1 {
		return fmt.Errorf("%s has %q %d times", file, from, n)
	}
	return os.WriteFile(file, []byte(strings.Replace(string(text), from, to, 1)), 0o600)
}

// waitDead waits until the GCS calls the node dead. It asks every 3 s and gives a
// node up after five failures (health_check_period_ms, _failure_threshold), so it
// takes 12 to 18 s.
func (d *demo) waitDead(ctx context.Context, killed time.Time) error {
	d.screen.say("The GCS asks every node for its health every 3s, and calls one dead that missed five times.")
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	said := killed
	for {
		nodes, err := d.api.Nodes(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(nodes, func(n ray.Node) bool { return n.NodeID == d.node.ID })
		if i < 0 {
			return fmt.Errorf("Ray forgot %s", d.node.Name)
		}
		since := time.Since(killed)
		if n := nodes[i]; n.State == ray.NodeDead {
			d.screen.say("%2.0fs: %s is %s: %s", since.Seconds(), n.Name, n.State, n.DeathReason)
			return nil
		}
		if time.Since(said) >= 3*time.Second {
			said = time.Now()
			d.screen.say("%2.0fs: %s is still %s", since.Seconds(), d.node.Name, nodes[i].State)
		}
		if since > time.Minute {
			return fmt.Errorf("a minute after kill -9 Ray still calls %s alive", d.node.Name)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

const planFile = "drift.tfplan"

// planDrift wants both drifts in the plan. A plan that only refreshes shows what
// changed, and lets the health check speak; the other shows what would be done
// about it, and leaves the check to the apply, after the wait for the nodes.
func (d *demo) planDrift(ctx context.Context) error {
	for _, plan := range []struct{ args, want []string }{
		{
			[]string{"plan", "-refresh-only", "-detailed-exitcode"},
			[]string{"ray_cluster_connection.demo has changed", "Check block assertion failed"},
		},
		{
			[]string{"plan", "-detailed-exitcode", "-out=" + planFile},
			[]string{"ray_cluster_connection.demo will be updated in-place", "ray_job.pi must be replaced"},
		},
	} {
		out, err := d.cli.run(ctx, 2, plan.args...)
		if err != nil {
			return err
		}
		for _, want := range plan.want {
			if !strings.Contains(out, want) {
				return &surprise{fmt.Sprintf("`%s` does not say %q", strings.Join(plan.args, " "), want), out}
			}
		}
		d.screen.say("exit status 2: there are changes")
	}
	return nil
}

// repair applies the plan while a new node comes up, and proves the result.
func (d *demo) repair(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	added := make(chan error, 1)
	go func() {
		_, err := d.addNode(ctx)
		added <- err
	}()
	_, err := d.cli.run(ctx, 0, "apply", planFile)
	if err != nil {
		cancel()
	}
	if more := <-added; err == nil {
		err = more
	}
	if err != nil {
		return err
	}
	if err := d.askRay(ctx); err != nil {
		return err
	}
	return d.planNothing(ctx)
}

// destroy wants Ray without a job, and no process and no file left.
func (d *demo) destroy(ctx context.Context) error {
	if _, err := d.cli.run(ctx, 0, "destroy", "-auto-approve"); err != nil {
		return err
	}
	jobs, err := d.jobs(ctx)
	if err != nil {
		return err
	}
	if len(jobs) != 0 {
		return fmt.Errorf("after destroy Ray still has these jobs: %s", ids(jobs))
	}
	d.screen.say("Ray has no job left.")
	if err := d.head.Stop(); err != nil {
		return err
	}
	if _, err := os.Stat(d.dir); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is still there: %w", d.dir, err)
	}
	return nil
}
