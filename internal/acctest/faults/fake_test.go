package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// fault is what is made to happen, at moments that chance chooses.
type fault struct {
	name string
	run  func(*trial)
}

// TestFaults runs the faults on the fake head, through the provider's RPCs.
func TestFaults(t *testing.T) {
	all := append(requestFaults(), scenarios()...)
	n := (*runs + len(all) - 1) / len(all)
	switch {
	case *only != "":
		n = max(1, *runs)
	case n == 0:
		all, n = sample(*seed), 1
	}
	t.Logf("seed %d", *seed)
	for _, f := range all {
		if *only != "" && f.name != *only {
			continue
		}
		results.expect(onFake, f.name)
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() { results.tell(os.Stdout, onFake, f.name) })
			for i := range n {
				seed := *seed + uint64(i)
				t.Run(fmt.Sprintf("SEED=%d", seed), func(t *testing.T) {
					t.Parallel()
					f.try(t, seed)
				})
			}
		})
	}
}

// sample is what a short run tries: two faults of each request, and all scenarios.
func sample(seed uint64) []fault {
	chance := rand.New(rand.NewPCG(seed, 1))
	all, taken := requestFaults(), map[string]int{}
	chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = slices.DeleteFunc(all, func(f fault) bool {
		request, _, _ := strings.Cut(f.name, ":")
		taken[request]++
		return taken[request] > 2
	})
	return append(all, scenarios()...)
}

// try runs a fault until it has come about: a moment that chance chooses may be
// one that never comes.
func (f fault) try(t *testing.T, seed uint64) {
	t.Helper()
	for range 10 {
		x := newTrial(t, seed)
		f.run(x)
		found := x.judge()
		if !x.missed || !found.none() {
			results.count(t, onFake, f.name, found)
			return
		}
		seed += 1 << 32
	}
	t.Errorf("the fault did not come about in ten tries")
}

// Requests of the protocol.
const (
	getCluster = "GET /cluster_id"
	listJobs   = "GET /api/jobs/"
	getJob     = "GET /api/jobs/{id}"
	getPackage = "GET /api/packages/gcs/{id}"
	putPackage = "PUT /api/packages/gcs/{id}"
	postJob    = "POST /api/jobs/"
	stopJob    = "POST /api/jobs/{id}/stop"
	deleteJob  = "DELETE /api/jobs/{id}"
)

// requestFaults are what can befall each request.
func requestFaults() []fault {
	var out []fault
	for _, route := range []struct{ name, route string }{
		{"cluster id", getCluster}, {"list", listJobs}, {"look at a job", getJob}, {"look for a package", getPackage},
		{"upload", putPackage}, {"submit", postJob}, {"stop", stopJob}, {"delete", deleteJob},
	} {
		add := func(name string, of func(*trial) raytest.Fault) {
			out = append(out, fault{route.name + ": " + name, func(x *trial) { x.request(route.route, of(x)) }})
		}
		add("reset", func(*trial) raytest.Fault { return raytest.Reset() })
		add("answer lost", func(*trial) raytest.Fault { return raytest.LoseAnswer() })
		add("half an answer", func(*trial) raytest.Fault { return raytest.HalfAnswer() })
		add("half a JSON", func(*trial) raytest.Fault { return raytest.HalfJSON() })
		add("slow", func(x *trial) raytest.Fault { return raytest.Slow(x.upTo(800 * time.Millisecond)) })
		add("502, 503, 504 before", func(x *trial) raytest.Fault { return raytest.ProxyPage(pick(x, 502, 503, 504)) })
		add("502, 503, 504 after", func(x *trial) raytest.Fault { return raytest.ProxyPageAfter(pick(x, 502, 503, 504)) })
		add("401, 403", func(x *trial) raytest.Fault {
			return raytest.AnswerWith(pick(x, 401, 403), "text/plain; charset=utf-8", "Unauthorized: Missing authentication token")
		})
		switch route.route {
		case postJob:
			add("no agent", func(*trial) raytest.Fault { return raytest.NoAgent() })
			fallthrough
		case stopJob, deleteJob:
			add("hangs, takes effect later", func(*trial) raytest.Fault { return raytest.FreezeAgent() })
		}
	}
	return out
}

// request has a fault befall some of the requests of one route.
func (x *trial) request(route string, f raytest.Fault) {
	d := x.desk()
	switch route {
	case stopJob, deleteJob:
		x.someJobs(d, route == stopJob)
		d.clean()
		x.change(d, true)
	default:
		packages := route == getPackage || route == putPackage
		x.someJobs(d, false)
		if packages {
			d.packaged(d.addresses()...)
		}
		if x.chance(0.4) {
			d.clean()
			x.change(d, !packages && route != postJob)
			if packages {
				d.packaged(d.addresses()...) // anew, or there is nothing to upload
			}
		}
	}
	at := x.fake.Fail(raytest.Match{Route: route, Skip: pick(x, 0, 0, 0, 1, 2), Times: pick(x, 1, 1, 2, 4, -1)}, f)
	d.impatient(x.chance(0.5))
	c := d.begin()
	x.thaw(c, at)
	d.end(c)
	d.impatient(false)
	at.Thaw()
	x.fake.ClearFaults()
	x.missed = at.Hits() == 0
	d.settle()
}

// thaw ends the hanging of an agent a little after it began; sometimes nobody waits
// for it any more.
func (x *trial) thaw(c *command, at *raytest.Injected) {
	patience := x.upTo(1500 * time.Millisecond)
	killed := x.chance(0.3)
	go func() {
		select {
		case <-at.Hit():
			x.wait(patience)
			if killed {
				c.kill((*core.Run).Kill)
				x.wait(50 * time.Millisecond)
			}
			at.Thaw()
		case <-c.Done():
		}
	}()
}

// someJobs has the desk hold one to three jobs.
func (x *trial) someJobs(d *desk, running bool) {
	for i := range 1 + x.IntN(3) {
		addr := fmt.Sprintf("ray_job.j%d", i)
		if running || x.chance(0.15) {
			d.service(addr, nil)
		} else {
			d.job(addr, nil)
		}
		if x.chance(0.2) {
			d.packaged(addr)
		}
	}
}

// change asks for another run of all jobs, in one of the ways that there are, or
// has them go.
func (x *trial) change(d *desk, mayGo bool) {
	switch way := x.IntN(4); {
	case way == 0:
		for _, addr := range d.addresses() {
			d.job(addr, config{"triggers": config{"n": fmt.Sprint(x.Uint32())}})
		}
		d.ask(d.addresses()...)
	case way == 1:
		d.ask(d.addresses()...)
		for _, addr := range d.addresses() {
			d.Taint(addr)
		}
	case way == 2 && mayGo:
		for _, addr := range d.addresses() {
			d.Remove(addr)
		}
		d.jobs = map[string]config{}
	default:
		d.ask(d.addresses()...)
		d.again = []core.PlanOption{core.Replacing(d.addresses()...)}
	}
}
