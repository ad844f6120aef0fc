//go:build unix

// Command bench measures the provider against what it has to beat: Ray's own
// command line, Ray's own packaging, a bare upload, and Terraform's own floor.
// `make bench` runs it from the top of the checkout.
//
// Each measurement runs its sides in turns, in one process and one after the
// other, and changes who goes first from round to round: a machine that slows
// down slows down both. What counts is the median of the ratios (or differences)
// of the rounds, not a time; times are printed as min, median and max so that a
// noisy run is seen for what it is. A finding over its limit is marked and is not
// a failure, for a busy machine is no bug; -strict makes it one.
//
//	apply    a job that does nothing, through Terraform, through `ray job submit`,
//	         and Ray's own part of it; the provider's peak memory
//	package  2,000 files of 50 MiB: hash, zip and upload, against Ray's Python,
//	         timed inside Python without its start, and against a bare PUT
//	memory   the provider's peak memory for packages of 5, 50 and 95 MiB
//	logs     the provider's peak memory for a job's log of 1 GiB: its end in an
//	         error, a copy of it, the result in it
//	plan     a plan without changes of 100 and 1,000 jobs that run, against as
//	         many terraform_data
//	submit   50 jobs in one apply, against 50 calls of `ray job submit --no-wait`
//	wait     from a job's end in Ray to the return of its apply, for 1 and for 200
//	         jobs, with the GCS and over plain HTTP, and the requests of a second
//	policy   from the start of an apply until its floor is enforced, on both of Ray's
//	         autoscalers; a plan without changes of 100 policies
//
// Applies and uploads go to a real Ray head that bench starts and ends; plans, memory
// and the counts of requests go to a fake one in this process, because they are about
// the provider and not about Ray. The first round of each is thrown away: it warms up
// both sides.
//
// Environment:
//
//	TF        Terraform or OpenTofu to use; else terraform, else tofu in PATH
//	TOFU      OpenTofu to use where neither is there
//	RAY_VENV  Python venv that has Ray; else the one that `make venv` made
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

func main() {
	// The CLI starts this program in the provider's place where the provider's
	// memory is measured; see wrap.
	if filepath.Base(os.Args[0]) == providerName {
		os.Exit(wrap(os.Getenv))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// options are the command line's.
type options struct {
	rounds   int
	quick    bool
	strict   bool
	only     *regexp.Regexp
	provider string
}

func parseOptions(args []string, out io.Writer) (options, error) {
	o := options{only: regexp.MustCompile("")}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(out)
	f.IntVar(&o.rounds, "rounds", 0, "rounds of each measurement, besides the one that warms up (default 7, with -quick 3)")
	f.BoolVar(&o.quick, "quick", false, "fewer rounds, and no plan of 1,000 jobs")
	f.BoolVar(&o.strict, "strict", false, "end with status 1 where a finding is over its limit")
	f.StringVar(&o.provider, "provider", "", "the provider's binary (default bin/"+providerName+")")
	f.Func("only", "run the measurements that match this `regexp`: apply, package, memory, logs, plan, submit, wait, policy", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("bench takes no argument %q", f.Arg(0))
	}
	if o.rounds < 0 {
		return o, fmt.Errorf("-rounds is %d", o.rounds)
	}
	if o.rounds == 0 {
		o.rounds = 7
		if o.quick {
			o.rounds = 3
		}
	}
	return o, nil
}

// run is main with a status: 0, 1 for what went wrong (with -strict also for a
// finding over its limit), 2 for a wrong command line, 130 when it was stopped.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	o, err := parseOptions(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		say(errOut, "error: %v\n", err)
		return 2
	}
	over, err := measure(ctx, o, out)
	switch {
	case ctx.Err() != nil:
		say(errOut, "Stopped: nothing is left running.\n")
		return 130
	case err != nil:
		say(errOut, "error: %v\n", err)
		return 1
	case over > 0 && o.strict:
		return 1
	}
	return 0
}

// measurement is one table.
type measurement struct {
	name string
	run  func(context.Context) (table, error)
}

// measure runs the measurements and counts the findings that are over their
// limits.
func measure(ctx context.Context, o options, out io.Writer) (over int, err error) {
	b, err := newBench(ctx, o, out)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	say(out, "%s\n", b.machine())
	ran := 0
	for _, m := range b.measurements() {
		if !o.only.MatchString(m.name) {
			continue
		}
		ran++
		t, err := m.run(ctx)
		if err != nil {
			return over, fmt.Errorf("%s: %w", m.name, err)
		}
		over += t.over()
		say(out, "\n%s", t)
	}
	if ran == 0 {
		return 0, fmt.Errorf("-only=%s matches none of apply, package, memory, logs, plan, submit, wait, policy", o.only)
	}
	if over > 0 {
		say(out, "\n%d over the limit. On a busy machine run it again when it is quiet.\n", over)
	}
	return over, nil
}

// say writes to the terminal; one that is closed shows nothing.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
