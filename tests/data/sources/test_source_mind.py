import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from interactions import rows
from raw_files import SPELLINGS, complaint, zip_of

from plmrs.config import RawOptions
from plmrs.data.sources import mind, mind_behaviors, mind_histories, numbering, raw
from plmrs.data.sources.raw import RawFile
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


def read(place: Path, name: str = "MIND_small", **options) -> Source:
    return mind.read(mind.find(name, [place]), RawOptions(**options))


def sequences(source: Source) -> dict[str, list[str]]:
    """The items of each user, in the order of (time, row)."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    for row, (user, item, time) in enumerate(rows(source.interactions)):
        found.setdefault(user, []).append((time, row, item))
    return {user: [item for _, _, item in sorted(taken)] for user, taken in found.items()}


def test_each_click_counts_once_in_order_of_time(place: Path):
    source = read(place)
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


def joined_by_hand(parts: list[str]) -> tuple[dict[str, list[str]], dict[str, int]]:
    """The rules of `mind_histories` in plain Python, a user at a time; and what was left out."""
    rows: dict[str, list[tuple[datetime, str, list[str]]]] = {}
    longest: dict[str, list[str]] = {}  # of each part, the longest history of the user
    for part in parts:
        in_part: dict[str, str] = {}
        for line in part.splitlines():
            _, user, time, history, shown = line.split("\t")
            clicks = [item[:-2] for item in shown.split(" ") if item.endswith("-1")]
            rows.setdefault(user, []).append((datetime.strptime(time, "%m/%d/%Y %I:%M:%S %p"), history, clicks))
            in_part[user] = max(in_part.get(user, ""), history, key=len)
        for user, history in in_part.items():
            longest.setdefault(user, []).append(history)
    joined, dropped = {}, {"clicks": 0, "history items": 0}
    for user, seen in rows.items():
        text = max(longest[user], key=len)
        taken = text.split()
        clicks = [
            item
            for _, history, items in sorted(seen, key=lambda row: row[0])
            for item in items
            if len(history) >= len(text) or item not in taken
        ]
        if clicks and taken and clicks[0] == taken[-1]:
            clicks = clicks[1:]
        joined[user] = taken + clicks
        dropped["clicks"] += sum(len(items) for _, _, items in seen) - len(clicks)
        others = list(longest[user])
        others.remove(text)
        dropped["history items"] += len({item for history in others for item in history.split()} - set(joined[user]))
    return {user: items for user, items in joined.items() if items}, dropped


def random_part(rng: np.random.Generator, day: int, n_rows: int, n_users: int, n_items: int, letter: str) -> str:
    lines = []
    for number in range(n_rows):
        user = rng.integers(n_users)
        # Mostly the user's one history of this part, at times cut short.
        own = np.random.default_rng([user, rng.integers(9) // 8, day]).integers(n_items, size=user % 7)
        history = " ".join(f"{letter}{item}" for item in own)[: rng.integers(1, 99)].strip()
        shown = " ".join(f"{letter}{item}-{rng.integers(2)}" for item in rng.integers(n_items, size=rng.integers(1, 4)))
        time = f"11/{day + rng.integers(3)}/2019 {rng.integers(1, 13)}:00:00 {rng.choice(['AM', 'PM'])}"
        lines.append(f"{number}\tU{user}\t{time}\t{history}\t{shown}\n")
    return "".join(lines)


@pytest.mark.parametrize("small", [False, True], ids=["at once", "in many blocks"])
@pytest.mark.parametrize("letter", ["N", "X0"], ids=["plain ids", "other ids"])
@pytest.mark.parametrize("sizes", [(300, 60, 12), (200, 5, 30), (500, 400, 4)])
def test_random_logs_are_joined_as_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int, int], letter: str, small: bool
):
    if small:
        monkeypatch.setattr(raw, "BLOCK", 400)
        monkeypatch.setattr(numbering, "LEAST_BYTES", 100)
        monkeypatch.setattr(mind_behaviors, "ROWS_AT_ONCE", 20)
        monkeypatch.setattr(mind_behaviors, "HISTORIES_AT_ONCE", 5)
        monkeypatch.setattr(mind_histories, "AT_ONCE", 7)
    for seed in range(3):
        rng, parts = np.random.default_rng([*sizes, seed]), []
        for part, day in (("train", 9), ("dev", 15)):
            parts.append(random_part(rng, day, *sizes, letter))
            write(tmp_path / str(seed) / f"MINDsmall_{part}", TRAIN_NEWS, parts[-1])
        source = read(tmp_path / str(seed))
        joined, dropped = joined_by_hand(parts)
        assert sequences(source) == joined
        assert {tally.what: tally.count for tally in source.dropped[1:]} == dropped


def test_times_are_read_with_morning_and_afternoon(place: Path):
    source = read(place)
    taken = rows(source.interactions)
    midnight = 1573430400  # 2019-11-11 00:00 UTC
    assert [time for user, _, time in taken if user == "U2"] == [midnight + 300, midnight + 43500, midnight + 43500]
    # A history carries the time of the first impression, here the train file's second row.
    assert [time for user, _, time in taken if user == "U1"][:4] == [midnight + 86400 + 9 * 3600] * 4
    assert source.time_unit == "seconds since 1970-01-01 UTC"


def test_titles_keep_their_quotes_and_the_first_text_wins(place: Path):
    source = read(place)
    assert source.items.to_pydict() == {
        "item_id": ["N1", "N2", "N3", "N4", "N5"],
        "text": ['"Quoted" title', 'He said "no', "Café crème", "", "Lisbon"],
        "category": ["news", "sports", "food", "news", "travel"],
    }


def test_the_text_is_made_of_the_fields_asked_for(place: Path):
    assert read(place, text_fields="title,abstract").items.column("text").to_pylist() == [
        '"Quoted" title First abstract.', 'He said "no', "Café crème Third.", "An abstract alone.", "Lisbon",
    ]  # fmt: skip
    template = "{category}/{subcategory}: {title}. {abstract}"
    assert read(place, text_template=template).items.column("text").to_pylist()[3:] == [
        "news/world: . An abstract alone.", "travel/city: Lisbon.",
    ]  # fmt: skip
    source = read(place, text_fields=("title_entities",))
    assert source.items.column("text").to_pylist()[2] == '[{"Label": "Coffee"}]'
    assert source.options == {"texts": ["title_entities"], "between_texts": ["", ""]}
    with pytest.raises(UserError, match="MIND's news have no field tilte") as caught:
        read(place, text_template="{tilte}")
    assert "title, abstract" in caught.value.remedy


def test_a_test_part_without_labels_gives_histories_only(tmp_path: Path):
    write(tmp_path / "MINDlarge_train", TRAIN_NEWS, TRAIN)
    write(tmp_path / "MINDlarge_dev", DEV_NEWS, DEV)
    write(tmp_path / "MINDlarge_test", DEV_NEWS, "1\tU5\t11/17/2019 8:00:00 AM\tN1 N5\tN2 N3-11\n")
    source = read(tmp_path, "MIND_large")
    assert sequences(source)["U5"] == ["N1", "N5"]
    assert "does not say what was clicked" in source.read[-1].why
    assert "does not say" not in source.read[-3].why


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("MIND_small", ["MINDsmall_train"]),
        ("MIND_small", ["MINDsmall_train", "MINDsmall_dev"]),
        ("MIND_large", ["MINDlarge_train"]),
        ("MIND_large", ["MINDlarge_train", "MINDlarge_test"]),
        ("MIND_large", ["MINDlarge_train", "MINDlarge_dev", "MINDlarge_test"]),
    ],
)
def test_all_but_the_first_part_may_be_absent(tmp_path: Path, name: str, parts: list[str]):
    for part in reversed(parts):
        write(tmp_path / part, TRAIN_NEWS, TRAIN)
    assert [part.name for part in mind.find(name, [tmp_path])] == parts
    source = read(tmp_path, name)
    assert len(source.files) == 2 * len(parts)
    assert len(source.items) == 4


def test_without_a_later_part_its_clicks_are_not_there(place: Path):
    (place / "MINDsmall_dev").rename(place / "elsewhere")
    assert sequences(read(place)) == {
        "U1": ["N1", "N2", "N5", "N3"], "U2": ["N1", "N9", "N3"], "U3": ["N1"], "U4": ["N1", "N2", "N3"],
    }  # fmt: skip


def test_the_first_of_all_users_may_repeat_the_end_of_the_history_too(tmp_path: Path):
    write(tmp_path / "MINDsmall_train", TRAIN_NEWS, "1\tU1\t11/12/2019 9:00:00 AM\tN1 N2\tN2-1 N3-1 N2-1\n")
    assert sequences(read(tmp_path)) == {"U1": ["N1", "N2", "N3", "N2"]}


def test_folders_are_found_two_levels_below_and_in_the_second_place(place: Path):
    below = place / "old" / "unzipped"
    below.mkdir(parents=True)
    for folder in ("MINDsmall_train", "MINDsmall_dev"):
        (place / folder).rename(below / folder)
    found = mind.find("MIND_small", [place / "none", place / "old"])
    assert [(part.name, part.news.path, part.behaviors.path) for part in found] == [
        (name, below / name / "news.tsv", below / name / "behaviors.tsv")
        for name in ("MINDsmall_train", "MINDsmall_dev")
    ]


@pytest.mark.parametrize("how", ["beside one another", "in one zip", "each in a folder", "only the second"])
def test_zips_are_read_as_they_are(place: Path, tmp_path_factory: pytest.TempPathFactory, how: str):
    raw = tmp_path_factory.mktemp("raw")
    parts = ("MINDsmall_train", "MINDsmall_dev")
    for part in parts:
        if how == "only the second" and part == "MINDsmall_train":
            (place / part).rename(raw / part)
            continue
        path = raw / (f"{part}/{part}.zip" if how == "each in a folder" else f"{part}.zip")
        path = raw / "MIND_small.zip" if how == "in one zip" else path
        path.parent.mkdir(exist_ok=True)
        within = f"{part}/" if how == "in one zip" else ""
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"__MACOSX/{within}._news.tsv", b"x")
            for name in ("news.tsv", "behaviors.tsv", "entity_embedding.vec"):
                content = (place / part / name).read_bytes() if name.endswith("tsv") else b"1 2"
                archive.writestr(within + name, content)
    zipped = read(raw)
    write(place / "plain" / "MINDsmall_train", TRAIN_NEWS, TRAIN)
    write(place / "plain" / "MINDsmall_dev", DEV_NEWS, DEV)
    plain = read(place / "plain")
    assert rows(zipped.interactions) == rows(plain.interactions)
    assert zipped.items.equals(plain.items)
    assert [tally.why for tally in zipped.read] == [tally.why for tally in plain.read]
    assert len({file.path for file in zipped.files}) == {"in one zip": 1, "only the second": 3}.get(how, 2)


def test_a_folder_comes_before_a_zip(place: Path):
    for part in ("MINDsmall_train", "MINDsmall_dev"):
        zip_of(place / f"{part}.zip", {"news.tsv": "other", "behaviors.tsv": "other"})
    assert all(file.news.member is None for file in mind.find("MIND_small", [place]))


def test_nothing_there_is_told_with_the_places_and_the_owner(tmp_path: Path):
    places = [tmp_path, tmp_path / "other"]
    assert mind.find("MIND_small", places) == []
    error = mind.missing("MIND_small", places)
    assert "MINDsmall_train with news.tsv and behaviors.tsv" in error.message
    assert f"{tmp_path} and {tmp_path / 'other'}" in error.message
    assert "https://msnews.github.io" in error.remedy


def test_the_first_part_must_be_there(place: Path):
    (place / "MINDsmall_train").rename(place / "elsewhere")
    with pytest.raises(UserError) as caught:
        mind.find("MIND_small", [place])
    assert "there is no MINDsmall_train with news.tsv and behaviors.tsv" in caught.value.message
    assert "https://msnews.github.io" in caught.value.remedy


LINE = "1\tU1\t11/12/2019 2:14:46 PM\tN1\tN2-1\n"


@pytest.mark.parametrize("how", SPELLINGS)
def test_spellings_of_the_files(place: Path, how: str):
    plain = read(place)
    for path in place.glob("*/*.tsv"):
        path.write_bytes(SPELLINGS[how](path.read_bytes()))
    other = read(place)
    assert rows(other.interactions) == rows(plain.interactions)
    assert other.items.equals(plain.items)


def test_nasty_rows(tmp_path: Path):
    news = (
        "N01\tnews\t\t„Ünïcode“ 数字\u00a0\u2003x\t\t\t\t\n"
        "N1\tnews\t\tOne\t\t\t\t\n"
        "N1\tsports\t\tOne again\t\t\t\t\n"
        "N2\tnews\t\t'\t\t\t\t\n"
    )
    behaviors = (
        "1\t007\t11/13/2019 9:00:00 AM\tN1  N01\tN2-0  N404-1\n"
        "2\tU2\t11/12/2019 9:00:00 AM\t\tN1-1 N01-1 N2-10 -1 N-1-1 N1\n"
        "3\t007\t11/12/2019 12:00:01 AM\tN1  N01\tN2-1 N1-0\n"
        "4\t7\t11/12/2019 9:00:00 AM\t\t\n"
    )
    write(tmp_path / "MINDsmall_train", news, behaviors)
    source = read(tmp_path)
    assert source.items.to_pydict() == {
        "item_id": ["N01", "N1", "N2"], "text": ["„Ünïcode“ 数字 x", "One", "'"], "category": ["news"] * 3,
    }  # fmt: skip
    assert sequences(source) == {"007": ["N1", "N01", "N2", "N404"], "U2": ["N1", "N01", "N-1"]}
    assert [tally.count for tally in source.dropped] == [1, 0, 0]
    assert source.interactions.user_ids.to_pylist() == ["007", "U2", "7"]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (
            "behaviors.tsv",
            b"1\tU1\t11/12/2019 2:14:46 PM\tN1\tN2-1\n2\tU1\tlast week\tN1\tN2-1\n",
            "row 2, but 'last week'",
        ),
        ("behaviors.tsv", b"1\tU1\t11/12/2019 2:14:46 PM\tN1\n", "Row #1: Expected 5 columns, got 4"),
        ("behaviors.tsv", (LINE + LINE + LINE[:-6]).encode(), "Row #3: Expected 5 columns, got 4"),
        ("behaviors.tsv", (LINE + LINE[:-2]).encode(), "breaks off in row 2: its last impression, N2-, has no -0 or"),
        ("behaviors.tsv", (LINE + LINE[:-3]).encode(), "breaks off in row 2: its last impression, N2, has no -0 or"),
        ("behaviors.tsv", (LINE + LINE[:-2] + "0 N4").encode(), "breaks off in row 2: its last impression, N4, has"),
        ("behaviors.tsv", (LINE + LINE.replace("PM", "XM")).encode(), "in row 2, but '11/12/2019 2:14:46 XM'"),
        ("behaviors.tsv", (LINE + LINE.replace("11/12", "13/12")).encode(), "in row 2, but '13/12/2019 2:14:46 PM'"),
        ("behaviors.tsv", b"impression_id\tuser_id\ttime\thistory\timpressions\n" + LINE.encode(), "with a header"),
        ("behaviors.tsv", b"", "is empty"),
        ("behaviors.tsv", b"\n\n", "holds no rows"),
        ("behaviors.tsv", "1\tU1\t11/12/2019 2:14:46 PM\tN1\tN\xe92-1\n".encode("latin-1"), "is not UTF-8: "),
        ("news.tsv", b"news_id\tcategory\tsubcategory\ttitle\tabstract\turl\tte\tae\n", "begins with a header"),
        ("news.tsv", TRAIN_NEWS.replace("\ttennis", "\ttab\there").encode(), "Row #2: Expected 8 columns, got 9"),
        ("news.tsv", TRAIN_NEWS.encode()[:-5], "Row #4: Expected 8 columns, got 7"),
        ("news.tsv", b"\n", "holds no rows"),
        ("news.tsv", b"N1\tnews\tworld\tcaf\xe9\t\t\t\t\n", "is not UTF-8: In CSV column #3: Row #1"),
        ("news.tsv", b"", "is empty"),
    ],
)
def test_damaged_files_are_named_with_the_row(place: Path, file: str, content: bytes, said: str):
    (place / "MINDsmall_dev" / file).write_bytes(content)
    message = complaint(lambda: read(place))
    assert said in message
    assert str(place / "MINDsmall_dev" / file) in message


@pytest.mark.parametrize("lacking", ["news.tsv", "behaviors.tsv"])
def test_a_part_without_its_file_is_an_error(place: Path, lacking: str):
    (place / "MINDsmall_dev" / lacking).unlink()
    with pytest.raises(UserError, match=f"MINDsmall_dev has no {lacking}") as caught:
        mind.find("MIND_small", [place])
    assert "Download MINDsmall_dev.zip again from its owner, https://msnews.github.io" in caught.value.remedy


def test_errors_in_a_zip_name_the_zip_and_the_file(tmp_path: Path):
    zip_of(tmp_path / "MINDsmall_train.zip", {"news.tsv": TRAIN_NEWS, "behaviors.tsv": LINE + "2\tU1\n"})
    [part] = mind.find("MIND_small", [tmp_path])
    assert part.behaviors == RawFile(tmp_path / "MINDsmall_train.zip", "behaviors.tsv")
    with pytest.raises(UserError, match=r"MINDsmall_train\.zip/behaviors\.tsv cannot be read: .*Row #2"):
        read(tmp_path)
