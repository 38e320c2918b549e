"""RecBole's SASRec, trained by its own trainer.

A training row of RecBole is one target with all that stands before it, so a window of 51 items makes 50 rows. A batch
has 128 of those rows; sequences a second are rows a second, divided by the rows of a window.
"""

import contextlib
import logging
from importlib.metadata import version

import numpy as np
import torch
from measure import BATCH, BLOCKS, DROPOUT, HEADS, LENGTH, RATE, WIDTH, Clock, TimeIsUpError, read_task
from numpy.typing import NDArray
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer


def main() -> None:
    task = read_task()
    logging.disable(logging.WARNING)
    folder = task.result / "windows"
    folder.mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user, row in enumerate(task.windows):
        items = row[row > 0]
        # Its split holds the last two of each user out; here they are repeats that nothing looks at.
        for time, item in enumerate([*items, items[0], items[0]]):
            lines.append(f"{user}\t{item}\t{time}")
    (folder / "windows.inter").write_text("\n".join(lines) + "\n")
    config = Config(
        model="SASRec",
        dataset="windows",
        config_dict={
            "data_path": str(task.result),
            "checkpoint_dir": str(task.result / "saved"),
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
            "MAX_ITEM_LIST_LENGTH": LENGTH,
            "hidden_size": WIDTH,
            "inner_size": WIDTH,
            "n_layers": BLOCKS,
            "n_heads": HEADS,
            "hidden_dropout_prob": DROPOUT,
            "attn_dropout_prob": 0.0,
            "loss_type": "CE",
            "train_neg_sample_args": None,
            "train_batch_size": BATCH,
            "learning_rate": RATE,
            "epochs": 1_000_000,
            "use_gpu": False,
            "show_progress": False,
            "reproducibility": False,
        },
    )
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    model = SASRec(config, train._dataset)
    trainer = Trainer(config, model)
    clock = Clock(task, rows=len(train._dataset))
    with contextlib.suppress(TimeIsUpError):
        trainer.fit(train, saved=False, verbose=False)
    model.eval()
    # Its own number of each of our items; 0, its padding, for those it has never seen.
    own = np.zeros(task.n_items + 1, np.int64)
    for token, number in dataset.field2token_id["item_id"].items():
        if token.isdigit():
            own[int(token)] = number
    known = np.flatnonzero(own)

    def scores(histories: NDArray[np.int64]) -> torch.Tensor:
        given = np.zeros_like(histories)
        lengths = np.zeros(len(histories), np.int64)
        for i, row in enumerate(histories):
            items = own[row][own[row] > 0]
            given[i, : len(items)], lengths[i] = items, len(items)
        batch = {"item_id_list": torch.from_numpy(given), "item_length": torch.from_numpy(lengths)}
        found = torch.full((len(histories), task.n_items), -torch.inf)
        found[:, torch.from_numpy(known - 1)] = model.full_sort_predict(Interaction(batch))[:, own[known]]
        return found

    clock.report(version("recbole"), scores)


if __name__ == "__main__":
    main()
