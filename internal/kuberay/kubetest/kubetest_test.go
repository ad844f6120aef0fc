//go:build unix

package kubetest_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/kuberay/kubetest"
)

// crashEnv makes this test binary start a server, print its directory, and wait to
// be killed.
const crashEnv = "KUBETEST_SELF_CRASH"

// shared is the server of all tests that change nothing which others rely on.
var shared = sync.OnceValues(func() (*kubetest.Server, error) {
	return kubetest.Start(context.Background(), kubetest.Options{Operator: true})
})

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		s, err := kubetest.Start(context.Background(), kubetest.Options{NoCRDs: true})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(s.Dir)
		select {}
	}
	// The shared server ends with this process.
	os.Exit(m.Run())
}

func server(t *testing.T) *kubetest.Server {
	t.Helper()
	began := time.Now()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the server was ready after %.1f s", time.Since(began).Seconds())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.Log())
		}
	})
	return s
}

// cluster creates a RayCluster in a namespace of the test's own.
func cluster(t *testing.T, s *kubetest.Server, change func(kubetest.Object)) *kubetest.RayCluster {
	t.Helper()
	namespace := strings.ToLower(strings.NewReplacer("_", "-", "/", "-").Replace(t.Name()))
	if err := s.CreateNamespace(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	c, err := s.CreateRayCluster(t.Context(), kubetest.RayClusterOptions{Namespace: namespace, Name: "ml", Change: change})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRealServer_withoutKubeRay(t *testing.T) {
	t.Parallel()
	s, err := kubetest.Start(t.Context(), kubetest.Options{NoCRDs: true})
	if err != nil {
		t.Fatal(err)
	}
	create := func() (*kubetest.RayCluster, error) {
		return s.CreateRayCluster(t.Context(), kubetest.RayClusterOptions{Name: "ml"})
	}
	// What tells a server without KubeRay from one without this RayCluster.
	if c, err := create(); !isStatus(err, http.StatusNotFound, "could not find the requested resource") && !isStatus(err, http.StatusNotFound, "page not found") {
		t.Errorf("without the custom resource definition: %v, %v", c, err)
	}
	if err := s.InstallCRDs(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := create()
	if err != nil {
		t.Fatal(err)
	}
	if object, err := c.Get(t.Context()); err != nil || object["kind"] != "RayCluster" {
		t.Errorf("read back: %v, %v", object, err)
	}
	if err := c.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(t.Context()); !isStatus(err, http.StatusNotFound, `rayclusters.ray.io "ml" not found`) {
		t.Errorf("after the deletion: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	requireGone(t, s.Dir, 0)
}

func isStatus(err error, code int, text string) bool {
	return kubetest.HasStatus(err, code) && strings.Contains(err.Error(), text)
}

// requireGone fails unless, within patience, the directory is removed and no
// process mentions it.
func requireGone(t *testing.T, dir string, patience time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.Command("ps", "-A", "-ww", "-o", "pid,command").Output()
		if err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(dir)
		if os.IsNotExist(err) && !strings.Contains(string(out), dir) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind: directory %s (%v) or processes of it:\n%s", dir, err, out)
			return
		}
	}
}

// A test binary that is killed outright, as go test does on its time-out, must
// not leave a server behind.
func TestRealServer_diesWithItsStarter(t *testing.T) {
	t.Parallel()
	self := exec.CommandContext(t.Context(), os.Args[0])
	self.Env = append(os.Environ(), crashEnv+"=1")
	out, err := self.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error:") {
		t.Fatalf("%q, %v", line, err)
	}
	if err := self.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = self.Wait() // it was killed, so this is an error
	requireGone(t, strings.TrimSpace(line), 10*time.Second)
}

func TestRealServer_failureShowsTheLog(t *testing.T) {
	t.Parallel()
	_, err := kubetest.Start(t.Context(), kubetest.Options{Bin: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "make kube") {
		t.Errorf("got %v, want the cure", err)
	}
}

// What guarded patches of a RayCluster rely on. Each is a dry run, which the server
// judges as it judges a patch.
func TestRealServer_jsonPatch(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := cluster(t, s, nil)
	object, err := c.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const group = "/spec/workerGroupSpecs/0"
	uid := object["metadata"].(kubetest.Object)["uid"]
	type ops = []kubetest.Op
	for name, tt := range map[string]struct {
		ops  ops
		code int // 0 where it is taken
		text string
	}{
		"what is there":                    {ops: ops{{"test", "/metadata/uid", uid}, {"test", group + "/groupName", "cpu"}, {"test", group + "/minReplicas", 1}, {"add", group + "/minReplicas", 2}}},
		"another value":                    {ops{{"test", group + "/minReplicas", 2}, {"add", group + "/minReplicas", 3}}, 422, "the server rejected our request due to an error in our request"},
		"another uid":                      {ops{{"test", "/metadata/uid", "other"}, {"add", group + "/minReplicas", 3}}, 422, "the server rejected our request"},
		"null for what is absent":          {ops: ops{{"test", group + "/idleTimeoutSeconds", nil}, {"add", group + "/idleTimeoutSeconds", 30}}},
		"null for what is there":           {ops{{"test", group + "/minReplicas", nil}}, 422, "the server rejected our request"},
		"add below what is absent":         {ops{{"add", group + "/scaleStrategy/workersToDelete", []string{"x"}}}, 422, "the server rejected our request"},
		"remove what is absent":            {ops{{"remove", group + "/idleTimeoutSeconds", nil}}, 422, "the server rejected our request"},
		"a group that is not there":        {ops{{"add", "/spec/workerGroupSpecs/7/minReplicas", 1}}, 422, "the server rejected our request"},
		"another type":                     {ops{{"add", group + "/minReplicas", "two"}}, 422, `must be of type integer: "string"`},
		"another word":                     {ops{{"add", "/spec/autoscalerOptions/upscalingMode", "Fast"}}, 422, `supported values: "Default", "Aggressive", "Conservative"`},
		"more at least than at most":       {ops: ops{{"add", group + "/minReplicas", 50}}},
		"fewer than none":                  {ops: ops{{"add", group + "/minReplicas", -1}}},
		"replace what is absent":           {ops: ops{{"replace", group + "/scaleStrategy", kubetest.Object{"workersToDelete": []string{"x"}}}}},
		"an unknown field, not looked for": {ops: ops{{"add", "/spec/idleSuspend", true}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var after kubetest.Object
			err := s.Do(t.Context(), kubetest.Request{Method: http.MethodPatch, Path: c.Path() + "?dryRun=All", Body: tt.ops, ContentType: kubetest.JSONPatch}, &after)
			if tt.code == 0 && err != nil || tt.code != 0 && !isStatus(err, tt.code, tt.text) {
				t.Errorf("got %v, want %d %s", err, tt.code, tt.text)
			}
			if spec, _ := after["spec"].(kubetest.Object); spec["idleSuspend"] != nil {
				t.Error("an unknown field was kept")
			}
		})
	}
	t.Run("an unknown field, looked for", func(t *testing.T) {
		t.Parallel()
		err := s.Do(t.Context(), kubetest.Request{
			Method: http.MethodPatch, Path: c.Path() + "?dryRun=All&fieldValidation=Strict",
			Body: ops{{"add", "/spec/idleSuspend", true}}, ContentType: kubetest.JSONPatch,
		}, nil)
		if !isStatus(err, 422, `unknown field "spec.idleSuspend"`) {
			t.Errorf("got %v, want 422 that names the field", err)
		}
	})
}

func TestRealServer_users(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := cluster(t, s, nil)
	read := kubetest.Rule{APIGroups: []string{"ray.io"}, Resources: []string{"rayclusters"}, Verbs: []string{"get"}}
	write := kubetest.Rule{APIGroups: []string{"ray.io"}, Resources: []string{"rayclusters"}, Verbs: []string{"patch"}}
	user, err := s.Account(t.Context(), c.Namespace, "reader", read)
	if err != nil {
		t.Fatal(err)
	}
	patch := kubetest.Request{
		User: user, Method: http.MethodPatch, Path: c.Path(), ContentType: kubetest.JSONPatch,
		Body: []kubetest.Op{{Op: "add", Path: "/spec/workerGroupSpecs/0/minReplicas", Value: 2}},
	}
	if err := s.Do(t.Context(), kubetest.Request{User: user, Path: c.Path()}, nil); err != nil {
		t.Errorf("read: %v", err)
	}
	want := `User "` + user.Name + `" cannot patch resource "rayclusters" in API group "ray.io" in the namespace "` + c.Namespace + `"`
	if err := s.Do(t.Context(), patch, nil); !isStatus(err, http.StatusForbidden, want) {
		t.Errorf("patch: %v, want 403 and %s", err, want)
	}
	if err := s.Do(t.Context(), kubetest.Request{User: user, Path: "/apis/ray.io/v1/namespaces/default/rayclusters/ml"}, nil); !kubetest.HasStatus(err, http.StatusForbidden) {
		t.Errorf("read in another namespace: %v, want 403", err)
	}
	if _, err := s.Account(t.Context(), c.Namespace, "reader", read, write); err != nil {
		t.Fatal(err)
	}
	if err := s.Do(t.Context(), patch, nil); err != nil {
		t.Errorf("patch with the right to: %v", err)
	}
	nobody := kubetest.User{Name: "nobody", Token: "no-such-token"}
	if err := s.Do(t.Context(), kubetest.Request{User: nobody, Path: c.Path()}, nil); !kubetest.HasStatus(err, http.StatusUnauthorized) {
		t.Errorf("an unknown token: %v, want 401", err)
	}
	member, err := s.Certificate("somebody", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Do(t.Context(), kubetest.Request{User: member, Path: c.Path()}, nil); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
}
