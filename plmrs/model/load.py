"""From a data set and a PLM, or from a run, to a recommender."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plmrs.cache.find import list_caches, open_cache
from plmrs.cache.store import Cache
from plmrs.config import TrainConfig
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.data.splits import split_of, training_counts
from plmrs.errors import UserError
from plmrs.model.inputs import cached_states, token_ids
from plmrs.model.recommender import Recommender
from plmrs.model.run import Run
from plmrs.model.source import PlmSource, live_plm, plm_use, resolved_loss
from plmrs.model.weights import load_weights
from plmrs.plm.checkpoint import find_same
from plmrs.plm.tokenizer import plm_tokens
from plmrs.report import Silent
from plmrs.workspace import Workspace


def new_recommender(config: TrainConfig, dataset: Dataset, source: PlmSource | None, processes: int = 1) -> Recommender:
    """An untrained recommender for a data set, its PLM as the checkpoint has it, its whitening not yet fitted.

    Args:
        config: Model, loss, prompt.
        dataset: Whose items.
        source: The PLM; None for input type id.
        processes: Those that train it.
    """
    counts = torch.from_numpy(training_counts(split_of(dataset).train, dataset.n_items))
    loss, pooling = resolved_loss(config), config.cached.pooling_method
    if loss.negatives and loss.gather_negatives:  # Each process draws as many, and all are ranked together.
        loss = loss.model_copy(update={"negatives": loss.negatives * processes})
    if source is None:
        return Recommender(config.model, counts, loss=loss)
    if not source.use.live:
        vectors = _constant(source, pooling, dataset.n_items)
        return Recommender(config.model, counts, vectors, mean_last=pooling == "mean_last", loss=loss)
    inputs = None
    if source.cache is not None:
        inputs = cached_states(source.cache)
    elif source.tokens is not None:
        inputs = token_ids(source.tokens)
    return Recommender(config.model, counts, plm=live_plm(config, source), inputs=inputs, loss=loss)


def _constant(source: PlmSource, pooling: str, n_items: int) -> Tensor:
    if source.cache is not None:
        return pooled_vectors(source.cache, pooling)
    # Of a cache that is not made yet a plan needs the width alone.
    assert source.plm is not None
    return torch.zeros(1, source.plm.hidden_size * len(pooling.split("_"))).expand(n_items, -1)


def pooled_vectors(cache: Cache, pooling: str) -> Tensor:
    """The pooled states of a cache; of mean_last both, side by side. [items, PLM width, or twice that] float32"""
    parts = [cache.read(name).astype(np.float32) for name in pooling.split("_")]
    return torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))


def load_run(workspace: Workspace, run: Run) -> tuple[Recommender, Dataset, Cache | None]:
    """A run's recommender in evaluation mode, its data set and its cache.

    Raises:
        UserError: the data set, the cache or the PLM is gone or has changed since, or the weights are damaged.
    """
    if not run.weights.is_file():
        raise UserError(f"Run {run.name} has no checkpoint yet.", f"Continue it: `plmrs train --resume {run.name}`.")
    dataset = open_dataset(workspace, run.manifest["dataset"])
    source = source_of(workspace, run, dataset)
    model = new_recommender(run.config, dataset, source)
    load_weights(model, run.weights)
    return model.eval(), dataset, source.cache if source is not None else None


def source_of(workspace: Workspace, run: Run, dataset: Dataset) -> PlmSource | None:
    """The PLM that a run was begun with, its cache or the items' token ids; None for input type id.

    Raises:
        UserError: the data set, the cache or the PLM is not the one that it was begun with, or is gone.
    """
    if dataset.fingerprint != run.manifest["dataset_fingerprint"]:
        raise UserError(
            f"Data set {dataset.name} was prepared anew since run {run.name} was trained on it"
            f" ({run.manifest['dataset_fingerprint']}, now {dataset.fingerprint}).",
            "Prepare it as it was, or train again.",
        )
    use, cache = plm_use(run.config), cache_of(workspace, run)
    if use is None:
        return None
    if not use.live:
        return PlmSource(use, cache)
    plm = find_same(run.manifest["plm"], run.manifest["plm_identity"])
    tokens = None if cache else plm_tokens(dataset, plm, run.config.plm.tokenized_len, Silent())
    return PlmSource(use, cache, plm, tokens)


def cache_of(workspace: Workspace, run: Run) -> Cache | None:
    """The cache a run was trained with; None where it used none.

    Raises:
        UserError: it is neither where it was nor anywhere in the workspace.
    """
    wanted = run.manifest.get("cache")
    if wanted is None:
        return None
    place = wanted["path"]
    found = [open_cache(place)] if "://" in place else [open_cache(Path(place))] if Path(place).is_dir() else []
    for cache in [*found, *list_caches(workspace)]:
        if cache.fingerprint == wanted["fingerprint"] and cache.is_complete:
            return cache
    raise UserError(
        f"The cache {Path(place).name} that run {run.name} was trained with is gone or incomplete.",
        f"Make it again: `{_remaking(run, wanted)}`.",
    )


def _remaking(run: Run, cache: Mapping[str, Any]) -> str:
    """The command that makes the cache of a run again; `cache` is what the run's manifest says of it."""
    boundary = run.config.boundary.plm_last_n_unfreeze
    options = {
        "dataset": run.manifest["dataset"],
        "plm": run.manifest["plm"],
        "plm-last-n-unfreeze": boundary or None,
        "tokenized-len": cache.get("tokenized_len", run.config.plm.tokenized_len),
        "precision": cache.get("precision"),
        "dtype": cache.get("dtype"),
        # States before the last block are those of all tokens in any case.
        "keep-tokens": bool(cache.get("keeps_tokens")) and not boundary,
    }
    told = (f"--{name}" if value is True else f"--{name} {value}" for name, value in options.items() if value)
    return " ".join(["plmrs preinfer", *told])
