"""RePlay's SasRec, trained as its documentation does: a Parquet file, its transforms, its LightningModule."""

import contextlib
import logging
import warnings
from importlib.metadata import version

import lightning
import numpy as np
import pandas as pd
import torch
from measure import BATCH, BLOCKS, DROPOUT, HEADS, LENGTH, RATE, WIDTH, Clock, TimeIsUpError, padded_left, read_task
from numpy.typing import NDArray
from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import ParquetModule, TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.nn.lightning import LightningModule
from replay.nn.lightning.optimizer import OptimizerFactory
from replay.nn.sequential import SasRec
from replay.nn.transform.template import make_default_sasrec_transforms


def main() -> None:
    task = read_task()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    # Its items are numbered from 0, and padding is the number behind the last.
    path = task.result / "windows.parquet"
    pd.DataFrame({"item_id": [row[row > 0] - 1 for row in task.windows]}).to_parquet(path)
    schema = TensorSchema(
        TensorFeatureInfo(
            "item_id",
            FeatureType.CATEGORICAL,
            is_seq=True,
            feature_hint=FeatureHint.ITEM_ID,
            feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, "item_id")],
            cardinality=task.n_items,
            padding_value=task.n_items,
            embedding_dim=WIDTH,
        )
    )
    data = ParquetModule(
        batch_size=BATCH,
        metadata={"train": {"item_id": {"shape": LENGTH + 1, "padding": task.n_items}}},
        transforms=make_default_sasrec_transforms(schema),
        train_path=str(path),
    )
    model = SasRec.from_params(schema, WIDTH, HEADS, BLOCKS, LENGTH, DROPOUT)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    clock = Clock(task)
    with contextlib.suppress(TimeIsUpError):
        trainer.fit(LightningModule(model, OptimizerFactory(learning_rate=RATE)), data)
    model.eval()

    def scores(histories: NDArray[np.int64]) -> torch.Tensor:
        items = padded_left([row[row > 0] - 1 for row in histories], LENGTH, task.n_items)
        return model(feature_tensors={"item_id": items}, padding_mask=items != task.n_items)["logits"]

    clock.report(version("replay-rec"), scores)


if __name__ == "__main__":
    main()
