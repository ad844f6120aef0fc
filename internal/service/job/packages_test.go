package job_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raytest"
)

// files makes files in a new directory.
func files(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// postedModules are the URIs of the only job's py_modules.
func postedModules(t *testing.T, fake *raytest.Fake) []string {
	t.Helper()
	list, _ := postedEnv(t, fake)["py_modules"].([]any)
	out := make([]string, len(list))
	for i, uri := range list {
		out[i] = fmt.Sprint(uri)
	}
	return out
}

func TestFakeJob_modulesAreUploadedAndWatched(t *testing.T) {
	tf, fake := newTest(t)
	dir := files(t, map[string]string{"lib/a.py": "1", "lib/skipped.txt": "", "one.py": "2", "w-1.0-py3-none-any.whl": "3", "code/main.py": "4"})
	remote := "https://host/other.zip"
	job := config{
		"name": "a", "entrypoint": "true", "working_dir": filepath.Join(dir, "code"), "excludes": []any{"*.txt"},
		"py_modules": []any{filepath.Join(dir, "lib"), filepath.Join(dir, "one.py"), filepath.Join(dir, "w-1.0-py3-none-any.whl"), remote},
	}
	tf.Resource(addr, job)
	tf.MustApply()
	posted := postedModules(t, fake)
	if len(posted) != 4 || posted[3] != remote || !strings.HasPrefix(posted[2], "gcs://w-1.0-0_") {
		t.Fatalf("posted %v", posted)
	}
	if got := len(fake.Packages()); got != 4 {
		t.Errorf("%d packages on the cluster, want 3 modules and the working_dir", got)
	}
	body, _ := fake.Package(posted[0])
	z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil || len(z.File) != 1 || z.File[0].Name != "lib/a.py" {
		t.Errorf("the package of lib holds %v (%v), want lib/a.py alone", z.File, err)
	}
	hashes, _ := tf.State(addr)["py_modules_hashes"].([]any)
	if len(hashes) != 4 || hashes[3] != remote || !strings.HasPrefix(fmt.Sprint(hashes[2]), "v1:file:") {
		t.Errorf("py_modules_hashes = %v", hashes)
	}
	tf.MustPlanNothing()

	// The same content elsewhere is the same job.
	if err := os.Rename(dir, dir+"-moved"); err != nil {
		t.Fatal(err)
	}
	dir += "-moved"
	job = with(job, config{"working_dir": filepath.Join(dir, "code"), "py_modules": []any{filepath.Join(dir, "lib"), filepath.Join(dir, "one.py"), filepath.Join(dir, "w-1.0-py3-none-any.whl"), remote}})
	tf.Resource(addr, job)
	requireAction(t, tf.Plan(), core.Update)
	tf.MustApply()
	requireRuns(t, fake, "true", 1)
	for i, name := range []string{"lib/a.py", "one.py", "w-1.0-py3-none-any.whl"} {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		requireAction(t, tf.Plan(), core.Replace)
		tf.MustApply()
		if now := postedModules(t, fake); slices.Contains(posted, now[i]) {
			t.Errorf("%s changed and is %s still", name, now[i])
		}
	}
	requireRuns(t, fake, "true", 4)
	tf.MustPlanNothing()
}

func TestFakeJob_moduleThatIsNotThere(t *testing.T) {
	tf, fake := newTest(t)
	dir := files(t, map[string]string{"lib/a.py": "1"})
	lib, late := filepath.Join(dir, "lib"), filepath.Join(dir, "late")
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "py_modules": []any{lib, late}})
	p := tf.Plan()
	requireSaid(t, p.Diagnostics().Warnings(), `py_modules[1] of job "a" is not there yet`)
	requireSaid(t, p.Apply().Diagnostics().Errors(), `py_modules[1] of job "a" can't be packaged`)
	requireRuns(t, fake, "true", 0)

	// Another resource of the apply makes it.
	p = tf.Plan()
	if err := os.Rename(lib, late); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(lib, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lib, "a.py"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := p.Apply(); r.ExitCode() != 0 {
		t.Fatal(r.Diagnostics())
	}
	tf.MustPlanNothing()

	// For a job in state the recorded hash stays.
	if err := os.RemoveAll(late); err != nil {
		t.Fatal(err)
	}
	p = tf.Plan()
	requireAction(t, p, core.NoOp)
	requireSaid(t, p.Diagnostics().Warnings(), `py_modules[1] of job "a" can't be packaged`)
	requireRuns(t, fake, "true", 1)
}

func TestFakeJob_moduleThatChangesBetweenPlanAndApply(t *testing.T) {
	tf, fake := newTest(t)
	dir := files(t, map[string]string{"lib/a.py": "1"})
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "py_modules": []any{filepath.Join(dir, "lib")}})
	p := tf.Plan()
	if err := os.WriteFile(filepath.Join(dir, "lib", "a.py"), []byte("2"), 0o644); err != nil {
		t.Fatal(err)
	}
	// The plan that an apply makes again sees another value.
	r := p.Apply()
	if r.ExitCode() != 1 {
		t.Fatal("what was planned was not what was there, and the apply was green")
	}
	requireRuns(t, fake, "true", 0)
}

func TestFakeJob_archiveAsWorkingDir(t *testing.T) {
	tf, fake := newTest(t)
	dir := files(t, map[string]string{"code.zip": "PK one", "again.zip": "PK one"})
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "working_dir": filepath.Join(dir, "code.zip")})
	tf.MustApply()
	uri := fmt.Sprint(tf.State(addr)["package_uri"])
	if body, _ := fake.Package(uri); string(body) != "PK one" || postedEnv(t, fake)["working_dir"] != uri {
		t.Errorf("%s holds %q, and the job has %v", uri, body, postedEnv(t, fake)["working_dir"])
	}
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "working_dir": filepath.Join(dir, "again.zip")})
	requireAction(t, tf.Plan(), core.Update)
	if err := os.WriteFile(filepath.Join(dir, "again.zip"), []byte("PK two"), 0o644); err != nil {
		t.Fatal(err)
	}
	requireAction(t, tf.Plan(), core.Replace)
	tf.Destroy()
	tf.Resource(addr, config{"name": "b", "entrypoint": "true", "working_dir": filepath.Join(dir, "code.tar")})
	requireSaid(t, tf.Plan().Diagnostics().Warnings(), "is not there yet")
	if err := os.WriteFile(filepath.Join(dir, "code.tar"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	requireSaid(t, tf.Plan().Diagnostics(), "neither a directory nor an archive that Ray takes")
}

func TestFakeJob_packageValidation(t *testing.T) {
	tf, _ := newTest(t)
	ok := config{"name": "a", "entrypoint": "true"}
	for name, c := range map[string]struct {
		change config
		path   string
		said   string
	}{
		"scheme of nobody's":        {config{"working_dir": "ftp://host/code.zip"}, "working_dir", `no scheme "ftp"`},
		"no archive":                {config{"working_dir": "https://github.com/o/r"}, "working_dir", "Ray takes .zip"},
		"wheel as working_dir":      {config{"working_dir": "s3://b/m-1.0-py3-none-any.whl"}, "working_dir", "Ray takes .zip"},
		"relative local URI":        {config{"working_dir": "local://code"}, "working_dir", "must be absolute"},
		"module of nobody's scheme": {config{"py_modules": []any{"x", "ftp://host/code.zip"}}, "py_modules[1]", `no scheme "ftp"`},
		"empty module":              {config{"py_modules": []any{""}}, "py_modules[0]", "at least 1"},
		"null module":               {config{"py_modules": []any{nil}}, "py_modules", "null"},
		"modules twice":             {config{"py_modules": []any{"x"}, "runtime_env_json": `{"py_modules":["https://host/code.zip"]}`}, "runtime_env_json", "set twice"},
		"excludes of nothing":       {config{"excludes": []any{"x"}}, "excludes", "working_dir or py_modules"},
	} {
		tf.Resource(addr, with(ok, c.change))
		errs := tf.Validate().Errors()
		requireSaid(t, errs, c.said)
		requireAt(t, name, errs, c.path)
	}
}

func TestFakeJob_secretsInThePackageAreAWarning(t *testing.T) {
	tf, _ := newTest(t)
	dir := files(t, map[string]string{"main.py": "1", ".env": "A=1", "lib/prod.tfvars": "1", "lib/a.py": "1"})
	job := config{"name": "a", "entrypoint": "true", "working_dir": dir, "py_modules": []any{filepath.Join(dir, "lib")}, "excludes": []any{"*.log"}}
	tf.Resource(addr, job)
	said := tf.Plan().Diagnostics().Warnings()
	requireSaid(t, said, `working_dir of job "a" seems to hold secrets`, `excludes = ["*.log", ".env", "prod.tfvars"]`, `py_modules[0] of job "a" seems to hold secrets`)
	requireAt(t, "secrets", said, "working_dir")
	tf.MustApply()
	if said := tf.MustPlanNothing().Diagnostics(); said.Contains("secrets") {
		t.Errorf("what was uploaded is warned of again:\n%s", said)
	}
	tf.Resource(addr, with(job, config{"excludes": []any{"*.log", ".env", "prod.tfvars"}}))
	if said := tf.Plan().Diagnostics(); said.Contains("secrets") {
		t.Errorf("the excludes of the warning do not mend it:\n%s", said)
	}
}
