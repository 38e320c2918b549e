"""MIND's ids, such as `U13740` and `N55189`, as the numbers they hold: tens of millions of them need no string each.

Logs in which other ids stand are read as text, at three times the cost.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plmrs.data.sources.numbering import Numbering, encoded, first_rows
from plmrs.data.sources.sequences import words

Numbers = NDArray[np.int32]

LONGEST = 7
"""Digits of an id at most; what has more is read as text."""


class NotPlainError(Exception):
    """An id is no letter and number."""


class PlainIds:
    """Ids that are a letter and a number; their numbers serve as keys until all are known.

    Args:
        letter: The letter.
    """

    def __init__(self, letter: str) -> None:
        self._letter = letter
        self._numbers: list[Numbers] = []
        self._flushed = 0
        self._code_of: Numbers = np.zeros(0, np.int32)

    def add(self, texts: pa.StringArray) -> NDArray[np.int64]:
        """Take the ids of some texts, and say how many each text has. [texts]

        Raises:
            NotPlainError: another id stands there.
        """
        read = id_numbers(texts, self._letter)
        if read is None:
            raise NotPlainError
        self._numbers.append(read[1])
        return read[0]

    def flush(self) -> Numbers:
        """Keys of the ids added since the last flush. [ids]"""
        new, self._flushed = self._numbers[self._flushed :], len(self._numbers)
        return np.concatenate([np.zeros(0, np.int32), *new])

    def finish(self) -> tuple[Numbers, pa.StringArray]:
        """Codes of all ids [ids], and the different ids in the order in which they first come."""
        numbers = np.concatenate([np.zeros(0, np.int32), *self._numbers])
        self._numbers = []
        known = np.zeros(int(numbers.max(initial=-1)) + 1, bool)
        known[numbers] = True
        different = np.flatnonzero(known)
        ascending = (np.cumsum(known, dtype=np.int32) - 1)[numbers]
        order = np.argsort(first_rows(ascending, len(different)))
        self._code_of = np.zeros(len(known), np.int32)
        self._code_of[different[order]] = np.arange(len(order), dtype=np.int32)
        ids = pc.binary_join_element_wise(self._letter, pa.array(different[order]).cast(pa.string()), "")
        return self._code_of[numbers], ids

    def codes_of(self, keys: Numbers) -> Numbers:
        """Codes of keys, once all are known."""
        return self._code_of[keys]


class TextIds:
    """Ids of any form.

    Args:
        lists: Whether a text holds several, joined by spaces.
    """

    def __init__(self, lists: bool) -> None:
        self._lists = lists
        self._numbering = Numbering()

    def add(self, texts: pa.StringArray) -> NDArray[np.int64]:
        """Take the ids of some texts, and say how many each text has. [texts]"""
        rows, ids = words(texts) if self._lists else (np.arange(len(texts)), texts)
        self._numbering.add(*encoded(ids))
        return np.bincount(rows, minlength=len(texts))

    def flush(self) -> Numbers:
        """Keys of the ids added since the last flush. [ids]"""
        return self._numbering.flush()

    def finish(self) -> tuple[Numbers, pa.StringArray]:
        """Codes of all ids [ids], and the different ids in the order in which they first come."""
        return self._numbering.finish()

    def codes_of(self, keys: Numbers) -> Numbers:
        """Codes of keys: they are the same."""
        return keys


def id_numbers(texts: pa.StringArray, letter: str) -> tuple[NDArray[np.int64], NDArray[np.int32]] | None:
    """How many ids each text has, and the numbers of all in turn; None where anything else stands in a text.

    An id is the letter and a number without leading zeros; ids are separated by single spaces.

    Example: `["N5 N17", "", "N2"]` give `[2, 0, 1]` and `[5, 17, 2]`; `["N05"]` and `["X1"]` give None.
    """
    _, bounds, data = texts.buffers()
    starts = np.frombuffer(bounds, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    text = np.frombuffer(data if data is not None else b"", np.uint8)[starts[0] : starts[-1]]
    starts -= starts[0]
    begins = np.flatnonzero(text == ord(letter))
    counts = np.diff(np.searchsorted(begins, starts))
    if not len(begins):
        return (counts, np.zeros(0, np.int32)) if not len(text) else None
    behind = np.append(begins[1:], len(text))
    spaced = text[behind - 1] == ord(" ")
    digits = behind - spaced - begins - 1
    longest = int(digits.max())
    if (text[starts[:-1][np.diff(starts) > 0]] != ord(letter)).any():
        return None
    # Every byte is the letter, the one space behind an id that is not its text's last, or a digit as looked at below.
    follows = np.ones(len(begins), bool)
    follows[np.cumsum(counts)[counts > 0] - 1] = False
    if not 1 <= int(digits.min()) <= longest <= LONGEST or not np.array_equal(spaced, follows):
        return None
    numbers = np.zeros(len(begins), np.int32)
    for place in range(longest):
        there = digits > place
        digit = text[np.minimum(begins + 1 + place, len(text) - 1)] - np.uint8(ord("0"))
        wrong = digit > 9 if place else (digit > 9) | ((digit == 0) & (digits > 1))
        if (wrong & there).any():
            return None
        numbers = np.where(there, numbers * 10 + digit, numbers)
    return counts, numbers
