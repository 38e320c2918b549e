"""New items against the same items in a data set: one that was prepared with them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from odd_ids import IDS, ITEMS, NEW, TEXTS, user_id

from plmrs.config import NewItemOptions
from plmrs.errors import UserError
from plmrs.model.load import load_run
from plmrs.recommend.new_items import read_new
from plmrs.recommend.trained import TrainedModel
from plmrs.report import Silent
from plmrs.workspace import Workspace, read_json, write_json

Trained = Callable[..., TrainedModel]
KINDS = {
    "pooled": {},
    "both": {"input_type": "text+id"},
    "mean_last": {"pooling_method": "mean_last"},
    "top": {"plm_last_n_unfreeze": 1, "plm_lr": 1e-2},
    "whole": {"plm_last_n_unfreeze": -1, "plm_lr": 1e-2},
    "prompt": {"use_prompt": True, "pre_seq_len": 3},
}


def new_table(folder: Path) -> Path:
    path = folder / "new.csv"
    pd.DataFrame({"item_id": IDS[-NEW:], "title": TEXTS[-NEW:]}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_they_get_the_vectors_they_would_have_in_the_data_set(workspace: Workspace, trained: Trained, tmp_path, kind):
    model = trained(f"{kind}-fewer", "fewer", **KINDS[kind])
    there = trained(f"{kind}-odd", "odd", **KINDS[kind])
    # The same weights over the data set that has the items; a learned table has rows for items of training alone.
    state = model.model.state_dict()
    if "items.table.weight" in state:
        own = there.model.items.table.weight.detach().clone()
        own[: len(state["items.table.weight"])] = state["items.table.weight"]
        state["items.table.weight"] = own
    there.model.load_state_dict(state, strict=False)
    wanted = there.model.items().detach().numpy()
    assert len(model.items) == ITEMS - NEW
    model.add_items(new_table(tmp_path))
    assert model.items.ids.to_pylist() == IDS
    assert model.items.texts.to_pylist() == TEXTS
    np.testing.assert_allclose(model.items.vectors.numpy(), wanted, rtol=1e-3, atol=1e-4)
    assert np.abs(wanted[-NEW:] - wanted[:NEW]).max() > 1e-2


def test_they_are_ranked_with_the_rest(trained: Trained, tmp_path):
    model = trained("pooled-fewer", "fewer")
    before = model.recommend(k=ITEMS)
    model.add_items(dict(zip(IDS[-NEW:], TEXTS[-NEW:], strict=True)))
    after = model.recommend(k=ITEMS)
    known = after[~after.item.isin(IDS[-NEW:])]
    assert known.item.tolist() == before.item.tolist()
    assert known.score.tolist() == before.score.tolist()
    assert (after.groupby("user").score.diff().dropna() <= 0).all()
    assert len(after) == len(before) + NEW * after.user.nunique()
    assert set(model.recommend(candidates=IDS[-NEW:]).item) == set(IDS[-NEW:])
    assert set(IDS[-NEW:]) <= set(model.recommend(candidates="train", k=ITEMS).item)
    assert not model.recommend(histories=[IDS[-2:]], k=ITEMS).item.isin(IDS[-2:]).any()
    with pytest.raises(UserError, match="is an item already, and 3 more"):
        model.add_items(new_table(tmp_path))


def test_their_text_is_worded_as_that_of_the_data_set(trained: Trained, tmp_path):
    dataset = trained("pooled-fewer", "fewer").dataset
    path = tmp_path / "new.csv"
    pd.DataFrame({"item_id": ["1", "2", "1", ""], "text": "wrong", "title": "right", "more": "too"}).to_csv(
        path, index=False
    )
    told: list[str] = []
    progress = Silent()
    progress.warn = told.append  # type: ignore[method-assign]
    found = read_new(path, NewItemOptions(), dataset, progress)
    assert found.to_pydict() == {"item_id": ["1", "2"], "text": ["right", "right"]}
    assert len(told) == 2
    found = read_new(path, NewItemOptions(text_template="{title}, {more}"), dataset, Silent())
    assert found.column("text").to_pylist() == ["right, too"] * 2
    pd.DataFrame({"item_id": ["1"], "name": ["guessed"]}).to_csv(path, index=False)
    assert read_new(path, NewItemOptions(), dataset, Silent()).column("text").to_pylist() == ["guessed"]


def test_texts_from_python_are_tidied_as_those_of_a_table(trained: Trained, tmp_path):
    model = trained("pooled-fewer", "fewer")
    (tmp_path / "new.csv").write_text('item_id,title\n1,"\tA  title\n of two lines "\n')
    model.add_items(tmp_path / "new.csv")
    model.add_items({"2": "\tA  title\n of two lines ", "3": None})
    assert model.items.texts.to_pylist()[-3:] == ["A title of two lines", "A title of two lines", ""]
    # Of one run each, so that they were batched otherwise.
    np.testing.assert_allclose(model.items.vectors[-2], model.items.vectors[-3], rtol=1e-3, atol=1e-4)
    count = len(model.items)
    model.add_items({})
    assert len(model.items) == count
    for wrong in ({4: "a title"}, {"4": 5}):
        with pytest.raises(UserError, match="ids and texts are text"):
            model.add_items(wrong)


def test_a_model_of_ids_alone_refuses_them(trained: Trained):
    with pytest.raises(UserError, match="knows items by their ids alone") as error:
        trained("id", input_type="id").add_items({"new": "a title"})
    assert "text+id" in error.value.remedy


def test_another_plm_than_the_runs_is_refused(workspace: Workspace, trained: Trained):
    model = trained("pooled-fewer", "fewer")
    manifest = model.run.folder / "manifest.json"
    kept = read_json(manifest)
    try:
        write_json(manifest, {**kept, "plm_identity": "sha256:other"})
        with pytest.raises(UserError):
            trained("pooled-fewer", "fewer").add_items({"new": "a title"})
    finally:
        write_json(manifest, kept)
    assert load_run(workspace, model.run)[0] is not None
    assert not model.recommend(users=user_id(0)).empty
