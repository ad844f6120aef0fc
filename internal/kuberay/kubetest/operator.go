//go:build unix

package kubetest

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"
)

// startOperator starts KubeRay's operator and what stands in for kubelets, which
// ends with loops.
func (s *Server) startOperator(ctx, loops context.Context) error {
	// It looks for all of these when it starts, and again 10 s later.
	if err := s.installCRDs(ctx, "rayclusters", "rayjobs", "rayservices", "raycronjobs"); err != nil {
		return err
	}
	_, err := s.run("ray-operator", []string{"KUBECONFIG=" + s.Admin.Kubeconfig},
		"-enable-leader-election=false", "-metrics-addr=0", "-health-probe-bind-address=0", "-log-stdout-encoder=console")
	if err != nil {
		return err
	}
	s.loops.Go(func() { s.kubelet(loops) })
	return nil
}

// kubelet gives each pod an address and calls it running, until ctx ends.
func (s *Server) kubelet(ctx context.Context) {
	free := netip.MustParseAddr("10.1.0.1")
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		// What fails is tried again in the next round.
		free, _ = s.runPods(ctx, free)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// pod is what kubelets, or those who stand in for them, look at.
type pod struct {
	Metadata struct {
		Namespace, Name string
		Labels          map[string]string
	}
	Spec struct {
		NodeSelector map[string]string
		Containers   []struct {
			Name, Image string
			Env         []struct {
				Name, Value string
				ValueFrom   struct{ FieldRef struct{ FieldPath string } }
			}
		}
	}
	Status struct{ Phase string }
}

// report changes the status of a pod, as its kubelet does.
func (s *Server) report(ctx context.Context, namespace, pod string, status Object) error {
	return s.Do(ctx, Request{
		Method: http.MethodPatch, Path: fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/status", namespace, pod),
		Body: Object{"status": status}, ContentType: MergePatch,
	}, nil)
}

// runPods runs the pods that are pending and returns the next free address.
func (s *Server) runPods(ctx context.Context, free netip.Addr) (netip.Addr, error) {
	var list struct{ Items []pod }
	if err := s.Do(ctx, Request{Path: "/api/v1/pods?fieldSelector=status.phase%3DPending"}, &list); err != nil {
		return free, err
	}
	for _, p := range list.Items {
		if len(p.Spec.NodeSelector) > 0 {
			continue
		}
		err := s.report(ctx, p.Metadata.Namespace, p.Metadata.Name, p.running(free, time.Now()))
		if err != nil && !HasStatus(err, http.StatusNotFound) {
			return free, err
		}
		free = free.Next()
	}
	return free, nil
}

// running is the status of the pod at an address, all of whose containers run.
func (p pod) running(addr netip.Addr, since time.Time) Object {
	now := since.UTC().Format(time.RFC3339)
	var conditions, containers []Object
	for _, kind := range []string{"PodScheduled", "Initialized", "ContainersReady", "Ready"} {
		conditions = append(conditions, Object{"type": kind, "status": "True", "lastTransitionTime": now})
	}
	for _, c := range p.Spec.Containers {
		containers = append(containers, Object{
			"name": c.Name, "image": c.Image, "imageID": c.Image, "ready": true, "started": true, "restartCount": 0,
			"state": Object{"running": Object{"startedAt": now}},
		})
	}
	return Object{
		"phase": "Running", "podIP": addr.String(), "podIPs": []Object{{"ip": addr.String()}},
		"conditions": conditions, "containerStatuses": containers,
	}
}
