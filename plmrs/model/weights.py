"""A model's weights on disk: what was trained and fitted, as safetensors; a frozen PLM's are where they were."""

import zipfile
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from plmrs.errors import UserError
from plmrs.model.recommender import Recommender
from plmrs.workspace import atomic_file


def trained_state(model: Recommender) -> dict[str, Tensor]:
    """What of a model no other file holds: the parameters that train, and what was fitted."""
    frozen = _frozen(model)
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def save_weights(state: dict[str, Tensor], path: Path, about: dict[str, str] | None = None) -> None:
    """Write what `trained_state` gives as safetensors; `about` is kept in the file's metadata."""
    with atomic_file(path) as temporary:
        # Written as any other file, so that it has the permissions of the others.
        temporary.write_bytes(save({name: tensor.contiguous().cpu() for name, tensor in state.items()}, about))


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
            state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
            weights = {name.removeprefix("recommender."): tensor for name, tensor in state.items()}
        missing, unexpected = model.load_state_dict(weights, strict=False)
        wrong = [*(name for name in missing if name not in _frozen(model)), *unexpected]
        if wrong:
            raise ValueError(f"{wrong[0]} is missing or not known")
    except (RuntimeError, SafetensorError, UnpicklingError, LookupError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path} holds no weights of this model: {reason}", "Train the run again.") from error


def _frozen(model: Recommender) -> set[str]:
    """Names of what stays as the PLM's checkpoint has it, buffers included."""
    plm = model.items.plm
    if plm is None:
        return set()
    trained = {name for name, parameter in plm.named_parameters() if parameter.requires_grad}
    return {f"items.plm.{name}" for name in plm.state_dict() if name not in trained}
