//go:build unix

package kubetest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
)

// waitReady waits until the operator says that all pods run.
func waitReady(t *testing.T, c *kubetest.RayCluster) {
	t.Helper()
	began := time.Now()
	err := c.WaitFor(t.Context(), "to be ready", func(object kubetest.Object) error {
		status, _ := object["status"].(kubetest.Object)
		if status["state"] != "ready" {
			return fmt.Errorf("its status is %v", status)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s was ready after %.1f s", c.Name, time.Since(began).Seconds())
}

// group returns the worker group at an index.
func group(t *testing.T, c *kubetest.RayCluster, index int) kubetest.Object {
	t.Helper()
	object, err := c.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return object["spec"].(kubetest.Object)["workerGroupSpecs"].([]any)[index].(kubetest.Object)
}

// Ray's autoscaler and the operator do to a RayCluster what they do in production,
// and the limits that someone else patches reach both.
func TestRealOperator_andAutoscaler(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := cluster(t, s, nil)
	waitReady(t, c)
	autoscaler, err := c.StartAutoscaler(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer autoscaler.Close()
	_, err = c.Patch(t.Context(),
		kubetest.Op{Op: "add", Path: "/spec/workerGroupSpecs/0/minReplicas", Value: 3},
		kubetest.Op{Op: "add", Path: "/spec/workerGroupSpecs/0/idleTimeoutSeconds", Value: 45})
	if err != nil {
		t.Fatal(err)
	}
	config, err := autoscaler.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cpu := config.Groups["cpu"]
	if cpu.MinWorkers != 3 || cpu.MaxWorkers != 5 || cpu.IdleTimeoutS == nil || *cpu.IdleTimeoutS != 45 || config.IdleTimeoutMinutes != 2 {
		t.Errorf("the autoscaler sees %+v", config)
	}
	workers := func(want int) (pods []string) {
		err := c.WaitFor(t.Context(), fmt.Sprintf("to have %d workers", want), func(kubetest.Object) error {
			instances, err := autoscaler.Instances(t.Context())
			if err != nil {
				return err
			}
			pods = nil
			for _, i := range instances {
				if i.Group == "cpu" && i.Running {
					pods = append(pods, i.Pod)
				}
			}
			if len(pods) != want {
				return fmt.Errorf("it sees %+v", instances)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return pods
	}
	workers(3) // the operator keeps to minReplicas by itself
	if err := autoscaler.Launch(t.Context(), "cpu", 1); err != nil {
		t.Fatal(err)
	}
	pods := workers(4)
	if err := autoscaler.Terminate(t.Context(), pods[0]); err != nil {
		t.Fatal(err)
	}
	if left := workers(3); slices.Contains(left, pods[0]) {
		t.Errorf("%s was to go, and left are %v", pods[0], left)
	}
	if g := group(t, c, 0); g["replicas"] != 3.0 || g["minReplicas"] != 3.0 || g["idleTimeoutSeconds"] != 45.0 {
		t.Errorf("the group is now %v", g)
	}
}

func TestRealAutoscaler_race(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := cluster(t, s, func(manifest kubetest.Object) {
		// The operator leaves it alone.
		manifest["spec"].(kubetest.Object)["managedBy"] = "kueue.x-k8s.io/multikueue"
	})
	autoscaler, err := c.StartAutoscaler(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer autoscaler.Close()
	began := time.Now()
	if err := autoscaler.Race(t.Context(), "gpu", 20); err != nil {
		t.Fatal(err)
	}
	t.Logf("20 patches took %.2f s", time.Since(began).Seconds())
	if got := group(t, c, 1)["replicas"]; got != 20.0 {
		t.Errorf("replicas %v, want 20", got)
	}
	if err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := autoscaler.Race(t.Context(), "gpu", 1); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("without the RayCluster: %v, want Ray's 404", err)
	}
}

func TestRealOperator_refuses(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := cluster(t, s, func(manifest kubetest.Object) {
		manifest["spec"].(kubetest.Object)["workerGroupSpecs"].([]any)[0].(kubetest.Object)["minReplicas"] = 50
	})
	const want = "worker group cpu has minReplicas 50 greater than maxReplicas 5"
	err := c.WaitFor(t.Context(), "to have an event", func(kubetest.Object) error {
		events, err := c.Events(t.Context())
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Type == "Warning" && e.Reason == "InvalidRayClusterSpec" && strings.Contains(e.Note, want) {
				return nil
			}
		}
		return fmt.Errorf("its events are %+v", events)
	})
	if err != nil {
		t.Fatal(err)
	}
	if object, err := c.Get(t.Context()); err != nil || object["status"] != nil && object["status"].(kubetest.Object)["observedGeneration"] != nil {
		t.Errorf("the operator refused the spec and wrote %v, %v", object["status"], err)
	}
}

func TestRealOperator_proxyToTheHead(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := cluster(t, s, nil)
	got := make(chan *http.Request, 1)
	dashboard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Clone(t.Context())
		_, _ = io.WriteString(w, `{"version":"2.60.0"}`)
	}))
	defer dashboard.Close()
	if err := c.ServeHead(t.Context(), map[string]string{"dashboard": dashboard.Listener.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	proxy := "/api/v1/namespaces/" + c.Namespace + "/services/" + c.Name + "-head-svc:dashboard/proxy/api/version"
	var answer struct{ Version string }
	err := c.WaitFor(t.Context(), "to be reached through the API server", func(kubetest.Object) error {
		header := http.Header{"X-Ray-Authorization": {"Bearer for-ray"}}
		return s.Do(t.Context(), kubetest.Request{Path: proxy, Header: header}, &answer)
	})
	if err != nil {
		t.Fatal(err)
	}
	r := <-got
	if answer.Version != "2.60.0" || r.URL.Path != "/api/version" {
		t.Errorf("%s answered %+v", r.URL, answer)
	}
	if auth := r.Header.Get("Authorization"); auth != "" {
		t.Error("the API server passed the credential on that was for itself")
	}
	if auth := r.Header.Get("X-Ray-Authorization"); auth != "Bearer for-ray" {
		t.Errorf("Ray got the credential %q", auth)
	}
	if err := c.ServeHead(t.Context(), map[string]string{"nonsense": "127.0.0.1:1"}); err == nil {
		t.Error("a port that the service does not have is no error")
	}
	var status *kubetest.StatusError
	err = s.Do(t.Context(), kubetest.Request{Path: strings.Replace(proxy, "dashboard", "client", 1)}, nil)
	if !errors.As(err, &status) || status.Code != http.StatusServiceUnavailable {
		t.Errorf("a port that nobody serves: %v, want 503", err)
	}
}
