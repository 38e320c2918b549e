import json
import os
from pathlib import Path

import numpy as np
import pytest

from plmrs.data.checksums import checksums
from plmrs.data.dataset import FORMAT, MANIFEST, open_dataset, prepared_names, write_histories, write_items
from plmrs.errors import UserError
from plmrs.workspace import PARTIAL, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data", tmp_path / "runs")


def make(workspace: Workspace, name: str, age: int = 0, **manifest) -> Path:
    folder = workspace.prepared(name)
    folder.mkdir(parents=True)
    write_items(folder, ["007", "b", "c"], ["seven", "Café — crème", "see"], None, np.array([2, 1, 2]))
    items = np.array([1, 2, 3, 3, 1], np.int32)
    write_histories(folder, ["u", "v"], items, np.array([5, 6, 7, 1, -2]), np.array([0, 3, 5]))
    content = {"format": FORMAT, "files": checksums(folder), "fingerprint": "f", "texts_fingerprint": "t", **manifest}
    (folder / MANIFEST).write_text(json.dumps(content))
    os.utime(folder / MANIFEST, (1_000_000 - age, 1_000_000 - age))
    return folder


def test_what_is_written_is_read(workspace: Workspace):
    make(workspace, "x")
    dataset = open_dataset(workspace, "x")
    assert (dataset.n_items, dataset.n_users) == (3, 2)
    assert (dataset.fingerprint, dataset.texts_fingerprint) == ("f", "t")
    assert dataset.item_ids() == ["007", "b", "c"]
    assert dataset.texts() == ["seven", "Café — crème", "see"]
    assert dataset.categories() is None
    assert dataset.user_ids() == ["u", "v"]
    assert dataset.histories.items.tolist() == [1, 2, 3, 3, 1]
    assert dataset.histories.items.dtype == np.int32
    assert dataset.histories.lengths.tolist() == [3, 2]
    assert dataset.times.tolist() == [5, 6, 7, 1, -2]


def test_ids_and_texts_of_some_rows(workspace: Workspace):
    make(workspace, "x")
    dataset = open_dataset(workspace, "x")
    some = np.array([3, 1, 3], np.int32)
    assert dataset.item_ids_of(some) == ["c", "007", "c"]
    assert dataset.texts_of(some) == ["see", "seven", "see"]
    assert dataset.user_ids_of(np.array([1, 0])) == ["v", "u"]


def test_histories_give_rows_and_places_of_some_users(workspace: Workspace):
    make(workspace, "x")
    chosen = open_dataset(workspace, "x").histories.take(np.array([1, 0]))
    rows, places = chosen.flat()
    assert rows.tolist() == [0, 0, 1, 1, 1]
    assert chosen.items[places].tolist() == [3, 1, 1, 2, 3]


def test_files_of_a_data_set_that_was_prepared_anew_are_not_taken_for_the_old_one_s(workspace: Workspace):
    folder = make(workspace, "x")
    before, half = open_dataset(workspace, "x"), open_dataset(workspace, "x")
    items = before.item_ids()
    assert before.n_users == half.n_users == 2
    folder.rename(folder.with_name("old"))
    make(workspace, "x", fingerprint="another")
    assert before.item_ids() == items
    with pytest.raises(UserError, match=r"Data set x was prepared anew meanwhile\."):
        half.item_ids()


def test_a_file_that_is_gone_is_named(workspace: Workspace):
    (make(workspace, "x") / "histories.feather").unlink()
    dataset = open_dataset(workspace, "x")
    assert dataset.n_items == 3
    with pytest.raises(UserError, match=r"histories\.feather does not exist") as caught:
        _ = dataset.histories
    assert caught.value.remedy == "Run `plmrs prepare x` again."


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99, 1.01])
@pytest.mark.parametrize("name", ["items.feather", "histories.feather"])
def test_a_file_of_another_size_is_not_read(workspace: Workspace, name: str, kept: float):
    path = make(workspace, "x") / name
    whole = path.read_bytes()
    path.write_bytes((whole + whole)[: int(kept * len(whole))])
    dataset = open_dataset(workspace, "x")
    with pytest.raises(UserError, match=f"{name} is damaged or was changed: [0-9,]+ bytes, of {len(whole):,} as"):
        _ = dataset.n_items, dataset.n_users


def test_more_interactions_than_offsets_can_count_are_refused(tmp_path: Path):
    many = np.broadcast_to(np.int32(1), 2**31)  # no memory is taken
    with pytest.raises(UserError, match="2,147,483,648 interactions are too many"):
        write_histories(tmp_path, ["u"], many, many, np.array([0, 2**31]))
    assert not list(tmp_path.iterdir())


def test_two_writes_give_the_same_bytes(workspace: Workspace):
    folders = [make(workspace, name) for name in ("x", "y")]
    for file in ("items.feather", "histories.feather"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()


def test_the_one_prepared_last_is_opened_without_a_name(workspace: Workspace):
    make(workspace, "old", age=10)
    make(workspace, "new")
    make(workspace, f"half{PARTIAL}1", age=-10)
    assert prepared_names(workspace) == ["new", "old"]
    assert open_dataset(workspace).name == "new"


def test_errors_say_what_to_do(workspace: Workspace):
    with pytest.raises(UserError, match="No data set is prepared"):
        open_dataset(workspace)
    make(workspace, "MIND_small", format=FORMAT + 1)
    with pytest.raises(UserError) as caught:
        open_dataset(workspace, "MIND_smal")
    assert caught.value.remedy == "Did you mean MIND_small?"
    with pytest.raises(UserError, match=f"has format {FORMAT + 1}"):
        open_dataset(workspace, "MIND_small")
