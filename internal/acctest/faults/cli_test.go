package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// shell is a working directory of the real CLI.
type shell struct {
	*acctest.Workspace
	*wishes
	// again is with what an apply asks for another run, until one is green.
	again []string
}

// shell adds a working directory.
func (x *trial) shell(cli, address string, provider config) *shell {
	s := &shell{Workspace: acctest.NewWorkspaceOn(x.T, cli), wishes: &wishes{x, map[string]config{}}}
	c := config{"address": address, "owner": x.owner}
	maps.Copy(c, provider)
	s.write("provider", config{
		"terraform": config{"required_providers": config{"ray": config{"source": "ray-iac/ray"}}},
		"provider":  config{"ray": c},
	})
	// The trial's head may be gone when the test ends: nothing is to be destroyed then.
	x.Cleanup(func() {
		if err := os.Remove(filepath.Join(s.Dir, "terraform.tfstate")); err != nil && !os.IsNotExist(err) {
			x.Error(err)
		}
	})
	x.desks = append(x.desks, s)
	return s
}

func (s *shell) write(name string, c config) {
	text, err := json.Marshal(c)
	if err != nil {
		s.trial.Fatal(err)
	}
	s.Write(name+".tf.json", string(text))
}

// job has the configuration hold a job.
func (s *shell) job(addr string, c config) {
	if old, ok := s.jobs[addr]; ok {
		for k, v := range old {
			if _, set := c[k]; !set {
				c[k] = v
			}
		}
	}
	s.wish(addr, c)
	s.write(name(addr), config{"resource": config{"ray_job": config{name(addr): c}}})
}

func (s *shell) objects() map[string]map[string]any { return s.Resources() }

func (s *shell) begin() *acctest.Process {
	if s.again != nil {
		s.askAgain(s.addresses()...)
	}
	return s.Start(append([]string{"apply", "-auto-approve", "-input=false", "-no-color"}, s.again...)...)
}

func (s *shell) apply() *acctest.Result { return s.end(s.begin()) }

func (s *shell) end(p *acctest.Process) *acctest.Result {
	r := p.Wait()
	if r.ExitCode == 0 {
		s.again = nil
		s.trial.truthful(s)
	}
	return r
}

// change asks for another run of all jobs, in one of the ways that there are.
func (s *shell) change() {
	s.ask(s.addresses()...)
	for _, addr := range s.addresses() {
		switch s.trial.IntN(2) {
		case 0:
			s.job(addr, config{"triggers": config{"n": "2"}})
		default:
			s.again = append(s.again, "-replace="+addr)
		}
	}
}

// settle applies again until it is green, and looks whether a plan is empty then.
func (s *shell) settle() {
	for n := 1; ; n++ {
		r := s.apply()
		if r.ExitCode == 0 {
			break
		}
		if n > s.trial.patience || n == 5 {
			s.trial.untruthful("apply %d after the fault is over: exit code %d\n%s", n, r.ExitCode, r.Output)
		}
		if n == 5 {
			return
		}
	}
	if r := s.Run("plan", "-detailed-exitcode", "-input=false", "-no-color"); r.ExitCode != 0 {
		s.trial.untruthful("the plan after a green apply: exit code %d\n%s", r.ExitCode, r.Output)
	}
}

// cut is what can befall the processes of an apply.
type cut struct {
	name string
	do   func(*trial, *acctest.Process)
}

func cuts() []cut {
	return []cut{
		{"kill -9 of the CLI", func(_ *trial, p *acctest.Process) { p.Kill() }},
		{"kill -9 of the provider", func(x *trial, p *acctest.Process) { x.missed = !p.KillProvider() }},
		{"kill -9 of both", func(_ *trial, p *acctest.Process) { p.KillAll() }},
		{"SIGINT", func(_ *trial, p *acctest.Process) { p.Interrupt() }},
		{"SIGINT twice", func(x *trial, p *acctest.Process) {
			p.Interrupt()
			x.wait(x.upTo(300 * time.Millisecond))
			p.Interrupt()
		}},
	}
}

// TestAccFaults cuts off applies of the real CLIs on the fake head.
func TestAccFaults(t *testing.T) {
	t.Parallel()
	all := slices.DeleteFunc(cuts(), func(c cut) bool { return *only != "" && c.name != *only })
	if len(all) == 0 {
		return // a fault of another test's was asked for
	}
	list := given(t)
	each := max(1, *cliRuns/(len(all)*len(list)))
	for _, c := range all {
		results.expect(onCLI, c.name)
		for _, cli := range list {
			for i := range each {
				seed := *seed + uint64(i)
				t.Run(fmt.Sprintf("%s/%s/SEED=%d", c.name, filepath.Base(cli), seed), func(t *testing.T) {
					t.Parallel()
					fewAtOnce(t)
					c.try(t, cli, seed)
				})
			}
		}
	}
}

// try cuts off applies until one was not over before.
func (c cut) try(t *testing.T, cli string, seed uint64) {
	t.Helper()
	for range 10 {
		x := newTrial(t, seed)
		x.cutOff(cli, c)
		if found := x.judge(); !x.missed || !found.none() {
			results.count(t, onCLI, c.name, found)
			return
		}
		seed += 1 << 32
	}
	t.Error("the fault did not come about in ten tries")
}

// given are the CLIs of the command line, else the one of the environment.
func given(t *testing.T) []string {
	t.Helper()
	if list := strings.Fields(*clis); len(list) > 0 {
		return list
	}
	return []string{acctest.CLI(t)}
}

// fewAtOnce holds a test back while too many others run processes.
func fewAtOnce(t *testing.T) {
	t.Helper()
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
}

// slots bounds the applies of real CLIs at one time.
var slots = make(chan struct{}, 3)

// cutOff has an apply of one to three jobs cut off.
func (x *trial) cutOff(cli string, c cut) {
	s := x.shell(cli, x.fake.URL(), config{"max_unreachable": "5s"})
	for i := range 1 + x.IntN(3) {
		label := fmt.Sprintf("j%d", i)
		s.job("ray_job."+label, config{"name": label, "entrypoint": fmt.Sprintf("echo %s; sleep %.3f", label, x.upTo(700*time.Millisecond).Seconds())})
	}
	if x.chance(0.3) {
		if r := s.apply(); r.ExitCode != 0 {
			x.Fatalf("the apply before the fault: %s", r.Output)
		}
		s.change()
	}
	moment := x.fake.Fail(raytest.Match{Skip: x.IntN(6 + 5*len(s.jobs))}, raytest.Slow(x.upTo(100*time.Millisecond)))
	p := s.begin()
	select {
	case <-moment.Hit():
		x.wait(x.upTo(100 * time.Millisecond))
		c.do(x, p)
	case <-p.Done():
		x.missed = true
	}
	x.fake.ClearFaults()
	s.end(p)
	s.settle()
}
