//go:build unix

package raytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// get and post are what StartHead needs of the dashboard. The real client is not
// used: what it is tested against should not depend on it.
func (h *Head) request(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.DashboardURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if h.Token != "" {
		req.Header.Set("Authorization", "Bearer "+h.Token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy, nothing left open
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return text, nil
}

// waitAlive waits until the state API lists the node as alive, and notes its id.
func (n *Node) waitAlive(ctx context.Context) error {
	return n.waitFor(ctx, "node "+n.Name+" to be alive", func(ctx context.Context) error {
		body, err := n.head.request(ctx, http.MethodGet, "/api/v0/nodes?detail=true&limit=10000", nil)
		if err != nil {
			return err
		}
		var list struct {
			Data struct {
				Result struct {
					Result []struct {
						ID    string `json:"node_id"`
						Name  string `json:"node_name"`
						State string `json:"state"`
					} `json:"result"`
				} `json:"result"`
			} `json:"data"`
		}
		if err := json.Unmarshal(body, &list); err != nil {
			return err
		}
		for _, row := range list.Data.Result.Result {
			if row.Name == n.Name && row.State == "ALIVE" && row.ID != n.before {
				n.ID = row.ID
				return nil
			}
		}
		return fmt.Errorf("not among the %d nodes", len(list.Data.Result.Result))
	})
}

// reported is an error until the head's command line is known, which tells where the
// GCS is.
func (h *Head) reported(ctx context.Context) error {
	body, err := h.request(ctx, http.MethodGet, "/nodes?view=summary", nil)
	if err == nil && !bytes.Contains(body, []byte("--gcs-address=")) {
		err = errors.New("no node has reported its command line yet")
	}
	return err
}

const warmUpID = "raytest-warm-up"

// warmUp runs a job, step by step: each call does the next step, and nil means
// that it has ended. Its record stays: Ray 2.60 brings a job that is deleted
// within some two seconds of its end back as FAILED.
func (h *Head) warmUp(ctx context.Context) error {
	body, err := h.request(ctx, http.MethodGet, "/api/jobs/"+warmUpID, nil)
	if err != nil {
		_, post := h.request(ctx, http.MethodPost, "/api/jobs/", []byte(`{"submission_id":"`+warmUpID+`","entrypoint":"true"}`))
		return errors.Join(err, post)
	}
	var job struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &job); err != nil {
		return err
	}
	switch job.Status {
	case "SUCCEEDED":
		return nil
	case "FAILED":
		_, err := h.request(ctx, http.MethodDelete, "/api/jobs/"+warmUpID, nil)
		return errors.Join(fmt.Errorf("the first job failed: %s", job.Message), err)
	}
	return fmt.Errorf("the first job is %s", job.Status)
}

// Log returns the ends of the logs of the head's session and of every node's
// `ray start`, for the message of a failed test.
func (h *Head) Log() string {
	var b strings.Builder
	files, _ := filepath.Glob(filepath.Join(h.TempDir, "*.out"))
	for _, pattern := range []string{"gcs_server*", "raylet*", "dashboard.log", "dashboard.err", "dashboard_Job*", "dashboard_agent.log", "ray_client_server.err", "ray_process_exit.log"} {
		more, _ := filepath.Glob(filepath.Join(h.TempDir, "session_latest", "logs", pattern))
		files = append(files, more...)
	}
	for _, f := range files {
		text := tail(f, 4<<10)
		if text != "" {
			fmt.Fprintf(&b, "--- %s\n%s\n", strings.TrimPrefix(f, h.TempDir+"/"), text)
		}
	}
	return b.String()
}

// tail returns the last n bytes of a file, from the first whole line on; "" if
// it is empty or can't be read.
func tail(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	cut := max(0, info.Size()-n)
	text, err := io.ReadAll(io.NewSectionReader(f, cut, n))
	if err != nil {
		return ""
	}
	if cut > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return strings.TrimSpace(string(text))
}
