from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plmrs.config import PrepareConfig
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.prepare.command import prepare
from plmrs.report import Silent

GOODBOOKS = Path(__file__).resolve().parents[3] / "shared" / "data" / "goodbooks"


def test_the_demo_is_prepared(tmp_path: Path):
    config = PrepareConfig.from_flat({"root": tmp_path, "demo_seed": 3})
    prepare("demo", config, Silent())
    dataset = open_dataset(config.workspace.open())
    assert (dataset.name, dataset.n_items, dataset.n_users) == ("demo", 2400, 6000)
    assert len(set(dataset.categories() or [])) == 12
    assert dataset.manifest["sources"] == []


def test_mind_is_prepared(tmp_path: Path):
    for part, day, clicked in (("train", 12, "N3"), ("dev", 15, "N5")):
        folder = tmp_path / "raw" / "MIND_small" / f"MINDsmall_{part}"
        folder.mkdir(parents=True)
        (folder / "news.tsv").write_text("".join(f"N{n}\tc\ts\tTitle {n}\tAbout\t\t\t\n" for n in range(6)))
        (folder / "behaviors.tsv").write_text(f"1\tU1\t11/{day}/2019 2:14:46 PM\tN0 N1 N2\t{clicked}-1 N9-1 N4-0\n")
    config = PrepareConfig.from_flat({"root": tmp_path})
    prepare("MIND_small", config, Silent())
    dataset = open_dataset(config.workspace.open())
    assert dataset.histories.items.tolist() == [1, 2, 3, 4, 6]
    assert dataset.texts()[0] == "Title 0"


def write(frame: pd.DataFrame, path: Path) -> Path:
    kind = path.name.partition(".")[2]
    if kind.startswith(("csv", "tsv")):
        frame.to_csv(path, sep="," if kind.startswith("csv") else "\t", index=False)
    elif kind.startswith("jsonl"):
        frame.to_json(path, orient="records", lines=True)
    elif kind == "feather":
        frame.to_feather(path)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        for number, rows in enumerate(np.array_split(np.arange(len(frame)), 12)):
            path.mkdir(exist_ok=True)
            frame.iloc[rows].to_parquet(path / f"part_{number}.parquet")
    return path


def prepared(root: Path, kind: str, items: pd.DataFrame, taken: pd.DataFrame) -> Dataset:
    values = {
        "items": write(items, root / f"items.{kind}"),
        "interactions": write(taken, root / f"taken.{kind}"),
        "root": root,
        "min_item_seq_len": 4,
    }
    config = PrepareConfig.from_flat(values)
    prepare("small", config, Silent())
    return open_dataset(config.workspace.open())


@pytest.mark.parametrize("seconds", [True, False], ids=["whole", "fractions"])
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "jsonl", "jsonl.zip", "feather", "parquet", "folder"])
def test_tables_of_every_kind_are_prepared_as_by_hand(tmp_path: Path, kind: str, seconds: bool):
    rng = np.random.default_rng(0)
    items = pd.DataFrame({"item_id": [f"{item:03d}" for item in rng.permutation(40)], "title": "Title"})
    items.loc[::7, "title"] = ""
    taken = pd.DataFrame(
        {
            "user_id": [f"u{user}" for user in rng.integers(0, 60, 500)],
            "item_id": [f"{item:03d}" for item in rng.integers(0, 45, 500)],
            "timestamp": 1_700_000_000 + rng.integers(0, 90, 500) / (1 if seconds else 8),
        }
    )
    if seconds:
        taken["timestamp"] = taken["timestamp"].astype(int)
    dataset = prepared(tmp_path, kind, items, taken)

    worded = items["item_id"][items["title"] != ""].tolist()
    histories: dict[str, list[tuple[float, int, str]]] = {}
    for row, (user, item, time) in enumerate(taken.itertuples(index=False)):
        histories.setdefault(user, [])
        if item in worded:
            histories[user].append((time, row, item))
    expected = {user: sorted(history) for user, history in histories.items() if len(history) >= 4}
    assert dataset.item_ids() == worded
    assert dataset.user_ids() == list(expected)
    flat = [entry for history in expected.values() for entry in history]
    assert dataset.item_ids_of(dataset.histories.items) == [item for _, _, item in flat]
    assert dataset.times.tolist() == [int(time) for time, _, _ in flat]
    assert dataset.histories.lengths.tolist() == [len(history) for history in expected.values()]


@pytest.mark.skipif(not GOODBOOKS.is_dir(), reason="goodbooks is not beside the project")
def test_goodbooks_is_kept_whole(tmp_path: Path):
    values = {"items": GOODBOOKS / "items.tsv", "interactions": GOODBOOKS / "interactions.tsv", "root": tmp_path}
    config = PrepareConfig.from_flat(values)
    prepare("goodbooks", config, Silent())
    dataset = open_dataset(config.workspace.open())
    assert (dataset.n_users, dataset.n_items, len(dataset.histories.items)) == (2672, 10_000, 298_176)
    assert np.median(dataset.histories.lengths) == 111
    assert dataset.user_ids()[0] == "13"
