//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const (
	waiters = 200
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
			fmt.Sprintf("the %d jobs wait in Ray for a node, are ended there one by one, and count from Ray's own time of their end to Terraform's \"Creation complete\"", waiters),
			"over plain HTTP they are looked at by lists of all records, for which the head may spend a fifth of its time",
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

// noticeMany applies jobs that wait for a node, ends them one by one, and returns how
// long after its end each was done for Terraform, in seconds.
func (b *bench) noticeMany(ctx context.Context, w way) ([]float64, error) {
	name := "many-" + strings.ReplaceAll(w.name, " ", "")
	say(b.out, "applying %d jobs, %s\n", waiters, w.name)
	ws, err := b.workspace(name, b.providerDir(), provider(w.url)+job(waiters, name, nothing, fmt.Sprintf("entrypoint_resources = { %s = 1 }", unplaced), "ignore_failure = true"))
	if err != nil {
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
	if err := b.endMany(ctx, name, done); err != nil {
		cancel()
		return nil, err
	}
	if err := <-done; err != nil {
		return nil, err
	}
	back, err := completions(text)
	if err != nil {
		return nil, err
	}
	all, err := b.api.ListJobs(ctx, func(id string) bool { return strings.HasPrefix(id, name) })
	if err != nil {
		return nil, err
	}
	var took []float64
	for _, j := range all {
		index, _, _ := strings.Cut(strings.TrimPrefix(j.SubmissionID, name+"-"), "-")
		at, ok := back["ray_job.j["+index+"]"]
		if !ok {
			return nil, fmt.Errorf("the apply says nothing of job %s", j.SubmissionID)
		}
		took = append(took, at.Sub(j.EndTime).Seconds())
	}
	return took, nil
}

// endMany waits until all jobs are submitted and waited for, and ends one after
// another.
func (b *bench) endMany(ctx context.Context, name string, done chan error) error {
	mine := func(id string) bool { return strings.HasPrefix(id, name) }
	var all []ray.Job
	for len(all) < waiters {
		select {
		case err := <-done:
			done <- err
			return fmt.Errorf("the apply ended with %d of %d jobs", len(all), waiters)
		default:
		}
		if err := pause(ctx, settle); err != nil {
			return err
		}
		var err error
		if all, err = b.api.ListJobs(ctx, mine); err != nil {
			return err
		}
	}
	if err := pause(ctx, grown); err != nil {
		return err
	}
	client, err := b.gcsClient()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing was written
	for _, j := range all {
		if _, err := client.CancelUnplaced(ctx, j.SubmissionID); err != nil {
			return err
		}
		if err := pause(ctx, 70*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
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
