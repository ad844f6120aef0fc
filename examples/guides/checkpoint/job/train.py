"""Ten steps, each kept as soon as it is done: the next attempt goes on behind it."""

import os
import pathlib
import sys

directory = pathlib.Path(os.environ["TF_RAY_CHECKPOINT_PATH"])
attempt = int(os.environ["TF_RAY_ATTEMPT"])

directory.mkdir(parents=True, exist_ok=True)
checkpoint = directory / "step"
done = int(checkpoint.read_text()) if checkpoint.exists() else 0
print(f"attempt {attempt} goes on after step {done}")

for step in range(done + 1, 11):
    if step == 6 and done == 0:
        print("a node is going away")
        sys.exit(75)
    print(f"step {step}")
    draft = directory / "step.draft"
    draft.write_text(str(step))
    draft.replace(checkpoint)  # whole or not at all
