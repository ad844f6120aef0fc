package jobs

import (
	"context"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// Document is the digested form of the inputs, for the vectors.
func Document(in Inputs) map[string]any { return in.document() }

// SetSettled shortens the wait before a delete where the fake leaves no ghost.
func (e *Engine) SetSettled(d time.Duration) { e.settled = d }

// SetStaleAfter changes how often a wait looks after a job's node.
func (e *Engine) SetStaleAfter(d time.Duration) { e.staleAfter = d }

// SetGCSPatience changes how long a look through the GCS may take.
func (e *Engine) SetGCSPatience(d time.Duration) { e.gcsPatience = d }

// Begins is where the job's last run begins in a log that is read in pieces.
func Begins(job ray.Job, whole bool, pieces ...string) int64 {
	scan := newLogScan(job)
	for _, p := range pieces {
		_, _ = scan.Write([]byte(p)) // it has no errors
	}
	return scan.runBegins(whole)
}

// Shown is a line as messages show it.
func Shown(line string) string { return shown(line) }

// Look is one round of Follow.
func (c *LogCopy) Look(ctx context.Context, id string) error { return c.follow(ctx, id) }
