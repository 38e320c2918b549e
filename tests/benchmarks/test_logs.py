"""The generated logs, read again in plain Python: they hold what their truth.json says."""

import csv
import importlib.util
import json
import re
from collections import Counter
from datetime import datetime
from hashlib import sha256
from itertools import chain
from pathlib import Path

import pytest

LOGS = Path(__file__).parents[2] / "benchmarks" / "logs.py"
PARTS = ("MINDlarge_train", "MINDlarge_dev", "MINDlarge_test")
FEWEST = 5

Row = tuple[str, str, datetime, list[str], list[str]]


def generate(layout: str, folder: Path, seed: int = 0) -> Path:
    spec = importlib.util.spec_from_file_location("logs", LOGS)
    assert spec is not None
    assert spec.loader is not None
    logs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(logs)
    logs.main([layout, str(folder), "--scale", "0.0005", "--seed", str(seed)])
    return folder


@pytest.fixture(scope="module")
def mind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate("mind", tmp_path_factory.mktemp("logs") / "mind")


@pytest.fixture(scope="module")
def hm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate("hm", tmp_path_factory.mktemp("logs") / "hm")


def truth(folder: Path) -> dict[str, int]:
    return json.loads((folder / "truth.json").read_text())


def fields(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    return [line.split("\t") for line in lines]


def impressions(folder: Path, part: str) -> list[Row]:
    return [
        (number, user, datetime.strptime(time, "%m/%d/%Y %I:%M:%S %p"), history.split(), shown.split())
        for number, user, time, history, shown in fields(folder / part / "behaviors.tsv")
    ]


def clicks(row: Row) -> list[str]:
    return [item[:-2] for item in row[4] if item.endswith("-1")]


def joined_by_hand(parts: list[list[Row]]) -> dict[str, list[str]]:
    """What each user read, by the rules of MIND: the longest history, and the clicks it does not hold."""
    rows: dict[str, list[Row]] = {}
    for row in chain(*parts):
        rows.setdefault(row[1], []).append(row)
    found = {}
    for user, seen in rows.items():
        longest = max((row[3] for row in seen), key=len)
        new = [
            item
            for row in sorted(seen, key=lambda row: row[2])
            for item in clicks(row)
            if len(row[3]) == len(longest) or item not in longest
        ]
        found[user] = longest + new[new[:1] == longest[-1:] and bool(longest) :]
    return found


def counts(sequences: dict[str, list[str]]) -> dict[str, int]:
    lengths = [len(items) for items in sequences.values()]
    return {
        "users": len(lengths),
        "clicks": sum(lengths),
        "longest": max(lengths),
        "users_with_5": sum(n >= FEWEST for n in lengths),
        "clicks_of_users_with_5": sum(n for n in lengths if n >= FEWEST),
    }


def test_mind_holds_what_its_truth_says(mind: Path):
    parts = [impressions(mind, part) for part in PARTS]
    news = [fields(mind / part / "news.tsv") for part in PARTS]
    rows = {}
    for part, listed, seen in zip(PARTS, news, parts, strict=True):
        rows |= {f"{part}/news.tsv": len(listed), f"{part}/behaviors.tsv": len(seen)}
    items = {row[0] for row in chain(*news)}
    assert truth(mind) == {"rows": rows, "items": len(items), **counts(joined_by_hand(parts))}
    assert rows["MINDlarge_train/behaviors.tsv"] == round(2_232_748 * 0.0005)
    assert truth(mind)["clicks"] == pytest.approx(24_155_470 * 0.0005, rel=0.1)


def test_a_history_is_the_users_in_a_part_and_goes_on_in_the_next(mind: Path):
    before: dict[str, list[str]] = {}
    for part in PARTS:
        rows = impressions(mind, part)
        now: dict[str, list[str]] = {}
        for _, user, _, history, _ in rows:
            assert now.setdefault(user, history) == history
        assert all(now[user] == before[user] for user in now.keys() & before.keys())
        before |= now
        for row in sorted(rows, key=lambda row: row[2]):
            before[row[1]] = before[row[1]] + clicks(row)


def test_mind_looks_like_the_owners_files(mind: Path):
    all_users = set()
    for part, days in zip(PARTS, (range(9, 15), range(15, 16), range(16, 23)), strict=True):
        news = {row[0]: row for row in fields(mind / part / "news.tsv")}
        rows = impressions(mind, part)
        assert [row[0] for row in rows] == [str(n + 1) for n in range(len(rows))]
        assert {row[2].day for row in rows} == set(days)
        assert [row[2] for row in rows] != sorted(row[2] for row in rows)
        labels = {item[-2:] if "-" in item else "" for row in rows for item in row[4]}
        assert labels == ({""} if part == "MINDlarge_test" else {"-0", "-1"})
        assert part == "MINDlarge_test" or all(clicks(row) for row in rows)
        taken = {item for row in rows for item in (*row[3], *(each.split("-")[0] for each in row[4]))}
        assert taken <= news.keys()
        assert {len(row) for row in news.values()} == {8}
        assert all(row[3] for row in news.values())
        assert [json.loads(entities) for row in news.values() for entities in row[6:]]
        all_users |= {row[1] for row in rows}
    assert any('"' in row[3] for row in news.values())
    assert any(not row[4] for row in news.values())
    assert len(all_users) == 500
    times = [row[2] for row in fields(mind / "MINDlarge_train" / "behaviors.tsv")]
    assert all(re.fullmatch(r"11/(9|1\d)/2019 [1-9]\d?:\d\d:\d\d [AP]M", time) for time in times)


def test_hm_holds_what_its_truth_says(hm: Path):
    with (hm / "articles.csv").open(newline="", encoding="utf-8") as file:
        articles = list(csv.DictReader(file))
    with (hm / "transactions_train.csv").open(newline="", encoding="utf-8") as file:
        transactions = list(csv.DictReader(file))
    sequences: dict[str, list[str]] = {}
    for row in transactions:
        sequences.setdefault(row["customer_id"], []).append(row["article_id"])
    rows = {"articles.csv": len(articles), "transactions_train.csv": len(transactions)}
    taken = {row["article_id"] for row in transactions}
    items = {row["article_id"] for row in articles}
    assert taken <= items
    assert truth(hm) == {"rows": rows, "items": len(items), "items_taken": len(taken), **counts(sequences)}
    assert rows["transactions_train.csv"] == round(31_788_324 * 0.0005)


def test_hm_looks_like_the_owners_files(hm: Path):
    lines = (hm / "transactions_train.csv").read_text().splitlines()[1:]
    like = r"20\d\d-\d\d-\d\d,[0-9a-f]{64},0\d{9},0\.\d+,[12]"
    assert all(re.fullmatch(like, line) for line in lines)
    groups = [line[:75] for line in lines]
    assert groups == sorted(groups)  # the day, in it the customer
    assert max(Counter(groups).values()) > 1
    assert "2018-09-20" <= groups[0][:10] <= "2018-09-23"
    assert "2020-09-19" <= groups[-1][:10] <= "2020-09-22"
    with (hm / "articles.csv").open(newline="", encoding="utf-8") as file:
        articles = list(csv.DictReader(file))
    ids = [row["article_id"] for row in articles]
    assert ids == sorted(ids)
    assert all(len(row) == 25 and None not in row.values() for row in articles)
    assert all(row["article_id"].startswith(row["product_code"]) and row["prod_name"] for row in articles)
    assert any("," in row["detail_desc"] for row in articles)


@pytest.mark.parametrize("layout", ["mind", "hm"])
def test_a_seed_gives_the_same_bytes_again(layout: str, request: pytest.FixtureRequest, tmp_path: Path):
    def hashes(folder: Path) -> dict[str, str]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}

    first = hashes(request.getfixturevalue(layout))
    assert hashes(generate(layout, tmp_path / "again")) == first
    other = hashes(generate(layout, tmp_path / "other", seed=1))
    assert not set(other.values()) & set(first.values())
