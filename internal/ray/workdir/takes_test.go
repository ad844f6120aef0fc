package workdir_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/workdir"
)

func TestTakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{".gitignore": "*.tmp\n", "a/.gitignore": "/logs\n", "a/b/x": ""} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]bool{
		"x.log": true, "a/b/x.log": true, "not/there/x.log": true, "a/b/logs/x": true, "logs/x": true,
		"x.tmp": false, "a/b/c/x.tmp": false, "a/logs/x": false, "a/logs": false, "data/x": false, ".git/x": false, "a/venv/x": false,
	} {
		got, err := workdir.Takes(t.Context(), dir, file, workdir.Options{Excludes: []string{"/data"}})
		if got != want || err != nil {
			t.Errorf("%s: got %t, %v, want %t", file, got, err, want)
		}
	}
}
