"""The loop that ranking is compared with finds the same ranks."""

import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize("items", [300, 2500])
def test_the_bare_loop_ranks_as_plmrs_does(monkeypatch: pytest.MonkeyPatch, items: int) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ranking

    queries, vectors, held_out = ranking.drawn(600, items)
    found = ranking.plmrs(queries, vectors, held_out, 4)
    # A whole product may be rounded otherwise than one of some columns, and change places of neighbours.
    assert (found - ranking.bare(queries, vectors, held_out)).abs().max() <= 1
    assert torch.equal(found, ranking.plmrs(queries, vectors, held_out, 512, k=5))
    assert 0.4 < found.double().mean() / items < 0.6
    del sys.modules["ranking"]
