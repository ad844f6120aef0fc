package job

import (
	"sync"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

type engineKey struct{}

// engineOf is the cluster's engine, shared by all that this process does with its
// jobs.
func engineOf(pool *conn.Pool, cluster *conn.Cluster) *jobs.Engine {
	engine, _ := cluster.Value(engineKey{}, func() any {
		return jobs.New(jobs.Options{
			Address:        cluster.Address(),
			Dashboard:      cluster.Dashboard,
			GCS:            cluster.GCS,
			Registry:       pool.Registry(),
			MaxUnreachable: pool.MaxUnreachable(),
			MaxActive:      pool.MaxActiveJobs(),
		})
	}).(*jobs.Engine) // the key is of a type of this package's own
	return engine
}

type secretsKey struct{}

// secrets are the values, by submission id, that no message of this process may
// show: Ray shows those of a job to nobody since 2.59, so that only the resource
// that submitted it knows them.
type secrets struct {
	mu   sync.Mutex
	byID map[string][]string
}

func secretsOf(cluster *conn.Cluster) *secrets {
	s, _ := cluster.Value(secretsKey{}, func() any { return &secrets{byID: map[string][]string{}} }).(*secrets) // as above
	return s
}

func (s *secrets) note(id string, values []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[id] = values
}

// of returns the job's secrets; known is false where no resource of this process
// has told them.
func (s *secrets) of(id string) (values []string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	values, known = s.byID[id]
	return values, known
}
