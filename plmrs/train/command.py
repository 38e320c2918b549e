"""plmrs train: from a prepared data set and a cache to a run's folder with the best weights."""

import os
import resource
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from plmrs.cache.store import Cache
from plmrs.config import TrainConfig
from plmrs.data.dataset import Dataset
from plmrs.data.splits import Split, split_of
from plmrs.devices import resolve_devices
from plmrs.errors import UserError
from plmrs.model.load import new_recommender
from plmrs.model.recommender import load_weights, save_weights
from plmrs.model.run import BEST, CHECKPOINTS, LAST, METRICS, WEIGHTS, create_run, open_run
from plmrs.report import Progress, Table
from plmrs.train.callbacks import Reporter
from plmrs.train.fit import fit
from plmrs.train.inputs import training_cache, training_dataset
from plmrs.train.module import TrainingModule, trainable
from plmrs.workspace import lock, write_json

RUN_FOLDER = "PLMRS_RUN_FOLDER"
"""Tells the further processes of a training, which start from the same command line, the folder of the first."""

MAY_CHANGE = {"max_epochs", "early_stop_patience", "resume", "accelerator", "devices", "root", "runs"}
"""Options that may be given anew when a run is continued."""


def train(config: TrainConfig, progress: Progress) -> list[Table]:
    """Train a recommender and leave its best weights in a run's folder.

    Args:
        config: Its options; with `resume` those of the run it continues, but for its length and devices.
        progress: Where it tells what it does.

    Returns:
        The result: validation metrics of the best epoch, speed, and where the run lies.

    Raises:
        UserError: data or PLM are missing or unfit, options contradict each other, or the loss is not a number.
    """
    folder = Path(os.environ[RUN_FOLDER]) if RUN_FOLDER in os.environ else None
    resuming = config.trainer.resume is not None
    if resuming:
        config, folder = _continued(config, folder)
    _, devices = resolve_devices(config.device)
    dataset = training_dataset(config, progress)
    cache = training_cache(config, dataset, progress)
    split = split_of(dataset)
    if len(split.val) < len(devices):
        raise UserError(
            f"Each of {len(devices)} processes ranks its share of the validation users, but they are {len(split.val)}.",
            "Name fewer --devices.",
        )
    torch.manual_seed(config.trainer.seed)
    model = new_recommender(config.model, dataset, cache, config.cached.pooling_method)
    parts = trainable(model)
    if folder is None:
        config = _resolved(config, dataset, cache)
        # Two trainings may be begun at once: the folder's name is taken under a lock.
        with lock(config.workspace.runs / "new", "beginning a run"):
            folder = _new_folder(config, dataset, cache)
            create_run(folder, config, _facts(dataset, cache, parts))
    os.environ[RUN_FOLDER] = str(folder.absolute())
    shown = ", ".join(f"{part} {count:,}" for part, count in parts.items())
    progress.say(f"Run {folder.name}: {sum(parts.values()):,} trained parameters ({shown}).")
    try:
        with lock(folder / "run", f"training run {folder.name}") if _is_first() else nullcontext():
            result = _trained(TrainingModule(model, split, config), folder, resuming, progress)
    except KeyboardInterrupt:
        progress.warn(f"Finished epochs are kept; go on with: plmrs train --resume {folder.name}")
        raise
    finally:
        del os.environ[RUN_FOLDER]
    return [_table(folder, dataset, split, result)]


def _trained(module: TrainingModule, folder: Path, resuming: bool, progress: Progress) -> dict[str, Any]:
    """Fit, then write the best weights and, last, the result."""
    reporter = Reporter(progress, folder)
    started = time.perf_counter()
    last = folder / CHECKPOINTS / LAST
    trainer = fit(module, reporter, folder, last if resuming and last.is_file() else None)
    best = folder / CHECKPOINTS / BEST
    load_weights(module.recommender, best)
    state = torch.load(best, map_location="cpu", weights_only=True)
    windows, targets = reporter.speed()
    result = {
        "best_epoch": state["epoch"] + 1,
        "epochs": trainer.current_epoch,
        "validation": reporter.best_metrics,
        "windows_per_second": windows,
        "targets_per_second": targets,
        "seconds_to_first_step": None if reporter.first_step is None else reporter.first_step - started,
        "seconds": reporter.seconds,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024),
    }
    if _is_first():
        save_weights(module.recommender, folder / WEIGHTS)
        write_json(folder / METRICS, result)
    return result


def _is_first() -> bool:
    """Whether this is the process that writes."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def _continued(config: TrainConfig, folder: Path | None) -> tuple[TrainConfig, Path]:
    """The configuration and folder of the run to continue, with what may change taken from the command line."""
    wanted = config.trainer.resume
    run = open_run(config.workspace.open(), str(folder) if folder else None if wanted == "last" else wanted)
    given = {key for key, origin in config.origins.items() if origin != "default"}
    now, before = config.flat(), run.config.flat()
    for key in sorted(given - MAY_CHANGE):
        if now[key] != before[key]:
            flag = "--" + key.replace("_", "-")
            raise UserError(
                f"Run {run.name} was begun with {flag} {before[key]}; it cannot go on with {now[key]}.",
                f"Leave {flag} out, or begin another run.",
            )
    values = before | {key: now[key] for key in given & MAY_CHANGE} | {"root": now["root"], "runs": now["runs"]}
    return TrainConfig.from_flat(
        values, {**run.config.origins, **{key: config.origins[key] for key in given}}
    ), run.folder


def _resolved(config: TrainConfig, dataset: Dataset, cache: Cache | None) -> TrainConfig:
    """The configuration with the data set and PLM that were last when it ran, so that it means the same later on."""
    last: dict[str, Any] = {"dataset": dataset.name}
    if cache is not None:
        last["plm_name"] = cache.plm
    values = config.flat()
    last = {key: value for key, value in last.items() if values[key] is None}
    return TrainConfig.from_flat({**values, **last}, {**config.origins, **dict.fromkeys(last, "the last one")})


def _new_folder(config: TrainConfig, dataset: Dataset, cache: Cache | None) -> Path:
    """A folder no run has: the name that was given, or one from data set, input and PLM with a number behind it."""
    runs, name = config.workspace.open(), config.trainer.name
    # A run that is repeated from its configuration gets a number; who names one on the command line means that one.
    if name is not None and config.origins.get("name") == "flag" and runs.run(name).exists():
        raise UserError(
            f"There is a run {name} already.", f"Continue it with --resume {name}, or choose another --name."
        )
    if name is None:
        parts = [dataset.name, config.model.input_type.replace("+", "-")]
        name = "-".join(parts if cache is None else [*parts, Path(cache.plm).name])
    return next(path for n in range(1, 1_000_000) if not (path := runs.run(name if n == 1 else f"{name}-{n}")).exists())


def _facts(dataset: Dataset, cache: Cache | None, parts: dict[str, int]) -> dict[str, Any]:
    """What the run's manifest says it is trained on."""
    facts: dict[str, Any] = {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "plm": None,
        "cache": None,
        "parameters": parts,
    }
    if cache is not None:
        facts["plm"] = cache.plm
        facts["cache"] = {"path": str(cache.path), "fingerprint": cache.fingerprint}
    return facts


def _table(folder: Path, dataset: Dataset, split: Split, result: dict[str, Any]) -> Table:
    """The result of a training."""
    rows: list[list[str | int | float | None]] = [
        [name, value] for name, value in result["validation"].items() if name != "loss"
    ]
    rows.append(["best epoch", f"{result['best_epoch']} of {result['epochs']}"])
    rows.append(["targets/s", round(result["targets_per_second"])])
    rows.append(["seconds", round(result["seconds"])])
    method = dataset.manifest["split"]["method"].replace("_", "-").capitalize()
    protocol = f"{method} validation targets of {len(split.val):,} users, all {dataset.n_items:,} items ranked."
    return Table(
        f"Run {folder.name}",
        ["", "value"],
        rows,
        [protocol, f"It lies in {folder}.", f"Next: plmrs evaluate {folder.name}"],
    )
