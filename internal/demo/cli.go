//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// oldest is the first release of both CLIs that the provider supports.
var oldest = ray.Version{1, 11, 0}

// finder finds the CLI; its members are what it asks.
type finder struct {
	getenv   func(string) string
	lookPath func(string) (string, error)
	version  func(bin string) (string, error)
}

// find returns the CLI to use and its version. One that was asked for must do;
// of those in PATH one that is too old, or no more than a version manager's shim,
// is passed over.
func (f finder) find() (bin, version string, err error) {
	if name := f.getenv("TF"); name != "" {
		bin, err := f.lookPath(name)
		if err != nil {
			return "", "", fmt.Errorf("TF=%s: %w", name, err)
		}
		version, err := f.supported(bin)
		if err != nil {
			return "", "", fmt.Errorf("TF=%s: %w", name, err)
		}
		return bin, version, nil
	}
	for _, name := range []string{"terraform", "tofu", f.getenv("TOFU")} {
		if name == "" {
			continue
		}
		bin, err := f.lookPath(name)
		if err != nil {
			continue
		}
		if version, err = f.supported(bin); err == nil {
			return bin, version, nil
		}
	}
	return "", "", fmt.Errorf("there is no Terraform or OpenTofu %s or newer in PATH: install one, or let `make tofu` build OpenTofu, and name it as in TF=/path/to/tofu", oldest)
}

func (f finder) supported(bin string) (string, error) {
	text, err := f.version(bin)
	if err != nil {
		return "", err
	}
	v, ok := ray.ParseVersion(text)
	if !ok || v.Less(oldest) {
		return "", fmt.Errorf("%s is version %s; %s or newer is needed", bin, text, oldest)
	}
	return text, nil
}

// lookPath is exec.LookPath with an absolute path, since commands run elsewhere.
func lookPath(name string) (string, error) {
	bin, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(bin)
}

// versionOf asks a CLI for its version.
func versionOf(ctx context.Context, c *children, bin string) (string, error) {
	status, out, err := c.run(ctx, command{env: environ(os.Environ(), "CHECKPOINT_DISABLE=1"), args: []string{bin, "version", "-json"}})
	if err != nil {
		return "", err
	}
	var answer struct {
		Version string `json:"terraform_version"` // OpenTofu's too
	}
	// A warning may stand before the object.
	start := max(0, strings.Index(out, "{"))
	if err := json.Unmarshal([]byte(out[start:]), &answer); err != nil || status != 0 {
		return "", fmt.Errorf("`%s version -json` is no answer of a CLI: status %d, %q", bin, status, out)
	}
	return answer.Version, nil
}

// rcFile is the name of the CLI configuration in the demo's directory.
const rcFile = "cli.tfrc"

// writeRC writes a CLI configuration that takes the provider from a directory,
// as it was built, without `init`. The short source address means the CLI's own
// registry, so that one file does for Terraform and OpenTofu.
func writeRC(dir, providerDir string) error {
	text := fmt.Sprintf("disable_checkpoint = true\n\nprovider_installation {\n  dev_overrides {\n    \"ray-iac/ray\" = %q\n  }\n  direct {}\n}\n", providerDir)
	return os.WriteFile(filepath.Join(dir, rcFile), []byte(text), 0o600)
}

// cliEnviron is the environment of a CLI: nothing of the caller's settings of
// Terraform or Ray reaches it, save TF_LOG.
func cliEnviron(dir, address string) []string {
	return environ(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(dir, rcFile), "TF_INPUT=0", "CHECKPOINT_DISABLE=1", "TF_VAR_address="+address)
}

// cli runs one configuration's commands.
type cli struct {
	bin      string
	dir      string // of the configuration
	env      []string
	children *children
	screen   *screen
}

// run runs a command and shows what matters of its output. A status that is not
// the wanted one is a surprise.
func (c *cli) run(ctx context.Context, want int, args ...string) (output string, err error) {
	c.screen.say("$ %s %s", filepath.Base(c.bin), strings.Join(args, " "))
	var view view
	k := command{dir: c.dir, env: c.env, args: append([]string{c.bin, args[0], "-no-color"}, args[1:]...), show: func(line string) {
		c.screen.quote(view.line(line))
	}}
	status, output, err := c.children.run(ctx, k)
	if err != nil {
		return output, err
	}
	if status != want {
		return output, &surprise{fmt.Sprintf("`%s` ended with status %d instead of %d", strings.Join(args, " "), status, want), output}
	}
	return output, nil
}

// outputs are the output values of the configuration, as the example has them.
type outputs struct {
	Nodes struct {
		Value map[string]float64 `json:"value"`
	} `json:"nodes"`
	Job struct {
		Value struct {
			SubmissionID string        `json:"submission_id"`
			Status       ray.JobStatus `json:"status"`
		} `json:"value"`
	} `json:"job"`
}

// outputs asks for the output values without showing them.
func (c *cli) outputs(ctx context.Context) (outputs, error) {
	var o outputs
	status, text, err := c.children.run(ctx, command{dir: c.dir, env: c.env, args: []string{c.bin, "output", "-json"}})
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal([]byte(text), &o); err != nil || status != 0 {
		return o, &surprise{"`output -json` gave no outputs", text}
	}
	return o, nil
}

// view picks the lines of a CLI's output that tell the story: what is done to
// which object, what a plan would change, warnings and errors whole, the outputs
// and the summary. It reads the format of -no-color.
type view struct {
	part part
	end  string // of noise
}

type part int

const (
	plan    part = iota // the rest: plans, progress
	noise               // a warning that says nothing here
	message             // another one, or an error
	results             // after "Outputs:"
)

// noises are warnings that are always there, by how they begin and end.
var noises = map[string]string{
	"Warning: Provider development overrides":          "releases.",
	"Warning: Check block assertion known after apply": "when this plan is applied.",
}

var (
	progress = regexp.MustCompile(`^ray_\S+: (Creat|Still|Modif|Destr)`)
	header   = regexp.MustCompile(`^  # ray_\S+ (will be|must be|is tainted|has)`)
	change   = regexp.MustCompile(`^ +~ .* = .* -> |# forces replacement`)
	unknown  = regexp.MustCompile(`-> \(known after apply\)$`)
	summary  = regexp.MustCompile(`^(Plan:|Apply complete!|Destroy complete!|No changes\.)`)
	rule     = regexp.MustCompile(`^─+$`)
	longHex  = regexp.MustCompile(`[0-9a-f]{32,}`)
)

// line returns what to show of a line, "" for nothing.
func (v *view) line(line string) string {
	v.enter(line)
	switch {
	case v.part == noise:
		if strings.HasSuffix(line, v.end) {
			v.part = plan
		}
		return ""
	case line == "Outputs:":
		return ""
	case v.part != plan, progress.MatchString(line), summary.MatchString(line):
	case header.MatchString(line), change.MatchString(line) && !unknown.MatchString(line):
		line = strings.TrimPrefix(line, "  ")
	default:
		return ""
	}
	return longHex.ReplaceAllStringFunc(line, func(s string) string { return s[:8] + "..." })
}

// enter moves to another part where line begins one.
func (v *view) enter(line string) {
	switch {
	case strings.HasPrefix(line, "Warning: "), strings.HasPrefix(line, "Error: "):
		v.part = message
		for begin, end := range noises {
			if strings.HasPrefix(line, begin) {
				v.part, v.end = noise, end
			}
		}
	case progress.MatchString(line), summary.MatchString(line), rule.MatchString(line):
		v.part = plan
	case line == "Outputs:":
		v.part = results
	}
}
