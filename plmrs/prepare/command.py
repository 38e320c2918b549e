"""`plmrs prepare`: read a source, keep what the rules keep, write it whole or not at all."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from plmrs import __version__
from plmrs.config import PrepareConfig
from plmrs.config.kinds import FOLDER_NAMES, is_folder_name
from plmrs.data.checksums import checksums
from plmrs.data.dataset import FORMAT, MANIFEST, write_histories, write_items
from plmrs.data.sources.source import ROWS, SECONDS, Source
from plmrs.data.split_choice import effective_split
from plmrs.data.splits import make_split
from plmrs.errors import UserError
from plmrs.prepare.account import counts, tables
from plmrs.prepare.build import RULES, Prepared, build, check
from plmrs.prepare.reader import KNOWN, reader
from plmrs.report import Progress, Table
from plmrs.workspace import atomic_folder, fingerprint, lock, read_json, write_json

PLACES = ("root", "runs", "items", "interactions", "name")
"""Options that say where something lies; what lies there decides the content."""


def prepare(source: str | None, config: PrepareConfig, progress: Progress) -> list[Table]:
    """Prepare a data set.

    Args:
        source: One of `KNOWN`, or any name when the tables are given.
        config: Raw files, filters, split, and the name it is kept under.
        progress: Where it tells what it does.

    Raises:
        UserError: there is no such data set, its raw files are missing or damaged, nothing of it is left, or another
            process prepares it.
    """
    workspace = config.workspace.open()
    if source is None:
        raise UserError(
            f"Which data set? plmrs knows {', '.join(KNOWN)}.",
            "Run `plmrs prepare demo`, or `plmrs prepare NAME --items FILE --interactions FILE` for your own tables.",
        )
    name = config.raw.name or source
    _check_name(source)
    check(config.filters, config.splits)
    read = reader(source, config, workspace.raw_places(source), progress)
    folder = workspace.prepared(name)
    with lock(folder, f"preparing {name}"):
        raw = read()
        prepared = build(raw, config.filters, config.splits)
        how = effective_split(config.splits, prepared.times, raw.time_unit == SECONDS)
        split = make_split(prepared.histories, prepared.times, how, raw.time_unit == SECONDS)
        manifest = _manifest(name, source, config, raw, prepared, how, counts(prepared, split))
        _tell_what_is_replaced(folder, manifest, progress)
        with atomic_folder(folder) as temporary:
            uses = np.bincount(prepared.items - 1, minlength=len(prepared.item_ids))
            write_items(temporary, prepared.item_ids, prepared.texts, prepared.categories, uses)
            write_histories(temporary, prepared.user_ids, prepared.items, prepared.times, prepared.offsets)
            write_json(temporary / MANIFEST, {**manifest, "files": checksums(temporary)})
    notes = [
        f"It lies in {folder}, fingerprint {manifest['fingerprint']}.",
        f"Times: {raw.time_unit}.",
        f"Split: {split.rule}.",
    ]
    return tables(name, raw, prepared, manifest["counts"], notes)


def _check_name(name: str) -> None:
    if not is_folder_name(name):
        raise UserError(f"{name!r} cannot be the name of a folder.", FOLDER_NAMES)


def _manifest(
    name: str,
    source_name: str,
    config: PrepareConfig,
    source: Source,
    prepared: Prepared,
    split: dict[str, Any],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Everything about the data set but its content."""
    texts = {"item_ids": _strings_hash(prepared.item_ids), "texts": _strings_hash(prepared.texts)}
    content = {
        "format": FORMAT,
        "sources": [file.sha256 for file in source.files],
        "options": {**source.options, **config.filters.model_dump(mode="json")},
        "split": split,
        **texts,
        "categories": None if prepared.categories is None else _strings_hash(prepared.categories),
        "user_ids": _strings_hash(prepared.user_ids),
        **{part: sha256(getattr(prepared, part)).hexdigest() for part in ("items", "times", "offsets")},
    }
    return {
        "format": FORMAT,
        "name": name,
        "source": source_name,
        "fingerprint": fingerprint(content),
        "texts_fingerprint": fingerprint(texts),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "plmrs": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "pyarrow": pa.__version__,
        },
        "sources": [vars(file) for file in source.files],
        "options": config.flat(),
        "origins": dict(config.origins),
        "effective": content["options"],
        "split": split,
        "has_times": source.time_unit != ROWS,
        "time_unit": source.time_unit,
        "counts": facts,
        "read": [vars(tally) for tally in source.read],
        "dropped": [vars(tally) for tally in (*source.dropped, *prepared.dropped)],
        "rules": [*source.rules, *RULES],
    }


def _strings_hash(values: pa.StringArray) -> str:
    """The SHA-256 of strings in their order, whatever their layout in memory."""
    _, bounds, text = values.buffers()
    offsets = np.frombuffer(bounds, np.int32)[values.offset : values.offset + len(values) + 1]
    digest = sha256(np.diff(offsets).tobytes())
    digest.update(memoryview(text if text is not None else b"")[offsets[0] : offsets[-1]])
    return digest.hexdigest()


def _tell_what_is_replaced(folder: Path, manifest: Mapping[str, Any], progress: Progress) -> None:
    """Say how the data set that will be replaced differs from the new one."""
    name = manifest["name"]
    if not folder.exists():
        return
    try:
        old = read_json(folder / MANIFEST)
    except UserError as error:
        progress.warn(f"Replaces {name}, which is damaged: {error.message}")
        return
    if old.get("fingerprint") == manifest["fingerprint"]:
        progress.say(f"{name} is prepared already with this very content; made again.")
        return
    before, now = old.get("options", {}), manifest["options"]
    differs = [f"{key} {before.get(key)} (now {now[key]})" for key in now if before.get(key) != now[key]]
    differs = [said for said in differs if said.split(" ")[0] not in PLACES]
    hashes = [[file["sha256"] for file in each.get("sources", [])] for each in (old, manifest)]
    if hashes[0] != hashes[1]:
        differs.append("other raw files")
    if not differs:
        differs.append(f"plmrs {old.get('versions', {}).get('plmrs')}")
    progress.warn(f"Replaces {name} prepared with {', '.join(differs)}.")
