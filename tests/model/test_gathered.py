"""Candidates of two processes, beside one process that has them all."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing

from plmrs.config import LossOptions, ModelOptions
from plmrs.model.batch import Batch
from plmrs.model.recommender import Recommender

RANDOM = torch.Generator().manual_seed(0)
COUNTS = torch.randint(1, 7, (60,), generator=RANDOM)
WINDOWS = torch.stack([1 + torch.randperm(60, generator=RANDOM)[:4] for _ in range(24)])
"""Many items stand in the batches of both processes."""
WINDOWS[3, 3:] = WINDOWS[8, 2:] = 0


def recommender(loss: str) -> Recommender:
    torch.manual_seed(0)
    options = ModelOptions(input_type="id", sasrec_seq_len=3, sasrec_hidden_size=8, sasrec_inner_size=16)
    return Recommender(options, COUNTS, loss=LossOptions(loss=loss, gather_negatives=True, negatives=5)).eval()


def step(windows: Tensor, drawn: Tensor | None, loss: str, share: float) -> dict[str, Tensor]:
    """Gradients of a batch's loss, weighted by its share of the targets."""
    model = recommender(loss)
    items = torch.cat([windows.flatten(), *([] if drawn is None else [drawn])]).unique()
    (model(Batch(windows, items[items > 0], drawn)) * share).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def work(rank: int, folder: Path, loss: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", GLOO_SOCKET_IFNAME="lo")
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2)
    windows = WINDOWS[rank::2]
    drawn = {"in_batch": None, "sampled": torch.tensor([2, 8]) + rank}[loss]
    share = float((windows[:, 1:] > 0).sum() / (WINDOWS[:, 1:] > 0).sum())
    gradients = step(windows, drawn, loss, share)
    for gradient in gradients.values():
        distributed.all_reduce(gradient)
    torch.save(gradients, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.parametrize("loss", ["in_batch", "sampled"])
def test_two_processes_have_the_gradients_of_one_with_the_whole_batch(forkserver, tmp_path, loss):
    multiprocessing.start_processes(work, (tmp_path, loss), nprocs=2, start_method="forkserver")
    found = torch.load(tmp_path / "0.pt", weights_only=True)
    whole = step(WINDOWS, {"in_batch": None, "sampled": torch.tensor([2, 3, 8, 9])}[loss], loss, 1.0)
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, msg=f"{name} {found[name]} {gradient}")
