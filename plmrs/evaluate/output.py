"""What was found as files: JSON, CSV, Markdown, LaTeX, and each user's rank as Parquet; each whole or not at all."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from plmrs.config import ResultOptions
from plmrs.data.dataset import Dataset
from plmrs.data.splits import HeldOut
from plmrs.errors import UserError
from plmrs.printable import printable
from plmrs.report import Table, shown
from plmrs.workspace import atomic_file

SUFFIXES = (".json", ".csv", ".md", ".tex")


def output_paths(results: ResultOptions) -> list[Path]:
    """The files that `--output` names.

    Raises:
        UserError: it names none, or a file has no suffix that says what to write or is a folder, also that of
            `--per-user`.
    """
    paths = [Path(name.strip()) for name in (results.output or "").split(",") if name.strip()]
    if results.output is not None and not paths:
        raise UserError(f"--output {results.output} names no file.", "Name one, as in --output metrics.csv.")
    for path in paths:
        if path.suffix not in SUFFIXES:
            raise UserError(
                f"--output {path}: its suffix does not say what to write.", f"It is one of {', '.join(SUFFIXES)}."
            )
    if results.per_user is not None and Path(results.per_user).suffix != ".parquet":
        raise UserError(f"--per-user {results.per_user} is written as Parquet.", "Name a file that ends in .parquet.")
    wanted = [*(("--output", path) for path in paths), ("--per-user", results.per_user), ("--report", results.report)]
    for flag, named in wanted:
        if named is not None and Path(named).is_dir():
            raise UserError(f"{flag} {named} is a folder.", "Name a file in it.")
    return paths


def write_output(path: Path, content: Mapping[str, Any], tables: Sequence[Table]) -> None:
    """Write what was found as the suffix says."""
    match path.suffix:
        case ".json":
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        case ".csv":
            text = as_csv(content)
        case ".md":
            text = "\n".join(_markdown(table) for table in tables)
        case _:
            text = "% needs \\usepackage{booktabs}\n" + "\n".join(_latex(table) for table in tables)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_per_user(path: Path, ranks: Mapping[str, NDArray[np.int64]], users: HeldOut, dataset: Dataset) -> None:
    """Write a row a run and user: run, user_id, target_id, rank.

    Args:
        path: A Parquet file.
        ranks: Of each run by its name. [users] each
        users: Who was ranked.
        dataset: Whose ids.
    """
    user_ids = pa.array(dataset.user_ids_of(users.users), pa.string())
    target_ids = pa.array(dataset.item_ids_of(users.targets), pa.string())
    schema = pa.schema({"run": pa.string(), "user_id": pa.string(), "target_id": pa.string(), "rank": pa.int64()})
    with atomic_file(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for run, own in ranks.items():
            names = pa.array([run]).take(pa.array(np.zeros(len(own), np.int64)))
            writer.write_table(pa.table([names, user_ids, target_ids, pa.array(own)], schema=schema))


def as_csv(content: Mapping[str, Any]) -> str:
    """A line a number: by, group, users, method, metric, value, low, high."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["by", "group", "users", "method", "metric", "value", "low", "high"])
    for group in content["groups"]:
        about = [group["by"], group["group"], group["users"]]
        for method, found in group["metrics"].items():
            for metric, value in found.items():
                ends = group.get("intervals", {}).get(method, {}).get(metric, ["", ""])
                writer.writerow([*about, method, metric, value, *ends])
    everyone = content["groups"][0]
    for method, found in content["lists"].items():
        for metric, value in found.items():
            writer.writerow([everyone["by"], everyone["group"], everyone["users"], method, metric, value, "", ""])
    return text.getvalue()


def _texts(table: Table, bold: str, escape: Callable[[str], str]) -> list[list[str]]:
    """The cells of the rows as text, the best as `bold` formats it."""
    return [
        [
            bold.format(escape(shown(cell))) if (number, column) in table.bold else escape(shown(cell))
            for column, cell in enumerate(row)
        ]
        for number, row in enumerate(table.rows)
    ]


def _markdown(table: Table) -> str:
    def escape(text: str) -> str:
        return printable(text).translate(MARKDOWN)

    kinds = ["---", *("---:" for _ in table.columns[1:])]
    rows = [[escape(column) for column in table.columns], kinds, *_texts(table, "**{}**", escape)]
    notes = [f"- {escape(note)}" for note in table.notes]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"### {escape(table.title)}", "", *lines, *(["", *notes] if notes else []), ""])


def _latex(table: Table) -> str:
    header, *rows = [
        " & ".join(row) + r" \\" for row in ([*map(_tex, table.columns)], *_texts(table, r"\textbf{{{}}}", _tex))
    ]
    begin = rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}"
    title, *notes = (f"% {printable(text)}" for text in (table.title, *table.notes))
    lines = [title, begin, r"\toprule", header, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, *notes, ""])


MARKDOWN = str.maketrans({letter: f"\\{letter}" for letter in "\\|`*<["})
"""Characters that would end a cell, or be read as a mark or as HTML."""
TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        # In LaTeX's own encoding of fonts these three are other characters: > 200 would be printed ¿ 200.
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    }
)


def _tex(text: str) -> str:
    return printable(text).translate(TEX)
