package autoscaling

import (
	"context"
	"sync"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
)

// claims is what one process knows of the policies of a cluster, by owner and name:
// which the plan has, and which an apply took. A provider is not told the addresses
// of its resources.
type claims struct {
	mu sync.Mutex
	// creates and others count the resources of the plan: those that are new, and
	// those that the state has.
	creates, others map[string]int
	// locks are held by who changes a policy's placement groups, and taken are the
	// policies that a create or update of this process put there.
	locks map[string]chan struct{}
	taken map[string]bool
}

type claimsKey struct{}

func claimsOf(cluster *conn.Cluster) *claims {
	c, _ := cluster.Value(claimsKey{}, func() any {
		return &claims{creates: map[string]int{}, others: map[string]int{}, locks: map[string]chan struct{}{}, taken: map[string]bool{}}
	}).(*claims) // the key is of a type of this package's own
	return c
}

func claimKey(owner, name string) string { return owner + "/" + name }

// create counts a new resource of the plan, and reports whether another resource of
// the plan is the same policy. other counts one that the state has.
func (c *claims) create(key string) (conflict bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.creates[key]++
	return c.creates[key] > 1 || c.others[key] > 0 || c.taken[key]
}

func (c *claims) other(key string) (conflict bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.others[key]++
	return c.creates[key] > 0
}

// lock lets one operation at a time change a policy. The unlock may be called again.
func (c *claims) lock(ctx context.Context, key string) (unlock func(), err error) {
	c.mu.Lock()
	l, ok := c.locks[key]
	if !ok {
		l = make(chan struct{}, 1)
		c.locks[key] = l
	}
	c.mu.Unlock()
	select {
	case l <- struct{}{}:
		return sync.OnceFunc(func() { <-l }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// take notes that a create or update holds the policy, so that the destroy of another
// resource of the same name, as after a rename without a moved block or with
// create_before_destroy, leaves it alone.
func (c *claims) take(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken[key] = true
	delete(c.creates, key) // it is in the state now
}

// letGo takes back what take noted, where nothing was put there after all.
func (c *claims) letGo(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.taken, key)
}

func (c *claims) isTaken(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken[key]
}
