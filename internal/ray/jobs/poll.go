package jobs

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// What a look costs a head, measured on Ray 2.60 in CPU time of its dashboard and its
// GCS: 1.6 ms for a job by GET, 0.3 ms for each record of a list, and by the GCS 1 ms
// of waiting for 200 records, 7 ms for 2,000. So jobs that are waited for together are
// looked at in one call of the GCS; without a GCS by a list as long as it is cheaper
// than a GET for each, and else by GETs.
const (
	// few jobs are asked for one by one.
	few = 4
	// unlisted is how many jobs are worth a list whose length is not known yet.
	unlisted = 16
	// listWorth is how many records of a list cost as much as one GET.
	listWorth = 5
	// restShare bounds the part of its time for which the polling of many jobs may keep
	// a head busy: after a round it rests for so many times as long, at most for maxRest.
	restShare = 3
	maxRest   = 2 * time.Second
)

const (
	// gcsPatience bounds a look through the GCS, gcsRest is how long one that failed is
	// not asked again: HTTP serves meanwhile.
	gcsPatience = 2 * time.Second
	gcsRest     = 15 * time.Second
)

// beat is what all pauses are multiples of, so that the looks at many jobs coincide.
const beat = 100 * time.Millisecond

// interval is the pause between two looks at a job that was waited for so long: a
// tenth of that, so that a short job's end is seen within 0.1 s, and any other's within
// 0.5 s.
func interval(waited time.Duration) time.Duration {
	return min(max((waited/10).Truncate(beat), beat), 5*beat)
}

// poller looks at all jobs of a cluster that this process waits for, so that their
// waits share the look-ups. It runs while somebody waits.
type poller struct {
	engine *Engine

	mu      sync.Mutex
	watches map[*watch]struct{}
	// wake tells the run of a new watch; nil while none runs.
	wake chan struct{}
	end  func() // ends the run and waits for it
}

// watch is one who wants to see a job.
type watch struct {
	id    string
	since time.Time
	due   time.Time
	// tell is given each look; it must not block.
	tell func(sight)
}

// sight is what a look at a job gave.
type sight struct {
	job ray.Job
	err error
	// sure is set where it is the Jobs API's word and nothing speaks against it. A record
	// out of the GCS does for everything but a verdict.
	sure bool
}

// watch tells of each look at the job, from the next one on, until stop is called. since
// is when the job was submitted, or taken over.
func (p *poller) watch(ctx context.Context, id string, since time.Time, tell func(sight)) (stop func()) {
	now := time.Now()
	w := &watch{id: id, since: since, due: now.Add(interval(now.Sub(since))), tell: tell}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watches == nil {
		p.watches = map[*watch]struct{}{}
	}
	p.watches[w] = struct{}{}
	if p.wake == nil {
		p.start(context.WithoutCancel(ctx))
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return func() { p.leave(w) }
}

// start begins a run. The caller holds p.mu.
func (p *poller) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	done, wake := make(chan struct{}), make(chan struct{}, 1)
	p.wake = wake
	p.end = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		p.run(ctx, wake)
	}()
}

// leave ends a watch, and with the last one the run.
func (p *poller) leave(w *watch) {
	p.mu.Lock()
	delete(p.watches, w)
	var end func()
	if len(p.watches) == 0 {
		end, p.wake, p.end = p.end, nil, nil
	}
	p.mu.Unlock()
	if end != nil {
		end()
	}
}

func (p *poller) run(ctx context.Context, wake <-chan struct{}) {
	looks := looks{engine: p.engine}
	epoch := time.Now()
	for ctx.Err() == nil {
		due, all, next := p.due()
		if len(due) == 0 {
			idle(ctx, wake, next)
			continue
		}
		began := time.Now()
		seen := looks.at(ctx, due, all)
		took := time.Since(began)
		if ctx.Err() != nil {
			return // what broke off was no look
		}
		p.tell(seen, epoch)
		if len(seen) > few && !sleep(ctx, min(restShare*took, maxRest)) {
			return
		}
	}
}

// due are the jobs whose time has come, and how long it is until the next one's; all
// are those that are watched.
func (p *poller) due() (due, all []string, next time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, next := time.Now(), time.Hour
	for w := range p.watches {
		all = append(all, w.id)
		if wait := w.due.Sub(now); wait > 0 {
			next = min(next, wait)
		} else {
			due = append(due, w.id)
		}
	}
	return distinct(due), distinct(all), next
}

func distinct(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}

// tell passes on what was seen. The next looks fall on multiples of the interval since
// epoch, so that jobs which were submitted one by one are looked at together.
func (p *poller) tell(seen map[string]sight, epoch time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for w := range p.watches {
		s, ok := seen[w.id]
		if !ok {
			continue
		}
		pause := interval(now.Sub(w.since))
		w.due = epoch.Add(now.Sub(epoch).Truncate(pause) + pause)
		w.tell(s)
	}
}

func idle(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// looks is how one run of a poller looks.
type looks struct {
	engine *Engine
	// records is how long the last list was; 0 where there was none yet.
	records int
	// gcsAfter is when the GCS may be asked again.
	gcsAfter time.Time
}

// at looks at the jobs that are due, and at all of them where one answer tells of all.
func (l *looks) at(ctx context.Context, due, all []string) map[string]sight {
	if len(due) == 1 {
		job, err := l.engine.Get(ctx, due[0])
		return map[string]sight{due[0]: {job, err, true}}
	}
	if seen := l.byGCS(ctx, all); seen != nil {
		return seen
	}
	if len(due) > few && l.listPays(len(all)) {
		return l.byList(ctx, all)
	}
	return l.oneByOne(ctx, due)
}

func (l *looks) listPays(jobs int) bool {
	if l.records == 0 {
		return jobs >= unlisted
	}
	return jobs*listWorth >= l.records
}

// byGCS is nil where the GCS can't be asked.
func (l *looks) byGCS(ctx context.Context, ids []string) map[string]sight {
	if l.engine.o.GCS == nil || time.Now().Before(l.gcsAfter) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.engine.gcsPatience)
	defer cancel()
	client, err := l.engine.o.GCS(ctx)
	if err == nil {
		var rows []ray.Job
		if rows, err = client.Jobs(ctx, ids); err == nil {
			return l.told(ids, rows, false, nil)
		}
	}
	l.gcsAfter = time.Now().Add(gcsRest)
	return nil
}

func (l *looks) byList(ctx context.Context, ids []string) map[string]sight {
	api, err := l.engine.o.Dashboard(ctx)
	if err != nil {
		return l.told(ids, nil, true, err)
	}
	records := 0
	rows, err := api.ListJobs(ctx, func(id string) bool {
		records++
		_, watched := slices.BinarySearch(ids, id)
		return watched
	})
	if err == nil {
		l.records = records
	}
	return l.told(ids, rows, true, err)
}

// told is one answer about all jobs; one without a row has no record. sure is set for
// rows of the Jobs API.
func (l *looks) told(ids []string, rows []ray.Job, sure bool, err error) map[string]sight {
	seen := make(map[string]sight, len(ids))
	for _, id := range ids {
		none := err
		if none == nil {
			none = &ray.Error{Kind: ray.KindNotFound, Op: fmt.Sprintf("read job %q", id), Address: l.engine.o.Address, Message: "it is not among the jobs"}
		}
		seen[id] = sight{err: none}
	}
	for _, job := range rows {
		seen[job.SubmissionID] = sight{job: job, sure: sure && !ghost(job) && !doubtful(job)}
	}
	return seen
}

// oneByOne asks for each job. A cluster that can't be reached is not asked for the rest.
func (l *looks) oneByOne(ctx context.Context, ids []string) map[string]sight {
	seen := make(map[string]sight, len(ids))
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			job, err := l.engine.Get(inner, id)
			if ray.IsUnreachable(err) {
				cancel(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if cause := context.Cause(inner); err != nil && cause != nil && ctx.Err() == nil {
				err = cause
			}
			seen[id] = sight{job, err, true}
		})
	}
	all.Wait()
	return seen
}
