package workdir

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// realRay is testdata/ray_packaging.py, running on the Ray of RAY_VENV.
type realRay struct {
	tb  testing.TB
	in  *json.Encoder
	out *bufio.Reader
}

type question struct {
	Op        string   `json:"op"`
	Dir       string   `json:"dir,omitempty"`
	Excludes  []string `json:"excludes"`
	Gitignore bool     `json:"gitignore"`
	Out       string   `json:"out,omitempty"`
	Patterns  []string `json:"patterns,omitempty"`
	Paths     []string `json:"paths,omitempty"`
}

type reply struct {
	URI     string
	Seconds float64
	Entries [][]any
	Matches []bool
	Error   string
}

// startRay skips the test where RAY_VENV names no virtual environment with Ray.
func startRay(tb testing.TB) *realRay {
	tb.Helper()
	venv := os.Getenv("RAY_VENV")
	if venv == "" {
		tb.Skip("RAY_VENV names no virtual environment with Ray; testdata has what Ray 2.60 answered")
	}
	cmd := exec.Command(filepath.Join(venv, "bin", "python"), "testdata/ray_packaging.py")
	cmd.Env = append(os.Environ(), "PYTHONUTF8=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("ray_packaging.py: %v", err)
		}
	})
	return &realRay{tb, json.NewEncoder(in), bufio.NewReader(out)}
}

func (r *realRay) ask(q question) reply {
	r.tb.Helper()
	if err := r.in.Encode(q); err != nil {
		r.tb.Fatal(err)
	}
	line, err := r.out.ReadBytes('\n')
	if err != nil {
		r.tb.Fatal(err)
	}
	var a reply
	if err := json.Unmarshal(line, &a); err != nil {
		r.tb.Fatalf("%s: %v", line, err)
	}
	return a
}

func about(op, dir string, o Options) question {
	return question{Op: op, Dir: dir, Excludes: o.excludes(), Gitignore: !o.IgnoreGitignore}
}

func TestRealRayNamesRecordedTreesAlike(t *testing.T) {
	t.Parallel()
	py := startRay(t)
	for _, r := range recordedTrees(t) {
		a := py.ask(about("hash", build(t, r.Tree...), r.options()))
		if a.URI != r.URI || a.Error != r.Ray {
			t.Errorf("%s: Ray says %q %q, recorded is %q %q", r.Name, a.URI, a.Error, r.URI, r.Ray)
		}
	}
}

func TestRealRayPacksAlike(t *testing.T) {
	t.Parallel()
	py := startRay(t)
	out := filepath.Join(t.TempDir(), "ray.zip")
	for _, r := range recordedTrees(t) {
		if r.Error != "" {
			continue
		}
		dir := build(t, r.Tree...)
		q := about("zip", dir, r.options())
		q.Out = out
		a := py.ask(q)
		if a.Error != "" {
			t.Errorf("%s: %s", r.Name, a.Error)
			continue
		}
		tree, _ := scanHash(t, dir, r.options())
		if diff := cmp.Diff(a.entries(), zipEntries(t, tree)); diff != "" {
			t.Errorf("%s: zip (-Ray +ours):\n%s", r.Name, diff)
		}
	}
}

// entries are by name what zipEntries returns.
func (a reply) entries() map[string]string {
	out := map[string]string{}
	for _, e := range a.Entries {
		out[e[0].(string)] = fmt.Sprint(e[1:])
	}
	return out
}

// The zip of a module is Ray's. Its name is Ray's for a directory that holds nothing
// but the module, since Ray's own leaves out what the module is called.
func TestRealRayPacksModulesAlike(t *testing.T) {
	t.Parallel()
	py := startRay(t)
	out := filepath.Join(t.TempDir(), "ray.zip")
	rays := map[string]string{} // URI of Ray's by content
	for _, name := range []string{"mod", "renamed"} {
		for _, r := range recordedTrees(t) {
			if r.Error != "" || r.Name == "unreadable file" {
				continue
			}
			root := build(t)
			dir := filepath.Join(root, name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, n := range r.Tree {
				if err := n.make(dir); err != nil {
					t.Fatal(err)
				}
			}
			options := Options{Excludes: r.Excludes, DefaultExcludes: moduleExcludes, IgnoreGitignore: r.IgnoreGitignore}
			tree, err := ScanModule(t.Context(), dir, options)
			if err != nil {
				t.Errorf("%s: %v", r.Name, err)
				continue
			}
			hash, err := tree.Hash(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			q := about("module", dir, options)
			q.Out = out
			a := py.ask(q)
			if diff := cmp.Diff(a.entries(), zipEntries(t, tree)); diff != "" || a.Error != "" {
				t.Errorf("%s: %s zip (-Ray +ours):\n%s", r.Name, a.Error, diff)
			}
			if first, ok := rays[r.Name]; ok && first != a.URI {
				t.Errorf("%s: Ray tells a renamed module apart (%s, %s), so that its own name would do", r.Name, first, a.URI)
			}
			rays[r.Name] = a.URI
			if len(r.Excludes) > 0 { // of which those with a slash are about another place then
				continue
			}
			if a := py.ask(about("hash", root, options)); a.URI != hash.URI {
				t.Errorf("%s: URI %s, Ray's of a directory that holds it is %s", r.Name, hash.URI, a.URI)
			}
		}
	}
}

func TestRealRayNamesArchivesAlike(t *testing.T) {
	t.Parallel()
	py := startRay(t)
	for _, name := range []string{"a.zip", "a.tar.gz", "a.tgz", "a.tar.xz"} {
		path := filepath.Join(build(t, file(name, "PK\x05\x06"+name)), name)
		a, err := ReadArchive(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if r := py.ask(question{Op: "file", Dir: path}); r.URI != a.URI {
			t.Errorf("%s: URI %s, Ray's is %s %s", name, a.URI, r.URI, r.Error)
		}
	}
}

// zipEntries lists a zip in the order of fields that ray_packaging.py has.
func zipEntries(t *testing.T, tree *Tree) map[string]string {
	t.Helper()
	var b bytes.Buffer
	if err := tree.WriteZip(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]string{}
	for _, f := range z.File {
		numbers := []float64{
			float64(f.CRC32), float64(f.UncompressedSize64), float64(f.ExternalAttrs >> 16), float64(f.Flags),
			float64(f.ExternalAttrs & 0xffff), float64(f.CreatorVersion >> 8), float64(f.Method),
		}
		entries[f.Name] = fmt.Sprint(numbers)
	}
	return entries
}

func TestRealRayMatchesRandomPatternsAlike(t *testing.T) {
	t.Parallel()
	py := startRay(t)
	rng := rand.New(rand.NewPCG(1, 2))
	text := func(alphabet []string, most int) string {
		var b strings.Builder
		for range 1 + rng.IntN(most) {
			b.WriteString(alphabet[rng.IntN(len(alphabet))])
		}
		return b.String()
	}
	meta := strings.Split("a|b|c|foo|.|/|/|*|**|**/|/**|?|[|]|[a-c]|[!a]|!|\\|#| |-|^|ü|\n|(|+|$", "|")
	plain := strings.Split("a|b|c|foo|.|/|/|d| |-|^|ü|[|]|!|\\|#|(|\n", "|")
	for range 2000 {
		patterns := []string{text(meta, 6), text(meta, 6)}
		var paths []string
		for range 12 {
			if p := strings.TrimPrefix(filepath.Clean(text(plain, 6)), "/"); p != "" && !strings.HasPrefix(p, "..") {
				paths = append(paths, p)
			}
		}
		a := py.ask(question{Op: "match", Patterns: patterns, Paths: paths})
		s, err := newSpec("excludes", "", patterns)
		if (err != nil) != (a.Error != "") {
			t.Errorf("patterns %q: %v, Ray says %q", patterns, err, a.Error)
			continue
		}
		for i, p := range paths {
			if err == nil && (s.match(p) != nil) != a.Matches[i] {
				t.Errorf("patterns %q leave out %q: %t, in Ray %t", patterns, p, !a.Matches[i], a.Matches[i])
			}
		}
	}
}

func TestRealRayNamesRandomTreesAlike(t *testing.T) {
	t.Parallel()
	py := startRay(t)
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	name := func() string { return pick("a", "b", "c.py", "build", "x.o", "é", "d e") }
	line := func() string {
		return pick("", "!") + pick("", "/", "**/", "a/", "build/") + pick("a", "b", "*.py", "build", "*.o", "é", "[a-c]", "d*", "?") + pick("", "", "/", "/*", "/**") + "\n"
	}
	for i := range 150 {
		dir := build(t)
		for range 25 {
			path := strings.Join([]string{name(), name(), name()}[:1+rng.IntN(3)], "/")
			n := node{Path: path, Text: pick("", "1", "22", "333")}
			switch rng.IntN(10) {
			case 0:
				n = node{Path: path, Dir: true}
			case 1:
				n = node{Path: filepath.Join(filepath.Dir(path), pick(".gitignore", ".rayignore")), Text: line() + line()}
			case 2:
				n = node{Path: path, Link: "nowhere"}
			}
			if err := n.make(dir); err != nil {
				continue // there is a file where this one needs a directory
			}
		}
		options := Options{Excludes: []string{strings.TrimSpace(line())}, IgnoreGitignore: rng.IntN(4) == 0}
		want := py.ask(about("hash", dir, options))
		tree, err := Scan(t.Context(), dir, options)
		if kindName(err) == "EmptyError" {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		hash, err := tree.Hash(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if hash.URI != want.URI {
			t.Errorf("tree %d in %s: URI %s, Ray's %s %s", i, dir, hash.URI, want.URI, want.Error)
		}
	}
}
