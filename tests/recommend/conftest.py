"""A data set whose ids lose something wherever they are not taken as text, and models trained on it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from odd_ids import IDS, ITEMS, NEW, TEXTS, USERS, user_id
from pyarrow import csv

from plmrs.config import PrepareConfig, TrainConfig
from plmrs.prepare.command import prepare
from plmrs.recommend.trained import TrainedModel, load_model
from plmrs.report import Silent
from plmrs.train.command import train
from plmrs.workspace import Workspace


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with `odd`, of all items, and `fewer`, without the last ones; users and interactions are the same."""
    folder = tmp_path_factory.mktemp("recommend")
    places = Workspace(folder / "data", folder / "runs")
    random = np.random.default_rng(7)
    users, items = [], []
    for user in range(USERS):
        taken = random.choice(ITEMS - NEW, size=5 + user % 9, replace=False)
        users += [user_id(user)] * len(taken)
        items += [IDS[i] for i in taken]
    log = folder / "log.csv"
    csv.write_csv(pa.table({"user_id": users, "item_id": items, "time": range(len(users))}), log)
    for name, n in (("odd", ITEMS), ("fewer", ITEMS - NEW)):
        table = folder / f"{name}.csv"
        csv.write_csv(pa.table({"item_id": IDS[:n], "title": TEXTS[:n]}), table)
        raw = {"items": table, "interactions": log, "root": places.root, "runs": places.runs}
        prepare(name, PrepareConfig.from_flat(raw), Silent())
    return places


@pytest.fixture(scope="session")
def trained(workspace: Workspace, tiny_bert: Path) -> Callable[..., TrainedModel]:
    """Train once and load: `trained("text", "odd", input_type="id")`."""
    places = {"root": workspace.root, "runs": workspace.runs, "accelerator": "cpu"}

    def load(name: str, dataset: str = "odd", **options: object) -> TrainedModel:
        if not workspace.run(name).exists():
            sizes = {"sasrec_hidden_size": 16, "sasrec_inner_size": 32, "sasrec_n_layers": 1, "sasrec_seq_len": 6}
            plm = {} if options.get("input_type") == "id" else {"plm_name": str(tiny_bert), "whitening": 8}
            made = {"dataset": dataset, "name": name, "max_epochs": 1, **sizes, **plm, **places, **options}
            train(TrainConfig.from_flat(made), Silent())
        config = TrainConfig.from_flat(places)
        return load_model(name, config.workspace, config.device)

    return load
