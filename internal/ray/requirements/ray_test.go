package requirements_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/requirements"
)

const askRay = `
import json, sys
from ray._private.runtime_env.validation import parse_and_validate_conda, parse_and_validate_pip
*pip, conda = sys.argv[1:]
print(json.dumps({"pip": [parse_and_validate_pip(f)["packages"] for f in pip], "conda": parse_and_validate_conda(conda)}))
`

const environment = `
name: x # a comment
channels: [conda-forge, "nodefaults"]
dependencies:
  - python=3.10
  - numpy >=2,<3
  - pip:
    - six
variables: {A: "1", B: two, C: 3, D: 1.5, E: true, F: null}
`

// Ray's client makes the same of the same files.
func TestRealRequirements(t *testing.T) {
	t.Parallel()
	venv := os.Getenv("RAY_VENV")
	if venv == "" {
		t.Skip("RAY_VENV names no virtual environment with Ray; the tables have what Ray 2.60 made of the files")
	}
	var got, want struct {
		Pip   [][]string     `json:"pip"`
		Conda map[string]any `json:"conda"`
	}
	args := []string{"-c", askRay}
	for _, c := range texts {
		args = append(args, file(t, c.content))
		want.Pip = append(want.Pip, c.want)
	}
	yml := filepath.Join(t.TempDir(), "environment.yml")
	if err := os.WriteFile(yml, []byte(environment), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(venv, "bin", "python"), append(args, yml)...)
	cmd.Env = append(os.Environ(), "PYTHONUTF8=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	conda, err := requirements.Conda(yml)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(conda)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want.Conda); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-ours +Ray's):\n%s", diff)
	}
}
