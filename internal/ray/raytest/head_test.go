//go:build unix

package raytest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// crashEnv makes this test binary start an autoscaling head, print its directory
// and dashboard, and wait to be killed.
const crashEnv = "RAYTEST_SELF_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		head, err := raytest.StartHead(context.Background(), raytest.HeadOptions{Autoscaler: raytest.AutoscalerV2})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(head.TempDir, head.DashboardURL)
		select {}
	}
	os.Exit(m.Run())
}

// startHead starts a head of the test's own, and shows its logs if the test fails.
func startHead(t *testing.T, opts raytest.HeadOptions) *raytest.Head {
	t.Helper()
	began := time.Now()
	head, err := raytest.StartHead(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the head was ready after %.1f s", time.Since(began).Seconds())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(head.Log())
		}
		stopped := time.Now()
		if err := head.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		t.Logf("it was gone after %.1f s", time.Since(stopped).Seconds())
		requireGone(t, head.TempDir, 0)
	})
	return head
}

// requireGone fails unless, within patience, the directory is removed and no
// process mentions it or works in it.
func requireGone(t *testing.T, dir string, patience time.Duration) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := processesOf(t, dir)
		if _, err := os.Stat(dir); os.IsNotExist(err) && left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind: directory %s or processes:\n%s", dir, left)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// processesOf lists the processes that mention dir in their command line or have
// it as their working directory, which also tells those that changed their title.
func processesOf(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("ps", "-A", "-ww", "-o", "pid,command").Output()
	if err != nil {
		t.Fatal(err)
	}
	var left strings.Builder
	for line := range strings.Lines(string(out)) {
		pid, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		cwd, _ := os.Readlink("/proc/" + pid + "/cwd")
		if strings.Contains(line, dir) || strings.HasPrefix(cwd, dir) {
			left.WriteString(line)
		}
	}
	return left.String()
}

// nodeState returns the state and the death reason of a node by the state API.
func nodeState(t *testing.T, head *raytest.Head, id string) (state, detail string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, head.DashboardURL+"/api/v0/nodes?detail=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+head.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Data struct {
			Result struct {
				Result []map[string]any `json:"result"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, row := range list.Data.Result.Result {
		if row["node_id"] == id {
			return fmt.Sprint(row["state"]), fmt.Sprint(row["state_message"])
		}
	}
	return "", ""
}

// submit submits a job and waits until it runs.
func submit(t *testing.T, head *raytest.Head, entrypoint string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"entrypoint": entrypoint})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, head.DashboardURL+"/api/jobs/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+head.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("submit: %s", resp.Status)
	}
	for range 300 {
		if strings.Contains(processesOf(t, head.TempDir), entrypoint) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the job does not run")
}

func waitState(t *testing.T, head *raytest.Head, id, want string) (detail string) {
	t.Helper()
	var state string
	for range 600 {
		if state, detail = nodeState(t, head, id); state == want {
			return detail
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("node %s is %q (%s), want %q", id, state, detail, want)
	return ""
}

func TestRealHead_nodesJoinAndDie(t *testing.T) {
	t.Parallel()
	// The GCS calls a node dead after 5 health checks of 3 s by default.
	quick := []string{"RAY_health_check_period_ms=1000", "RAY_health_check_timeout_ms=2000"}
	head := startHead(t, raytest.HeadOptions{Token: "raytest-token-0123456789", Env: quick})
	one, err := head.AddNode(t.Context(), raytest.NodeOptions{Resources: map[string]float64{"special": 2}, Labels: map[string]string{"tier": "small"}})
	if err != nil {
		t.Fatal(err)
	}
	two, err := head.AddNode(t.Context(), raytest.NodeOptions{NumCPUs: -1})
	if err != nil {
		t.Fatal(err)
	}
	if one.ID == two.ID || one.ID == "" {
		t.Fatalf("ids %q and %q", one.ID, two.ID)
	}
	if err := two.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped: %s", waitState(t, head, two.ID, "DEAD"))
	if state, _ := nodeState(t, head, one.ID); state != "ALIVE" {
		t.Errorf("the other node is %s", state)
	}
	// A driver has a session of its own, and dies with its cluster all the same.
	submit(t, head, "sleep 1000; : "+head.TempDir)
	if err := one.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("killed: %s", waitState(t, head, one.ID, "DEAD"))
}

func TestRealHead_restart(t *testing.T) {
	t.Parallel()
	redis, err := raytest.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := redis.Close(); err != nil {
			t.Error(err)
		}
	}()
	head := startHead(t, raytest.HeadOptions{Redis: redis, Env: []string{"RAY_JOB_START_TIMEOUT_SECONDS=30"}})
	before := clusterID(t, head)
	submit(t, head, "sleep 1000; : "+head.TempDir)
	needs(t, head, "unborn", "true", "nowhere")
	if err := head.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := head.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := clusterID(t, head); after != before {
		t.Errorf("with Redis the head came back as cluster %s, was %s", after, before)
	}
	requireUnborn(t, api(t, head))
}

// requireUnborn checks what the fake plays: a job that was PENDING stays so though its
// supervisor is dead, until a stop, which stops nothing, makes Ray look after it.
func requireUnborn(t *testing.T, client *dashboard.Client) {
	t.Helper()
	job, err := client.Job(t.Context(), "unborn")
	if err != nil || job.Status != ray.JobPending {
		t.Fatalf("after the restart %+v, %v; want PENDING", job, err)
	}
	if alive, err := client.SupervisorAlive(t.Context(), "unborn"); alive || err != nil {
		t.Errorf("its supervisor is alive: %t, %v", alive, err)
	}
	if stopping, err := client.Stop(t.Context(), "unborn"); stopping || err != nil {
		t.Errorf("stop: %t, %v; want that there is nothing to stop", stopping, err)
	}
	deadline := time.Now().Add(time.Minute)
	for !job.Status.Terminal() && time.Now().Before(deadline) {
		time.Sleep(500 * time.Millisecond)
		if job, err = client.Job(t.Context(), "unborn"); err != nil {
			t.Fatal(err)
		}
	}
	if job.ErrorType != "JOB_SUPERVISOR_ACTOR_START_TIMEOUT" {
		t.Errorf("it ended as %+v", job)
	}
}

func clusterID(t *testing.T, head *raytest.Head) string {
	t.Helper()
	client, err := dashboard.New(dashboard.Options{URL: head.DashboardURL})
	if err != nil {
		t.Fatal(err)
	}
	id, err := client.ClusterID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestRealHead_twoHeadsLiveSideBySide(t *testing.T) {
	t.Parallel()
	a := startHead(t, raytest.HeadOptions{Cold: true})
	b := startHead(t, raytest.HeadOptions{Cold: true})
	if a.DashboardURL == b.DashboardURL || a.GCSAddress == b.GCSAddress {
		t.Errorf("both on %s, %s", a.DashboardURL, a.GCSAddress)
	}
}

// A test binary that is killed outright, as go test does on its time-out, must
// not leave a Ray behind.
func TestRealHead_diesWithItsStarter(t *testing.T) {
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
	dir, url, _ := strings.Cut(strings.TrimSpace(line), " ")
	head := &raytest.Head{DashboardURL: url}
	needs(t, head, "long", "sleep 1000", "small")
	waitNode(t, head, "small")
	if err := self.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = self.Wait() // it was killed, so this is an error
	requireGone(t, dir, 10*time.Second)
}

func TestRealHead_failureShowsTheLog(t *testing.T) {
	t.Parallel()
	_, err := raytest.StartHead(t.Context(), raytest.HeadOptions{Args: []string{"--no-such-option"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Fatalf("got %v, want the message of ray start", err)
	}
}
