"""A model's weights on disk: what was trained and fitted, as safetensors; a frozen PLM's are where they were."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from plmrs.errors import UserError
from plmrs.model.recommender import Recommender
from plmrs.plm.unpickled import unpickled
from plmrs.workspace import atomic_file


def trained_state(model: Recommender) -> dict[str, Tensor]:
    """What of a model no other file holds: the parameters that train, and what was fitted."""
    frozen = _frozen(model)
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def save_weights(state: dict[str, Tensor], path: Path, about: dict[str, str] | None = None) -> None:
    """Write what `trained_state` gives as safetensors; `about` is kept in the file's metadata."""
    with atomic_file(path) as temporary:
        # Written as any other file, so that it has the permissions of the others.
        content = save({name: tensor.contiguous().cpu() for name, tensor in state.items()}, about)
        with temporary.open("wb") as file:
            file.writelines(_in_order(content))


def _in_order(content: bytes) -> tuple[bytes, memoryview]:
    """A safetensors file's header and what follows; the library writes metadata in another order each time."""
    stop = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:stop])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # Tensors begin at a multiple of 8.
    return len(text).to_bytes(8, "little") + text, memoryview(content)[stop:]


def are_in(path: Path, state: dict[str, Tensor]) -> bool:
    """Whether a file that `save_weights` wrote holds these very weights; not where it is absent or damaged."""
    try:
        held = load_file(path) if path.is_file() else {}
    except SafetensorError:
        return False
    return held.keys() == state.keys() and all(torch.equal(held[name], tensor.cpu()) for name, tensor in state.items())


def load_weights(model: Recommender, path: Path) -> None:
    """Read weights that `save_weights` or a training checkpoint holds.

    Raises:
        UserError: the file is damaged or belongs to another configuration.
    """
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        elif not zipfile.is_zipfile(path):
            raise ValueError("it is no checkpoint, or cut")
        else:
            weights = checkpoint_weights(path, unpickled(path, "Train the run again."))
        missing, unexpected = model.load_state_dict(weights, strict=False)
        wrong = [*(name for name in missing if name not in _frozen(model)), *unexpected]
        if wrong:
            raise ValueError(f"{wrong[0]} is missing or not known")
    except (RuntimeError, SafetensorError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path} holds no weights of this model: {reason}", "Train the run again.") from error


def checkpoint_weights(path: Path, held: Any) -> dict[str, Tensor]:
    """The weights in what a training's checkpoint holds, by their names in the model.

    Raises:
        UserError: it is no checkpoint of a training.
    """
    state = held.get("state_dict") if isinstance(held, Mapping) else None
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise UserError(f"{path} holds no weights of this model: it is no checkpoint.", "Train the run again.")
    return {name.removeprefix("recommender."): tensor for name, tensor in state.items()}


def _frozen(model: Recommender) -> set[str]:
    """Names of what stays as the PLM's checkpoint has it, buffers included."""
    plm = model.items.plm
    if plm is None:
        return set()
    trained = {name for name, parameter in plm.named_parameters() if parameter.requires_grad}
    return {f"items.plm.{name}" for name in plm.state_dict() if name not in trained}
