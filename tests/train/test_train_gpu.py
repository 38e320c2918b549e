"""Training and pre-inference on a CUDA device, beside the CPU."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmrs.config import BoundaryOptions, DeviceOptions, PreinferOptions, TrainConfig
from plmrs.data.dataset import Dataset, Histories
from plmrs.model.load import load_run
from plmrs.model.run import open_run
from plmrs.preinfer.command import make_cache
from plmrs.report import Silent
from plmrs.train.command import train
from plmrs.workspace import Workspace

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
DEVICE = "gpu"
TINY = {
    "dataset": "small", "accelerator": DEVICE, "precision": "bf16-mixed", "max_epochs": 4, "batch_size": 16,
    "sasrec_hidden_size": 16, "sasrec_inner_size": 32, "sasrec_n_layers": 1, "sasrec_seq_len": 8,
    "sasrec_hidden_dropout": 0.0, "whitening": 8, "lr": 3e-3, "plm_lr": 1e-3,
}  # fmt: skip
HISTORIES = Histories(np.array([1, 2, 3, 40, 5, 600], np.int32), np.array([0, 3, 5]), np.array([3, 5, 6]))


@pytest.mark.parametrize(
    "options",
    [
        {"input_type": "id"},
        {"input_type": "text"},
        {"input_type": "text", "plm_last_n_unfreeze": 1},
        {"input_type": "text", "plm_last_n_unfreeze": 1, "pre_inference": False, "gradient_checkpointing": True},
        {"input_type": "text+id", "plm_last_n_unfreeze": -1},
        {"input_type": "text", "plm_last_n_unfreeze": 1, "loss": "ce", "use_prompt": True, "pre_seq_len": 3},
    ],
    ids=["id", "text", "top block", "top block, live, checkpointed", "whole PLM", "top block, prompt, ce"],
)
def test_it_learns_in_bf16_and_scores_as_on_the_cpu(
    options: dict[str, Any], small_workspace: Workspace, small_dataset: Dataset, tiny_bert: Path, tmp_path: Path
):
    places = {"root": small_workspace.root, "runs": tmp_path / "runs"}
    plm = {} if options["input_type"] == "id" else {"plm_name": str(tiny_bert)}
    config = TrainConfig.from_flat({**TINY, **places, **plm, **options})
    train(config, Silent())
    run = open_run(config.workspace.open())
    with (run.folder / "metrics.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
    model, _, _ = load_run(config.workspace.open(), run)
    on_cpu = torch.cat(list(model.scores(HISTORIES, 2)))
    on_device = torch.cat(list(model.to("cuda").scores(HISTORIES, 2)))
    assert on_device.is_cuda
    assert on_cpu.std() > 0.1
    torch.testing.assert_close(on_device.cpu(), on_cpu, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("last_n", [0, 1])
@pytest.mark.parametrize(("precision", "atol"), [("32", 1e-2), ("bf16", 1e-1)])
@pytest.mark.parametrize("family", ["bert", "opt"])
def test_preinfer_gives_the_vectors_of_the_cpu(
    family: str,
    precision: str,
    atol: float,
    last_n: int,
    request: pytest.FixtureRequest,
    make_dataset: Callable[..., Dataset],
    tmp_path: Path,
):
    plm = request.getfixturevalue(f"tiny_{family}")
    texts = [f"{'again ' * (i % 9)}{i} doctor finds river" for i in range(300)]
    found = []
    for kind, computed_in in ((DEVICE, precision), ("cpu", "32")):
        # One workspace each: a cache does not depend on the device, and one that is there is not made again.
        workspace = Workspace(tmp_path / kind / "data", tmp_path / kind / "runs")
        dataset = make_dataset(workspace, "texts", texts)
        compute, where = PreinferOptions(precision=computed_in), DeviceOptions(accelerator=kind)
        boundary = BoundaryOptions(plm_last_n_unfreeze=last_n)
        cache = make_cache(workspace, dataset, str(plm), 30, compute, where, Silent(), boundary)
        items = np.arange(1, 301)
        found.append(cache.gather_hidden(items)[0] if last_n else cache.gather(items, "mean"))
    on_device, on_cpu = (values.astype(np.float32) for values in found)
    assert on_cpu.std() > 0.1
    np.testing.assert_allclose(on_device, on_cpu, atol=atol)
