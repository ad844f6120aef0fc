package conn

import "github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"

type engineKey struct{}

// Engine submits the cluster's jobs. All that this process does with them shares it.
func (c *Cluster) Engine() *jobs.Engine {
	engine, _ := c.Value(engineKey{}, func() any {
		return jobs.New(jobs.Options{
			Address:        c.Address(),
			Dashboard:      c.Dashboard,
			GCS:            c.GCS,
			Registry:       c.pool.Registry(),
			MaxUnreachable: c.pool.MaxUnreachable(),
			MaxActive:      c.pool.MaxActiveJobs(),
		})
	}).(*jobs.Engine) // the key is of a type of this package's own
	return engine
}
