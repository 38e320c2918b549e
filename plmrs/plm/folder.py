"""The files of a PLM's folder: weights, configuration, licence, and a hash over them. Nothing here loads a tensor."""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from plmrs.errors import UserError
from plmrs.plain_yaml import YamlError, read_yaml
from plmrs.workspace import file_sha256

AGAIN = "Copy or download the PLM's folder again."
"""The remedy where its files are damaged."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""The files weights are in, the preferred one first; a sharded one's index has `.index.json` behind it."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The weight files of a folder: safetensors where it has them, else PyTorch's; one file or shards with an index.

    Raises:
        UserError: there are none, or a shard is absent.
    """
    for whole in WEIGHTS:
        if (folder / whole).is_file():
            return (folder / whole,)
        index = folder / f"{whole}.index.json"
        if index.is_file():
            return tuple(existing(folder / name) for name in sorted(set(shards(index).values())))
    raise UserError(
        f"{folder} holds no weights: neither model.safetensors nor pytorch_model.bin nor the index of shards.", AGAIN
    )


def shards(index: Path) -> dict[str, str]:
    """The name of the shard that holds each tensor, as the index beside the shards has it.

    Raises:
        UserError: the index is damaged, or leads out of its folder.
    """
    found = json_object(index).get("weight_map")
    if not isinstance(found, dict) or not all(name == Path(str(name)).name for name in found.values()):
        raise UserError(f"{index} is damaged: it maps no tensors to files of this folder.", AGAIN)
    return found


def existing(file: Path) -> Path:
    """The file, which must be there.

    Raises:
        UserError: it is not.
    """
    if not file.is_file():
        raise UserError(f"{file} does not exist; a PLM's folder holds config.json, tokenizer and weights.", AGAIN)
    return file


def check_whole(file: Path) -> None:
    """See that a weight file is not cut, without reading its tensors.

    Raises:
        UserError: it is.
    """
    # Opening compares the header with the file's size, so a cut download is found before anything is loaded.
    # PyTorch's own format has no such header; a damaged one is found when it is loaded.
    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} is cut or damaged: {error}.", AGAIN) from None


def json_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: the file is damaged.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number of thousands of digits, or too deep
        raise UserError(f"{file} is damaged: {error}.", AGAIN) from None
    if not isinstance(content, dict):
        raise UserError(f"{file} is damaged: it holds no JSON object.", AGAIN)
    return content


def size_in(config: dict[str, Any], key: str, folder: Path) -> int:
    """A size that a configuration gives.

    Raises:
        UserError: it does not.
    """
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UserError(f"{folder / 'config.json'} gives no {key}.", AGAIN)
    return value


def identity_of(files: Sequence[Path], *facts: str) -> str:
    """`sha256:…` over the names and bytes of files, and what else is told."""
    lines = [*(f"{file.name} {_sha256(file, _state(file))}" for file in files), *facts]
    return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def _state(file: Path) -> tuple[int, ...]:
    """What differs once a file was written to or replaced; its time of modification can be set back."""
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache
def _sha256(file: Path, state: tuple[int, ...]) -> str:
    # A command asks several times for the identity of a PLM, which may have gigabytes.
    return file_sha256(file)


def licence_of(folder: Path) -> str | None:
    """The licence in the front matter of the folder's model card, as in `apache-2.0`."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    front = re.match(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        facts = read_yaml(front[1]) if front else None
    except YamlError:
        return None
    if not isinstance(facts, dict) or not isinstance(facts.get("license"), str):
        return None
    # The hub spells a licence of the maker's own `other`, with its name beside.
    return str(facts.get("license_name") or "other") if facts["license"] == "other" else str(facts["license"])
