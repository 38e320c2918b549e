"""From ids as users write them to rows of a table. Ids are text as it stands: no zero, space or comma is lost."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plmrs.errors import UserError
from plmrs.report import counted

LOOKED_AT = 20_000
"""Ids at most that a slip is compared with, letter by letter."""


def read_ids(path: Path) -> list[str]:
    """The ids in a text file, one a line; empty lines are none.

    Raises:
        UserError: there is no such file, it is no text, or it holds no id.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is no UTF-8 text.", "Give a text file with an id a line.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Give a text file with an id a line.") from None
    ids = [line for line in (line.removesuffix("\r") for line in text.split("\n")) if line]
    if not ids:
        raise UserError(f"{path} holds no id.", "Give a text file with an id a line.")
    return ids


def rows_of(ids: Sequence[str], known: pa.ChunkedArray, what: str, where: str) -> NDArray[np.int64]:
    """The row of each id in a column of ids. [n]

    Args:
        ids: What is looked for.
        known: The column.
        what: What they are ids of, as `item`.
        where: Where they were given, as `--history`; for errors.

    Raises:
        UserError: there is none of that id.
    """
    try:
        wanted = pa.array(ids, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise UserError(f"{where}: ids are text.", "Give them as strings, as they stand in the data set.") from None
    rows = pc.index_in(wanted, value_set=known)
    if rows.null_count:
        missing = wanted.filter(pc.is_null(rows))
        more = len(missing) - 1
        others = f", and {counted(more, 'more id')} {'is' if more == 1 else 'are'} not there either" if more else ""
        near = near_ids(missing[0].as_py(), known)
        hint = f"Did you mean {' or '.join(near)}?" if near else ""
        raise UserError(f"{where}: there is no {what} {missing[0].as_py()!r}{others}.", hint)
    found: NDArray[np.int64] = rows.to_numpy().astype(np.int64)
    return found


def near_ids(word: str, known: pa.ChunkedArray) -> list[str]:
    """At most three ids that `word` may be a slip of: zeros or spaces lost, another case, or a letter or two wrong."""
    plain = word.strip().lstrip("0").lower()
    bare = pc.utf8_ltrim(pc.utf8_lower(pc.utf8_trim_whitespace(known)), characters="0")
    same = known.filter(pc.equal(bare, plain)).slice(0, 3).to_pylist()
    if same or not word:
        return list(same)
    ends = pc.or_(pc.starts_with(known, word[:1]), pc.ends_with(known, word[-1:]))
    alike = pc.less_equal(pc.abs(pc.subtract(pc.utf8_length(known), len(word))), 1)
    return get_close_matches(word, known.filter(pc.and_(ends, alike)).slice(0, LOOKED_AT).to_pylist(), 3, 0.7)
