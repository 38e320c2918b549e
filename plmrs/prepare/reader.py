"""Which raw layout a data set's name and the options mean."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from plmrs.config import PrepareConfig, RawOptions
from plmrs.data.sources import bilibili, demo, hm, mind, movielens, research, table
from plmrs.data.sources.places import damaged_zips
from plmrs.data.sources.raw import RawFile, raw_file
from plmrs.data.sources.source import Source
from plmrs.errors import UserError
from plmrs.report import Progress

LAYOUTS = {"hm": hm, "bilibili": bilibili, **dict.fromkeys(movielens.RELEASES, movielens)}
"""Data sets of two tables, and the module that knows how their owner offers them."""
KNOWN = ("demo", *mind.PARTS, *LAYOUTS)
"""Data sets that need nothing but their name."""


def reader(name: str, config: PrepareConfig, places: list[Path], progress: Progress) -> Callable[[], Source]:
    """What reads a source; its files are found but not read.

    Args:
        name: One of `KNOWN`, or any when the options name tables.
        config: Options.
        places: The folders in which its raw files are looked for.
        progress: Is told what will be read.

    Raises:
        UserError: there is no such source, or its files are missing.
    """
    raw = config.raw
    if (raw.items is None) != (raw.interactions is None):
        given, other = ("--items", "--interactions") if raw.items else ("--interactions", "--items")
        raise UserError(f"{given} is given without {other}.", "Give both: a table of items and one of who took them.")
    if raw.items is not None and raw.interactions is not None:
        items, interactions = raw_file(raw.items), raw_file(raw.interactions)
        progress.say(f"Reading {items} and {interactions}.")
        return partial(table.read, items, interactions, raw)
    if name == "demo":
        progress.say(f"Generating the demo from seed {config.demo.demo_seed}.")
        return partial(demo.read, config.demo.demo_seed)
    if name in KNOWN:
        files, read = _found(name, raw, places)
        for path in damaged_zips(places):
            progress.warn(f"{path} is damaged, or no zip; it is left out.")
        progress.say(f"Reading {' and '.join(str(file) for file in files)}.")
        return read
    near = get_close_matches(name.lower(), [each.lower() for each in KNOWN], 1)
    guess = next((f"Did you mean {each}? " for each in KNOWN if near and each.lower() == near[0]), "")
    raise UserError(
        f"plmrs knows no data set {name}.", f"{guess}For your own tables: --items FILE --interactions FILE."
    )


def _found(name: str, raw: RawOptions, places: list[Path]) -> tuple[Sequence[RawFile], Callable[[], Source]]:
    """The files of a data set and what reads them: as its owner offers it, else in the research layout."""
    if name in mind.PARTS:
        parts = mind.find(name, places)
        if parts:
            return [file for part in parts for file in (part.news, part.behaviors)], partial(mind.read, parts, raw)
        owner, missing = mind.OWNER, partial(mind.missing, name, places)
    else:
        layout = LAYOUTS[name]
        tables = layout.find(places)
        if tables:
            return tables, partial(layout.read, *tables, raw)
        owner, missing = layout.OWNER, partial(layout.missing, name, places)
    tables = research.find(name, places, owner) if name in research.TABLES else None
    if not tables:
        raise missing()
    return tables, partial(research.read, *tables, raw)
