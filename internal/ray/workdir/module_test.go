package workdir

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func moduleAt(tb testing.TB, path string, options Options) *Package {
	tb.Helper()
	p, err := Module(tb.Context(), path, options)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// What states hold never changes.
func TestModulesAreNamedAsRecorded(t *testing.T) {
	t.Parallel()
	dir := build(t, file("mod/__init__.py", "x = 1\n"), file("mod/sub/deep.py", "y = 2\n"), file("one.py", "z = 3\n"), file("m-1.0-py3-none-any.whl", "wheel"), file("code.tar.gz", "archive"))
	got := map[string][]string{}
	for _, name := range []string{"mod", "one.py", "m-1.0-py3-none-any.whl"} {
		p := moduleAt(t, filepath.Join(dir, name), Options{})
		got[name] = []string{p.URI, LikeRecorded(p.Hash, "v1:any:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")}
	}
	a, err := WorkingDir(t.Context(), filepath.Join(dir, "code.tar.gz"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got["code.tar.gz"] = []string{a.URI, a.Hash}
	want := map[string][]string{
		"mod":                    {"gcs://_ray_pkg_bbc455510edf95b0.zip", "v1:cbd2dc9801490509a964a06ffa18a1b74e4cf22c5bf98c5ef65aeecc1e0089c6:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"one.py":                 {"gcs://_ray_pkg_6f8212bd4711c6d9.zip", "v1:8f01e9540a3cdd5e83a257d35faa3d3158d5c71d7020fd964c2c961aecd35f59:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"m-1.0-py3-none-any.whl": {"gcs://m-1.0-0_3a7195d99bee6bb1-py3-none-any.whl", "v1:file:ba59926159d2aa256eb8739b8da7e2b574b960e1202c6d624cbe981cef996c91"},
		"code.tar.gz":            {"gcs://_ray_pkg_ebfb55f4432b592119a10592e4f26272cc72359e.tar.gz", "v1:file:0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("URI and hash (-recorded +got):\n%s", diff)
	}
}

func TestModuleIsPackedUnderItsOwnName(t *testing.T) {
	t.Parallel()
	dir := build(t, file("mod/a.py", "1"), file("mod/sub/b.py", "2"), file("mod/__pycache__/a.pyc", "3"), file("mod/data.bin", "4"), file("mod/.gitignore", "*.log"), file("mod/x.log", "5"), node{Path: "mod/empty", Dir: true})
	tree, err := ScanModule(t.Context(), filepath.Join(dir, "mod"), Options{Excludes: []string{"/data.bin"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Hash(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkZip(t, dir, tree, []string{"mod/.gitignore", "mod/a.py", "mod/empty/", "mod/sub/b.py"})
	single, err := ScanModule(t.Context(), filepath.Join(dir, "mod", "a.py"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := single.Hash(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkZip(t, filepath.Join(dir, "mod"), single, []string{"a.py"})
}

func TestModulesNameAndContentMakeThePackage(t *testing.T) {
	t.Parallel()
	dir := build(t, file("mod/a.py", "1"), file("elsewhere/mod/a.py", "1"), file("renamed/a.py", "1"), file("changed/mod/a.py", "2"), link("linked", "mod"))
	first := moduleAt(t, filepath.Join(dir, "mod"), Options{})
	for path, same := range map[string]bool{"elsewhere/mod": true, "mod/../mod/": true, "renamed": false, "changed/mod": false, "linked": false} {
		p := moduleAt(t, filepath.Join(dir, filepath.FromSlash(path)), Options{})
		if (p.URI == first.URI) != same || (p.Hash == first.Hash) != same {
			t.Errorf("%s: %s %s, and mod is %s %s: want the same %t", path, p.URI, p.Hash, first.URI, first.Hash, same)
		}
	}
	asDir, err := WorkingDir(t.Context(), filepath.Join(dir, "mod"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if asDir.URI == first.URI {
		t.Errorf("a working_dir and a module of one directory are both %s, and hold different paths", asDir.URI)
	}
}

func TestModuleRefusals(t *testing.T) {
	t.Parallel()
	dir := build(t, file("mod.zip", "1"), file("notes.txt", "1"), file("bad.whl", "1"), file("mod/terraform.tfstate", "{}"), node{Path: "empty", Dir: true}, link("cycle/up", ".."), file("cycle/a.py", ""))
	for path, want := range map[string]string{
		"mod.zip": "NotModuleError", "notes.txt": "NotModuleError", "bad.whl": "WheelNameError", "mod": "TerraformFilesError", "empty": "EmptyError",
	} {
		if _, err := Module(t.Context(), filepath.Join(dir, path), Options{}); kindName(err) != want {
			t.Errorf("%s: %s (%v), want %s", path, kindName(err), err, want)
		}
	}
	for _, path := range []string{"gone", "gone.whl", "gone.py"} {
		if _, err := Module(t.Context(), filepath.Join(dir, path), Options{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want that it does not exist", path, err)
		}
	}
}

func TestWheelsNameTellsItsContent(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a_b-1.0-py3-none-any.whl":                                "gcs://a_b-1.0-0_*-py3-none-any.whl",
		"a-1.0-7-py3-none-any.whl":                                "gcs://a-1.0-7_*-py3-none-any.whl",
		"a-1.0+cu118-cp313-cp313-manylinux_2_17_x86_64.linux.whl": "gcs://a-1.0+cu118-0_*-cp313-cp313-manylinux_2_17_x86_64.linux.whl",
	} {
		dir := build(t, file(name, "first"))
		first := moduleAt(t, filepath.Join(dir, name), Options{})
		begin, end, _ := strings.Cut(want, "*")
		if !strings.HasPrefix(first.URI, begin) || !strings.HasSuffix(first.URI, end) || len(first.URI) != len(want)-1+16 {
			t.Errorf("%s: URI %s, want %s", name, first.URI, want)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("second"), 0o644); err != nil {
			t.Fatal(err)
		}
		if second := moduleAt(t, filepath.Join(dir, name), Options{}); second.URI == first.URI || second.Hash == first.Hash {
			t.Errorf("%s: other content, and still %s %s", name, second.URI, second.Hash)
		}
	}
}

func TestArchives(t *testing.T) {
	t.Parallel()
	dir := build(t, file("code.zip", "content"), file("code.tar.bz2", "1"), file("code.ZIP", "1"))
	path := filepath.Join(dir, "code.zip")
	p, err := WorkingDir(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.Write(t.Context(), &b); err != nil || b.String() != "content" || p.Size != 7 {
		t.Errorf("wrote %q (%v), size %d", b.String(), err, p.Size)
	}
	if err := os.WriteFile(path, []byte("CONTENT"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Write(t.Context(), io.Discard); kindName(err) != "ChangedError" {
		t.Errorf("Write of changed content: %v", err)
	}
	for _, name := range []string{"code.tar.bz2", "code.ZIP"} {
		if _, err := WorkingDir(t.Context(), filepath.Join(dir, name), Options{}); kindName(err) != "NotArchiveError" {
			t.Errorf("%s: %v, want a NotArchiveError", name, err)
		}
	}
	if err := os.Truncate(path, DefaultMaxBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := WorkingDir(t.Context(), path, Options{}); kindName(err) != "ArchiveSizeError" {
		t.Errorf("too large: %v", err)
	}
}

func TestURIs(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string][2]bool{ // working_dir, module
		"https://host/code.zip":                  {true, true},
		"https://host/code.zip?token=x":          {true, true},
		"https://host/code?name=x.zip":           {false, false},
		"s3://bucket/a/code.tar.gz":              {true, true},
		"gs://bucket/code.tgz":                   {true, true},
		"abfss://c@account.dfs.core/code.tar.xz": {true, true},
		"azure://container/code.zip":             {true, true},
		"file:///mnt/code.zip":                   {true, true},
		"gcs://_ray_pkg_0123456789abcdef.zip":    {true, true},
		"https://host/m-1.0-py3-none-any.whl":    {false, true},
		"https://host/code.tar.bz2":              {false, false},
		"https://github.com/o/r":                 {false, false},
		"git://host/code.zip":                    {false, false},
		"hdfs://host/code.zip":                   {false, false},
		"local:///opt/code":                      {true, true},
		"local://opt/code":                       {false, false},
		"local:///opt/code.zip":                  {false, false},
		"local://C:/code":                        {true, true},
		"https://user:p%zz@host/code.zip":        {false, false},
	} {
		if err := CheckWorkingDirURI(uri); (err == nil) != want[0] {
			t.Errorf("%s as working_dir: %v, want accepted %t", uri, err, want[0])
		}
		if err := CheckModuleURI(uri); (err == nil) != want[1] {
			t.Errorf("%s as module: %v, want accepted %t", uri, err, want[1])
		}
	}
}

func TestLikeRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"v1:aa:bb", "v1:aa:cc", "v1:aa:bb"},
		{"v1:aa:", "v1:dd:cc", "v1:aa:cc"},
		{"v1:aa:", "v1:file:cc", "v1:aa:"},
		{"v1:aa:", "", "v1:aa:"},
		{"v1:file:aa", "v1:dd:cc", "v1:file:aa"},
		{"v1:aa:", "https://h/x.zip", "v1:aa:"},
	} {
		if got := LikeRecorded(c[0], c[1]); got != c[2] {
			t.Errorf("LikeRecorded(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func TestSecretFilesAreFound(t *testing.T) {
	t.Parallel()
	const key = "-----BEGIN RSA PRIVATE KEY-----\n"
	dir := build(t,
		file("main.py", ""), file(".env", "A=1"), file("conf/.env.production", ""), file(".env.example", ""), file("prod.tfvars", ""), file("certs/ca.pem", "-----BEGIN CERTIFICATE-----"),
		file("certs/server.pem", key), file("server.key", key), file("model.key", "weights"), file("id_rsa", ""), file("id_rsa.pub", ""), file("ssh/id_ed25519", ""), file(".venv/.env", ""), file("x/.netrc", ""))
	p, err := WorkingDir(t.Context(), dir, Options{Excludes: []string{"/main.py"}})
	if err != nil {
		t.Fatal(err)
	}
	want := &SecretFiles{
		Paths: []string{".env", "certs/server.pem", "conf/.env.production", "id_rsa", "prod.tfvars"}, More: 3,
		Excludes: []string{"/main.py", ".env", "server.pem", ".env.production", "id_rsa", "prod.tfvars", "server.key", "id_ed25519", ".netrc"},
	}
	if diff := cmp.Diff(want, p.Secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	mended, err := WorkingDir(t.Context(), dir, Options{Excludes: want.Excludes})
	if err != nil || mended.Secrets != nil {
		t.Errorf("with the excludes that mend it: %v, %v", mended.Secrets, err)
	}
	m := moduleAt(t, filepath.Join(dir, "x"), Options{})
	if m.Secrets == nil || m.Secrets.Paths[0] != "x/.netrc" {
		t.Errorf("secrets of a module: %v", m.Secrets)
	}
}

func TestExcludesOfAModuleMend(t *testing.T) {
	t.Parallel()
	lib := filepath.Join(build(t, file("lib/__init__.py", ""), file("lib/out/saved", planHead)), "lib")
	var refused *TerraformFilesError
	if _, err := Module(t.Context(), lib, Options{}); !errors.As(err, &refused) {
		t.Fatalf("got %v, want a *TerraformFilesError", err)
	}
	if _, err := Module(t.Context(), lib, Options{Excludes: refused.Excludes}); err != nil {
		t.Errorf("with the excludes %q that the error names: %v", refused.Excludes, err)
	}
}
