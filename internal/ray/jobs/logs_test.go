package jobs_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

const logRoute = "GET /api/v0/logs/file"

// copier is a LogCopy, its file, and how many bytes of logs it received.
type copier struct {
	*jobs.LogCopy
	e    *jobs.Engine
	file string
	got  atomic.Int64
}

func newCopier(t *testing.T, fake *raytest.Fake) *copier {
	t.Helper()
	c := &copier{file: filepath.Join(t.TempDir(), "log")}
	client, err := dashboard.New(dashboard.Options{URL: fake.URL(), HTTP: &http.Client{Transport: c}})
	if err != nil {
		t.Fatal(err)
	}
	c.e = jobs.New(jobs.Options{
		Address: fake.URL(), Registry: new(jobs.Registry),
		Dashboard: func(context.Context) (*dashboard.Client, error) { return client, nil },
	})
	f, err := os.Create(c.file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	c.LogCopy = c.e.NewLogCopy(f)
	return c
}

// RoundTrip counts the bytes of logs.
func (c *copier) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && strings.Contains(r.URL.Path, "/logs/") {
		resp.Body = &counted{resp.Body, &c.got}
	}
	return resp, err
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

// Read counts.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n.Add(int64(n))
	return n, err
}

func (c *copier) requireFile(t *testing.T, want string) {
	t.Helper()
	b, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b); got != want {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Fatalf("the copy has %d bytes, want %d; they differ from byte %d: got %.60q, want %.60q", len(got), len(want), at, got[at:], want[at:])
	}
}

func (c *copier) mustLook(t *testing.T, id string) {
	t.Helper()
	if err := c.Look(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func (c *copier) mustFinish(t *testing.T, id string) {
	t.Helper()
	job, err := c.e.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Finish(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

// numbered are n lines of 100 bytes, none like another.
func numbered(word string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s %09d %s\n", word, i, strings.Repeat("x", 88-len(word)))
	}
	return b.String()
}

// growing is a head whose job writes first, waits, and writes more.
func growing(t *testing.T, first, more string) (*raytest.Fake, *raytest.Clock) {
	t.Helper()
	clock := raytest.NewClock()
	return newFake(t, raytest.WithClock(clock.Now),
		raytest.WithCommand("first", raytest.Command{Output: first}),
		raytest.WithCommand("more", raytest.Command{Output: more})), clock
}

func TestLogCopy_followsWithoutLossOrRepetition(t *testing.T) {
	t.Parallel()
	const MiB = 1 << 20
	same := strings.Repeat("waiting\n", 200_000)
	for name, test := range map[string]struct {
		first, more string
		most        int64 // bytes that the second look may cost, 0 for any
	}{
		"short":                      {"a\n", "b\n", 0},
		"part of a line":             {"a", "b\n", 0},
		"bytes that are no UTF-8":    {"\xff\xfe\x00\n", "\xff", 0},
		"long":                       {numbered("a", 30_000), numbered("b", 500), MiB / 4},
		"long, much more":            {numbered("a", 30_000), numbered("b", 12_000), 4 * MiB},
		"long, more than a tail":     {numbered("a", 30_000), numbered("b", 100_000), 0},
		"long, nothing new":          {numbered("a", 30_000), "", MiB / 4},
		"long, the same again":       {same, same[:80], 0},
		"long, in one line":          {strings.Repeat("z", 2*MiB), strings.Repeat("z", 100), 0},
		"long lines":                 {strings.Repeat(numbered("c", 1)[:99], 30_000), "\n" + numbered("d", 10), 0},
		"looks like another's start": {numbered("a", 20_000), "2026-11-23 12:04:00,000\tINFO job_manager.py:581 -- Runtime env is setting up.\nb\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, clock := growing(t, test.first, test.more)
			c := newCopier(t, fake)
			run := mustSubmit(t, c.e, request("first; sleep 60; more; sleep 60"))
			c.mustLook(t, run.ID)
			c.requireFile(t, fake.Log(run.ID))
			clock.Advance(time.Minute)
			before := c.got.Load()
			c.mustLook(t, run.ID)
			c.requireFile(t, fake.Log(run.ID))
			if cost := c.got.Load() - before; test.most > 0 && cost > test.most {
				t.Errorf("the second look cost %d bytes, want at most %d", cost, test.most)
			}
			clock.Advance(time.Minute)
			c.mustFinish(t, run.ID)
			c.requireFile(t, fake.Log(run.ID))
		})
	}
}

// An answer that breaks off is what the dashboard of 2.60.0 gives after 300 s, and
// when it is killed.
func TestLogCopy_goesOnAfterABreak(t *testing.T) {
	t.Parallel()
	fake, clock := growing(t, numbered("a", 30_000), numbered("b", 30_000))
	c := newCopier(t, fake)
	run := mustSubmit(t, c.e, request("first; sleep 60; more"))
	for range 3 {
		fake.Fail(raytest.Match{Route: logRoute}, raytest.HalfAnswer())
		if err := c.Look(t.Context(), run.ID); err == nil {
			t.Fatal("a log that broke off passed for a whole one")
		}
	}
	fake.Fail(raytest.Match{Route: logRoute}, raytest.Reset())
	fake.Fail(raytest.Match{Route: logRoute}, raytest.AnswerWith(500, "text/plain; charset=utf-8", "Agent for node id: ffff doesn't exist."))
	clock.Advance(time.Minute)
	for c.Look(t.Context(), run.ID) != nil {
		if t.Context().Err() != nil {
			t.Fatal("it never worked again")
		}
	}
	c.requireFile(t, fake.Log(run.ID))
	fake.Fail(raytest.Match{Route: logRoute, Times: 2}, raytest.HalfAnswer())
	c.mustFinish(t, run.ID) // tries again by itself
	c.requireFile(t, fake.Log(run.ID))
}

func TestLogCopy_isOfThisRunOnly(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{"short": "first run\n", "long": numbered("first", 30_000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, clock := growing(t, first, "RAY_JOB_RESULT=\"second\"\n")
			r := request("first")
			r.SubmissionID, r.Name = "own", ""
			finished(t, newEngine(t, fake), r)
			old := fake.Log("own")
			fake.Forget("own")
			clock.Advance(time.Hour)
			c := newCopier(t, fake)
			r.Entrypoint = "more"
			finished(t, c.e, r)
			c.mustFinish(t, "own")
			c.requireFile(t, strings.TrimPrefix(fake.Log("own"), old))
			if got, err := c.Result(); string(got) != `"second"` || err != nil {
				t.Errorf("result %q, %v", got, err)
			}
		})
	}
}

func TestLogCopy_putsAttemptsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	fake, clock := growing(t, "one\nRAY_JOB_RESULT=1\n", numbered("two", 30_000))
	c := newCopier(t, fake)
	one := mustSubmit(t, c.e, request("first; exit 1"))
	c.mustFinish(t, one.ID)
	r := request("more; sleep 60; first; sleep 60")
	r.Name = "next"
	two := mustSubmit(t, c.e, r)
	c.mustLook(t, two.ID)
	want := fake.Log(one.ID) + "\n==> " + two.ID + " <==\n"
	c.requireFile(t, want+fake.Log(two.ID))
	if _, err := c.Result(); err == nil {
		t.Error("the first attempt's result passed for the second's")
	}
	clock.Advance(time.Minute)
	c.mustLook(t, two.ID)
	c.requireFile(t, want+fake.Log(two.ID))
}

// Somebody makes room on the disk of the head.
func TestLogCopy_startsOverWhereTheLogIsAnother(t *testing.T) {
	t.Parallel()
	fake, clock := growing(t, "a longer line than the next\n", "b\n")
	c := newCopier(t, fake)
	run := mustSubmit(t, c.e, request("first; sleep 60; more; sleep 60"))
	c.mustLook(t, run.ID)
	fake.TruncateLog(run.ID)
	clock.Advance(time.Minute)
	c.mustLook(t, run.ID)
	c.requireFile(t, "b\n")
}

func TestLogCopy_theFileIsAtFault(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	c := newCopier(t, fake)
	closed, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	job := finished(t, c.e, request("echo a"))
	start := time.Now()
	if err := c.e.NewLogCopy(closed).Finish(t.Context(), job); err == nil {
		t.Error("nothing went wrong")
	}
	if time.Since(start) > 12*time.Second { // of 15.5
		t.Error("it was tried again and again")
	}
}

func TestLogCopy_followEndsWithItsContext(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	c := newCopier(t, fake)
	run := mustSubmit(t, c.e, request("echo a; sleep 600"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Follow(ctx, run.ID)
	}()
	for b := []byte(nil); len(b) == 0; b, _ = os.ReadFile(c.file) {
		select {
		case <-t.Context().Done():
			t.Fatal("nothing was copied")
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	<-done
	c.requireFile(t, fake.Log(run.ID))
}
