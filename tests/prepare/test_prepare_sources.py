from pathlib import Path

import numpy as np
import pytest

from plmrs.config import PrepareConfig
from plmrs.data.dataset import open_dataset
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


@pytest.mark.skipif(not GOODBOOKS.is_dir(), reason="goodbooks is not beside the project")
def test_goodbooks_is_kept_whole(tmp_path: Path):
    values = {"items": GOODBOOKS / "items.tsv", "interactions": GOODBOOKS / "interactions.tsv", "root": tmp_path}
    config = PrepareConfig.from_flat(values)
    prepare("goodbooks", config, Silent())
    dataset = open_dataset(config.workspace.open())
    assert (dataset.n_users, dataset.n_items, len(dataset.histories.items)) == (2672, 10_000, 298_176)
    assert np.median(dataset.histories.lengths) == 111
    assert dataset.user_ids()[0] == "13"
