"""A data set's details, against numbers worked out by hand and plain loops."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from plmrs.cli import main
from plmrs.config import InspectConfig
from plmrs.data.dataset import Dataset
from plmrs.data.splits import split_of
from plmrs.errors import UserError
from plmrs.inspect.command import inspect
from plmrs.report import Silent, Table
from plmrs.workspace import Workspace

Write = Callable[..., Dataset]
AddTokens = Callable[..., None]

HAND = {
    "ann": [(1, 10), (2, 20), (1, 30), (1, 40), (3, 50)],
    "bob": [(2, 5), (3, 15), (4, 25)],
    "cat": [(5, 12), (1, 22), (5, 32), (2, 35)],
}
"""Items 1 to 5 of six, and when they were taken."""

DATES = "seconds since 1970-01-01 UTC"


def tables(workspace: Workspace, **flat: Any) -> dict[str, Table]:
    """What inspect tells of the data set, by the first word of each title."""
    config = InspectConfig.from_flat({"root": workspace.root, "runs": workspace.runs, **flat})
    return {table.title.split()[0].strip(":"): table for table in inspect(["hand"], config, Silent())}


def rows(table: Table) -> dict[str, list[Any]]:
    return {str(row[0]): list(row[1:]) for row in table.rows}


def test_counts(write: Write, workspace: Workspace) -> None:
    dropped = [
        {"what": "interactions", "count": 1234, "why": "their item has no text"},
        {"what": "users", "count": 0, "why": "they have fewer than 3 items"},
    ]
    write(HAND, 6, dropped=dropped)
    table = tables(workspace)["Data"]
    assert [list(row) for row in table.rows] == [
        ["source", "table"],
        ["users", 3],
        ["items", 6],
        ["interactions", 12],
        ["density", "66.667%"],
        ["time span", "5 to 50 (ticks, as in the file)"],
        ["repeats", "25.0% of interactions"],
        ["direct repeats", "8.3% of interactions"],
        ["most taken 1 % of items", "33.3% of interactions"],
        ["items nobody took", 1],
        ["dropped interactions", "1,234: their item has no text"],
        ["fingerprint", "0123456789ab"],
    ]
    assert str(workspace.prepared("hand")) in table.notes[-1]


def test_quantiles_are_values_that_occur(write: Write, workspace: Workspace) -> None:
    write(HAND, 6)
    found = rows(tables(workspace)["Quantiles"])
    assert found["items of a user"] == [3, 3, 4, 5, 5, 5, "▄█"]
    # items 1 to 6 were taken 4, 3, 2, 1, 2 and 0 times
    assert found["uses of an item"] == [0, 1, 2, 3, 4, 4, "▃▃█▃"]


def test_the_parts_of_leave_one_out_and_what_is_cold(write: Write, workspace: Workspace) -> None:
    write(HAND, 6)
    table = tables(workspace)["Split"]
    # trained on: 1 2 1, 2, 5 1
    assert rows(table) == {
        "train": [3, 6, 3, None, None, None],
        "val": [3, 3, 3, 1, 1, "33.3%"],
        "test": [3, 3, 3, 2, 2, "66.7%"],
        "all": [3, 12, 6, 3, None, None],
    }
    assert "leave-one-out" in table.notes[0]


def test_the_parts_of_a_temporal_split(write: Write, workspace: Workspace) -> None:
    write(HAND, 6, split={"method": "temporal", "times": [30, 40]})
    found = tables(workspace)
    assert rows(found["Split"]) == {
        "train": [3, 7, 5, None, None, None],
        "val": [2, 2, 2, 0, 0, "0.0%"],
        "test": [1, 1, 1, 0, 0, "0.0%"],
        "input only": [None, 2, None, None, None, None],
        "all": [3, 12, 6, 1, None, None],
    }
    assert [row[:4] for row in found["Times"].rows] == [
        ["train", "5", "25", None],
        ["val", "30", "35", "0.0%"],
        ["test", "50", "50", "0.0%"],
    ]
    assert [row[1] for row in found["Samples"].rows] == ["val", "input only", "test"]


def test_leakage_and_bars_over_time(write: Write, workspace: Workspace) -> None:
    write(HAND, 6)
    table = tables(workspace)["Times"]
    # trained on at 10 20 30, 5, 12 22; validated at 40 15 32, tested at 50 25 35; a bar is two ticks from 5 on
    assert [[*row[:4], str(row[4]).rstrip()] for row in table.rows] == [
        ["train", "5", "30", None, "█ ██   ██   █"],
        ["val", "15", "40", "33.3%", "     █       █   █"],
        ["test", "25", "50", "33.3%", "          █    █      █"],
    ]
    assert "newest training click (30)" in table.notes[0]


def test_dates(write: Write, workspace: Workspace) -> None:
    day = 86400
    dated = {user: [(item, 1_572_566_400 + time * day) for item, time in taken] for user, taken in HAND.items()}
    write(dated, 6, time_unit=DATES)
    found = tables(workspace)
    assert rows(found["Data"])["time span"] == ["2019-11-06 00:00 to 2019-12-21 00:00, 45.0 days"]
    assert found["Times"].rows[2][:3] == ["test", "2019-11-26 00:00", "2019-12-21 00:00"]
    assert found["Samples"].rows[0][2] == "2019-12-01 00:00"


def test_without_times_nothing_is_said_of_them(write: Write, workspace: Workspace) -> None:
    write(HAND, 6, has_times=False, time_unit="row number")
    found = tables(workspace)
    facts = rows(found["Data"])
    assert facts["time span"] == facts["leakage"] == ["unknown: the source has no times"]
    assert "Times" not in found
    assert found["Samples"].columns == ["user", "part", "item", "text"]


@pytest.mark.parametrize(
    "split",
    [
        {"method": "leave_one_out"},
        {"method": "ratio", "shares": [0.6, 0.2, 0.2], "seed": 1},
        {"method": "temporal", "times": [400, 700]},
    ],
    ids=lambda split: split["method"],
)
def test_every_split_against_plain_loops(split: dict[str, Any], write: Write, workspace: Workspace) -> None:
    random = np.random.default_rng(5)
    histories = {
        f"u{user}": [
            (int(random.integers(1, 81)), int(time))
            for time in np.sort(random.integers(0, 1000, size=random.integers(3, 12)))
        ]
        for user in range(60)
    }
    made = split_of(write(histories, 80, split=split))
    every = [pair for taken in histories.values() for pair in taken]
    trained = [
        place
        for start, stop in zip(made.train.start.tolist(), made.train.stop.tolist(), strict=True)
        for place in range(start, stop)
    ]
    known = {every[place][0] for place in trained}
    newest = max(every[place][1] for place in trained)
    parts, times = rows(tables(workspace)["Split"]), rows(tables(workspace)["Times"])
    assert parts["train"][1:3] == [len(trained), len(known)]
    assert parts["all"] == [60, len(every), 80, 80 - len(known), None, None]
    other = len(every) - len(trained)
    for name, held_out in (("val", made.val), ("test", made.test)):
        targets = [every[place] for place in held_out.places]
        cold = [item for item, _ in targets if item not in known]
        items = {item for item, _ in targets}
        share = f"{100 * len(cold) / len(targets):.1f}%"
        assert parts[name] == [len(targets), len(targets), len(items), len(set(cold)), len(cold), share]
        assert times[name][2] == f"{100 * sum(time < newest for _, time in targets) / len(targets):.1f}%"
        assert times[name][:2] == [str(min(time for _, time in targets)), str(max(time for _, time in targets))]
        other -= len(targets)
    assert parts.get("input only", [None, 0])[1] == other


def test_samples_show_the_last_items_of_tested_users(write: Write, workspace: Workspace) -> None:
    texts = ["one", "two\n\tlines", "x" * 100, "four", "five", "six"]
    write({**HAND, "a user with a long id": HAND["bob"], "eve": HAND["bob"]}, 6, texts)
    table = tables(workspace)["Samples"]
    assert table.columns == ["user", "part", "when", "item", "text"]
    assert [list(row) for row in table.rows] == [
        ["ann", "train", "30", "i1", "one"],
        ["ann", "val", "40", "i1", "one"],
        ["ann", "test", "50", "i3", "x" * 35 + "…"],
        ["bob", "train", "5", "i2", "two lines"],
        ["bob", "val", "15", "i3", "x" * 35 + "…"],
        ["bob", "test", "25", "i4", "four"],
        ["cat", "train", "22", "i1", "one"],
        ["cat", "val", "32", "i5", "five"],
        ["cat", "test", "35", "i2", "two lines"],
    ]


def test_sorted_samples_keep_their_users(write: Write, workspace: Workspace) -> None:
    write(HAND, 6)
    found = [list(row) for row in tables(workspace, sort="when")["Samples"].rows]
    assert [row[:3] for row in found][:3] == [["bob", "val", "15"], ["cat", "train", "22"], ["bob", "test", "25"]]
    assert sorted(found) == sorted(list(row) for row in tables(workspace)["Samples"].rows)


def test_json_has_samples_whole(write: Write, workspace: Workspace) -> None:
    long = {"a user with a long id": HAND["bob"], "ann": HAND["ann"]}
    write(long, 6, ["one", "two\n\tlines", "x" * 100, "four", "five", "six"])
    assert [list(row) for row in tables(workspace, as_json=True)["Samples"].rows] == [
        ["a user with a long id", "train", "5", "i2", "two\n\tlines"],
        ["a user with a long id", "val", "15", "i3", "x" * 100],
        ["a user with a long id", "test", "25", "i4", "four"],
        ["ann", "train", "30", "i1", "one"],
        ["ann", "val", "40", "i1", "one"],
        ["ann", "test", "50", "i3", "x" * 100],
    ]


def test_samples_of_users_that_are_not_the_first(write: Write, workspace: Workspace) -> None:
    dataset = write(
        {f"u{user}": [(1, 1), (2, 2), (3 + user, 3)] for user in range(10)},
        12,
        split={"method": "ratio", "shares": [0.4, 0.3, 0.3], "seed": 3},
    )
    tested = split_of(dataset).test.users.tolist()
    assert tested != [0, 1, 2]
    table = tables(workspace)["Samples"]
    assert list(dict.fromkeys(row[0] for row in table.rows)) == [f"u{user}" for user in tested]
    assert [row[3] for row in table.rows if row[1] == "test"] == [f"i{3 + user}" for user in tested]


def test_token_lengths(write: Write, workspace: Workspace, add_tokens: AddTokens) -> None:
    dataset = write(HAND, 6)
    assert "plmrs preinfer" in str(tables(workspace)["Tokens"].rows[0][1])
    add_tokens(dataset, "opt", [3, 5, 9, 3, 4, 40], 8)
    add_tokens(dataset, "bert", [4, 4, 4, 4, 4, 4], 8)
    assert rows(tables(workspace)["Tokens"]) == {
        "bert": [4, 4, 4, 4, "█", 8, "0.0%"],
        "opt": [3, 4, 40, 40, "█▂       ▂", 8, "33.3%"],
    }


def test_it_fits_a_terminal_of_80_columns(write: Write, workspace: Workspace, add_tokens: AddTokens) -> None:
    from rich.console import Console
    from rich.table import Table as Drawn

    random = np.random.default_rng(6)
    taken = random.zipf(1.5, size=(3000, 20)).clip(1, 60_000).tolist()
    histories = {
        f"U{user}": [(item, 10**8 * nth) for nth, item in enumerate(items)] for user, items in enumerate(taken)
    }
    add_tokens(write(histories, 60_000, time_unit=DATES), "facebook--opt-125m", [5, 600] * 30_000, 30)
    for table in tables(workspace).values():
        drawn = Drawn(box=None, padding=(0, 3, 0, 0), pad_edge=False)
        for column in table.columns:
            drawn.add_column(column)
        for row in table.rows:
            drawn.add_row(*(f"{cell:,}" if isinstance(cell, int) else cell for cell in row))
        assert Console(width=300).measure(drawn).maximum <= 80, table.title


def test_the_command_line(write: Write, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    write(HAND, 6)
    assert main(["inspect", "hand", "--root", str(workspace.root)]) == 0
    told = capsys.readouterr().out
    assert "uses of an item    0     1     2     3     4    4  ▃▃█▃" in told
    assert "  █    █      █\n" in told


def test_plot_needs_a_data_set(workspace: Workspace) -> None:
    config = InspectConfig.from_flat({"root": workspace.root, "runs": workspace.runs, "plot": True})
    with pytest.raises(UserError, match="--plot draws a data set"):
        inspect([], config, Silent())
