package job_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest"
)

// trainer keeps a checkpoint for each step, and returns the step that it began with.
const trainer = `
import json, os, tempfile, time

import ray.train
from ray.train import Checkpoint, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer


def loop(config):
    start = 0
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as d:
            start = json.load(open(os.path.join(d, "step.json")))["step"] + 1
    for step in range(start, config["steps"]):
        time.sleep(1)
        with tempfile.TemporaryDirectory() as d:
            json.dump({"step": step}, open(os.path.join(d, "step.json"), "w"))
            ray.train.report({"step": step, "began": start}, checkpoint=Checkpoint.from_directory(d))


result = DataParallelTrainer(
    loop,
    train_loop_config={"steps": 12},
    scaling_config=ScalingConfig(num_workers=1),
    run_config=RunConfig(name="run", storage_path=os.environ["TF_RAY_CHECKPOINT_PATH"]),
).fit()
print("RAY_JOB_RESULT=" + json.dumps({k: result.metrics[k] for k in ("step", "began")}))
`

// A Ray Train run whose job dies with its supervisor goes on from its last checkpoint,
// within one apply. It installs what Ray Train needs.
func TestSlowAccJob_trainResumesFromItsCheckpoint(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t)
	w.Write("main.tf", header(t, acctest.Shared(t).DashboardURL)+`
resource "ray_job" "a" {
  name            = "train"
  entrypoint      = "python train.py"
  working_dir     = "${path.module}/code"
  checkpoint_path = "${abspath(path.module)}/checkpoints"
  runtime_env     = { pip = { packages = ["fsspec", "pandas", "pyarrow", "tensorboardX"] } }
  retry           = { min_backoff = "1s" }
}

output "result" {
  value = ray_job.a.result
}
`)
	w.Write("code/train.py", trainer)
	p := w.Start("apply", "-auto-approve")
	waitAtMost(t, 5*time.Minute, func() bool { // the packages are installed first
		select {
		case <-p.Done():
			t.Fatalf("the apply ended too soon:\n%s", p.Wait().Output)
		default:
		}
		kept, _ := filepath.Glob(filepath.Join(w.Dir, "checkpoints", "run", "checkpoint_*")) // the pattern is well formed
		return len(kept) >= 3
	})
	for id := range rayJobs(t) {
		if err := syscall.Kill(supervisorPID(t, id), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if r := p.Wait(); r.ExitCode != 0 || !r.Contains("ran 2 times") {
		t.Fatalf("exit code %d, want success at the second attempt\n%s", r.ExitCode, r.Output)
	}
	result, _ := w.Output("result").(map[string]any)
	began, _ := result["began"].(float64)
	if began < 1 || fmt.Sprint(result["step"]) != "11" {
		t.Errorf("the run returned %v, want the last of 12 steps, begun at a checkpoint", result)
	}
	w.PlanNothing()
	w.Destroy()
	requireNoJobs(t)
}
