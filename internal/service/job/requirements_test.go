package job_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// requires is a job with a requirements file.
func requires(manager, file string) config {
	return config{"name": "a", "entrypoint": "true", "runtime_env": config{manager: config{"requirements_file": file}}}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func requireReplacedFor(t *testing.T, p *core.Plan, want ...string) {
	t.Helper()
	requireAction(t, p, core.Replace)
	if got := p.RequiresReplace(addr); !slices.Equal(got, want) {
		t.Errorf("replaced because of %v, want %v", got, want)
	}
}

func TestFakeJob_requirementsCountByTheirContent(t *testing.T) {
	for _, manager := range []string{"pip", "uv"} {
		t.Run(manager, func(t *testing.T) {
			tf, fake := newTest(t)
			dir := directory(t, map[string]string{"a.txt": "six\n# why\nidna\n", "b.txt": "six\r\n# why\r\nidna"})
			tf.Resource(addr, requires(manager, filepath.Join(dir, "a.txt")))
			tf.MustApply()
			posted := map[string]any{manager: map[string]any{"packages": []any{"six", "# why", "idna"}}}
			if diff := cmp.Diff(posted, postedEnv(t, fake)); diff != "" {
				t.Errorf("posted (-want +got):\n%s", diff)
			}
			digest := tf.State(addr)["inputs_digest"]
			tf.MustPlanNothing()

			// Another path is no other job, nor is the same list in the configuration.
			tf.Resource(addr, requires(manager, filepath.Join(dir, "b.txt")))
			requireAction(t, tf.Plan(), core.Update)
			tf.MustApply()
			tf.MustPlanNothing()
			tf.Resource(addr, config{"name": "a", "entrypoint": "true", "runtime_env": config{manager: config{"packages": []any{"six", "# why", "idna"}}}})
			requireAction(t, tf.Plan(), core.Update)
			tf.MustApply()
			requireState(t, tf, "inputs_digest", digest)
			requireState(t, tf, "requirements_hash", nil)
			tf.MustPlanNothing()
			tf.Resource(addr, requires(manager, filepath.Join(dir, "b.txt")))
			tf.MustApply()
			requireRuns(t, fake, "true", 1)

			write(t, filepath.Join(dir, "b.txt"), "six\n# why\nidna==3.11\n")
			requireReplacedFor(t, tf.Plan(), "requirements_hash")
			tf.MustApply()
			requireRuns(t, fake, "true", 2)
			tf.MustPlanNothing()
		})
	}
}

func TestFakeJob_environmentFileIsConda(t *testing.T) {
	tf, fake := newTest(t)
	dir := directory(t, map[string]string{"environment.yml": "# mine\nchannels: [conda-forge]\ndependencies: [python=3.10, {pip: [six]}]\n"})
	file := filepath.Join(dir, "environment.yml")
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "runtime_env": config{"conda": config{"environment_file": file}}})
	tf.MustApply()
	posted := map[string]any{"conda": map[string]any{"channels": []any{"conda-forge"}, "dependencies": []any{"python=3.10", map[string]any{"pip": []any{"six"}}}}}
	if diff := cmp.Diff(posted, postedEnv(t, fake)); diff != "" {
		t.Errorf("posted (-want +got):\n%s", diff)
	}
	write(t, file, "channels:\n- conda-forge\ndependencies:\n- python=3.10\n- pip:\n  - six\n")
	tf.MustPlanNothing()
	tf.Resource(addr, config{"name": "a", "entrypoint": "true", "runtime_env": config{"conda": config{"channels": []any{"conda-forge"}, "dependencies": []any{"python=3.10"}, "pip": []any{"six"}}}})
	tf.MustApply()
	requireRuns(t, fake, "true", 1)
	tf.MustPlanNothing()
}

func TestFakeJob_requirementsFaults(t *testing.T) {
	tf, fake := newTest(t)
	file := filepath.Join(t.TempDir(), "requirements.txt")
	tf.Resource(addr, requires("pip", file))

	p := tf.Plan()
	requireAction(t, p, core.Create)
	requireSaid(t, p.Diagnostics().Warnings(), "are not there yet", file)
	requireSaid(t, tf.Apply().Diagnostics().Errors(), "can't be read", file)

	write(t, file, "six\n-r base.txt\n")
	p = tf.Plan()
	if p.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", p.ExitCode())
	}
	requireSaid(t, p.Diagnostics().Errors(), `"-r base.txt" names a file of this machine`, "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/base.txt")

	write(t, file, "six\n")
	p = tf.Plan()
	write(t, file, "idna\n")
	requireSaid(t, p.Apply().Diagnostics().Errors(), "inconsistent final plan", ".requirements_hash") // core itself refuses
	requireRuns(t, fake, "true", 0)

	// What made no hash at plan is read in apply.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p = tf.Plan()
	write(t, file, "six\n")
	if r := p.Apply(); r.ExitCode() != 0 {
		t.Fatalf("apply: %s", r.Diagnostics())
	}
	requireRuns(t, fake, "true", 1)
	tf.MustPlanNothing()

	// Of a job in state, a file that went away is only a warning.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	requireSaid(t, tf.MustPlanNothing().Diagnostics().Warnings(), "can't be read")
	write(t, file, "six\n-r base.txt\n")
	requireSaid(t, tf.MustPlanNothing().Diagnostics().Warnings(), "can't be read", "base.txt")
}

func TestFakeJob_requirementsThatAreNotKnownYet(t *testing.T) {
	tf, fake := newTest(t)
	file := filepath.Join(t.TempDir(), "requirements.txt")
	write(t, file, "six\n")
	c := requires("uv", file)
	c["runtime_env"] = config{"uv": config{"requirements_file": core.Later(file)}}
	tf.Resource(addr, c)
	tf.MustApply()
	tf.Resource(addr, requires("uv", file))
	tf.MustPlanNothing()
	requireRuns(t, fake, "true", 1)
}

func TestFakeJob_requirementsOfAnImport(t *testing.T) {
	tf, fake := newTest(t)
	file := filepath.Join(t.TempDir(), "requirements.txt")
	write(t, file, "six\n")
	client, err := dashboard.New(dashboard.Options{URL: fake.URL()})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Submit(t.Context(), ray.Submission{SubmissionID: "theirs", Entrypoint: "true", RuntimeEnv: map[string]any{"pip": map[string]any{"packages": []any{"six"}}}}); err != nil {
		t.Fatal(err)
	}
	tf.Resource(addr, requires("pip", file))
	if d := tf.Import(addr, "theirs"); d.HasErrors() {
		t.Fatal(d)
	}
	requireAction(t, tf.Plan(), core.Update)
	tf.MustApply()
	if hash, _ := tf.State(addr)["requirements_hash"].(string); !strings.HasPrefix(hash, "v1:") {
		t.Errorf("requirements_hash %q after the import", hash)
	}
	tf.MustPlanNothing()
	requireRuns(t, fake, "true", 1)
	write(t, file, "idna\n")
	requireReplacedFor(t, tf.Plan(), "requirements_hash")
}

func TestFakeJob_passwordsOfPackageIndexesAreMasked(t *testing.T) {
	tf, _ := newTest(t)
	file := filepath.Join(t.TempDir(), "requirements.txt")
	write(t, file, "--extra-index-url https://me:planted-password@example.com/simple\nsix\n")
	c := requires("pip", file)
	c["entrypoint"] = "echo no luck at https://me:planted-password@example.com/simple; exit 1"
	tf.Resource(addr, c)
	r := tf.Apply()
	requireSaid(t, r.Diagnostics(), "https://me:(sensitive value)@example.com")
	if r.Diagnostics().Contains("planted-password") {
		t.Errorf("a message shows the password:\n%s", r.Diagnostics())
	}
}
