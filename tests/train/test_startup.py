"""What a training imports before its first step."""

import subprocess
import sys

PROGRAM = """
import sys
from plmrs.cli import main
code = main(sys.argv[1:])
assert code == 0
heavy = {"scipy", "pandas", "transformers", "zarr", "deepspeed", "torchmetrics.text"} & set(sys.modules)
assert not heavy, heavy
import torchmetrics
from pytorch_lightning.core.module import Metric
assert torchmetrics.Metric is Metric
from torchmetrics.text import BLEUScore
assert issubclass(BLEUScore, Metric)
assert not [name for name in torchmetrics.__all__ if not hasattr(torchmetrics, name)]
"""


def test_a_training_on_ids_imports_nothing_it_does_not_need(small_workspace, small_dataset, tmp_path):
    """And torchmetrics, of which Lightning needs little, is whole for who asks for more."""
    options = [f"--root={small_workspace.root}", f"--runs={tmp_path}", "--input-type=id", "--max-epochs=1"]
    options += ["--dataset=small", "--sasrec-hidden-size=16", "--accelerator=cpu"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "train", *options], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
