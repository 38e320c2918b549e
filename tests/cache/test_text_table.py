from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from plmrs.cache import texts
from plmrs.cache.texts import text_table
from plmrs.data.tokens import Tokens


def by_hand(tokens: Tokens) -> tuple[list[tuple[int, ...]], list[int]]:
    """The distinct texts in their order, and the text of each item."""
    all_of_them = [tuple(tokens.take(slice(i, i + 1)).ids.tolist()) for i in range(len(tokens))]
    ordered = sorted(dict.fromkeys(all_of_them), key=lambda text: -len(text))
    return ordered, [ordered.index(text) for text in all_of_them]


def test_the_docstrings_example(ragged: Any) -> None:
    table = text_table(ragged([[5, 6], [7], [5, 6], [8, 9, 9]]))
    assert table.length.tolist() == [3, 2, 1]
    assert table.text_of_item.tolist() == [1, 2, 1, 0]
    assert table.rows.tolist() == [3, 0, 1]
    assert (len(table), table.n_tokens) == (3, 6)
    assert (table.length.dtype, table.text_of_item.dtype) == (np.int32, np.int32)


def test_the_same_tokens_are_one_text_and_the_longest_come_first(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "PORTION", 70)  # Several portions of the 600 texts.
    ordered, text_of_item = by_hand(tokens)
    table = text_table(tokens)
    assert len(table) == len(ordered) < len(tokens)
    assert table.length.tolist() == [len(text) for text in ordered]
    assert table.text_of_item.tolist() == text_of_item
    found = tokens.take(table.rows)
    assert np.split(found.ids, found.start[1:])[17].tolist() == list(ordered[17])


def test_the_place_of_a_token_counts(ragged: Any) -> None:
    table = text_table(ragged([[1, 2], [2, 1], [3, 0], [0, 3], [1, 2], [0], [0, 0]]))
    assert table.text_of_item.tolist() == [0, 1, 2, 3, 0, 5, 4]


def test_texts_of_one_hash_are_told_apart(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seeds = texts._hashes, []

    def colliding(tokens: Tokens, seed: int) -> NDArray[np.uint64]:
        seeds.append(seed)
        return real(tokens, seed) % (2 if seed == 0 else 2**63)

    monkeypatch.setattr(texts, "_hashes", colliding)
    assert text_table(tokens).text_of_item.tolist() == by_hand(tokens)[1]
    assert seeds == [0, 1]


def test_the_fingerprint_tells_tables_apart(ragged: Any) -> None:
    first = text_table(ragged([[5, 6], [7], [5, 6]]))
    assert first.fingerprint == text_table(ragged([[1, 2], [3], [1, 2]])).fingerprint
    others = [text_table(ragged(rows)) for rows in ([[5, 6], [7], [7]], [[5, 6, 7], [7], [5, 6, 7]], [[5, 6], [7]])]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 4
