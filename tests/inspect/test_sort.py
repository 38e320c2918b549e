"""Tables in another order."""

import pytest

from plmrs.errors import UserError
from plmrs.inspect.sort import sorted_tables
from plmrs.report import Table

RUNS = Table("Trained", ["run", "NDCG"], [["b", 0.2], ["C", None], ["a", 0.3], ["d", float("nan")], ["e", 1]])
DATA = Table("Prepared", ["data set"], [["z"], ["y"]])


def order(column: str) -> list[object]:
    return [row[0] for row in sorted_tables([RUNS, DATA], column)[0].rows]


def test_text_from_a_to_z_whatever_its_capitals() -> None:
    assert order("run") == ["a", "b", "C", "d", "e"]


def test_numbers_from_the_largest_and_what_is_missing_last() -> None:
    assert order("ndcg") == ["e", "a", "b", "C", "d"]


def test_tables_without_the_column_stay_as_they_are() -> None:
    assert sorted_tables([RUNS, DATA], "run")[1] is DATA
    assert [row[0] for row in sorted_tables([RUNS, DATA], "Data set")[1].rows] == ["y", "z"]


def test_an_unknown_column_names_those_there_are() -> None:
    with pytest.raises(UserError, match="there is no column 'runs'") as error:
        sorted_tables([RUNS, DATA], "runs")
    assert error.value.remedy == "Did you mean run? There are: run, NDCG, data set."
