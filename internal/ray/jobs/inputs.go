package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// DigestVersion is the version of the digest's form. It stands in every digest,
// and the form of a version never changes: digests lie in users' states and in
// the metadata of their jobs.
const DigestVersion = "v1"

// Inputs are all that makes a job this job and no other: a change of any of them
// is another job. What only steers how a run is waited for is not here.
type Inputs struct {
	// Name is unique per owner and cluster. Empty only with SubmissionID.
	Name string
	// SubmissionID is the user's own id; empty where the engine chooses.
	SubmissionID string
	// Entrypoint is the shell command, as posted.
	Entrypoint string
	// RuntimeEnv is Ray's runtime_env without what the members below hold.
	RuntimeEnv map[string]any
	// EnvVarsVersion and RuntimeEnvVersion stand for the values of Request.Hidden,
	// which no digest may hold.
	EnvVarsVersion, RuntimeEnvVersion string
	// WorkingDir is a remote URI. Empty with a directory.
	WorkingDir string
	// WorkingDirHash is the hash of a directory's content, "v1:<hex>:<hex>"; the
	// directory's path and its package's URI are no inputs.
	WorkingDirHash string
	// PyModules are the entries of py_modules: remote URIs, and the hashes of the
	// content of those that are uploaded.
	PyModules []string
	// Resources of the entrypoint; nil is not set.
	NumCPUs, NumGPUs *float64
	MemoryBytes      *int64
	Resources        ray.Resources
	LabelSelector    map[string]string
	// Triggers are arbitrary values whose change makes another job.
	Triggers map[string]string
}

// Digest returns "v1:" and 64 hex digits: the SHA-256 of the inputs' canonical
// JSON. Absent, null and empty are one, so that an attribute added later does not
// change the digest of those who do not set it.
func (in Inputs) Digest() (string, error) {
	body, err := Canonical(in.document())
	if err != nil {
		return "", fmt.Errorf("digest of the job's inputs: %w", err)
	}
	sum := sha256.Sum256(body)
	return DigestVersion + ":" + hex.EncodeToString(sum[:]), nil
}

// document is the v1 form of the inputs: the members of Ray's request by Ray's
// names, a directory in place of its package's URI by its hash, and what Ray does
// not know (name, triggers) beside them.
func (in Inputs) document() map[string]any {
	doc := map[string]any{}
	text := func(key, v string) {
		if v != "" {
			doc[key] = v
		}
	}
	text("name", in.Name)
	text("submission_id", in.SubmissionID)
	text("entrypoint", in.Entrypoint)
	text("env_vars_wo_version", in.EnvVarsVersion)
	text("runtime_env_json_wo_version", in.RuntimeEnvVersion)
	env := in.env()
	switch {
	case in.WorkingDirHash != "":
		env["working_dir"] = in.WorkingDirHash
	case in.WorkingDir != "":
		env["working_dir"] = in.WorkingDir
	}
	if len(in.PyModules) > 0 {
		env["py_modules"] = in.PyModules
	}
	if len(env) > 0 {
		doc["runtime_env"] = env
	}
	if in.NumCPUs != nil {
		doc["entrypoint_num_cpus"] = *in.NumCPUs
	}
	if in.NumGPUs != nil {
		doc["entrypoint_num_gpus"] = *in.NumGPUs
	}
	if in.MemoryBytes != nil {
		doc["entrypoint_memory"] = *in.MemoryBytes
	}
	if len(in.Resources) > 0 {
		resources := make(map[string]any, len(in.Resources))
		for k, v := range in.Resources {
			resources[k] = v
		}
		doc["entrypoint_resources"] = resources
	}
	if len(in.LabelSelector) > 0 {
		doc["entrypoint_label_selector"] = in.LabelSelector
	}
	if len(in.Triggers) > 0 {
		doc["triggers"] = in.Triggers
	}
	return doc
}

// env is the runtime_env without what stands for nothing.
func (in Inputs) env() map[string]any {
	env := make(map[string]any, len(in.RuntimeEnv)+2)
	for k, v := range in.RuntimeEnv {
		if !Empty(v) {
			env[k] = v
		}
	}
	return env
}

// Empty reports whether v stands for nothing in a runtime_env: null, and a map or
// list without members.
func Empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case map[string]string:
		return len(v) == 0
	case []any:
		return len(v) == 0
	case []string:
		return len(v) == 0
	}
	return false
}

// DecodeObject reads a JSON object, numbers kept as written. It is an error where
// text holds anything else or anything more.
func DecodeObject(text string) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("not one JSON object: more follows it")
	}
	if v == nil {
		return nil, fmt.Errorf("not a JSON object: null")
	}
	return v, nil
}

// SameJSON reports whether a and b, decoded JSON, say the same. A value that Ray
// shows as "<redacted>" is the same as any string.
func SameJSON(a, b any) bool {
	x, errX := Canonical(a)
	y, errY := Canonical(b)
	if errX != nil || errY != nil {
		return false
	}
	if bytes.Equal(x, y) {
		return true
	}
	if !strings.Contains(string(x), ray.Redacted) && !strings.Contains(string(y), ray.Redacted) {
		return false
	}
	var p, q any
	if json.Unmarshal(x, &p) != nil || json.Unmarshal(y, &q) != nil {
		return false
	}
	return sameRedacted(p, q)
}

func sameRedacted(a, b any) bool {
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return ok && (x == y || x == ray.Redacted || y == ray.Redacted)
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			other, ok := y[k]
			if !ok || !sameRedacted(x[k], other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !sameRedacted(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	return a == b
}
