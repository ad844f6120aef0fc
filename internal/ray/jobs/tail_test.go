package jobs_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// The lines were recorded from job logs of Ray 2.60, on a head and on a worker node.
func TestLogScan_findsWhereTheRunBegins(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 23, 12, 10, 0, 0, time.UTC)
	job := ray.Job{SubmissionID: "n-0123456789", Entrypoint: "echo new\necho more", StartTime: started}
	setup := func(clock string) string {
		return "2026-11-23 " + clock + "\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
	}
	const post = "Running entrypoint for job n-0123456789: echo new\necho more\n"
	for name, test := range map[string]struct {
		before, run string
		whole       bool
	}{
		"first run":                            {"", setup("12:10:00,456") + "new\n" + post, true},
		"second run":                           {setup("12:00:00,123") + "old\n" + post, setup("12:10:00,456") + "new\n" + post, true},
		"head in another time zone":            {setup("17:30:00,123") + "old\n" + post, setup("17:55:00,456") + "new\n" + post, true},
		"head a second behind":                 {setup("11:50:00,123") + "old\n" + post, setup("12:09:59,000") + "new\n" + post, true},
		"an entrypoint that shows another log": {setup("12:00:00,123"), setup("12:10:01,000") + "new\n" + setup("12:04:00,000") + "other\n" + post, true},
		"on a worker":                          {"", "new\n" + post + "more\n", true},
		"second run on a worker":               {post + "old\n", post + "new\n", true},
		"end of a log, unmarked":               {"old or new\n", post + "new\n", false},
		"end of a long run":                    {"", "a\nb\n", false},
		"another job's line":                   {"", "Running entrypoint for job other: x\nb\nRunning entrypoint for job other: x\n", true},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			log := test.before + test.run
			var pieces []string
			for rest := log; rest != ""; {
				n := min(size, len(rest))
				pieces, rest = append(pieces, rest[:n]), rest[n:]
			}
			if got := jobs.Begins(job, test.whole, pieces...); got != int64(len(test.before)) {
				t.Errorf("%s, in pieces of %d: the run begins at %q, want %q", name, size, log[got:], test.run)
			}
		}
	}
}

// finished submits a job and returns it when it is over.
func finished(t *testing.T, e *jobs.Engine, r jobs.Request) ray.Job {
	t.Helper()
	run := mustSubmit(t, e, r)
	job, _, err := e.Wait(t.Context(), run, jobs.Succeeded, nil)
	if err != nil || !job.Status.Terminal() {
		t.Fatalf("%s is %s, %v", run.ID, job.Status, err)
	}
	return job
}

func TestTail_isOfThisRunOnly(t *testing.T) {
	t.Parallel()
	for name, worker := range map[string]bool{"head": false, "worker": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t)
			if worker {
				fake.AddNode(ray.Node{Total: ray.Resources{"here": 1}})
			}
			runTwice(t, worker, func() *jobs.Engine { return newEngine(t, fake) })
		})
	}
}

// runTwice runs two jobs under one id, on the head or on the worker that has the
// resource "here".
func runTwice(t *testing.T, worker bool, newProcess func() *jobs.Engine) {
	t.Helper()
	r := request("echo RAY_JOB_RESULT=$N; echo $SAYS; sleep 0.2; echo end of $N")
	r.SubmissionID, r.Name = "own", ""
	if worker {
		r.Resources = ray.Resources{"here": 1}
	}
	for n, says := range []string{"first", "second"} {
		r.RuntimeEnv = map[string]any{"env_vars": map[string]any{"N": fmt.Sprint(n + 1), "SAYS": says}}
		e := newProcess() // it may delete what another one made
		job := finished(t, e, r)
		got, err := e.Tail(t.Context(), "own", 10, nil)
		if err != nil {
			t.Fatal(err)
		}
		result, err := e.Result(t.Context(), job)
		if err != nil && !errors.Is(err, jobs.ErrNoResult) {
			t.Fatal(err)
		}
		whole := fmt.Sprintf("RAY_JOB_RESULT=%d\n%s\nend of %d", n+1, says, n+1)
		switch {
		case !worker || n == 0:
			if got != whole || string(result) != fmt.Sprint(n+1) {
				t.Errorf("run %d: got %q with result %q, want %q", n+1, got, result, whole)
			}
		// What was written before Ray's line could be the earlier run's.
		case !strings.HasSuffix(whole, got) || !strings.HasSuffix(got, "end of 2") || string(result) == "1":
			t.Errorf("run 2: got %q with result %q, want the end of %q", got, result, whole)
		}
		stamp, _ := jobs.StampOf(job.Metadata)
		if _, err := newProcess().End(t.Context(), jobs.Ref{ID: "own", Stamp: stamp}, true, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTail_isFitToBeShown(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("y", 3<<20)
	fake := newFake(t,
		raytest.WithCommand("binary", raytest.Command{Output: "a\xff\xfeb\x00\n\x1b[36m(pid=1)\x1b[0m red\x1b]0;title\x07\n 10%\r 90%\rdone\r\n"}),
		raytest.WithCommand("huge", raytest.Command{Output: "first\n" + huge + "end"}))
	e := newEngine(t, fake)
	job := finished(t, e, request("binary"))
	got, err := e.Tail(t.Context(), job.SubmissionID, 10, nil)
	if want := "a\uFFFDb\n(pid=1) red\ndone"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	log, err := e.Log(t.Context(), job, 2, 1<<20)
	if want := "\x1b[36m(pid=1)\x1b[0m red\x1b]0;title\x07\n 10%\r 90%\rdone\r\n"; log.Text != want || !log.Truncated || err != nil {
		t.Errorf("two lines: %+v, %v, want %q", log, err, want)
	}
	job = finished(t, e, request("huge"))
	got, err = e.Tail(t.Context(), job.SubmissionID, 10, nil)
	if !strings.HasPrefix(got, "[") || !strings.Contains(got, "bytes left out] yyy") || len(got) > 2100 || err != nil {
		t.Errorf("of a line of 3 MiB: %d bytes, %.60q, %v", len(got), got, err)
	}
	if log, err := e.Log(t.Context(), job, 10, 1000); len(log.Text) > 1000 || !log.Truncated || err != nil {
		t.Errorf("at most 1,000 bytes: %d, truncated %t, %v", len(log.Text), log.Truncated, err)
	}
}

func TestResult_isTheLastLineOfItsKind(t *testing.T) {
	t.Parallel()
	noise := strings.Repeat("noise\n", 5000)
	tooLong := `RAY_JOB_RESULT="` + strings.Repeat("x", jobs.MaxResult) + `"`
	for name, test := range map[string]struct {
		output, want, wrong string
	}{
		"one":                  {"a\nRAY_JOB_RESULT={\"a\": 1}\nb\n", `{"a": 1}`, ""},
		"the last one":         {"RAY_JOB_RESULT=1\nRAY_JOB_RESULT=2\n", "2", ""},
		"without a line's end": {"RAY_JOB_RESULT=1\nRAY_JOB_RESULT=2", "2", ""},
		"behind a bar":         {"50%\r99%\rRAY_JOB_RESULT=3\n", "3", ""},
		"before much noise":    {"RAY_JOB_RESULT=4\n" + noise, "4", ""},
		"in a line":            {"echo RAY_JOB_RESULT=5\n", "", jobs.ErrNoResult.Error()},
		"too far back":         {"RAY_JOB_RESULT=6\n" + strings.Repeat(noise, 5), "", jobs.ErrNoResult.Error()},
		"none":                 {noise, "", jobs.ErrNoResult.Error()},
		"no JSON":              {"RAY_JOB_RESULT=1\nRAY_JOB_RESULT={a: 1}\n", "", "it is not valid JSON"},
		"too long":             {tooLong + "\n", "", "it has more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFake(t, raytest.WithCommand("say", raytest.Command{Output: test.output}))
			e := newEngine(t, fake)
			got, err := e.Result(t.Context(), finished(t, e, request("say")))
			wrong := ""
			if err != nil {
				wrong = err.Error()
			}
			// Without an end to the last line, Ray's own follows on the same one.
			if name == "without a line's end" {
				if wrong != "it is not valid JSON" {
					t.Errorf("got %q, %q", got, wrong)
				}
				return
			}
			if string(got) != test.want || wrong != test.wrong {
				t.Errorf("got %q, %q, want %q, %q", got, wrong, test.want, test.wrong)
			}
		})
	}
}
