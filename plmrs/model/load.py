"""From a data set and a cache, or from a run, to a recommender."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from plmrs.cache.store import Cache, list_caches, open_cache
from plmrs.config import ModelOptions
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.data.splits import split_of, training_counts
from plmrs.errors import UserError
from plmrs.model.recommender import Recommender, load_weights
from plmrs.model.run import Run
from plmrs.workspace import Workspace


def plm_vectors(cache: Cache | None, pooling: str) -> Tensor | None:
    """The pooled states of a cache. [items, PLM width] float32"""
    return None if cache is None else torch.from_numpy(cache.read(pooling).astype(np.float32))


def new_recommender(options: ModelOptions, dataset: Dataset, cache: Cache | None, pooling: str) -> Recommender:
    """An untrained recommender for a data set; input type id needs no cache."""
    in_training = torch.from_numpy(training_counts(split_of(dataset).train, dataset.n_items) > 0)
    return Recommender(options, in_training, plm_vectors(cache, pooling))


def load_run(workspace: Workspace, run: Run) -> tuple[Recommender, Dataset, Cache | None]:
    """A run's recommender in evaluation mode, its data set and its cache.

    Raises:
        UserError: the data set or the cache is gone or has changed since, or the weights are damaged.
    """
    if not run.weights.is_file():
        raise UserError(f"Run {run.name} has no checkpoint yet.", f"Continue it: `plmrs train --resume {run.name}`.")
    dataset = open_dataset(workspace, run.manifest["dataset"])
    if dataset.fingerprint != run.manifest["dataset_fingerprint"]:
        raise UserError(
            f"Data set {dataset.name} was prepared anew since run {run.name} was trained on it"
            f" ({run.manifest['dataset_fingerprint']}, now {dataset.fingerprint}).",
            "Prepare it as it was, or train again.",
        )
    cache = cache_of(workspace, run)
    model = new_recommender(run.config.model, dataset, cache, run.config.cached.pooling_method)
    load_weights(model, run.weights)
    return model.eval(), dataset, cache


def cache_of(workspace: Workspace, run: Run) -> Cache | None:
    """The cache a run was trained with; None for input type id.

    Raises:
        UserError: it is neither where it was nor anywhere in the workspace.
    """
    wanted = run.manifest.get("cache")
    if wanted is None:
        return None
    place = Path(wanted["path"])
    found = [open_cache(place)] if place.is_dir() else []
    for cache in [*found, *list_caches(workspace)]:
        if cache.fingerprint == wanted["fingerprint"] and cache.is_complete:
            return cache
    raise UserError(
        f"The cache {place.name} that run {run.name} was trained with is gone or incomplete.",
        f"Make it again: `plmrs preinfer --dataset {run.manifest['dataset']} --plm {run.manifest['plm']}`.",
    )
