from typing import Any

import pytest
import torch

from plmrs.plm.precision import resolve_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def instructions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`instructions("avx512_bf16")` makes a CPU that has these and a GPU that computes in bf16, or none of it."""

    def made(*names: str) -> None:
        for name in ("amx_tile", "avx512_bf16"):
            monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name in names)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bool(names))

    return made


def test_auto_is_bf16_only_where_the_device_computes_in_it(instructions: Any) -> None:
    instructions()
    assert resolve_precision("auto", CPU) == resolve_precision("auto", GPU) == "32"
    for name in ("amx_tile", "avx512_bf16"):
        instructions(name)
        assert resolve_precision("auto", CPU) == resolve_precision("auto", GPU) == "bf16"


def test_auto_where_pytorch_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("amx_tile", "avx512_bf16"):
        monkeypatch.delattr(torch.cpu, f"_is_{name}_supported", raising=False)
    assert resolve_precision("auto", CPU) == "32"


@pytest.mark.parametrize("asked", ["32", "bf16", "fp16"])
def test_what_is_asked_for_is_taken(instructions: Any, asked: Any) -> None:
    for names in ((), ("amx_tile",)):
        instructions(*names)
        assert resolve_precision(asked, CPU) == resolve_precision(asked, GPU) == asked
