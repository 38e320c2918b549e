from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from kinds import KINDS, N_BLOCKS

from plmrs.plm.checkpoint import Plm, find_plm

PlmOf = Callable[[str], Plm]


@pytest.fixture(scope="session")
def plm_of(make_plm: Any) -> PlmOf:
    """Gives the PLM of a kind, of three blocks."""

    @cache
    def plm(kind: str) -> Plm:
        blocks = {"num_layers" if kind == "t5" else "num_hidden_layers": N_BLOCKS}
        return find_plm(str(Path(make_plm(**blocks, **KINDS[kind]))))

    return plm
