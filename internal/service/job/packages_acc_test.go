package job_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
)

// archive is a zip of the files, by name.
func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Two modules of one content, a single file and an archive to run in: Ray itself
// takes the first two for one package, and the second could not be imported.
func TestAccJob_importsItsModules(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
resource "ray_job" "a" {
  name        = "modules"
  entrypoint  = "python main.py"
  working_dir = "${path.module}/code.zip"
  py_modules  = ["${path.module}/first", "${path.module}/second", "${path.module}/single.py"]
}

output "result" {
  value = ray_job.a.result
}
`)
	w.Write("code.zip", archive(t, map[string]string{"main.py": "import first.m, second.m, single\nprint('RAY_JOB_RESULT=%d' % (first.m.x + second.m.x + single.y))\n"}))
	w.Write("first/m.py", "x = 1\n")
	w.Write("second/m.py", "x = 1\n")
	w.Write("single.py", "y = 5\n")
	w.Apply()
	if got := fmt.Sprint(w.Output("result")); got != "7" {
		t.Errorf("the job computed %s, want 7", got)
	}
	w.PlanNothing()
	w.Write("second/m.py", "x = 2\n")
	if p := w.Plan(); !p.Contains("py_modules_hashes") || !p.Contains("forces replacement") {
		t.Errorf("the plan after a changed module:\n%s", p.Output)
	}
	w.Apply()
	if got := fmt.Sprint(w.Output("result")); got != "8" {
		t.Errorf("the changed job computed %s, want 8", got)
	}
	w.Destroy()
	requireNoJobs(t)
}
