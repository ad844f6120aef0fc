package jobs

import "sync"

// Registry is what one process knows of the ids that it took and let go. All of a
// process's engines share one. The zero value is ready.
type Registry struct {
	mu  sync.Mutex
	ids map[registryKey]claim
	// active are the jobs that are not known to be over; freed, if not nil, is closed
	// when one leaves.
	active map[registryKey]struct{}
	freed  chan struct{}
}

type registryKey struct{ cluster, id string }

type claim int

const (
	owned claim = iota + 1
	released
)

// Own takes an id for a Create. It is false where this process owns it already:
// two resources claim one job.
func (r *Registry) Own(cluster, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := registryKey{cluster, id}
	if r.ids[k] == owned {
		return false
	}
	if r.ids == nil {
		r.ids = map[registryKey]claim{}
	}
	r.ids[k] = owned
	return true
}

// Disown gives an id back that Own took and that was not submitted.
func (r *Registry) Disown(cluster, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := (registryKey{cluster, id}); r.ids[k] == owned {
		delete(r.ids, k)
	}
}

// Release lets an id go, before its job is stopped or deleted. It is false where
// a Create of this process owns the id: then its job must be left alone.
func (r *Registry) Release(cluster, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := registryKey{cluster, id}
	if r.ids[k] == owned {
		return false
	}
	if r.ids == nil {
		r.ids = map[registryKey]claim{}
	}
	r.ids[k] = released
	return true
}

// Released returns the highest attempt of base that this process let go, or 0.
func (r *Registry) Released(cluster, base string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	highest := 0
	for k, c := range r.ids {
		if c != released || k.cluster != cluster {
			continue
		}
		if n, ok := attemptOf(base, k.id); ok && n > highest {
			highest = n
		}
	}
	return highest
}
