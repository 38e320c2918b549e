"""`plmrs prepare`: read a source, keep what the rules keep, write it whole or not at all."""

import platform
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from plmrs import __version__
from plmrs.config import PrepareConfig
from plmrs.data.dataset import FORMAT, MANIFEST, write_histories, write_items
from plmrs.data.sources import demo, mind, table
from plmrs.data.sources.files import kind_of
from plmrs.data.sources.source import Source
from plmrs.errors import UserError
from plmrs.prepare.account import counts, tables
from plmrs.prepare.build import RULES, Prepared, build, check
from plmrs.report import Progress, Table
from plmrs.workspace import PARTIAL, Workspace, atomic_folder, fingerprint, lock, read_json, write_json

KNOWN = ("demo", *mind.PARTS)
"""Data sets that need nothing but their name."""

LATER = ("hm", "bilibili")
"""Names of data sets whose own layouts are not read yet."""

PLACES = ("root", "runs", "items", "interactions")
"""Options that say where something lies; what lies there decides the content."""


def prepare(name: str | None, config: PrepareConfig, progress: Progress) -> list[Table]:
    """Prepare the data set `name`.

    Raises:
        UserError: there is no such data set, its raw files are missing or damaged, nothing of it is left, or another
            process prepares it.
    """
    workspace = config.workspace.open()
    if name is None:
        raise UserError(
            "Which data set? plmrs knows demo, MIND_small and MIND_large.",
            "Run `plmrs prepare demo`, or `plmrs prepare NAME --items FILE --interactions FILE` for your own tables.",
        )
    check(config.filters)
    read = _reader(name, config, workspace, progress)
    folder = workspace.prepared(name)
    with lock(folder, f"preparing {name}"):
        source = read()
        prepared = build(source, config.filters)
        manifest = _manifest(name, config, source, prepared)
        _tell_what_is_replaced(folder, manifest, progress)
        with atomic_folder(folder) as temporary:
            uses = np.bincount(prepared.items - 1, minlength=len(prepared.item_ids))
            write_items(temporary, prepared.item_ids, prepared.texts, prepared.categories, uses)
            write_histories(temporary, prepared.user_ids, prepared.items, prepared.times, prepared.offsets)
            write_json(temporary / MANIFEST, manifest)
    notes = [f"It lies in {folder}, fingerprint {manifest['fingerprint']}.", f"Times: {source.time_unit}."]
    return tables(name, source, prepared, manifest["counts"], notes)


def _reader(name: str, config: PrepareConfig, workspace: Workspace, progress: Progress) -> Callable[[], Source]:
    """The source that a name and the options mean, its files found but not read."""
    raw = config.raw
    if not re.fullmatch(r"\w[\w.+-]{0,99}", name) or PARTIAL in name:
        raise UserError(
            f"{name!r} cannot be the name of a folder.",
            "Use letters, digits, dots, dashes and underscores, as in my-books.",
        )
    if (raw.items is None) != (raw.interactions is None):
        given, other = ("--items", "--interactions") if raw.items else ("--interactions", "--items")
        raise UserError(f"{given} is given without {other}.", "Give both: a table of items and one of who took them.")
    if raw.items is not None and raw.interactions is not None:
        for path in (raw.items, raw.interactions):
            kind_of(path)
        progress.say(f"Reading {raw.items} and {raw.interactions}.")
        return partial(table.read, raw.items, raw.interactions, raw)
    if name == "demo":
        progress.say(f"Generating the demo from seed {config.demo.demo_seed}.")
        return partial(demo.read, config.demo.demo_seed)
    if name in mind.PARTS:
        folders = mind.find(name, workspace.raw_places(name))
        progress.say(f"Reading {', '.join(str(folder) for folder in folders.values())}.")
        return partial(mind.read, folders, raw.abstracts)
    if name in LATER:
        raise UserError(
            f"plmrs does not read the raw layout of {name} yet.",
            f"Give it as tables: `plmrs prepare {name} --items FILE --interactions FILE`.",
        )
    known = (*KNOWN, *LATER)
    near = get_close_matches(name.lower(), [each.lower() for each in known], 1)
    guess = next((f"Did you mean {each}? " for each in known if near and each.lower() == near[0]), "")
    raise UserError(
        f"plmrs knows no data set {name}.", f"{guess}For your own tables: --items FILE --interactions FILE."
    )


def _manifest(name: str, config: PrepareConfig, source: Source, prepared: Prepared) -> dict[str, Any]:
    """Everything about the data set but its content."""
    texts = {"item_ids": _strings_hash(prepared.item_ids), "texts": _strings_hash(prepared.texts)}
    content = {
        "format": FORMAT,
        "sources": [file.sha256 for file in source.files],
        "options": {**source.options, **config.filters.model_dump(mode="json")},
        **texts,
        "categories": None if prepared.categories is None else _strings_hash(prepared.categories),
        "user_ids": _strings_hash(prepared.user_ids),
        **{part: sha256(getattr(prepared, part).tobytes()).hexdigest() for part in ("items", "times", "offsets")},
    }
    return {
        "format": FORMAT,
        "name": name,
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
        "counts": counts(prepared),
        "read": [vars(tally) for tally in source.read],
        "dropped": [vars(tally) for tally in (*source.dropped, *prepared.dropped)],
        "rules": [*source.rules, *RULES],
        "time_unit": source.time_unit,
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
