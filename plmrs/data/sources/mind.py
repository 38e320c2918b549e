"""The official MIND layout: one folder a part, with `news.tsv` and `behaviors.tsv`, both without header or quoting."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from plmrs.data.sources.files import read_text, readable, unquoted
from plmrs.data.sources.mind_histories import RULES, join, read_behaviors
from plmrs.data.sources.source import Source, SourceFile, Tally, first_texts, tidy
from plmrs.errors import UserError

PARTS = {
    "MIND_small": {"train": "MINDsmall_train", "dev": "MINDsmall_dev"},
    "MIND_large": {"train": "MINDlarge_train", "dev": "MINDlarge_dev", "test": "MINDlarge_test"},
}
"""The folders of each data set; `test` may be absent."""

NEWS = ("news_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")


def find(name: str, places: list[Path]) -> dict[str, Path]:
    """The folders of MIND_small or MIND_large by part, from the first of `places` (or one level below) that has them.

    Raises:
        UserError: a folder or one of its files is missing.
    """
    parts = PARTS[name]
    found: dict[str, Path] = {}
    for part, folder in parts.items():
        tried = [path for place in places for path in (place / folder, *sorted(place.glob(f"*/{folder}")))]
        first = next((path for path in tried if path.is_dir()), None)
        if first is not None:
            found[part] = first
    missing = [folder for part, folder in parts.items() if part not in found and part != "test"]
    if missing:
        looked = " and ".join(str(place) for place in places)
        zips = [path for place in places for folder in missing for path in place.glob(f"**/{folder}.zip")]
        raise UserError(
            f"The folder{'s' * (len(missing) > 1)} {' and '.join(missing)} of {name}, with news.tsv and behaviors.tsv,"
            f" {'is' if len(missing) == 1 else 'are'} not below {looked}.",
            f"Unzip {zips[0]} there."
            if zips
            else f"Download them from their owner's page, https://msnews.github.io, and unzip them into {places[0]}.",
        )
    for path in found.values():
        for file in ("news.tsv", "behaviors.tsv"):
            if not (path / file).is_file():
                raise UserError(f"{path} has no {file}.", "Unzip the official file again.")
    return found


def read(folders: Mapping[str, Path], abstracts: bool) -> Source:
    """Read the official folders.

    Args:
        folders: Folder by part, in order of time.
        abstracts: Whether an item's text is title and abstract instead of the title.

    Raises:
        UserError: a file is damaged or not UTF-8, or a time cannot be read.
    """
    files = [folder / file for folder in folders.values() for file in ("news.tsv", "behaviors.tsv")]
    news = [_read_news(folder / "news.tsv", abstracts) for folder in folders.values()]
    items, repeated = first_texts(pa.concat_tables(news))
    behaviors = [read_behaviors(folder / "behaviors.tsv") for folder in folders.values()]
    interactions, dropped = join(behaviors)
    rows = []
    for folder, table, part in zip(folders.values(), news, behaviors, strict=True):
        silent = "" if part.labelled else ", which does not say what was clicked"
        rows.append(Tally("items", table.num_rows, f"{folder.name}/news.tsv"))
        rows.append(Tally("impressions", len(part.times), f"{folder.name}/behaviors.tsv{silent}"))
    return Source(
        items,
        interactions,
        "seconds since 1970-01-01, in MIND's clock",
        files=tuple(SourceFile.of(path) for path in files),
        read=tuple(rows),
        dropped=(Tally("items", repeated, "they stand in an earlier part's news.tsv, whose text is kept"), *dropped),
        rules=RULES,
        options={"abstracts": abstracts},
    )


def _read_news(path: Path, abstracts: bool) -> pa.Table:
    """Columns item_id, text, category."""
    types = csv.ConvertOptions(
        column_types=dict.fromkeys(NEWS, pa.string()), include_columns=["news_id", "title", "abstract", "category"]
    )
    with readable(path):
        raw = read_text(path, unquoted(), types, NEWS)
    text = raw.column("title")
    if abstracts:
        text = pc.binary_join_element_wise(text, raw.column("abstract"), " ")
    return pa.table({"item_id": raw.column("news_id"), "text": tidy(text), "category": raw.column("category")})
