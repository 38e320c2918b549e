"""RecTools' SASRecModel, trained by its own `fit`."""

import contextlib
import logging
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
import torch
from measure import BATCH, BLOCKS, DROPOUT, HEADS, LENGTH, RATE, WIDTH, Clock, TimeIsUpError, padded_left, read_task
from numpy.typing import NDArray
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def main() -> None:
    task = read_task()
    warnings.simplefilter("ignore")
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    users, places = np.nonzero(task.windows)
    taken = pd.DataFrame(
        {
            Columns.User: users,
            Columns.Item: task.windows[users, places],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(places, unit="D"),
        }
    )
    model = SASRecModel(
        n_blocks=BLOCKS,
        n_heads=HEADS,
        n_factors=WIDTH,
        dropout_rate=DROPOUT,
        session_max_len=LENGTH,
        loss="softmax",
        lr=RATE,
        batch_size=BATCH,
        epochs=1_000_000,
    )
    clock = Clock(task)
    with contextlib.suppress(TimeIsUpError):
        model.fit(Dataset.construct(taken))
    net = model.lightning_model.torch_model.eval()
    # It numbers the items it was trained on anew, behind its padding; the others have no score.
    known = model.data_preparator.get_known_item_ids().astype(np.int64)
    own = np.zeros(task.n_items + 1, np.int64)
    own[known] = model.data_preparator.get_known_items_sorted_internal_ids()

    def scores(histories: NDArray[np.int64]) -> torch.Tensor:
        rows = [own[row][own[row] > 0] for row in histories]
        vectors = net.item_model.get_all_embeddings()
        states = net.encode_sessions({"x": padded_left(rows, LENGTH, 0)}, vectors)[:, -1]
        found = torch.full((len(rows), task.n_items), -torch.inf)
        found[:, torch.from_numpy(known - 1)] = states @ vectors[torch.from_numpy(own[known])].T
        return found

    clock.report(version("rectools"), scores)


if __name__ == "__main__":
    main()
