package faults

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// site is a real head, and what it was told to do.
type site struct {
	url  string
	head *raytest.Head // nil where others use it too

	mu sync.Mutex
	// replaced are the times when another cluster took its place.
	replaced []time.Time
}

// counted is the entrypoint of all jobs on a real Ray: it writes down that it
// begins, under its submission id, and that it has come to its end.
const counted = `id=$(printf %s "$RAY_JOB_CONFIG_JSON_ENV_VAR" | sed -n 's/.*"job_submission_id": *"\([^"]*\)".*/\1/p')
date +%s.%N > "$1/$2,$id,$$"
sleep "$3"
date +%s.%N >> "$1/$2,$id,$$"
`

// newRealTrial is a trial on a real head.
func newRealTrial(t *testing.T, at *site, seed uint64) (*trial, string) {
	t.Helper()
	x := bareTrial(t, seed)
	dir := t.TempDir() // .../TestName123/001
	x.owner = filepath.Base(filepath.Dir(dir)) + "-" + filepath.Base(dir)
	if err := os.WriteFile(filepath.Join(dir, "run.sh"), []byte(counted), 0o600); err != nil {
		t.Fatal(err)
	}
	x.notes = filepath.Join(dir, "runs")
	x.runs = func() []raytest.Execution { return at.runs(x) }
	x.records = func() []ray.Job { return at.jobs(x) }
	if err := os.Mkdir(x.notes, 0o700); err != nil {
		t.Fatal(err)
	}
	return x, dir
}

// jobs are the records of a trial's jobs.
func (at *site) jobs(x *trial) []ray.Job {
	client, err := dashboard.New(dashboard.Options{URL: at.url})
	if err != nil {
		x.Fatal(err)
	}
	all, err := client.ListJobs(x.Context(), nil)
	if err != nil {
		x.Fatalf("list the jobs: %v", err)
	}
	var out []ray.Job
	for _, job := range all {
		if job.Metadata["terraform.ray-iac/owner"] == x.owner {
			out = append(out, job)
		}
	}
	return out
}

// runs reads what the entrypoints wrote down.
func (at *site) runs(x *trial) []raytest.Execution {
	records := map[string]ray.Job{}
	for _, job := range at.jobs(x) {
		records[job.SubmissionID] = job
	}
	var out []raytest.Execution
	for _, n := range x.read() {
		lines := n.lines
		run := raytest.Execution{Entrypoint: entrypointOf(x, n.job), ID: n.id, Started: unix(lines[0])}
		run.Submitted, run.ClusterID = run.Started, at.clusterAt(run.Started)
		record, known := records[n.id]
		if known && record.StartTime.Before(run.Started) {
			run.Submitted = record.StartTime
		}
		switch {
		case len(lines) > 1:
			run.Ended, run.Status = unix(lines[1]), ray.JobSucceeded
		case !alive(n.pid):
			run.Ended, run.Status = run.Started, ray.JobFailed // killed, it is not known when
		}
		// An entrypoint may come to its end while its head or its supervisor dies, unseen
		// by Ray, whose word counts.
		if run.Status == ray.JobSucceeded && (x.struck[n.id] || record.Status == ray.JobFailed || record.Status == ray.JobStopped) {
			run.Status = ray.JobFailed
		}
		out = append(out, run)
	}
	return out
}

// entrypointOf is the entrypoint of the job of that name.
func entrypointOf(x *trial, name string) string {
	for _, h := range x.desks {
		if w := h.wished(); w.jobs["ray_job."+name] != nil {
			return w.entrypoint("ray_job." + name)
		}
	}
	return name
}

// clusterAt tells the clusters of a site apart.
func (at *site) clusterAt(t time.Time) string {
	at.mu.Lock()
	defer at.mu.Unlock()
	n := 0
	for _, r := range at.replaced {
		if t.After(r) {
			n++
		}
	}
	return strconv.Itoa(n)
}

func unix(s string) time.Time {
	f, _ := strconv.ParseFloat(s, 64) // a line of date +%s.%N
	return time.UnixMicro(int64(f * 1e6))
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// note is what a run of an entrypoint wrote down.
type note struct {
	job, id string
	pid     int
	lines   []string // its begin, and its end
}

// read reads the notes of a trial.
func (x *trial) read() []note {
	files, err := os.ReadDir(x.notes)
	if err != nil {
		x.Fatal(err)
	}
	var out []note
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(x.notes, f.Name()))
		if err != nil {
			x.Fatal(err)
		}
		parts, lines := strings.Split(f.Name(), ","), strings.Fields(string(text))
		if len(parts) != 3 || len(lines) == 0 {
			continue // it is just beginning
		}
		pid, err := strconv.Atoi(parts[2])
		if err != nil {
			x.Fatalf("the note %s: %v", f.Name(), err)
		}
		out = append(out, note{parts[0], parts[1], pid, lines})
	}
	return out
}

// jobsOn has a working directory hold one to three jobs that count themselves.
func (x *trial) jobsOn(at *site, cli, dir string, more config) *shell {
	s := x.shell(cli, at.url, config{"max_unreachable": "90s"})
	for i := range 1 + x.IntN(3) {
		label := fmt.Sprintf("j%d", i)
		c := config{"name": label, "entrypoint": fmt.Sprintf("sh %s/run.sh %s/runs %s %.2f", dir, dir, label, 0.3+x.Float64()*2)}
		maps.Copy(c, more)
		s.job("ray_job."+label, c)
	}
	return s
}

// TestAccFaults_onRay cuts off applies on a real Ray.
func TestAccFaults_onRay(t *testing.T) {
	t.Parallel()
	if *only != "" {
		return
	}
	list := given(t)
	if *rayRuns == 0 {
		at := &site{url: acctest.Shared(t).DashboardURL}
		for _, c := range cuts()[1:3] {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				at.cutOff(t, list[0], c, *seed)
			})
		}
		return
	}
	t.Run("one head", func(t *testing.T) {
		at := newSite(t, nil)
		all := append(cuts(), at.parts()...)
		for i := range *rayRuns * 2 / 3 {
			c, cli := all[i%len(all)], list[i/len(all)%len(list)]
			t.Run(fmt.Sprintf("%s/%s/SEED=%d", c.name, filepath.Base(cli), *seed+uint64(i)), func(t *testing.T) {
				t.Parallel()
				fewAtOnce(t)
				at.cutOff(t, cli, c, *seed+uint64(i))
			})
		}
	})
	for _, redis := range []bool{false, true} {
		t.Run(fmt.Sprintf("dying heads, Redis %t", redis), func(t *testing.T) { dyingHeads(t, list, redis) })
	}
}

// newSite starts a head.
func newSite(t *testing.T, redis *raytest.Redis) *site {
	t.Helper()
	// A job that a restarted head does not start is given up after 15 minutes else.
	head, err := raytest.StartHead(t.Context(), raytest.HeadOptions{NumCPUs: 8, Redis: redis, Env: []string{"RAY_JOB_START_TIMEOUT_SECONDS=45"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := head.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &site{url: head.DashboardURL, head: head}
}

// cutOff has an apply cut off at a moment between its begin and the end of its jobs.
func (at *site) cutOff(t *testing.T, cli string, c cut, seed uint64) {
	t.Helper()
	for range 10 {
		x, dir := newRealTrial(t, at, seed)
		more := config{}
		if x.chance(0.3) {
			more["retry"] = config{"min_backoff": "1s"}
		}
		s := x.jobsOn(at, cli, dir, more)
		p := s.begin()
		select {
		case <-time.After(x.upTo(5 * time.Second)):
			c.do(x, p)
		case <-p.Done():
			x.missed = true
		}
		s.end(p)
		if c.name == supervisorKilled {
			x.patience = 1 // an apply that takes over a FAILED job says so
		}
		s.settle()
		found := x.judge()
		x.destroy(s)
		if !x.missed || !found.none() {
			results.count(t, onRay, c.name, found)
			return
		}
		seed += 1 << 32
	}
	t.Error("the fault did not come about in ten tries")
}

// destroy leaves nothing on a head that others use too.
func (x *trial) destroy(s *shell) {
	if r := s.Run("destroy", "-auto-approve", "-input=false", "-no-color"); r.ExitCode != 0 {
		x.Errorf("destroy: exit code %d\n%s", r.ExitCode, r.Output)
	}
	if left := x.records(); len(left) > 0 {
		x.Errorf("after the destroy Ray has %+v", left)
	}
}

const supervisorKilled = "kill -9 of the job supervisor"

// parts are the faults of parts of a head that it survives.
func (at *site) parts() []cut {
	return []cut{
		{"SIGSTOP and SIGCONT of the job agent", func(x *trial, p *acctest.Process) {
			agents := at.agents()
			if x.missed = len(agents) == 0; x.missed {
				return
			}
			signal(agents, syscall.SIGSTOP)
			x.wait(x.upTo(4 * time.Second))
			if x.chance(0.5) {
				p.KillAll()
			}
			signal(agents, syscall.SIGCONT)
		}},
		{supervisorKilled, func(x *trial, _ *acctest.Process) {
			// The job may be still about to begin.
			for range 40 {
				for _, n := range x.read() {
					if supervisor := supervisorOf(n.pid); len(n.lines) == 1 && supervisor > 0 {
						x.struck[n.id] = true
						signal([]int{supervisor}, syscall.SIGKILL)
						return
					}
				}
				x.wait(250 * time.Millisecond)
			}
			x.missed = true
		}},
	}
}

func signal(pids []int, s syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, s) // one that has ended is as good
	}
}

// agents are the job agents of the site's head. Their raylet has its mark in the
// environment; they have written their titles over theirs. It needs Linux' /proc.
func (at *site) agents() []int {
	var out []int
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || !titled(pid, "ray::DashboardAgent") {
			continue
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", parent(pid)))
		if err == nil && bytes.Contains(env, []byte("RAYTEST_CLUSTER="+at.head.TempDir+";")) {
			out = append(out, pid)
		}
	}
	return out
}

// supervisorOf is the process that runs a job, of which pid is one; 0 where it is
// gone.
func supervisorOf(pid int) int {
	for ; pid > 1; pid = parent(pid) {
		if titled(pid, "ray::JobSupervisor") {
			return pid
		}
	}
	return 0
}

func titled(pid int, title string) bool {
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.HasPrefix(command, []byte(title))
}

// parent is a process's parent, 0 where it has ended.
func parent(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(stat), ") ") // "12 (name) S 1 ..."
	fields := strings.Fields(after)
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1]) // the kernel's own number
	return ppid
}

// dyingHeads kills a head, or its agent first, under three applies at a time, and
// starts it again.
func dyingHeads(t *testing.T, clis []string, withRedis bool) {
	var redis *raytest.Redis
	if withRedis {
		var err error
		if redis, err = raytest.StartRedis(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := redis.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	at := newSite(t, redis)
	const each = 3
	for round := range (*rayRuns/6 + each - 1) / each {
		name := "kill -9 of the head"
		if round%2 == 1 {
			name = "kill -9 of the job agent, head started anew"
		}
		if withRedis {
			name += ", Redis"
		}
		began, again := make(chan struct{}, each), make(chan struct{})
		go func() {
			defer close(again)
			for range each {
				<-began
			}
			if round%2 == 1 {
				signal(at.agents(), syscall.SIGKILL)
			}
			at.startAnew(t, !withRedis)
		}()
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			for i := range each {
				seed := *seed + uint64(round*each+i)
				t.Run(fmt.Sprintf("SEED=%d", seed), func(t *testing.T) {
					t.Parallel()
					x, dir := newRealTrial(t, at, seed)
					var once sync.Once
					ready := func() { once.Do(func() { began <- struct{}{} }) }
					defer ready() // also where the test ends early
					s := x.jobsOn(at, clis[(round+i)%len(clis)], dir, nil)
					p := s.begin()
					x.wait(x.upTo(5 * time.Second))
					ready()
					<-again
					s.end(p)
					x.patience = 1 // what ran is FAILED, and an apply that takes it over says so
					s.settle()
					results.count(t, onRay, name, x.judge())
				})
			}
		})
		<-again
	}
}

// startAnew kills the head and starts it again.
func (at *site) startAnew(t *testing.T, forgets bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	defer cancel()
	if err := at.head.Kill(ctx); err != nil {
		t.Error(err)
		return
	}
	if forgets {
		at.mu.Lock()
		at.replaced = append(at.replaced, time.Now())
		at.mu.Unlock()
	}
	if err := at.head.Restart(ctx); err != nil {
		t.Error(err)
	}
}
