"""plmrs evaluate: a run's full ranking on the test targets, beside rows to compare with, the protocol beneath."""

import datetime
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmrs import __version__
from plmrs.cache.store import Cache
from plmrs.config import EvaluateConfig
from plmrs.data.dataset import Dataset, Histories
from plmrs.data.splits import HeldOut, Split, split_of, training_counts
from plmrs.devices import resolve_devices
from plmrs.errors import UserError
from plmrs.evaluate.baselines import by_co_occurrence, by_last_item, by_popularity, item_similarity, unit_rows
from plmrs.model.load import load_run
from plmrs.model.ranking import mask_seen, metrics, target_ranks
from plmrs.model.run import TEST_METRICS, open_run
from plmrs.report import Advance, Progress, Table
from plmrs.workspace import write_json

SCORE_BYTES = 128 * 2**20
"""Size of the scores held at once; it decides how many users are ranked together."""

Scores = Callable[[Histories], Iterator[Tensor]]
"""Gives the scores of all items for some users at a time: [users, items], in the users' order."""


def evaluate(what: str | None, config: EvaluateConfig, progress: Progress) -> list[Table]:
    """Rank the test target of every test user among all items, by a run's model and by methods without training.

    Args:
        what: A run's name or folder, or a checkpoint's file or folder; None is the run begun last.
        config: Cut-offs, masking, devices.
        progress: Where it tells what it does.

    Returns:
        Metrics over all test users and, where there are any, over those whose target training never saw.

    Raises:
        UserError: there is no such run, or what it was trained on is gone or has changed.
    """
    accelerator, ids = resolve_devices(config.device)
    if len(ids) > 1:
        raise UserError("plmrs evaluate ranks on one device.", f"Name one, as in --devices {ids[0]}.")
    device = torch.device("cpu" if accelerator == "cpu" else f"cuda:{ids[0]}")
    workspace = config.workspace.open()
    run = open_run(workspace, what)
    model, dataset, cache = load_run(workspace, run)
    progress.say(f"Run {run.name} ({run.weights.name}) on {dataset.name}.")
    model = model.to(device)
    split = split_of(dataset)
    counts = training_counts(split.train, dataset.n_items)
    users_at_once = max(1, SCORE_BYTES // (4 * dataset.n_items))
    ranked: dict[str, NDArray[np.int64]] = {}
    methods: dict[str, Scores] = {
        f"SASRec {run.config.model.input_type}": partial(model.scores, users_at_once=users_at_once),
        **_baselines(split.train, counts, cache, run.config.cached.pooling_method, users_at_once),
    }
    with progress.track("Ranking", len(methods) * len(split.test), "users") as advance:
        for name, scores in methods.items():
            ranked[name] = _ranks(scores, split.test, config.protocol.mask_seen, advance)

    cold = counts[split.test.targets - 1] == 0
    groups = {"all": np.ones_like(cold), "never in training": cold}
    topk = config.protocol.topk_list
    found = {
        group: {name: metrics(ranks[users], topk) for name, ranks in ranked.items()}
        for group, users in groups.items()
        if users.any()
    }
    protocol = _protocol(dataset, split, counts, config)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    result = {
        "run": run.name,
        "weights": str(run.weights),
        "plmrs": __version__,
        "evaluated": now,
        "protocol": protocol,
        "users": {group: int(users.sum()) for group, users in groups.items()},
        "metrics": found,
    }
    write_json(run.folder / TEST_METRICS, result)
    notes = [f"{key}: {value}" for key, value in protocol.items()]
    titles = {
        "all": f"Test metrics of {run.name} on {dataset.name}",
        "never in training": f"The {int(cold.sum()):,} users whose target training never saw",
    }
    tables = [_table(titles[group], methods_found) for group, methods_found in found.items()]
    last = tables[-1]
    tables[-1] = Table(last.title, last.columns, last.rows, [*notes, f"written to {run.folder / TEST_METRICS}"])
    return tables


def _baselines(
    train: Histories, counts: NDArray[np.int64], cache: Cache | None, pooling: str, users_at_once: int
) -> dict[str, Scores]:
    """Methods to compare with; the cosine of PLM vectors only where the run has a cache of them."""

    def chunked(score: Callable[[Histories], NDArray[np.float32]], inputs: Histories) -> Iterator[Tensor]:
        for first in range(0, len(inputs), users_at_once):
            yield torch.from_numpy(score(inputs.take(slice(first, first + users_at_once))))

    found: dict[str, Scores] = {"popularity": partial(chunked, lambda inputs: by_popularity(counts, len(inputs)))}
    pooling = "mean" if pooling == "mean_last" else pooling
    if cache is not None and pooling in cache.arrays:
        vectors = unit_rows(cache.read(pooling))
        found["cosine to the last item"] = partial(chunked, lambda inputs: by_last_item(inputs, vectors))
    similarity = item_similarity(train, len(counts))
    found["ItemKNN, decayed history"] = partial(chunked, lambda inputs: by_co_occurrence(inputs, similarity))
    return found


def _ranks(scores: Scores, test: HeldOut, masked: bool, advance: Advance) -> NDArray[np.int64]:
    """The rank of each user's test target. [users]"""
    ranks: list[Tensor] = []
    done = 0
    with torch.inference_mode():
        for chunk in scores(test.inputs):
            users = test.take(slice(done, done + len(chunk)))
            target = torch.from_numpy(users.targets.astype(np.int64) - 1).to(chunk.device)
            if masked:
                mask_seen(chunk, users.inputs, target)
            ranks.append(target_ranks(chunk, target).cpu())
            done += len(chunk)
            advance(len(chunk))
    return torch.cat(ranks).numpy()


def _protocol(dataset: Dataset, split: Split, counts: NDArray[np.int64], config: EvaluateConfig) -> dict[str, Any]:
    """What a number depends on, to be printed with it."""
    users = f"{len(split.test):,}" + ("" if len(split.test) == dataset.n_users else f" of {dataset.n_users:,}")
    return {
        "split": split.rule,
        "users": f"{users}, each counted once",
        "candidates": f"all {dataset.n_items:,} items ({int((counts == 0).sum()):,} never in training)",
        "seen items": "masked, except the target" if config.protocol.mask_seen else "not masked",
        "ties": "against the model",
        "data": f"{dataset.name} {dataset.fingerprint}",
    }


def _table(title: str, found: dict[str, dict[str, float]]) -> Table:
    names = list(next(iter(found.values())))
    # HR, NDCG, MRR each at all k, as papers print them
    names.sort(key=lambda name: ["HR", "NDCG", "MRR"].index(name.split("@")[0]))
    return Table(title, ["method", *names], [[method, *(row[name] for name in names)] for method, row in found.items()])
