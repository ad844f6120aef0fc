package conn

import (
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/workdir"
)

// Packaging are the options of a working_dir's package that Ray's own client
// reads from the environment: RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1 and
// RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES, a comma-separated list.
func (p *Pool) Packaging() workdir.Options {
	o := workdir.Options{IgnoreGitignore: p.cfg.Getenv("RAY_RUNTIME_ENV_IGNORE_GITIGNORE") == "1"}
	if list := p.cfg.Getenv("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES"); list != "" {
		for e := range strings.SplitSeq(list, ",") {
			o.DefaultExcludes = append(o.DefaultExcludes, strings.TrimSpace(e))
		}
	}
	return o
}
