"""Two runs beside each other: their curves and their weights."""

import csv
from pathlib import Path

import torch
from safetensors.torch import load_file


def curve(folder: Path, column: str = "loss") -> list[float]:
    """A column of a run's metrics.csv."""
    with (folder / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def assert_same_weights(one: Path, other: Path) -> None:
    """See that two runs that differ by rounding alone have the same weights.

    Biases of keys are left out: attention does not depend on them, so that their gradients are nothing but rounding,
    which AdamW makes as large as any other.
    """
    mine, theirs = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        if name.endswith("key.bias"):
            continue
        found, expected = tensor, theirs[name]
        if name.endswith("qkv.bias"):
            found, expected = (torch.cat([part.chunk(3)[0], part.chunk(3)[2]]) for part in (found, expected))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4, msg=lambda said, name=name: f"{name}: {said}")
