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
	// ending is an id that was let go and whose job is being stopped or deleted.
	ending
)

// Ownership is the answer to Own.
type Ownership int

// Ownerships.
const (
	// Owned is an id that the caller has now.
	Owned Ownership = iota
	// OwnedByAnother is an id that this process owns already: two resources claim one
	// job.
	OwnedByAnother
	// Outdated is a decision that was made before an id of its sequence was let go: its
	// job may be ending.
	Outdated
)

// Own takes an id of base's sequence for a Create, which was decided when Released was
// so much.
func (r *Registry) Own(cluster, base, id string, released int) Ownership {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := registryKey{cluster, id}
	switch {
	case r.ids[k] == owned:
		return OwnedByAnother
	case r.ids[k] == ending || r.released(cluster, base) != released:
		return Outdated
	}
	r.set(k, owned)
	return Owned
}

func (r *Registry) set(k registryKey, c claim) {
	if r.ids == nil {
		r.ids = map[registryKey]claim{}
	}
	r.ids[k] = c
}

// Disown gives an id back that Own took and that was not submitted.
func (r *Registry) Disown(cluster, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := (registryKey{cluster, id}); r.ids[k] == owned {
		delete(r.ids, k)
	}
}

// Release lets an id go. It is false where a Create of this process owns the id: then
// its job must be left alone.
func (r *Registry) Release(cluster, id string) bool { return r.letGo(cluster, id, released) }

// End is Release before the job is stopped or deleted; Release says that this is over.
func (r *Registry) End(cluster, id string) bool { return r.letGo(cluster, id, ending) }

func (r *Registry) letGo(cluster, id string, as claim) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := registryKey{cluster, id}
	if r.ids[k] == owned {
		return false
	}
	r.set(k, as)
	return true
}

// Ending reports whether this process is stopping or deleting the id's job.
func (r *Registry) Ending(cluster, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[registryKey{cluster, id}] == ending
}

// Released returns the highest attempt of base that this process let go, or 0.
func (r *Registry) Released(cluster, base string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.released(cluster, base)
}

func (r *Registry) released(cluster, base string) int {
	highest := 0
	for k, c := range r.ids {
		if c == owned || k.cluster != cluster {
			continue
		}
		if n, ok := attemptOf(base, k.id); ok && n > highest {
			highest = n
		}
	}
	return highest
}
