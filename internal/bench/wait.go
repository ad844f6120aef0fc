//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const (
	waiters = 200
	// runners of them run, which takes 140 MiB each; the others wait for a node.
	runners = 40
	// between two ends a head has time for what the last one costs it. Ray's job agent
	// looks at each PENDING job once a second, in the process that also reads logs: with
	// 160 of them it reads a few logs a second, so that the results of a burst of ends
	// wait for it.
	between = 730 * time.Millisecond
	// noticeLimit is the median from a job's end to the return of its apply.
	noticeLimit = 0.5
	// grown is how old a wait is before it is measured: then it is asked as seldom as
	// one that has lasted for hours.
	grown = 6 * time.Second
)

// way is how the provider reaches a head.
type way struct {
	name string
	url  string
}

// wait measures how soon the end of a job is noticed, and what the looking costs.
func (b *bench) wait(ctx context.Context) (table, error) {
	if err := b.startHead(ctx); err != nil {
		return table{}, err
	}
	plainHTTP, err := withoutGCS(b.head.DashboardURL)
	if err != nil {
		return table{}, err
	}
	defer plainHTTP.Close()
	t := table{
		title: "wait: from a job's end in Ray to the return of its apply",
		notes: []string{
			fmt.Sprintf("of %d jobs %d run, end one after another, %s apart, and count from Ray's own time of their end to Terraform's \"Creation complete\"", waiters, runners, between),
			"over plain HTTP they are looked at by lists of all records, for which the head may spend a quarter of its time",
			"requests are those of the provider to a fake head, jobs and all else together",
		},
	}
	for _, w := range []way{{"GCS", b.head.DashboardURL}, {"plain HTTP", plainHTTP.URL}} {
		one := &series{name: "1 job, " + w.name, unit: seconds}
		for round := range b.rounds + 1 {
			took, err := b.noticeOne(ctx, w, round)
			if err != nil {
				return table{}, err
			}
			if round > 0 {
				one.values = append(one.values, took.Seconds())
			}
		}
		many := &series{name: fmt.Sprintf("%d jobs, %s", waiters, w.name), unit: seconds}
		if many.values, err = b.noticeMany(ctx, w); err != nil {
			return table{}, err
		}
		for n, s := range map[int]*series{1: one, waiters: many} {
			perSecond, err := b.cost(ctx, n, w.name == "GCS")
			if err != nil {
				return table{}, err
			}
			limit := noticeLimit
			if n == waiters && w.name != "GCS" {
				limit = 0 // it hangs on how many records the head has
			}
			t.series = append(t.series, s)
			t.findings = append(t.findings,
				finding{s.name + ", median", seconds, median(s.values), limit},
				finding{s.name + ", p95", seconds, percentile(s.values, 0.95), 0},
				finding{s.name + ", requests a second", fraction, perSecond, 0})
		}
	}
	slices.SortFunc(t.series, func(a, b *series) int { return strings.Compare(a.name, b.name) })
	slices.SortStableFunc(t.findings, func(a, b finding) int { return strings.Compare(a.what, b.what) })
	return t, nil
}

// percentile is the value that the part p of an ordered copy does not exceed.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return v[max(int(math.Ceil(p*float64(len(v))))-1, 0)]
}

// withoutGCS is a proxy that hides what the GCS's address could be found by.
func withoutGCS(dashboard string) (*httptest.Server, error) {
	to, err := url.Parse(dashboard)
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // the provider tells of what breaks off
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/nodes" {
			http.NotFound(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	})), nil
}

// noticeOne applies a job that runs for a while, and returns how long after its end
// the apply was back.
func (b *bench) noticeOne(ctx context.Context, w way, round int) (time.Duration, error) {
	name := fmt.Sprintf("one-%s-%d", strings.ReplaceAll(w.name, " ", ""), round)
	// Not always at the same place between two looks.
	config := provider(w.url) + job(1, name, fmt.Sprintf(`entrypoint = "sleep %.2f"`, grown.Seconds()+0.13*float64(round%8)))
	if _, err := b.applyOnce(ctx, "wait-one", config); err != nil {
		return 0, err
	}
	back := time.Now()
	all, err := b.api.ListJobs(ctx, func(id string) bool { return strings.HasPrefix(id, name) })
	if err != nil || len(all) != 1 {
		return 0, fmt.Errorf("%d jobs %s: %w", len(all), name, err)
	}
	return back.Sub(all[0].EndTime), nil
}

// noticeMany applies jobs of which some run and the others wait for a node, ends those
// that run, and returns how long after its end each was done for Terraform, in seconds.
func (b *bench) noticeMany(ctx context.Context, w way) ([]float64, error) {
	name := "many-" + strings.ReplaceAll(w.name, " ", "")
	say(b.out, "applying %d jobs, %s\n", waiters, w.name)
	ws, err := b.workspace(name, b.providerDir(), "")
	if err != nil {
		return nil, err
	}
	var gates []string // a job waits until somebody writes to its pipe, at no cost
	for i := range runners {
		gates = append(gates, filepath.Join(ws.dir, fmt.Sprintf("gate%d", i)))
		if err := syscall.Mkfifo(gates[i], 0o600); err != nil {
			return nil, err
		}
	}
	unplacedJobs := job(waiters-runners, name+"-unplaced", nothing, fmt.Sprintf("entrypoint_resources = { %s = 1 }", unplaced), "ignore_failure = true")
	config := provider(w.url) + job(runners, name, fmt.Sprintf(`entrypoint = "cat %s/gate${count.index}"`, ws.dir)) + strings.Replace(unplacedJobs, `"j"`, `"unplaced"`, 1)
	if err := os.WriteFile(filepath.Join(ws.dir, "main.tf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var text string
	done := make(chan error, 1)
	go func() {
		var err error
		text, err = output(ctx, command{dir: ws.dir, env: ws.env, args: []string{ws.cli, "apply", "-json", "-auto-approve", fmt.Sprintf("-parallelism=%d", waiters)}})
		done <- err
	}()
	if err := b.allWait(ctx, name, done); err != nil {
		return nil, err
	}
	for _, gate := range gates {
		if err := errors.Join(os.WriteFile(gate, []byte("\n"), 0o600), pause(ctx, between)); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(pause(ctx, grown), b.cancelUnplaced(ctx), <-done); err != nil {
		return nil, err
	}
	back, err := completions(text)
	if err != nil {
		return nil, err
	}
	all, err := b.jobs(ctx, name)
	if err != nil {
		return nil, err
	}
	var took []float64
	for _, j := range all {
		index, _, _ := strings.Cut(strings.TrimPrefix(j.SubmissionID, name+"-"), "-")
		if at, ok := back["ray_job.j["+index+"]"]; ok {
			took = append(took, at.Sub(j.EndTime).Seconds())
		}
	}
	if len(took) != runners {
		return nil, fmt.Errorf("the apply tells of %d of %d jobs", len(took), runners)
	}
	for _, j := range all { // so that the next lists are not longer
		if err := b.api.Delete(ctx, j.SubmissionID); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// jobs are those of a measurement.
func (b *bench) jobs(ctx context.Context, name string) ([]ray.Job, error) {
	return b.api.ListJobs(ctx, func(id string) bool { return strings.HasPrefix(id, name+"-") })
}

// allWait waits until all jobs are submitted, those that can run do, and their waits
// have lasted for a while.
func (b *bench) allWait(ctx context.Context, name string, done chan error) error {
	for {
		all, err := b.jobs(ctx, name)
		if err != nil {
			return err
		}
		running := 0
		for _, j := range all {
			if j.Status == ray.JobRunning {
				running++
			}
		}
		if len(all) == waiters && running == runners {
			return pause(ctx, grown)
		}
		select {
		case err := <-done:
			return fmt.Errorf("the apply ended with %d of %d jobs: %w", len(all), waiters, err)
		default:
		}
		if err := pause(ctx, settle); err != nil {
			return err
		}
	}
}

// completions reads when each object was done out of the output of apply -json.
func completions(text string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for line := range strings.Lines(text) {
		var e struct {
			Time time.Time `json:"@timestamp"`
			Type string    `json:"type"`
			Hook struct {
				Resource struct {
					Addr string `json:"addr"`
				} `json:"resource"`
			} `json:"hook"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("apply -json: %w: %s", err, line)
		}
		if e.Type == "apply_complete" {
			out[e.Hook.Resource.Addr] = e.Time
		}
	}
	return out, nil
}

// cost is how many requests a second so many waiting jobs cost a head.
func (b *bench) cost(ctx context.Context, n int, withGCS bool) (float64, error) {
	fake := raytest.NewFake()
	defer fake.Close()
	calls := func() int { return 0 }
	fake.SetGCSAddress("127.0.0.1:1") // where nothing listens
	if withGCS {
		server, err := fake.ServeGCS()
		if err != nil {
			return 0, err
		}
		defer server.Close()
		calls = func() int { return server.Calls("") }
	}
	dir, err := os.MkdirTemp(b.dir, "cost")
	if err != nil {
		return 0, err
	}
	w, err := newWorkspace(b.cli, dir, b.providerDir(), provider(fake.URL())+job(n, "cost", `entrypoint = "sleep infinity"`))
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.run(ctx, "apply", "-auto-approve", fmt.Sprintf("-parallelism=%d", n)) }()
	for len(fake.Jobs()) < n {
		if err := pause(ctx, look); err != nil {
			return 0, err
		}
	}
	if err := pause(ctx, grown); err != nil {
		return 0, err
	}
	fake.ResetRequests()
	before, begun := calls(), time.Now()
	if err := pause(ctx, grown); err != nil {
		return 0, err
	}
	count, took := calls()-before, time.Since(begun)
	for _, c := range fake.Requests() {
		count += c
	}
	for _, j := range fake.Jobs() {
		fake.Finish(j.SubmissionID, raytest.Succeeded())
	}
	return float64(count) / took.Seconds(), <-done
}
