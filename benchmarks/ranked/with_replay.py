"""RePlay: `Trainer.predict` with its callback for the best items and its filter of seen ones."""

import logging
import warnings
from importlib.metadata import version

import lightning
import pandas as pd
from common import BATCH, BEST, BLOCKS, HEADS, LENGTH, WIDTH, measure, read
from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import ParquetModule, TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.nn.lightning import LightningModule
from replay.nn.lightning.callback import PandasTopItemsCallback
from replay.nn.lightning.postprocessor import SeenItemsFilter
from replay.nn.sequential import SasRec
from replay.nn.transform.template import make_default_sasrec_transforms


def main() -> None:
    n_items, histories, result, repeat = read()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows = list(histories - 1)
    path = result.with_suffix(".parquet")
    pd.DataFrame({"query_id": range(len(rows)), "item_id": rows, "seen_ids": rows}).to_parquet(path)
    schema = TensorSchema(
        TensorFeatureInfo(
            "item_id",
            FeatureType.CATEGORICAL,
            is_seq=True,
            feature_hint=FeatureHint.ITEM_ID,
            feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, "item_id")],
            cardinality=n_items,
            padding_value=n_items,
            embedding_dim=WIDTH,
        )
    )
    shape = {"shape": LENGTH, "padding": n_items}
    data = ParquetModule(
        batch_size=BATCH,
        metadata={"predict": {"query_id": {}, "item_id": shape, "seen_ids": shape}},
        transforms=make_default_sasrec_transforms(schema),
        predict_path=str(path),
    )
    module = LightningModule(SasRec.from_params(schema, WIDTH, HEADS, BLOCKS, LENGTH, 0.0))

    def predict() -> None:
        best = PandasTopItemsCallback(BEST, "query_id", "item_id", postprocessors=[SeenItemsFilter(n_items)])
        trainer = lightning.Trainer(
            accelerator="cpu", callbacks=[best], logger=False, enable_progress_bar=False, enable_model_summary=False
        )
        trainer.predict(module, data, return_predictions=False)
        best.get_result()

    measure({f"RePlay {version('replay-rec')}: the best {BEST}": predict}, len(histories), repeat, result)


if __name__ == "__main__":
    main()
