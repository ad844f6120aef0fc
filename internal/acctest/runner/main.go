// Command runner runs the test rings and counts what they did, for `make test`.
//
// The rings, from the fastest to the slowest:
//
//   - pure: packages that need no provider server. Tables, vectors, fuzz seeds,
//     clients against the in-process fake.
//   - rpc: the provider's RPCs called in process, without a CLI.
//   - real: tests named TestReal... or Test..._real, on a real Ray.
//   - cli: tests named TestAcc..., on a real Ray through Terraform and OpenTofu,
//     the same tests once for each.
//   - slow: tests named TestSlow..., only when asked for.
//
// The rings real and cli share one head, which the runner starts, and which the
// tests find in RAYTEST_DASHBOARD_URL, RAYTEST_GCS_ADDRESS and
// RAYTEST_CLIENT_ADDRESS. Tests that break their cluster start their own.
//
// A skipped test is a failure, except for one that needs a newer CLI than this
// one and that passed on another: a test that ran nowhere proves nothing.
//
// The last line is "N passed, N failed, N skipped", the lines before it give the
// same for each ring and CLI. Interrupted, it ends what it started.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// The names that say where a test runs, as patterns for go test -run.
const (
	realTests = `^TestReal|^Test\w*_real$`
	accTests  = `^TestAcc`
	slowTests = `^TestSlow`
	// slowAcc are the slow ones that need a CLI.
	slowAcc = `^TestSlowAcc`
	notUnit = realTests + "|" + accTests + "|" + slowTests
	// slowReal are those that need none.
	slowReal = `^TestSlow([^A]|A[^c]|Ac[^c])`
)

// ring is a ring on a real Ray, and the names of its tests.
type ring struct{ name, tests string }

// The rings on a real Ray: those without a CLI, and those that are run once for each.
var (
	onRay  = []ring{{"real", realTests}, {"slow", slowReal}}
	onCLIs = []ring{{"cli", accTests}, {"slow cli", slowAcc}}
)

// others are the tests of the other rings.
func (x ring) others() string {
	var patterns []string
	for _, y := range slices.Concat(onRay, onCLIs) {
		if y != x {
			patterns = append(patterns, y.tests)
		}
	}
	return strings.Join(patterns, "|")
}

// options are the command line.
type options struct {
	rings           []string
	terraform, tofu string
	race            bool
	run             string
	parallel        string
}

func main() {
	var o options
	flag.StringVar(&o.terraform, "terraform", "", "the terraform `command` to test on; empty for none")
	flag.StringVar(&o.tofu, "tofu", "", "the tofu `command` to test on; empty for none")
	flag.BoolVar(&o.race, "race", true, "run the tests with the race detector")
	flag.StringVar(&o.run, "run", "", "only tests that match this `regexp`, in the rings real and cli")
	flag.StringVar(&o.parallel, "parallel", "2", "how many packages are tested at once")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: runner [flags] [unit] [real] [cli] [slow]   (no ring: all but slow)")
		flag.PrintDefaults()
	}
	flag.Parse()
	o.rings = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	os.Exit(run(ctx, o, os.Stdout))
}

// run runs the rings and returns the exit status.
func run(ctx context.Context, o options, out io.Writer) int {
	r := &runner{options: o, out: out, tally: newTally()}
	err := r.all(ctx)
	if ctx.Err() != nil {
		fmt.Fprintln(out, "interrupted")
		return 130
	}
	if err != nil {
		fmt.Fprintln(out, "error:", err)
	}
	r.tally.judgeSkips()
	total := r.tally.report(out)
	if err != nil || total.failed > 0 || total.passed == 0 {
		return 1
	}
	return 0
}

// runner is one run of the rings.
type runner struct {
	options
	out   io.Writer
	tally *tally
}

// say announces a step.
func (r *runner) say(format string, args ...any) {
	fmt.Fprintf(r.out, "==> "+format+"\n", args...)
}

// wants reports whether a ring was asked for.
func (r *runner) wants(ring string) bool {
	return len(r.rings) == 0 || slices.Contains(r.rings, ring)
}

// all runs the wanted rings. The error is about what surrounds the tests; failed
// tests are in the tally.
func (r *runner) all(ctx context.Context) error {
	if r.wants("unit") {
		r.say("rings 1 and 2: everything that needs no Ray")
		err := r.goTest(ctx, job{name: unitRing, packages: []string{"./..."}, args: []string{"-skip", notUnit}})
		if err != nil {
			return err
		}
		if err := r.toolModules(ctx); err != nil {
			return err
		}
	}
	return r.onHead(ctx)
}

// toolModules tests the nested modules, which ./... does not reach.
func (r *runner) toolModules(ctx context.Context) error {
	mods, err := filepath.Glob("internal/tools/*/go.mod")
	if err != nil {
		return err
	}
	for _, mod := range mods {
		dir := filepath.Dir(mod)
		if found, err := testFiles(dir, "^Test"); err != nil || len(found) == 0 {
			if err != nil {
				return err
			}
			continue
		}
		if err := r.goTest(ctx, job{name: func(string) string { return "tools" }, dir: dir, packages: []string{"./..."}}); err != nil {
			return err
		}
	}
	return nil
}

// onHead runs the rings that need a real Ray.
func (r *runner) onHead(ctx context.Context) error {
	packages := map[string][]string{}
	found := 0
	wanted, _, _ := strings.Cut(r.run, "/") // the rest is of subtests
	for _, x := range slices.Concat(onRay, onCLIs) {
		if base, _, _ := strings.Cut(x.name, " "); !r.wants(base) || base == "slow" && len(r.rings) == 0 {
			continue
		}
		list, err := testFiles(".", x.tests, wanted)
		if err != nil {
			return err
		}
		packages[x.name] = list
		found += len(list)
	}
	if found == 0 {
		return nil
	}
	r.say("starting a Ray head for the tests to share")
	began := time.Now()
	head, err := raytest.StartHead(ctx, raytest.HeadOptions{NumCPUs: 4, Resources: map[string]float64{"worker": 1}})
	if err != nil {
		return err
	}
	r.say("Ray head ready after %.1f s: %s", time.Since(began).Seconds(), head.DashboardURL)
	err = r.onThisHead(ctx, head, packages)
	if ctx.Err() == nil && (err != nil || r.tally.total().failed > 0) {
		fmt.Fprintf(r.out, "--- logs of the shared Ray head\n%s", head.Log())
	}
	if stop := head.Stop(); err == nil && stop != nil {
		err = fmt.Errorf("stop the shared Ray head: %w", stop)
	}
	return err
}

func (r *runner) onThisHead(ctx context.Context, head *raytest.Head, packages map[string][]string) error {
	env := []string{
		"RAYTEST_DASHBOARD_URL=" + head.DashboardURL,
		"RAYTEST_GCS_ADDRESS=" + head.GCSAddress,
		"RAYTEST_CLIENT_ADDRESS=" + head.ClientAddress,
		"RAY_VENV=" + filepath.Dir(filepath.Dir(head.RayBin)),
	}
	for _, x := range onRay {
		if len(packages[x.name]) == 0 {
			continue
		}
		r.say("on a real Ray, without a CLI: %s", x.name)
		j := job{
			name: func(string) string { return x.name }, packages: packages[x.name], env: env,
			args: r.args(x), verbose: true,
		}
		if err := r.goTest(ctx, j); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(onCLIs, func(x ring) bool { return len(packages[x.name]) > 0 }) {
		return nil
	}
	clis, err := r.clis(ctx)
	if err != nil {
		return err
	}
	provider, remove, err := buildProvider(ctx)
	if err != nil {
		return err
	}
	defer remove()
	env = append(env, "RAYTEST_PROVIDER="+provider)
	for _, c := range clis {
		for _, x := range onCLIs {
			if len(packages[x.name]) == 0 {
				continue
			}
			r.say("on a real Ray, through %s", c.name)
			j := job{
				name: func(string) string { return c.name }, packages: packages[x.name], env: append(c.env, env...),
				args: r.args(x), verbose: true,
			}
			if err := r.goTest(ctx, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// buildProvider builds the provider as it is released, once for all packages of
// tests. remove removes it.
func buildProvider(ctx context.Context) (file string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "terraform-provider-ray")
	if err != nil {
		return "", nil, err
	}
	file = filepath.Join(dir, "terraform-provider-ray")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", file, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("build the provider: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return file, func() { _ = os.RemoveAll(dir) }, nil
}

// args have go test run the ring's tests, or those of them that the user's -run matches.
func (r *runner) args(x ring) []string {
	return []string{"-count=1", "-run", cmp.Or(r.run, x.tests), "-skip", x.others()}
}

// cli is Terraform or OpenTofu, and what makes terraform-plugin-testing use it.
type cli struct {
	name string
	env  []string
}

// clis returns the CLIs to test on.
func (r *runner) clis(ctx context.Context) ([]cli, error) {
	var list []cli
	for _, c := range []struct{ product, path, host string }{
		{"terraform", r.terraform, ""},
		// OpenTofu refuses the namespace that terraform-plugin-testing assumes by
		// default ("legacy provider namespace").
		{"tofu", r.tofu, "registry.opentofu.org"},
	} {
		if c.path == "" {
			r.say("no %s was found, so nothing is tested on it", c.product)
			continue
		}
		version, err := cliVersion(ctx, c.path)
		if err != nil {
			return nil, err
		}
		if tooOld(version) {
			r.say("%s %s is older than 1.11, the oldest that the provider supports: nothing is tested on it", c.product, version)
			continue
		}
		env := []string{"TF_ACC=1", "TF_ACC_TERRAFORM_PATH=" + c.path, "TF_ACC_PROVIDER_NAMESPACE=ray-iac", "CHECKPOINT_DISABLE=1"}
		if c.host != "" {
			env = append(env, "TF_ACC_PROVIDER_HOST="+c.host)
		}
		list = append(list, cli{name: c.product + " " + version, env: env})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("neither Terraform nor OpenTofu 1.11 or newer was found: `make tofu` builds OpenTofu")
	}
	return list, nil
}

// cliVersion asks a CLI for its version: "1.11.4".
func cliVersion(ctx context.Context, path string) (string, error) {
	cmd := exec.CommandContext(ctx, path, "version")
	cmd.Env = cleanEnv()
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s version: %w", path, err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	_, version, ok := strings.Cut(first, " v")
	if !ok {
		return "", fmt.Errorf("%s version says %q", path, first)
	}
	return version, nil
}

// tooOld reports whether a version is before 1.11.
func tooOld(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major < 1 || major == 1 && minor < 11
}

// cleanEnv is the environment without what would make tests depend on the
// user's Terraform or Ray settings. A CLI configuration file that does not exist
// makes every OpenTofu command fail.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "RAY_") && name != "RAY_VENV" && name != "RAY_TF_CACHE" ||
			strings.HasPrefix(name, "RAYTEST_") || strings.HasPrefix(name, "TF_") && !strings.HasPrefix(name, "TF_LOG") && name != "TF_ACC_LOG"
	})
}
