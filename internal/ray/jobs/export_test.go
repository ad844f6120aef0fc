package jobs

import "time"

// Document is the digested form of the inputs, for the vectors.
func Document(in Inputs) map[string]any { return in.document() }

// LastRun is lastRun, for the recorded logs.
func LastRun(text, id string) string { return lastRun(text, id) }

// SetSettled shortens the wait before a delete where the fake leaves no ghost.
func (e *Engine) SetSettled(d time.Duration) { e.settled = d }

// SetStaleAfter changes how often a wait looks after a job's node.
func (e *Engine) SetStaleAfter(d time.Duration) { e.staleAfter = d }
