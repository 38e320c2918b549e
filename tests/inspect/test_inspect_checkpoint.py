"""What is told of a file of weights; nothing in it is run."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from plmrs.errors import UserError
from plmrs.report import Table

STATE = {
    "log_scale": torch.zeros(()),
    "sasrec.norm.weight": torch.zeros(4, dtype=torch.bfloat16),
    "items.table.weight": torch.zeros(3, 5),
    "items.plm.top.layers.0.weight": torch.zeros(2, 2, dtype=torch.float16),
}
PARTS = [
    ["temperature", 1, 1, "float32", 4],
    ["SASRec", 1, 4, "bfloat16", 8],
    ["item table", 1, 15, "float32", 60],
    ["PLM", 1, 4, "float16", 8],
    ["in all", 4, 24, "", 80],
]


def parts(table: Table) -> list[Any]:
    return sorted(table.rows, key=lambda row: [each[0] for each in PARTS].index(str(row[0])))


def test_a_safetensors_file_wherever_it_lies(tmp_path: Path, look: Any) -> None:
    path = tmp_path / "some.safetensors"
    save_file(STATE, path, {"dataset": "shop"})
    facts, by_part, each = look(path)
    assert dict(facts.rows)["kind"] == "safetensors"
    assert dict(facts.rows)["dataset"] == "shop"
    assert parts(by_part) == PARTS
    shapes = {row[0]: row[1:] for row in each.rows}
    assert shapes["items.table.weight"] == ["item table", "3 × 5", "float32", 60]
    assert shapes["log_scale"] == ["temperature", "1", "float32", 4]


def test_a_checkpoint_of_a_training(tmp_path: Path, look: Any) -> None:
    path = tmp_path / "last.ckpt"
    moments = {"state": {0: {"exp_avg": torch.zeros(10), "step": torch.zeros(())}}, "param_groups": [{"lr": 0.1}]}
    held = {
        "state_dict": {f"recommender.{name}": tensor for name, tensor in STATE.items()},
        "epoch": 4, "global_step": 90, "optimizer_states": [moments], "pytorch-lightning_version": "2.6", "loops": {},
    }  # fmt: skip
    torch.save(held, path)
    facts, by_part, _ = look(path)
    told = dict(facts.rows)
    assert (told["epoch"], told["step"], told["state of the optimiser, bytes"]) == (5, 90, 44)
    assert told["also holds"] == "loops"
    assert parts(by_part) == PARTS


def test_tensors_of_another_model_go_by_their_names(tmp_path: Path, look: Any) -> None:
    path = tmp_path / "model.bin"
    torch.save({"encoder.layer.0.weight": torch.zeros(2), "encoder.layer.1.weight": torch.zeros(2)}, path)
    assert [row[0] for row in look(path)[1].rows] == ["encoder.layer", "in all"]


class Bomb:
    """What runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_run(tmp_path: Path, look: Any) -> None:
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "hook": Bomb(tmp_path / "boom")}, path)
    with pytest.raises(UserError, match="would run code of the file"):
        look(path)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_damaged_file(suffix: str, tmp_path: Path, look: Any) -> None:
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(b"\x10" * 40)
    with pytest.raises(UserError, match=r"cut\.\w+ is (damaged|no checkpoint)"):
        look(path)


def test_it_can_be_sorted(tmp_path: Path, look: Any) -> None:
    path = tmp_path / "some.safetensors"
    save_file(STATE, path)
    assert [row[4] for row in look(path, sort="bytes")[2].rows] == [60, 8, 8, 4]
