"""A data set's texts as token ids on disk: ragged, memory-mapped, made once a tokenizer and length.

    tokens/<tokenizer>-<length>.feather     ids list<int32>, full int32; row i is item i + 1

The schema's metadata says what the ids were made from. A file that was made from anything else is never read, and one
that another PLM with the same tokenizer left is read as well as one's own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import feather

from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.report import Progress
from plmrs.workspace import PARTIAL, atomic_file

FORMAT = 1
FOLDER = "tokens"
TEXTS = 4096
"""Texts tokenised at once, enough to occupy all cores …"""
CHARACTERS = 2 << 20
"""… as long as they have so many characters together: a tokenizer holds some 200 bytes a token until they are done."""

DIFFERS = {
    "format": "another version of plmrs made it",
    "texts_fingerprint": "items or texts have changed since",
    "identity": "a tokenizer of other files made it",
    "tokenized_len": "it is cut to another length",
}
"""What a file's metadata must agree in, and what it means when it does not."""

Tokenise: TypeAlias = Callable[[Sequence[str]], tuple[Sequence[Sequence[int]], Sequence[int]]]
"""From texts to the token ids kept of each, and to the number of tokens that each has whole."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of texts, ragged: text i has `ids[start[i] : start[i] + length[i]]`; `ids` holds nothing else.

    Attributes:
        ids: Of all texts, one after the other. [tokens] int32
        start: Position of each text's first token. [texts] int64
        length: Tokens kept of each text, special ones included. [texts] int32
        full: Tokens that the whole text has, special ones included. [texts] int32
    """

    ids: NDArray[np.int32]
    start: NDArray[np.int64]
    length: NDArray[np.int32]
    full: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.length)

    @property
    def n_cut(self) -> int:
        """Texts that are longer than what is kept of them."""
        return int((self.full > self.length).sum())

    def take(self, rows: slice | NDArray[np.int64]) -> "Tokens":
        """The tokens of some texts, in that order. A run of rows, as `slice(3, 9)`, copies no ids.

        Texts `[5 6] [7] [8 9]` and rows `2 0` give `[8 9] [5 6]`.
        """
        at, length = self.start[rows], self.length[rows]
        start = np.cumsum(length, dtype=np.int64) - length
        total = int(length.sum())
        if isinstance(rows, slice) and rows.step in (None, 1):
            first = int(at[0]) if len(at) else 0
            ids = self.ids[first : first + total]
        else:
            ids = self.ids[np.arange(total) + np.repeat(at - start, length)]
        return Tokens(ids, start, length, self.full[rows])


def tokens_path(dataset: Dataset, tokenizer: str, length: int) -> Path:
    """Where the tokens of a tokenizer are kept; its name has to serve as a file's."""
    return dataset.folder / FOLDER / f"{tokenizer}-{length}.feather"


def open_tokens(dataset: Dataset, tokenizer: str, identity: str, length: int) -> Tokens | None:
    """The tokens of items 1…n, memory-mapped; None when there are none of these texts, tokenizer and length.

    Args:
        dataset: Whose texts.
        tokenizer: The tokenizer's name; a file that the same tokenizer left under another name serves as well.
        identity: Hash of all that its ids depend on.
        length: Tokens kept of a text, special ones included.
    """
    own = tokens_path(dataset, tokenizer, length)
    others = (path for path in sorted(own.parent.glob(f"*-{length}.feather")) if path != own)
    wanted = _marks(dataset, tokenizer, identity, length)
    for path in (own, *others):
        table = _read(path)
        if table is not None and not _differences(table, wanted):
            return _tokens(table)
    return None


def reopen_tokens(dataset: Dataset, tokenizer: str, identity: str, length: int) -> Tokens:
    """As `open_tokens`, for tokens that were there a moment ago.

    Raises:
        UserError: another process has replaced or removed them.
    """
    found = open_tokens(dataset, tokenizer, identity, length)
    if found is None:
        path = tokens_path(dataset, tokenizer, length)
        raise UserError(f"{path} was replaced or removed meanwhile.", "Run the same command again.")
    return found


def list_tokens(dataset: Dataset) -> list[tuple[str, int, Tokens]]:
    """What there is of a data set's texts as they are now: tokenizer, length kept, tokens; by name and length."""
    found = []
    for path in (dataset.folder / FOLDER).glob("*.feather"):
        table = None if PARTIAL in path.name else _read(path)
        marks = _metadata(table) if table is not None else {}
        if marks.get("format") == str(FORMAT) and marks.get("texts_fingerprint") == dataset.texts_fingerprint:
            found.append((marks["tokenizer"], int(marks["tokenized_len"]), _tokens(table)))
    return sorted(found, key=lambda made: made[:2])


def make_tokens(
    dataset: Dataset, tokenizer: str, identity: str, length: int, tokenise: Tokenise, progress: Progress
) -> Tokens:
    """Tokenise all texts and keep the ids; a file of the same name that was made from something else is replaced.

    Two processes that do so at once write the same bytes, and the last one's file stays.

    Args:
        dataset: Whose texts.
        tokenizer: Its name, part of the file's name.
        identity: Hash of all that its ids depend on.
        length: Tokens kept of a text; `tokenise` cuts them.
        tokenise: Called with a portion of the texts at a time.
        progress: Is told how far it is, and why an older file is not used.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    path, marks = tokens_path(dataset, tokenizer, length), _marks(dataset, tokenizer, identity, length)
    if path.exists():
        table = _read(path)
        why = ["it is damaged"] if table is None else _differences(table, marks)
        if why:
            progress.say(f"Not used is {path}: {'; '.join(why)}. It is replaced.")
    ids, lengths, full = [], [], []
    with progress.track("Tokenising", dataset.n_items, "texts") as advance:
        for texts in _portions(dataset):
            kept, whole = tokenise(texts)
            lengths.append(np.fromiter(map(len, kept), np.int32, len(texts)))
            full.append(np.fromiter(whole, np.int32, len(texts)))
            ids.append(np.fromiter(chain.from_iterable(kept), np.int32, int(lengths[-1].sum())))
            advance(len(texts))
    _write(path, marks, np.concatenate(ids), np.concatenate(lengths), np.concatenate(full))
    progress.say(f"Texts tokenised as {tokenizer} does, kept in {path}.")
    return reopen_tokens(dataset, tokenizer, identity, length)


def _portions(dataset: Dataset) -> Iterator[list[str]]:
    """All texts in turn, `TEXTS` at a time, or as many as have `CHARACTERS` together."""
    for first in range(1, dataset.n_items + 1, TEXTS):
        texts = dataset.texts_of(np.arange(first, min(first + TEXTS, dataset.n_items + 1), dtype=np.int32))
        portion = np.cumsum([len(text) for text in texts]) // CHARACTERS
        for start, stop in pairwise([0, *(np.flatnonzero(np.diff(portion)) + 1), len(texts)]):
            yield texts[start:stop]


def _marks(dataset: Dataset, tokenizer: str, identity: str, length: int) -> dict[str, str]:
    """What a file of these says of itself."""
    return {
        "format": str(FORMAT),
        "tokenizer": tokenizer,
        "identity": identity,
        "tokenized_len": str(length),
        "texts_fingerprint": dataset.texts_fingerprint,
    }


def _differences(table: pa.Table, wanted: Mapping[str, str]) -> list[str]:
    held = _metadata(table)
    return [meaning for key, meaning in DIFFERS.items() if held.get(key) != wanted[key]]


def _metadata(table: pa.Table) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}


def _read(path: Path) -> pa.Table | None:
    """A file as a memory-mapped table; None when it is absent or damaged."""
    try:
        return feather.read_table(path, memory_map=True)
    except (OSError, pa.ArrowException):
        return None


def _tokens(table: pa.Table) -> Tokens:
    lists, full = (table.column(name).chunk(0) for name in ("ids", "full"))
    offsets = lists.offsets.to_numpy()
    return Tokens(lists.values.to_numpy(), offsets[:-1].astype(np.int64), np.diff(offsets), full.to_numpy())


def _write(
    path: Path,
    marks: Mapping[str, str],
    ids: NDArray[np.int32],
    lengths: NDArray[np.int32],
    full: NDArray[np.int32],
) -> None:
    # Arrow refuses the offsets of more than 2³¹ tokens here; NumPy would wrap them.
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), pa.int32())
    columns = {"ids": pa.ListArray.from_arrays(offsets, pa.array(ids)), "full": pa.array(full)}
    table = pa.table(columns).replace_schema_metadata(dict(marks))
    try:
        with atomic_file(path) as temporary:
            # One uncompressed chunk: it can be memory-mapped, and two runs write the same bytes.
            feather.write_feather(table, str(temporary), compression="uncompressed", chunksize=max(1, len(lengths)))
    except OSError as error:
        raise UserError(
            f"Cannot write {path}: {error.strerror or error}.", "Free space or mend its permissions, then run it again."
        ) from error
