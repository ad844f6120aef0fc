//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
)

// kuberayTick is how far apart the rounds of Ray's autoscaler are in a head pod
// (AUTOSCALER_UPDATE_INTERVAL_S): the soonest that it reads what a policy wrote.
const kuberayTick = 5 * time.Second

// workerGroups adds the applies on a RayCluster to a table.
func (b *bench) workerGroups(ctx context.Context, t *table) (err error) {
	say(b.out, "starting a Kubernetes API server and the KubeRay operator\n")
	server, err := kubetest.Start(ctx, kubetest.Options{Operator: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	cluster, err := server.CreateRayCluster(ctx, kubetest.RayClusterOptions{Name: "bench"})
	if err != nil {
		return err
	}
	err = cluster.WaitFor(ctx, "the operator to see it", func(o kubetest.Object) error {
		if status, _ := o["status"].(kubetest.Object); status["state"] != "ready" {
			return fmt.Errorf("its state is %v", status["state"])
		}
		return nil
	})
	if err != nil {
		return err
	}
	applied := &series{name: "worker_groups: apply of another min_replicas", unit: seconds}
	bare := &series{name: "apply of one terraform_data, beside KubeRay", unit: seconds}
	for round := range b.rounds + 1 {
		config := providerOf(fmt.Sprintf("kubernetes = { config_path = %q }", server.Admin.Kubeconfig)) + policy(1, fmt.Sprintf(`worker_groups = {
    kuberay = { namespace = %q, name = %q }
    groups  = { cpu = { min_replicas = %d } }
  }`, cluster.Namespace, cluster.Name, 2+round%2))
		took, err := b.applyOnce(ctx, "worker-groups", config)
		if err != nil {
			return err
		}
		empty, err := b.applyOnce(ctx, "floor", data(1))
		if err != nil {
			return err
		}
		if round > 0 {
			applied.values = append(applied.values, took.Seconds())
			bare.values = append(bare.values, empty.Seconds())
		}
	}
	t.series = append(t.series, applied, bare)
	t.findings = append(t.findings, finding{
		fmt.Sprintf("worker_groups, taken by the operator and workers ready, beyond terraform_data, of the autoscaler's %s", kuberayTick),
		ratio, (median(applied.values) - median(bare.values)) / kuberayTick.Seconds(), lagLimit,
	})
	return nil
}
