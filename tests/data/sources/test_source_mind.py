from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from plmrs.data.sources import mind
from plmrs.data.sources.source import Source
from plmrs.errors import UserError

TRAIN_NEWS = """\
N1\tnews\tworld\t"Quoted" title\tFirst abstract.\thttps://x\t[]\t[]
N2\tsports\ttennis\tHe said "no\t\thttps://x\t[]\t[]
N3\tfood\tcoffee\t Café  crème \tThird.\thttps://x\t[{"Label": "Coffee"}]\t[]
N4\tnews\tworld\t\tAn abstract alone.\thttps://x\t[]\t[]
"""
DEV_NEWS = """\
N1\tnews\tworld\tAnother title\tFirst abstract.\thttps://x\t[]\t[]
N5\ttravel\tcity\tLisbon\t\thttps://x\t[]\t[]
"""
TRAIN = """\
1\tU1\t11/12/2019 2:14:46 PM\tN1 N2\tN3-1 N5-0
2\tU1\t11/12/2019 9:00:00 AM\tN1 N2\tN3-0 N5-1
3\tU2\t11/11/2019 12:05:00 AM\t\tN2-0 N1-1
4\tU2\t11/11/2019 12:05:00 PM\t\tN9-1 N3-1
5\tU3\t11/13/2019 1:00:00 PM\tN1\tN2-0
6\tU4\t11/13/2019 1:00:00 PM\tN1 N2 N3\tN2-0
"""
DEV = """\
1\tU1\t11/15/2019 8:00:00 AM\tN1 N2 N5 N3\tN2-1 N4-0
2\tU3\t11/15/2019 9:00:00 AM\tN1\tN2-1
3\tU3\t11/15/2019 8:00:00 AM\tN1\tN1-1
4\tU4\t11/15/2019 8:00:00 AM\tN2 N5\tN1-0
"""


def write(folder: Path, news: str, behaviors: str) -> None:
    folder.mkdir(parents=True)
    (folder / "news.tsv").write_text(news, encoding="utf-8")
    (folder / "behaviors.tsv").write_text(behaviors, encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write(tmp_path / "MINDsmall_train", TRAIN_NEWS, TRAIN)
    write(tmp_path / "MINDsmall_dev", DEV_NEWS, DEV)
    return tmp_path


def sequences(source: Source) -> dict[str, list[str]]:
    found: dict[str, list[tuple[int, int, str]]] = {}
    rows = zip(*(source.interactions.column(name).to_pylist() for name in ("user_id", "time", "item_id")), strict=True)
    for row, (user, time, item) in enumerate(rows):
        found.setdefault(user, []).append((time, row, item))
    return {user: [item for _, _, item in sorted(taken)] for user, taken in found.items()}


def test_each_click_counts_once_in_order_of_time(place: Path):
    source = mind.read(mind.find("MIND_small", [place]), abstracts=False)
    assert sequences(source) == {
        # The dev file's history holds both train clicks; its own click on N2 is a new one.
        "U1": ["N1", "N2", "N5", "N3", "N2"],
        # No history; an impression with two clicks, one of them on news without a row in news.tsv.
        "U2": ["N1", "N9", "N3"],
        # The first click repeats the item that the history ends with.
        "U3": ["N1", "N2"],
        # The dev file's history is not the longest.
        "U4": ["N1", "N2", "N3"],
    }
    assert {(tally.what, tally.count) for tally in source.dropped} == {
        ("items", 1),
        ("clicks", 3),
        ("history items", 1),
    }
    assert [(tally.what, tally.count) for tally in source.read] == [
        ("items", 4), ("impressions", 6), ("items", 2), ("impressions", 4),
    ]  # fmt: skip


def joined_by_hand(parts: list[str]) -> dict[str, list[str]]:
    """The rules of `mind_histories` in plain Python, a user at a time."""
    rows: dict[str, list[tuple[datetime, list[str], list[str]]]] = {}
    for line in "".join(parts).splitlines():
        _, user, time, history, shown = line.split("\t")
        clicks = [item[:-2] for item in shown.split() if item.endswith("-1")]
        rows.setdefault(user, []).append((datetime.strptime(time, "%m/%d/%Y %I:%M:%S %p"), history.split(), clicks))
    joined = {}
    for user, seen in rows.items():
        taken = max((history for _, history, _ in seen), key=len)
        clicks = [
            item
            for _, history, items in sorted(seen, key=lambda row: row[0])
            for item in items
            if len(history) >= len(taken) or item not in taken
        ]
        if clicks and taken and clicks[0] == taken[-1]:
            clicks = clicks[1:]
        joined[user] = taken + clicks
    return {user: items for user, items in joined.items() if items}


def test_random_logs_are_joined_as_by_hand(tmp_path: Path):
    rng = np.random.default_rng(0)
    parts = []
    for part, day in (("train", 9), ("dev", 15)):
        lines = []
        for number in range(300):
            user = rng.integers(60)
            # Mostly the user's one history of this part, at times cut short.
            own = np.random.default_rng([user, rng.integers(9) // 8, day]).integers(12, size=user % 7)
            history = " ".join(f"N{item}" for item in own)
            shown = " ".join(f"N{item}-{rng.integers(2)}" for item in rng.integers(12, size=rng.integers(1, 4)))
            time = f"11/{day + rng.integers(3)}/2019 {rng.integers(1, 13)}:00:00 {rng.choice(['AM', 'PM'])}"
            lines.append(f"{number}\tU{user}\t{time}\t{history[: rng.integers(1, 99)].strip()}\t{shown}\n")
        parts.append("".join(lines))
        write(tmp_path / f"MINDsmall_{part}", TRAIN_NEWS, parts[-1])
    source = mind.read(mind.find("MIND_small", [tmp_path]), abstracts=False)
    assert sequences(source) == joined_by_hand(parts)


def test_times_are_read_with_morning_and_afternoon(place: Path):
    source = mind.read(mind.find("MIND_small", [place]), abstracts=False)
    rows = source.interactions.to_pylist()
    midnight = 1573430400  # 2019-11-11 00:00 UTC
    assert [row["time"] for row in rows if row["user_id"] == "U2"] == [
        midnight + 300,
        midnight + 43500,
        midnight + 43500,
    ]
    # A history carries the time of the first impression, here the train file's second row.
    assert {row["time"] for row in rows if row["user_id"] == "U1"} >= {midnight + 86400 + 9 * 3600}


def test_titles_keep_their_quotes_and_the_first_text_wins(place: Path):
    source = mind.read(mind.find("MIND_small", [place]), abstracts=False)
    assert source.items.to_pydict() == {
        "item_id": ["N1", "N2", "N3", "N4", "N5"],
        "text": ['"Quoted" title', 'He said "no', "Café crème", "", "Lisbon"],
        "category": ["news", "sports", "food", "news", "travel"],
    }


def test_abstracts_join_titles(place: Path):
    source = mind.read(mind.find("MIND_small", [place]), abstracts=True)
    assert source.items.column("text").to_pylist() == [
        '"Quoted" title First abstract.', 'He said "no', "Café crème Third.", "An abstract alone.", "Lisbon",
    ]  # fmt: skip


def test_a_test_part_without_labels_gives_histories_only(tmp_path: Path):
    write(tmp_path / "MINDlarge_train", TRAIN_NEWS, TRAIN)
    write(tmp_path / "MINDlarge_dev", DEV_NEWS, DEV)
    write(tmp_path / "MINDlarge_test", DEV_NEWS, "1\tU5\t11/17/2019 8:00:00 AM\tN1 N5\tN2 N3\n")
    source = mind.read(mind.find("MIND_large", [tmp_path]), abstracts=False)
    assert sequences(source)["U5"] == ["N1", "N5"]
    assert "does not say what was clicked" in source.read[-1].why


def test_folders_are_found_one_level_below_and_in_the_second_place(place: Path):
    below = place / "old" / "unzipped"
    below.mkdir(parents=True)
    for folder in ("MINDsmall_train", "MINDsmall_dev"):
        (place / folder).rename(below / folder)
    assert mind.find("MIND_small", [place / "none", place / "old"]) == {
        "train": below / "MINDsmall_train",
        "dev": below / "MINDsmall_dev",
    }


def test_missing_folders_are_named_with_the_places_looked_in(tmp_path: Path):
    write(tmp_path / "MINDsmall_train", TRAIN_NEWS, TRAIN)
    with pytest.raises(UserError) as caught:
        mind.find("MIND_small", [tmp_path, tmp_path / "other"])
    assert "MINDsmall_dev" in caught.value.message
    assert "MINDsmall_train" not in caught.value.message
    assert str(tmp_path / "other") in caught.value.message
    assert "msnews.github.io" in caught.value.remedy


def test_a_zip_is_to_be_unzipped(tmp_path: Path):
    write(tmp_path / "MINDsmall_train", TRAIN_NEWS, TRAIN)
    (tmp_path / "MINDsmall_dev.zip").touch()
    with pytest.raises(UserError) as caught:
        mind.find("MIND_small", [tmp_path])
    assert caught.value.remedy == f"Unzip {tmp_path / 'MINDsmall_dev.zip'} there."


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (
            "behaviors.tsv",
            b"1\tU1\t11/12/2019 2:14:46 PM\tN1\tN2-1\n2\tU1\tlast week\tN1\tN2-1\n",
            "row 2, but 'last week'",
        ),
        ("behaviors.tsv", b"1\tU1\t11/12/2019 2:14:46 PM\tN1\n", "Row #1: Expected 5 columns, got 4"),
        ("behaviors.tsv", b"", "is empty"),
        ("news.tsv", b"N1\tnews\tworld\tcaf\xe9\t\t\t\t\n", "is not UTF-8: In CSV column #3: Row #1"),
        ("news.tsv", b"", "is empty"),
    ],
)
def test_damaged_files_are_named_with_the_row(place: Path, file: str, content: bytes, said: str):
    (place / "MINDsmall_dev" / file).write_bytes(content)
    with pytest.raises(UserError) as caught:
        mind.read(mind.find("MIND_small", [place]), abstracts=False)
    assert said in caught.value.message
    assert str(place / "MINDsmall_dev" / file) in caught.value.message


def test_a_part_without_its_file_is_an_error(place: Path):
    (place / "MINDsmall_dev" / "news.tsv").unlink()
    with pytest.raises(UserError, match=r"has no news\.tsv"):
        mind.find("MIND_small", [place])
