"""Item vectors and the items they belong to, as files that an index for nearest neighbours is built from."""

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from plmrs.data.dataset import Dataset
from plmrs.data.splits import split_of, training_counts
from plmrs.recommend.catalogue import Catalogue

ITEMS = "items.parquet"


def write_vectors(folder: Path, catalogue: Catalogue, kind: Literal["safetensors", "npy"]) -> list[str]:
    """Write what histories are read as (inputs) and what is scored (candidates), both [items, H] float32.

    Args:
        folder: Where to.
        catalogue: The items.
        kind: One file with both, or a file each.

    Returns:
        The names of the files.
    """
    # Candidates that are the inputs themselves, as of a dot product, are written twice: who reads them need not know.
    arrays = {
        name: np.ascontiguousarray(tensor.cpu().numpy(), np.float32).copy()
        for name, tensor in (("candidates", catalogue.candidates), ("inputs", catalogue.vectors))
    }
    if kind == "safetensors":
        save_file(arrays, folder / "item_vectors.safetensors")
        return ["item_vectors.safetensors"]
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [f"{name}.npy" for name in arrays]


def write_items(folder: Path, dataset: Dataset) -> str:
    """Write the items in the order of the vectors: item_id, text, and how often each is in training; gives its name."""
    table = dataset.item_table.select(["item_id", "text"])
    counts = training_counts(split_of(dataset).train, dataset.n_items)
    pq.write_table(table.append_column("count_in_training", pa.array(counts, pa.int64())), folder / ITEMS)
    return ITEMS
