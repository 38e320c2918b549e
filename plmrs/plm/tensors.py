"""Single tensors of a checkpoint, by name: reading some costs the memory of those, not of the file they lie in.

A file is mapped, and what is asked for is copied out of the mapping. The pages of a mapping that were read count as
memory of the process until it is closed, so a file is opened anew every `MAPPED` bytes: a block then costs its own
bytes, not twice as many.
"""

import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm
from plmrs.plm.folder import AGAIN, WEIGHTS, shards
from plmrs.plm.unpickled import unpickled

MAPPED = 1 << 25
"""Bytes read through one mapping of a file; a larger tensor has one to itself."""

PREFIXES = ("", "model.", "model.decoder.", "bert.", "roberta.", "decoder.", "transformer.", "encoder.")
"""What may stand before a tensor's name: what the model around it was called when it was saved."""


def read_tensors(plm: Plm, wanted: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Read tensors from a PLM's weight files.

    Args:
        plm: Whose files.
        wanted: By name, a tensor on the meta device that has the shape and the precision asked for.
        device: Where they shall lie.

    Returns:
        The tensors by the same names, each in memory of its own.

    Raises:
        UserError: a file is damaged, lacks a tensor or has it in another shape.
    """
    listing, files = _listing(plm)
    places: dict[Path, dict[str, str]] = defaultdict(dict)
    for name in wanted:
        stored = next((spelt for spelt in spellings(name) if spelt in files), None)
        if stored is None:
            raise UserError(f"{listing} lacks the tensor {name}.", AGAIN)
        places[files[stored]][stored] = name
    found = {}
    for file, names in places.items():
        for group in _groups(file, {stored: wanted[name] for stored, name in names.items()}):
            with _open(file) as read:
                for stored, model in group.items():
                    found[names[stored]] = _copy(read(stored), model, device, f"{file}: the tensor {stored}")
    return found


def spellings(name: str) -> Iterator[str]:
    """The names a tensor may have in a checkpoint: after any prefix, and as BERT's first checkpoints call their norms.

    `decoder.layers.0.fc1.bias` may be `model.decoder.layers.0.fc1.bias`, and `layers.0.fc1.bias` where a decoder was
    saved without the model around it.
    """
    for prefix in PREFIXES:
        yield prefix + name
        if "LayerNorm" in name:
            yield prefix + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(".bias", ".beta")
    # Without a prefix: that of the decoder would make a decoder's tensor of an encoder's.
    yield name.removeprefix("decoder.").removeprefix("encoder.")


def _copy(tensor: Tensor, model: Tensor, device: torch.device, name: str) -> Tensor:
    if tensor.shape != model.shape:
        raise UserError(f"{name} has the shape {list(tensor.shape)}, config.json asks for {list(model.shape)}.", AGAIN)
    return tensor.to(device, model.dtype, copy=True, memory_format=torch.contiguous_format)


def _listing(plm: Plm) -> tuple[Path, dict[str, Path]]:
    """What lists the PLM's tensors, and the file that holds each."""
    file = plm.weights[0]
    if file.name not in WEIGHTS:
        index = plm.folder / f"{next(whole for whole in WEIGHTS if whole.endswith(file.suffix))}.index.json"
        return index, {name: plm.folder / shard for name, shard in shards(index).items()}
    if file.suffix == ".safetensors":
        with _readable(file), safe_open(file, framework="pt") as opened:
            return file, dict.fromkeys(opened.keys(), file)
    return file, dict.fromkeys(_unpickled(file), file)


def _groups(file: Path, wanted: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Tensors that are read through one mapping, or at once where the file is read whole."""
    if not _mappable(file):
        yield dict(wanted)
        return
    group: dict[str, Tensor] = {}
    n_bytes = 0
    for name, model in wanted.items():
        # Checkpoints keep at most four bytes a number.
        n_bytes += 4 * model.numel()
        if group and n_bytes > MAPPED:
            yield group
            group, n_bytes = {}, 4 * model.numel()
        group[name] = model
    if group:
        yield group


@contextmanager
def _open(file: Path) -> Iterator[Callable[[str], Tensor]]:
    """Gives a function that reads a tensor of the file by its name, and closes the file at the end."""
    with ExitStack() as closing:
        with _readable(file):
            if file.suffix == ".safetensors":
                opened = closing.enter_context(safe_open(file, framework="pt"))
                take, names = opened.get_tensor, set(opened.keys())
            else:
                tensors = _unpickled(file)
                take, names = tensors.__getitem__, set(tensors)

        def read(name: str) -> Tensor:
            if name not in names:
                raise UserError(f"{file} lacks the tensor {name}.", AGAIN)
            with _readable(file):
                tensor: Tensor = take(name)
                return tensor

        yield read


def _mappable(file: Path) -> bool:
    # Files of PyTorch before 1.6 are no zip archives; they can only be read whole.
    return file.suffix == ".safetensors" or zipfile.is_zipfile(file)


def _unpickled(file: Path) -> dict[str, Tensor]:
    tensors = unpickled(file, AGAIN)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise UserError(f"{file} is damaged: it holds no tensors by name.", AGAIN)
    return tensors


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Says of a damaged file that it is, in one line."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(f"{file} cannot be read: {reason}.", AGAIN) from error
