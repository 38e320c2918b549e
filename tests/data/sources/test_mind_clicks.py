from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from plmrs.data.sources.mind_clicks import clicks_in

ODD = (
    "N1-1", "N1-0", "N23-1", "N23-0", "N1-10", "N1-01", "-1", "-0", "N-1-1", "N-1-0", "--1", "1-1", "-1-1", "N1",
    "1", "", "-", "é-1", "数字-1", "N1-1\u00a0", "N1-", "-11", "1-", "N1–1",
)  # fmt: skip


def by_hand(rows: list[str]) -> tuple[list[int], list[str]]:
    clicked = [(row, word[:-2]) for row, shown in enumerate(rows) for word in shown.split(" ") if word.endswith("-1")]
    return [row for row, _ in clicked], [word for _, word in clicked]


def clicks(column: pa.Array) -> tuple[list[int], list[str]]:
    rows, items = clicks_in(column)
    items.validate(full=True)
    return rows.tolist(), items.to_pylist()


def test_the_example() -> None:
    assert clicks(pa.array(["N5-0 N7-1", "N7-0", "N2-1 N3-1"])) == ([0, 2, 2], ["N7", "N2", "N3"])


@pytest.mark.parametrize("seed", range(20))
def test_random_impressions_are_split_as_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [" ".join(rng.choice(ODD, rng.integers(0, 7)).tolist()) for _ in range(rng.integers(1, 60))]
    assert clicks(pa.array(rows, pa.string())) == by_hand(rows)
    # A slice knows nothing of the rows around it.
    first, last = sorted(rng.integers(0, len(rows) + 1, 2).tolist())
    assert clicks(pa.array(rows, pa.string())[first:last]) == by_hand(rows[first:last])


def test_rows_do_not_run_into_one_another() -> None:
    for first, second in product(ODD, ODD):
        for rows in ([first, second], [first, "", second, ""], [f"{first} ", f" {second}"], [second]):
            assert clicks(pa.array(rows)) == by_hand(rows)


@pytest.mark.parametrize("rows", [[], [""], ["", ""], ["-1"], ["1"], ["-"], [" "]])
def test_next_to_nothing(rows: list[str]) -> None:
    assert clicks(pa.array(rows, pa.string())) == by_hand(rows)
    assert clicks(pa.array(["N1-1", *rows], pa.string())[1:]) == by_hand(rows)
