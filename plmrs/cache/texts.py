"""The distinct texts of a data set: items whose texts are the same tokens share one, so that it runs and lies once."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plmrs.data.tokens import Tokens

PORTION = 1 << 16
"""Texts hashed or compared in one go: some 16 bytes a token are held for them."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Distinct texts, numbered from 0, the longest first, of equal length in the order of their first items.

    Attributes:
        length: Tokens of each text. [texts] int32
        text_of_item: The text of each item; row i is item i + 1. [items] int32
    """

    length: NDArray[np.int32]
    text_of_item: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.length)

    @property
    def n_tokens(self) -> int:
        """Tokens of all of them together."""
        return int(self.length.sum())

    @property
    def are_sound(self) -> bool:
        """Whether they can be texts of items: rows are looked up by these numbers in memory that is mapped."""
        length, item = self.length, self.text_of_item
        return bool(
            length.min() >= 1 and (np.diff(length) <= 0).all() and item.min() >= 0 and item.max() == len(length) - 1
        )

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The row of the first item of each text: where its tokens are taken from. [texts]"""
        return np.unique(self.text_of_item, return_index=True)[1].astype(np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of both arrays."""
        parts = (np.array([len(self)]), self.length, self.text_of_item)
        return hashlib.sha256(b"".join(part.astype("<i4").tobytes() for part in parts)).hexdigest()[:16]


def text_table(tokens: Tokens) -> Texts:
    """The distinct texts among those of items 1…n.

    Texts `[5 6] [7] [5 6] [8 9 9]` give the lengths `3 2 1`, and the texts `1 2 1 0` of the four items.
    """
    first, same = _distinct(tokens)
    length = tokens.length[first]
    order = np.lexsort((first, -length))
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    return Texts(length[order], number[same])


def _distinct(tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each distinct text [texts], and which of these each row is the same as [items]."""
    seed = 0
    while True:
        hashes = np.concatenate([_hashes(tokens.take(part), seed) for part in _portions(len(tokens))])
        _, first, same = np.unique(hashes, return_index=True, return_inverse=True)
        if _are_same(tokens, first[same]):
            return first, same
        seed += 1  # Two texts have one hash by chance.


def _portions(n: int) -> list[slice]:
    return [slice(start, min(start + PORTION, n)) for start in range(0, n, PORTION)]


def _hashes(tokens: Tokens, seed: int) -> NDArray[np.uint64]:
    """A number a text, of its tokens and their places. [texts]"""
    place = np.arange(len(tokens.ids)) - np.repeat(tokens.start, tokens.length)
    mixed = (tokens.ids.astype(np.uint64) << 32) + place.astype(np.uint64) + np.uint64(seed)
    for factor, shift in ((0x9E3779B97F4A7C15, 32), (0xD6E8FEB86659FD93, 29)):
        mixed *= np.uint64(factor)
        mixed ^= mixed >> shift
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    hashes: NDArray[np.uint64] = sums[tokens.start + tokens.length] - sums[tokens.start]
    return hashes


def _are_same(tokens: Tokens, other: NDArray[np.int64]) -> bool:
    """Whether each text has the same tokens as the row that `other` names for it, and not the same hash alone."""
    repeats = np.flatnonzero(other != np.arange(len(other)))
    if not np.array_equal(tokens.length[repeats], tokens.length[other[repeats]]):
        return False
    return all(
        np.array_equal(tokens.take(repeats[part]).ids, tokens.take(other[repeats[part]]).ids)
        for part in _portions(len(repeats))
    )
