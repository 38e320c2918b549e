"""RecTools: `SASRecModel.recommend`."""

import logging
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
from common import BATCH, BEST, BLOCKS, HEADS, LENGTH, WIDTH, measure, read
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def main() -> None:
    _, histories, result, repeat = read()
    warnings.simplefilter("ignore")
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    users, places = np.nonzero(histories)
    taken = pd.DataFrame(
        {
            Columns.User: users,
            Columns.Item: histories[users, places],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(places, unit="D"),
        }
    )
    dataset = Dataset.construct(taken)
    model = SASRecModel(
        n_blocks=BLOCKS,
        n_heads=HEADS,
        n_factors=WIDTH,
        session_max_len=LENGTH,
        loss="softmax",
        epochs=1,
        recommend_batch_size=BATCH,
    )
    # It has to be trained before it recommends; how well does not matter.
    model.fit(dataset)
    everyone = np.arange(len(histories))
    way = f"RecTools {version('rectools')}: the best {BEST}"
    ways = {way: lambda: model.recommend(everyone, dataset, k=BEST, filter_viewed=True)}
    measure(ways, len(histories), repeat, result)


if __name__ == "__main__":
    main()
