"""What is in a file of weights or of a training's state: its tensors by part, without running anything it holds."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plmrs.errors import UserError
from plmrs.report import Cell, Table

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

PARTS = {
    "items.table.": "item table",
    "items.projection.": "projection",
    "items.mean_last.": "pooling",
    "items.whitening.": "whitening",
    "items.plm.": "PLM",
    "sasrec.": "SASRec",
    "log_scale": "temperature",
}
"""Parts of a recommender by what the names of their tensors begin with."""

SHORT = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
"""Safetensors' names of number types."""


@dataclass(frozen=True)
class Stored:
    """A tensor of a file: its name there, shape, type of numbers, and bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    n_bytes: int

    @property
    def count(self) -> int:
        """Numbers in it."""
        count = 1
        for size in self.shape:
            count *= size
        return count


def is_checkpoint(what: str) -> bool:
    """Whether something is the path of a file of weights, or of a training's state."""
    return Path(what).suffix in SUFFIXES and Path(what).is_file()


def checkpoint_tables(path: Path) -> list[Table]:
    """A file's facts, its parts and its tensors.

    Raises:
        UserError: the file is damaged, or holds other things than tensors, numbers and text.
    """
    facts, tensors = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    rows: list[list[Cell]] = [["MiB on disk", f"{path.stat().st_size / 2**20:,.2f}"], *facts]
    return [
        Table(f"Checkpoint {path.name}", ["", "value"], rows, [f"It lies in {path.parent}."]),
        _by_part(tensors),
        _each(tensors),
    ]


def part(name: str) -> str:
    """The part that a tensor belongs to; of names that no recommender has, their first two steps."""
    name = name.removeprefix("recommender.")
    known = next((label for prefix, label in PARTS.items() if name.startswith(prefix)), None)
    return known or ".".join(name.split(".")[:-1][:2]) or name


def _by_part(tensors: list[Stored]) -> Table:
    parts: dict[str, list[Stored]] = {}
    for tensor in tensors:
        parts.setdefault(part(tensor.name), []).append(tensor)
    rows: list[list[Cell]] = [
        [
            name,
            len(members),
            sum(tensor.count for tensor in members),
            ", ".join(dict.fromkeys(tensor.dtype for tensor in members)),
            sum(tensor.n_bytes for tensor in members),
        ]
        for name, members in parts.items()
    ]
    total: list[Cell] = [
        "in all",
        len(tensors),
        sum(tensor.count for tensor in tensors),
        "",
        sum(each.n_bytes for each in tensors),
    ]
    return Table("Parts", ["part", "tensors", "numbers", "type", "bytes"], [*rows, total])


def _each(tensors: list[Stored]) -> Table:
    rows: list[list[Cell]] = [
        [tensor.name, part(tensor.name), " × ".join(map(str, tensor.shape)) or "1", tensor.dtype, tensor.n_bytes]
        for tensor in tensors
    ]
    return Table("Tensors", ["tensor", "part", "shape", "type", "bytes"], rows)


def _safetensors(path: Path) -> tuple[list[list[Cell]], list[Stored]]:
    """By the file's header alone."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            about = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            kinds = {name: (tuple(each.get_shape()), str(each.get_dtype())) for name, each in slices.items()}
    except SafetensorError as error:
        raise UserError(f"{path} is damaged: {error}.", "Train the run again, or fetch the file again.") from None
    tensors = [
        Stored(name, shape, SHORT.get(kind, kind), Stored(name, shape, kind, 0).count * _width(kind))
        for name, (shape, kind) in kinds.items()
    ]
    facts: list[list[Cell]] = [["kind", "safetensors"], *([key, str(value)] for key, value in about.items())]
    return facts, tensors


def _width(kind: str) -> int:
    """Bytes of a number: F16 has 16 bits, BOOL 8, F8_E4M3 8."""
    bits = "".join(letter for letter in kind.partition("_")[0] if letter.isdigit())
    return int(bits or 8) // 8


def _pickled(path: Path) -> tuple[list[list[Cell]], list[Stored]]:
    """A file of torch.save. Only tensors, numbers and text are read; anything else in it would be code to run."""
    import torch

    from plmrs.plm.unpickled import unpickled

    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is no checkpoint, or cut.")
    held = unpickled(path, "Copy or download it again.")
    held = held if isinstance(held, Mapping) else {"": held}
    state = held.get("state_dict", held)
    facts: list[list[Cell]] = [["kind", "PyTorch checkpoint"]]
    if "state_dict" in held:
        facts += _training_facts(held)
    tensors = [
        Stored(
            name.removeprefix("recommender."), tuple(each.shape), str(each.dtype).removeprefix("torch."), each.nbytes
        )
        for name, each in state.items()
        if isinstance(each, torch.Tensor)
    ]
    return facts, tensors


def _training_facts(held: Mapping[str, Any]) -> list[list[Cell]]:
    """What a training's checkpoint keeps beside the weights."""
    facts: list[list[Cell]] = []
    if "epoch" in held:
        facts.append(["epoch", int(held["epoch"]) + 1])
    if "global_step" in held:
        facts.append(["step", int(held["global_step"])])
    if held.get("optimizer_states"):
        facts.append(["state of the optimiser, bytes", _bytes(held["optimizer_states"])])
    if "pytorch-lightning_version" in held:
        facts.append(["written by Lightning", str(held["pytorch-lightning_version"])])
    known = {"epoch", "global_step", "optimizer_states", "pytorch-lightning_version", "state_dict"}
    others = ", ".join(sorted(str(key) for key in held.keys() - known))
    return [*facts, ["also holds", others or "nothing"]]


def _bytes(held: Any) -> int:
    """Bytes of all tensors in something, however deep."""
    import torch

    if isinstance(held, torch.Tensor):
        return held.nbytes
    if isinstance(held, Mapping):
        return sum(_bytes(each) for each in held.values())
    return sum(_bytes(each) for each in held) if isinstance(held, (list, tuple)) else 0
