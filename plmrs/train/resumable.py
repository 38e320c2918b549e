"""What a training goes on from, which may have come from anywhere: looked at before anything of it is used."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from torch import Tensor

from plmrs.errors import UserError
from plmrs.model.run import BEST, CHECKPOINTS, LAST
from plmrs.model.weights import checkpoint_weights
from plmrs.plm.unpickled import unpickled

AGAIN = "Train the run again."
STATE = ("state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers", "epoch", "global_step")
"""What a checkpoint of a training holds."""


def check_checkpoints(folder: Path, weights: Mapping[str, Tensor], sharded: bool) -> None:
    """See that the checkpoints of a run are this model's, before a training goes on from them.

    Args:
        folder: The run's folder.
        weights: The model's.
        sharded: Whether its strategy keeps a folder to go on from, which it reads itself.

    Raises:
        UserError: one is damaged, another program's or another model's, or to read it would run code of the file.
    """
    last, best = folder / CHECKPOINTS / LAST, folder / CHECKPOINTS / BEST
    if last.is_dir() != sharded:
        raise UserError(f"{last} is no checkpoint of this run's --strategy.", AGAIN)
    for path in [best] * best.exists() + [last] * last.is_file():
        held = unpickled(path, AGAIN)
        stored = checkpoint_weights(path, held)
        if path == last and not all(key in held for key in STATE):
            raise UserError(f"{path} holds no state of a training to go on from.", AGAIN)
        if not isinstance(held.get("epoch"), int):
            raise UserError(f"{path} does not say which epoch it is of.", AGAIN)
        for name, tensor in stored.items():
            if name not in weights or weights[name].shape != tensor.shape:
                raise UserError(f"{path} is of another model: {name} is {list(tensor.shape)}.", AGAIN)
        check_paths(path, held.get("callbacks"))


def check_paths(path: Path, held: Any) -> None:
    """See that no file outside of its folder is named: the trainer removes what a checkpoint calls an older one.

    Raises:
        UserError: one is.
    """
    for text in _texts(held):
        if ".." in PurePath(text).parts:
            raise UserError(f"{path} names a file outside of its run: {text}.", AGAIN)


def _texts(held: Any) -> Iterator[str]:
    """All texts in lists and mappings, however deep."""
    if isinstance(held, str):
        yield held
    elif isinstance(held, Mapping):
        for key, value in held.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(held, (list, tuple)):
        for value in held:
            yield from _texts(value)
