"""What `--dry-run` tells of a training: parameters, bytes, the cache and the steps."""

from collections import defaultdict
from math import ceil

from plmrs.config import TrainConfig
from plmrs.data.dataset import Dataset
from plmrs.data.splits import Split
from plmrs.data.windows import training_windows
from plmrs.model.recommender import Recommender
from plmrs.model.source import PlmSource, resolved_loss
from plmrs.report import Table
from plmrs.train.optimiser import parts


def trained_parameters(recommender: Recommender) -> dict[str, int]:
    """Trained parameters by part: item table, projection, SASRec, temperature, PLM, prompt."""
    return _counts(recommender, trained=True)


def frozen_parameters(recommender: Recommender) -> dict[str, int]:
    """Parameters by part that stay as they are: of a PLM's blocks that run but do not train."""
    return _counts(recommender, trained=False)


def _counts(recommender: Recommender, trained: bool) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for part, parameter in parts(recommender):
        if parameter.requires_grad == trained:
            counts[part] += parameter.numel()
    return dict(counts)


def plan(
    config: TrainConfig, recommender: Recommender, dataset: Dataset, split: Split, source: PlmSource | None, n: int
) -> Table:
    """What would be trained by `n` processes, and what it takes."""
    trained, frozen = trained_parameters(recommender), frozen_parameters(recommender)
    all_bytes = sum(parameter.nbytes for _, parameter in parts(recommender))
    rows = [(part, trained.get(part, 0), frozen.get(part, 0)) for part in {**trained, **frozen}]
    total = sum(trained.values())
    rows.append(("in all", total, sum(frozen.values())))
    model, trainer = config.model, config.trainer
    windows = len(training_windows(split.train, model.sasrec_seq_len, trainer.windows))
    steps = ceil(ceil(windows / n) / trainer.batch_size)
    loss = resolved_loss(config).loss
    ranked = f"{len(recommender.rows):,} of {dataset.n_items:,} items" if loss != "in_batch" else "the items of a batch"
    notes = [
        f"{all_bytes / 2**20:,.0f} MiB of weights, {4 * total / 2**20:,.0f} MiB of gradients,"
        f" {8 * total / 2**20:,.0f} MiB of AdamW's moments; what a step keeps of its batch comes on top.",
        f"{windows:,} windows of {len(split.train):,} users: {steps:,} batches of {trainer.batch_size} an epoch"
        f"{f' in each of {n} processes' if n > 1 else ''}; {trainer.max_epochs} epochs at most.",
        f"Loss {loss}, over {ranked}.",
    ]
    if source is not None and source.cache is not None:
        notes.append(f"Reads the cache {source.cache.place}, {source.cache.n_bytes / 2**20:,.0f} MiB.")
    elif source is not None and source.use.reads == "tokens":
        notes.append("Reads token ids; no cache is used.")
    elif source is not None:
        notes.append("The cache it reads is to be made first, as `plmrs preinfer --dry-run` tells.")
    return Table(f"Plan for training on {dataset.name}", ("part", "trained", "frozen"), rows, notes)
