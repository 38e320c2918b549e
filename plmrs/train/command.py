"""plmrs train: from a prepared data set and a PLM to a run's folder with the best weights."""

import os
import resource
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from plmrs.config import TrainConfig
from plmrs.data.dataset import Dataset
from plmrs.data.splits import Split, split_of
from plmrs.devices import resolve_devices
from plmrs.errors import UserError
from plmrs.links import check_links
from plmrs.model.card import write_card
from plmrs.model.load import new_recommender, source_of
from plmrs.model.run import BEST, CHECKPOINTS, LAST, METRICS, WEIGHTS, Run, create_run, open_run
from plmrs.model.source import resolved_loss
from plmrs.model.weights import save_weights
from plmrs.plm.unpickled import unpickled
from plmrs.report import Progress, Table
from plmrs.train.callbacks import Reporter
from plmrs.train.data import new_sampling
from plmrs.train.environment import environment
from plmrs.train.fit import fit
from plmrs.train.folder import (
    base_name,
    continued,
    facts,
    forget_evaluations,
    new_folder,
    resolved,
    run_to_continue,
)
from plmrs.train.inputs import training_dataset, training_source
from plmrs.train.launch import Launch, this_launch
from plmrs.train.loggers import check_loggers
from plmrs.train.module import TrainingModule
from plmrs.train.plan import frozen_parameters, plan, trained_parameters
from plmrs.train.resumable import AGAIN, check_checkpoints
from plmrs.train.stop import Stop
from plmrs.train.strategies import check_strategy
from plmrs.train.unread import unread
from plmrs.workspace import lock, read_json, write_json

RUN_FOLDER = "PLMRS_RUN_FOLDER"
"""Tells the further processes of a training, which start from the same command line, the folder of the first."""


def train(config: TrainConfig, progress: Progress) -> list[Table]:
    """Train a recommender and leave its best weights in a run's folder.

    Args:
        config: Its options; with `resume` those of the run it continues, but for its length and devices.
        progress: Where it tells what it does.

    Returns:
        The result: validation metrics of the best epoch, speed, and where the run lies; of a dry run its plan.

    Raises:
        UserError: data or PLM are missing or unfit, options contradict each other, or the loss is not a number.
    """
    check_loggers(config.trainer.log_to)
    launch = this_launch(len(resolve_devices(config.device).ids))
    folder = Path(os.environ[RUN_FOLDER]) if RUN_FOLDER in os.environ else launch.told()
    run: Run | None = None
    if config.trainer.resume is not None and (config.trainer.resume != "auto" or folder is not None):
        run = open_run(config.workspace.open(), str(folder)) if folder else run_to_continue(config, "")
        assert run is not None
        config, folder = continued(config, run), run.folder
    devices = resolve_devices(config.device)
    n = launch.n_nodes * len(devices.ids)
    check_strategy(config.trainer, devices)
    loss = resolved_loss(config)
    if run is None:
        for line in unread(config):
            progress.warn(line)
    dataset = training_dataset(config, progress)
    workspace = config.workspace.open()
    source = training_source(config, dataset, progress) if run is None else source_of(workspace, run, dataset)
    config = resolved(config, dataset, source)
    name = base_name(config, dataset, source)
    if config.trainer.resume == "auto" and folder is None and (run := run_to_continue(config, name)) is not None:
        try:
            source = source_of(workspace, run, dataset)
            progress.say(f"Continuing run {run.name}, which is unfinished.")
            config, folder = continued(config, run), run.folder
        except UserError as error:
            progress.warn(f"Run {run.name} is unfinished, and cannot go on: {error.message} Another run is begun.")
            run = None
    split = split_of(dataset)
    if len(split.val) < n:
        raise UserError(
            f"Each of {n} processes ranks its share of the validation users, but they are {len(split.val)}.",
            "Name fewer --devices.",
        )
    torch.manual_seed(config.trainer.seed)
    model = new_recommender(config, dataset, source, n)
    if config.trainer.dry_run:
        return [plan(config, model, dataset, split, source, n)]
    # A run that was ended before its first epoch was is begun again.
    last = folder / CHECKPOINTS / LAST if folder is not None and run is not None else None
    if folder is not None:
        check_links(folder)
    if last is None or not last.exists():
        last = None
        model.items.fit_whitening()
    else:
        check_checkpoints(last.parents[1], model.state_dict(), config.trainer.strategy.startswith("deepspeed"))
    parts = trained_parameters(model)
    if folder is None:
        # Two trainings may be begun at once: the folder's name is taken under a lock.
        with lock(config.workspace.runs / "new", "beginning a run", patience=60):
            folder = new_folder(config, name)
            made_with = facts(dataset, source, parts, frozen_parameters(model), environment(devices))
            create_run(folder, config, made_with)
    os.environ[RUN_FOLDER] = str(folder.absolute())
    launch.tell(folder)
    shown = ", ".join(f"{part} {count:,}" for part, count in parts.items())
    progress.say(f"Run {folder.name}: {sum(parts.values()):,} trained parameters ({shown}).")
    sampling = new_sampling(split.train, dataset.n_items, loss, config.trainer, model.items.inputs)
    module = TrainingModule(model, split, sampling, config)
    try:
        with lock(folder / "run", f"training run {folder.name}") if launch.rank == 0 else nullcontext():
            result = _trained(module, folder, last, launch, progress)
    except KeyboardInterrupt:
        progress.warn(f"Training was stopped. Go on with: plmrs train --resume {folder.name}")
        raise
    finally:
        del os.environ[RUN_FOLDER]
    if launch.rank == 0:
        write_card(config.workspace.open(), open_run(config.workspace.open(), str(folder)))
    return [_table(folder, dataset, split, result)]


def _trained(
    module: TrainingModule, folder: Path, last: Path | None, launch: Launch, progress: Progress
) -> dict[str, Any]:
    """Fit, then write the best weights and, last, the result."""
    reporter = Reporter(progress, folder)
    stop = Stop(progress, folder / CHECKPOINTS / LAST)
    trainer = fit(module, [reporter, stop], folder, last, launch)
    if reporter.first_step is None and (folder / METRICS).is_file():
        before = read_json(folder / METRICS)
        if before["epochs"] == trainer.current_epoch:
            return before  # It was finished, and there was nothing to add.
    best = folder / CHECKPOINTS / BEST
    state = unpickled(best, AGAIN)
    result = {
        "best_epoch": state["epoch"] + 1,
        "epochs": trainer.current_epoch,
        "validation": reporter.best_metrics,
        **reporter.speed(),
        "seconds_to_first_step": reporter.first_step,
        "seconds": reporter.seconds,
        "batch_size": module.config.trainer.batch_size,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024),
    }
    if launch.rank == 0:
        manifest = read_json(folder / "manifest.json")
        about = {key: str(manifest[key]) for key in ("dataset", "plm", "plm_identity") if manifest.get(key)}
        # Read from the file, not the model: a strategy may have left each process its share of that.
        weights = {name.removeprefix("recommender."): tensor for name, tensor in state["state_dict"].items()}
        forget_evaluations(folder, weights, progress)
        # Until both are written a run that was finished before is not; or else it would have the result of another.
        (folder / METRICS).unlink(missing_ok=True)
        save_weights(weights, folder / WEIGHTS, about)
        write_json(folder / METRICS, result)
    return result


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
