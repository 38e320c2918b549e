"""Batches of a unit at once, on the CPU."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jobs import encode

from plmrs.cache.manifest import HIDDEN
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.plm import run as plm_run
from plmrs.plm.run import Runner

LONGEST = 30
"""Tokens of the longest text of the data set `few`."""


@pytest.fixture
def threads() -> Iterator[Any]:
    """Sets how many threads PyTorch uses, until the test is over."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, small_units: None) -> list[tuple[int, int, int, int]]:
    """The texts, padded tokens, thread and PyTorch's threads of every batch that ran."""
    found: list[tuple[int, int, int, int]] = []
    run_batch = Runner.run

    def counted(self: Runner, inputs: torch.Tensor, lengths: Any) -> Any:
        tokens = len(lengths) * int(lengths.max())
        found.append((len(lengths), tokens, threading.get_ident(), torch.get_num_threads()))
        return run_batch(self, inputs, lengths)

    monkeypatch.setattr(Runner, "run", counted)
    return found


@pytest.mark.parametrize("family", ["bert", "llama", "opt", "t5"])
def test_batches_at_once_give_the_same_states(
    workspace_of: Any, few: Dataset, make_plm: Any, family: str, threads: Any, small_units: None
) -> None:
    folder = make_plm(family)
    threads(1)
    alone = encode(workspace_of(few, "alone"), folder, dtype="float32", keep_tokens=True)
    threads(4)
    together = encode(workspace_of(few, "together"), folder, dtype="float32", keep_tokens=True)
    for array in ("mean", "last", "cls"):
        assert np.allclose(together.read(array), alone.read(array), atol=1e-5)
    for unit in range(alone.n_units):
        assert np.allclose(together.read_unit(unit, HIDDEN), alone.read_unit(unit, HIDDEN), atol=1e-5)


@pytest.mark.parametrize(
    ("cores", "options", "at_once", "each", "most_texts", "most_tokens"),
    [
        (1, {}, 1, 1, 200, 64),
        (2, {}, 2, 1, 200, 64),
        (3, {}, 3, 1, 200, 64),
        (8, {}, 3, 2, 200, 64),
        (8, {"batch_size": 2}, 2, 4, 1, LONGEST),
        (4, {"batch_size": 8}, 4, 1, 2, 2 * LONGEST),
        (2, {"batch_size": 6}, 2, 1, 2, 2 * LONGEST),
    ],
)
def test_cores_share_what_is_at_work(
    workspace_of: Any,
    few: Dataset,
    opt: Path,
    monkeypatch: pytest.MonkeyPatch,
    threads: Any,
    ran: list[tuple[int, int, int, int]],
    cores: int,
    options: dict[str, Any],
    at_once: int,
    each: int,
    most_texts: int,
    most_tokens: int,
) -> None:
    monkeypatch.setattr(plm_run, "TOKENS_A_BATCH", 240)
    monkeypatch.setattr(plm_run, "CPU_TOKENS", 64)
    threads(cores)
    made = encode(workspace_of(few), opt, **options)
    assert int(made.texts.length[0]) == LONGEST
    texts, tokens, places, shares = zip(*ran, strict=True)
    assert max(texts) <= most_texts
    assert most_tokens / 2 < max(tokens) <= most_tokens
    assert set(shares) == {each}
    assert (len(set(places)) == 1) is (at_once == 1)
    assert torch.get_num_threads() == cores
    found: list[int] = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert found == [cores]


def test_a_batch_that_fails_ends_the_unit(
    workspace_of: Any, few: Dataset, opt: Path, monkeypatch: pytest.MonkeyPatch, threads: Any
) -> None:
    monkeypatch.setattr(plm_run, "CPU_TOKENS", 60)
    threads(2)
    ran = 0
    run_batch = Runner.run

    def failing(self: Runner, inputs: torch.Tensor, lengths: Any) -> Any:
        nonlocal ran
        ran += 1
        if ran == 3:
            raise UserError("no room")
        return run_batch(self, inputs, lengths)

    monkeypatch.setattr(Runner, "run", failing)
    with pytest.raises(UserError, match="no room"):
        encode(workspace_of(few), opt)
    assert ran < 50  # of some hundred
    assert torch.get_num_threads() == 2
