"""The official MIND layout: a folder or zip a part, with `news.tsv` and `behaviors.tsv`, without header or quoting."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from plmrs.config import RawOptions
from plmrs.data.sources import texts
from plmrs.data.sources.delimited import text_batches, unquoted
from plmrs.data.sources.mind_behaviors import Behaviors, Impressions, check_named, header_error
from plmrs.data.sources.mind_histories import RULES, join
from plmrs.data.sources.mind_ids import NotPlainError
from plmrs.data.sources.places import damaged_zips, not_found, raw_files
from plmrs.data.sources.raw import RawFile
from plmrs.data.sources.source import SECONDS, Source, Tally, first_texts, measured
from plmrs.data.sources.texts import Wording, wording
from plmrs.errors import UserError

PARTS = {
    "MIND_small": ("MINDsmall_train", "MINDsmall_dev"),
    "MIND_large": ("MINDlarge_train", "MINDlarge_dev", "MINDlarge_test"),
}
"""The parts of each data set in order of time; all but the first may be absent."""

OWNER = "https://msnews.github.io"
NEWS = ("news_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")


@dataclass(frozen=True)
class Part:
    """The files of a part."""

    name: str
    news: RawFile
    behaviors: RawFile


def find(name: str, places: Sequence[Path]) -> list[Part]:
    """The parts of MIND_small or MIND_large that are there; none when not even one file of the first part is.

    Raises:
        UserError: a part has only one of its files or lies in a damaged zip, or the first one is missing while a later
            one is there.
    """
    files = raw_files(places)
    found = []
    for part in PARTS[name]:
        own = [file for file in files if part in _enclosing(file)]
        pair = {want: next((f for f in own if f.name == want), None) for want in ("news.tsv", "behaviors.tsv")}
        lacking = [want for want, file in pair.items() if file is None]
        if len(lacking) == 1:
            place = next(file for file in pair.values() if file is not None)
            raise UserError(
                f"{place.path if place.member else place.path.parent} has no {lacking[0]}.",
                f"Download {part}.zip again from its owner, {OWNER}.",
            )
        if len(lacking) == 2 and any(path.stem == part for path in damaged_zips(places)):
            raise not_found(f"{part} with news.tsv and behaviors.tsv", name, places, OWNER)
        if not lacking:
            found.append(Part(part, pair["news.tsv"], pair["behaviors.tsv"]))  # type: ignore[arg-type]
    if found and found[0].name != PARTS[name][0]:
        raise not_found(f"{PARTS[name][0]} with news.tsv and behaviors.tsv", name, places, OWNER)
    return found


def missing(name: str, places: Sequence[Path]) -> UserError:
    """The error when nothing of a data set is there."""
    return not_found(f"folder or zip {PARTS[name][0]} with news.tsv and behaviors.tsv", name, places, OWNER)


def _enclosing(file: RawFile) -> set[str]:
    """The names of the folder or zip that a file lies in."""
    if file.member is None:
        return {file.path.parent.name}
    return {file.path.stem, Path(file.member).parent.name}


def read(parts: Sequence[Part], options: RawOptions) -> Source:
    """Read the official files.

    Args:
        parts: The parts, in order of time.
        options: What the text is made of: any of `NEWS`; the title by default.

    Raises:
        UserError: a file is damaged or not UTF-8, a time cannot be read, or there is no such text field.
    """
    words = wording(options, ("title",))
    for name in words.fields:
        if name not in NEWS:
            raise UserError(f"MIND's news have no field {name}.", f"They have {', '.join(NEWS)}.")
    files = measured(list(dict.fromkeys(path for part in parts for path in (part.news.path, part.behaviors.path))))
    news = [_read_news(part.news, words) for part in parts]
    items, repeated = first_texts(pa.concat_tables(news))
    try:
        seen, sizes = _read_behaviors(parts, plain=True)
    except NotPlainError:
        seen, sizes = _read_behaviors(parts, plain=False)
    read = []
    for part, table, (impressions, labelled) in zip(parts, news, sizes, strict=True):
        silent = "" if labelled else ", which does not say what was clicked"
        read.append(Tally("items", table.num_rows, f"{part.name}/news.tsv"))
        read.append(Tally("impressions", impressions, f"{part.name}/behaviors.tsv{silent}"))
    interactions, dropped = join(seen)
    return Source(
        items,
        interactions,
        SECONDS,
        files=files(),
        read=tuple(read),
        dropped=(Tally("items", repeated, "they stand in an earlier part's news.tsv, whose text is kept"), *dropped),
        rules=(*RULES, texts.RULE),
        options={"texts": list(words.fields), "between_texts": list(words.between)},
    )


def _read_behaviors(parts: Sequence[Part], plain: bool) -> tuple[Impressions, list[tuple[int, bool]]]:
    """The impressions of all parts; of each part, how many there are and whether it says what was clicked."""
    behaviors = Behaviors(plain)
    sizes = [behaviors.add(part.behaviors) for part in parts]
    return behaviors.finish(), sizes


def _read_news(file: RawFile, words: Wording) -> pa.Table:
    """Columns item_id, text, category."""
    names = list(dict.fromkeys(("news_id", "category", *words.fields)))
    types = csv.ConvertOptions(column_types=dict.fromkeys(NEWS, pa.string()), include_columns=names)
    raw = pa.Table.from_batches(list(text_batches(file, unquoted(), types, NEWS)))
    if raw.column("category")[0].as_py().lower() == "category":
        raise header_error(file)
    check_named(file, raw.column("news_id"))
    columns = {name: raw.column(name).combine_chunks() for name in words.fields}
    return pa.table(
        {"item_id": raw.column("news_id"), "text": words.texts(columns), "category": raw.column("category")}
    )
