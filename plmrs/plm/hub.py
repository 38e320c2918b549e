"""PLMs from the Hugging Face hub: downloaded once into its local cache, found there without network ever after."""

import re
from pathlib import Path

from plmrs.errors import UserError
from plmrs.report import Progress

TIMEOUT = 10.0
"""Seconds the hub has to answer the first question; without an answer the local hub cache is all there is."""

TEXT_FILES = ("config.json", "README.md", "tokenizer*.json", "special_tokens_map.json", "added_tokens.json",
              "vocab.txt", "vocab.json", "merges.txt")  # fmt: skip
"""What is downloaded beside the weights: never code."""

WEIGHT_FILES = (
    (r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?", ("model.safetensors*", "model-*.safetensors")),
    (r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?", ("pytorch_model.bin*", "pytorch_model-*.bin")),
)
"""The formats of weights, the preferred one first: how its files are called, and the patterns that download them."""


def is_hub_name(name: str) -> bool:
    """Whether a name has the form `model` or `owner/model`."""
    form = r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?"
    return re.fullmatch(form, name) is not None and ".." not in name and "--" not in name


def snapshot(name: str, progress: Progress) -> tuple[Path, str]:
    """The folder in the local hub cache that holds a PLM, and its commit; what is not there yet is downloaded.

    Raises:
        UserError: the hub knows no such PLM, or asks to accept its licence, or cannot be reached while the local hub
            cache lacks it.
    """
    try:
        files = _listed(name)
    except UserError:
        raise
    except Exception as error:  # The hub's client raises its own, its HTTP library's and the system's errors.
        return _cached(name, error)
    return _download(name, files, progress)


def configuration(name: str) -> Path:
    """The folder in the local hub cache that holds a PLM's config.json; that one file is downloaded if it is absent.

    Raises:
        UserError: as for `snapshot`.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError

    folder = local_snapshot(name)
    if folder is not None and (folder / "config.json").is_file():
        return folder
    try:
        # Asked first, because a download that cannot begin is tried for half a minute.
        if "config.json" not in _listed(name):
            raise UserError(f"--plm {name}: the hub has no config.json of it.", _LOCAL)
        return Path(hf_hub_download(name, "config.json")).parent
    except UserError:
        raise
    except GatedRepoError:
        raise _gated(name) from None
    except Exception as error:  # As above.
        raise _unreachable(name, error) from error


def local_snapshot(name: str, commit: str | None = None) -> Path | None:
    """The folder in the local hub cache of a PLM, at a commit or as it was downloaded last; it may hold only a part."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=commit, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _listed(name: str) -> list[str]:
    """The names of the files that the hub has of a PLM."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return [file.rfilename for file in HfApi().model_info(name, timeout=TIMEOUT).siblings or ()]
    except GatedRepoError:
        raise _gated(name) from None
    except RepositoryNotFoundError:
        raise UserError(f"--plm {name}: the hub has no such model, and there is no such folder.", _LOCAL) from None


def _download(name: str, files: list[str], progress: Progress) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    formats = [patterns for form, patterns in WEIGHT_FILES if any(re.fullmatch(form, file) for file in files)]
    if not formats:
        raise UserError(f"--plm {name}: the hub has neither model*.safetensors nor pytorch_model*.bin of it.", _LOCAL)
    if not _has_weights(name):
        progress.say(f"Downloading {name} from the Hugging Face hub.")
    try:
        folder = Path(snapshot_download(name, allow_patterns=[*TEXT_FILES, *formats[0]]))
    except GatedRepoError:
        raise _gated(name) from None
    except Exception as error:  # As above, and a full disk.
        raise UserError(
            f"--plm {name}: the download from the hub failed: {_first_line(error)}.",
            "Run the same command again: it goes on where it stopped.",
        ) from error
    return folder, folder.name


def _cached(name: str, reason: Exception) -> tuple[Path, str]:
    folder = local_snapshot(name)
    if folder is None:
        raise _unreachable(name, reason)
    if not _has_weights(name):
        raise UserError(
            f"--plm {name}: the local hub cache holds only a part of it, and the hub cannot be reached"
            f" ({_first_line(reason)}).",
            _LOCAL,
        )
    return folder, folder.name


def _has_weights(name: str) -> bool:
    folder = local_snapshot(name)
    files = [file.name for file in folder.iterdir()] if folder is not None else []
    return "config.json" in files and any(re.fullmatch(form, file) for form, _ in WEIGHT_FILES for file in files)


_LOCAL = "Name a local folder that holds the PLM, or use --plm minilm."


def _gated(name: str) -> UserError:
    return UserError(
        f"--plm {name}: the hub gives it only to accounts that accepted its licence.",
        f"Accept it at https://huggingface.co/{name}, then run `hf auth login`.",
    )


def _unreachable(name: str, reason: Exception) -> UserError:
    return UserError(
        f"--plm {name} is not in the local hub cache, and the hub cannot be reached ({_first_line(reason)}).", _LOCAL
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
