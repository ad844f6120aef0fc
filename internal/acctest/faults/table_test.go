package faults

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// The command line; `make faults` sets it.
var (
	runs     = flag.Int("runs", 0, "how many runs of the faults on the fake there are at least; 0 is a sample")
	cliRuns  = flag.Int("cli-runs", 0, "how many of them go through the CLIs at least; 0 is one of each fault")
	rayRuns  = flag.Int("ray-runs", 0, "how many run on a real Ray at least; 0 is a sample")
	clis     = flag.String("clis", "", "the `commands` of the CLIs; empty is the one that the tests of a run use")
	only     = flag.String("fault", "", "only this fault")
	seed     = flag.Uint64("seed", 0, "the seed of the first run; 0 is any")
	parallel = flag.String("at-once", "24", "how many runs there are at once: they wait more than they work")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1e9
	} else if *runs == 0 {
		*runs = 1
	}
	if err := flag.Set("test.parallel", *parallel); err != nil {
		panic(err) // it is no flag of this package's
	}
	status := m.Run()
	results.print(os.Stdout)
	os.Exit(status)
}

// findings are what is wrong after a run, by column.
type findings struct{ duplicates, lost, orphans, untruthful []string }

func (f findings) none() bool {
	return len(f.duplicates)+len(f.lost)+len(f.orphans)+len(f.untruthful) == 0
}

// row is what became of the runs of one fault.
type row struct {
	ring, fault                                 string
	runs, duplicates, lost, orphans, untruthful int
}

func (r *row) add(o *row) {
	r.runs += o.runs
	r.duplicates += o.duplicates
	r.lost += o.lost
	r.orphans += o.orphans
	r.untruthful += o.untruthful
}

// table collects the rows.
type table struct {
	mu   sync.Mutex
	rows []*row
}

var results table

// count takes in one run and fails its test where anything is wrong.
func (t *table) count(tb testing.TB, ring, fault string, f findings) {
	tb.Helper()
	for column, all := range map[string][]string{"duplicate": f.duplicates, "lost": f.lost, "orphan": f.orphans, "untruthful": f.untruthful} {
		for _, what := range all {
			tb.Errorf("%s: %s", column, what)
		}
	}
	r := t.expect(ring, fault)
	t.mu.Lock()
	defer t.mu.Unlock()
	r.add(&row{runs: 1, duplicates: len(f.duplicates), lost: len(f.lost), orphans: len(f.orphans), untruthful: len(f.untruthful)})
}

// expect makes a place in the table.
func (t *table) expect(ring, fault string) *row {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		if r.ring == ring && r.fault == fault {
			return r
		}
	}
	r := &row{ring: ring, fault: fault}
	t.rows = append(t.rows, r)
	return r
}

const line = "%-56s %6v %10v %6v %8v %11v\n"

func (r *row) print(out io.Writer) {
	fmt.Fprintf(out, line, "  "+r.fault, r.runs, r.duplicates, r.lost, r.orphans, r.untruthful)
}

// tell writes a row that is complete, where the whole takes minutes.
func (t *table) tell(out io.Writer, ring, fault string) {
	r := t.expect(ring, fault)
	t.mu.Lock()
	defer t.mu.Unlock()
	if *runs > 1 {
		r.print(out)
	}
}

// print writes the table and its totals.
func (t *table) print(out io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	total, ring := row{fault: "total"}, ""
	slices.SortStableFunc(t.rows, func(a, b *row) int { return slices.Index(rings, a.ring) - slices.Index(rings, b.ring) })
	for _, r := range t.rows {
		if r.runs == 0 {
			continue
		}
		if r.ring != ring {
			ring = r.ring
			fmt.Fprintf(out, "\n"+line, ring, "runs", "duplicates", "lost", "orphans", "untruthful")
		}
		r.print(out)
		total.add(r)
	}
	if total.runs == 0 {
		return
	}
	fmt.Fprintf(out, "\n"+line, total.fault, total.runs, total.duplicates, total.lost, total.orphans, total.untruthful)
}

// rings are the parts of the table, in order.
var rings = []string{onFake, onCLI, onRay}

const (
	onFake = "fake head, provider's RPCs"
	onCLI  = "fake head, real CLIs"
	onRay  = "real Ray, real CLIs"
)
