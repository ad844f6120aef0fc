package requirements_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/requirements"
)

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "requirements.txt")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// texts are files with what Ray's client makes of them; ray_test.go asks it.
var texts = map[string]struct {
	content string
	want    []string
}{
	"plain":            {"torch==2.9.0\nsix\n", []string{"torch==2.9.0", "six"}},
	"comments stay":    {"# why\nsix  # because\n\n\nidna\n", []string{"# why", "six  # because", "", "idna"}},
	"line ends":        {"six\r\nidna\rattrs\n", []string{"six", "idna", "attrs"}},
	"twice":            {"six\nidna\nsix\n", []string{"six", "idna"}},
	"hashes":           {"six==1.17.0 \\\n    --hash=sha256:ab\n", []string{"six==1.17.0 \\", "    --hash=sha256:ab"}},
	"spaces around":    {"\x1c\n  six\n\u00a0\n", []string{"six"}},
	"nothing":          {"", []string{""}},
	"nothing but void": {" \n\n", []string{""}},
	"beyond ASCII":     {"six # é\n", []string{"six # é"}},
}

func TestPackages(t *testing.T) {
	t.Parallel()
	for name, c := range texts {
		got, err := requirements.Packages(file(t, c.content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	_, err := requirements.Packages(filepath.Join(t.TempDir(), "gone.txt"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "gone.txt") {
		t.Errorf("missing file: %v, want one that is fs.ErrNotExist and names it", err)
	}
	for name, path := range map[string]string{
		"not a file": t.TempDir(),
		"not UTF-8":  file(t, "\xff\xfes\x00"),
		"1 MiB":      file(t, strings.Repeat("six\n", requirements.MaxBytes/4)+"x"),
	} {
		_, err := requirements.Packages(path)
		var e *ray.Error
		if !errors.As(err, &e) || e.Kind != ray.KindInvalid || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an invalid input that says %q", err, name)
		}
	}
}

func TestConda(t *testing.T) {
	t.Parallel()
	got, err := requirements.Conda(file(t, "name: x\nchannels: [conda-forge]\ndependencies:\n  - python=3.10\n  - pip:\n      - six\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "x", "channels": []any{"conda-forge"}, "dependencies": []any{"python=3.10", map[string]any{"pip": []any{"six"}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, content := range map[string]string{
		"no map": "- six\n", "empty": "# nothing\n", "no YAML": "a: [", "two of a key": "name: a\nname: b\n",
		"a date": "name: 2026-01-01\n", "numbers as keys": "dependencies:\n  - 1: 2\n",
	} {
		if got, err := requirements.Conda(file(t, content)); err == nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
}

func TestLocal(t *testing.T) {
	t.Parallel()
	for requirement, path := range map[string]string{
		"-r base.txt": "base.txt", "-rbase.txt": "base.txt", "--requirement=a/b.txt": "a/b.txt", "--requirement b.txt # why": "b.txt",
		"-c ../constraints.txt": "../constraints.txt", "-e .": ".", "--find-links wheels": "wheels",
		"./lib": "./lib", ".": ".", ".[test]": ".[test]", "..": "..", `lib\x`: `lib\x`,
		"dist/x-1.0-py3-none-any.whl": "dist/x-1.0-py3-none-any.whl", "x.tar.gz": "x.tar.gz", "requirements.txt": "requirements.txt",
	} {
		var e *requirements.LocalError
		if err := requirements.Local([]string{"six", requirement}); !errors.As(err, &e) || e.Path != path {
			t.Errorf("%q: got %v, want that it names %q", requirement, err, path)
		}
	}
	for _, requirement := range []string{
		"", "# -r base.txt", "six", "torch==2.9.0", "ray[serve,default]>=2.9; python_version < '3.13'", "six # ./not/this",
		"x @ https://example.com/x-1.0.whl", "x @ file:///opt/x.whl", "git+https://example.com/x.git@main#egg=x", "https://example.com/x.zip",
		"-r ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/requirements.txt", "-r /opt/requirements.txt", "-c https://example.com/c.txt",
		"--extra-index-url https://example.com/simple", "--index-url=https://example.com/simple", "--no-binary :all:", "--pre",
		"    --hash=sha256:ab", "six==1.17.0 \\", "/opt/wheels/x.whl", `C:\wheels\x.whl`, "zipp", "requirements-parser",
	} {
		if err := requirements.Local([]string{requirement}); err != nil {
			t.Errorf("%q: %v", requirement, err)
		}
	}
}
