"""The Lightning Trainer as plmrs sets it up: devices by id, early stopping, best and last checkpoint, quiet."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.warnings import PossibleUserWarning
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from plmrs.devices import resolve_devices
from plmrs.model.run import BEST, CHECKPOINTS, LAST
from plmrs.train.checkpoints import WholeFiles
from plmrs.train.continuing import Continuing
from plmrs.train.launch import Launch
from plmrs.train.loggers import new_loggers
from plmrs.train.module import MONITOR, TrainingModule
from plmrs.train.strategies import new_strategy, shards, trainer_precision


def fit(
    module: TrainingModule, reporters: list[pl.Callback], folder: Path, checkpoint: Path | None, launch: Launch
) -> pl.Trainer:
    """Train until the epochs are over or validation gets no better.

    Args:
        module: What is trained.
        reporters: Tell and keep each epoch's numbers, and listen to the user.
        folder: The run's folder.
        checkpoint: Where to go on from; None begins.
        launch: How this process was started.

    Raises:
        UserError: the devices are not there, or a logger cannot start.
        KeyboardInterrupt: the user ended it.
    """
    options = module.config.trainer
    accelerator, ids = devices = resolve_devices(module.config.device)
    if len(ids) > 1 and accelerator == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // len(ids)))
    checkpoints = folder / CHECKPOINTS
    trainer = pl.Trainer(
        accelerator=accelerator,
        # On the CPU Lightning takes a number of processes, on GPUs ids.
        devices=len(ids) if accelerator == "cpu" else ids,
        num_nodes=launch.n_nodes,
        plugins=[launch.environment, WholeFiles()],
        strategy=new_strategy(options, devices, launch.n_nodes),
        precision=trainer_precision(options),
        accumulate_grad_batches=module.config.optimiser.accumulate,
        gradient_clip_val=module.config.optimiser.gradient_clip,
        max_epochs=options.max_epochs,
        logger=new_loggers(folder, module.config),
        callbacks=[
            *reporters,
            Continuing(options.early_stop_patience),
            EarlyStopping(MONITOR, mode="max", patience=options.early_stop_patience, check_on_train_epoch_end=True),
            # The best is written before the last, so that going on from the last never misses a best.
            _checkpoint(checkpoints, BEST, monitor=MONITOR, weights_only=options.strategy.startswith("deepspeed")),
            _checkpoint(checkpoints, LAST, monitor=None),
        ],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        # An epoch's batches follow from its number; they are shared out by plmrs itself.
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        # Shards that inference mode has touched can train no more.
        inference_mode=not shards(options.strategy),
    )
    with _quietly():
        try:
            trainer.fit(module, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:  # what the trainer makes of Ctrl-C
            raise KeyboardInterrupt from None
    return trainer


def _checkpoint(folder: Path, name: str, monitor: str | None, weights_only: bool = False) -> ModelCheckpoint:
    return ModelCheckpoint(
        folder,
        Path(name).stem,
        monitor=monitor,
        mode="max",
        save_top_k=1,
        save_weights_only=weights_only,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep Lightning's advice on matters that are settled here from the user."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)
        warnings.filterwarnings("ignore", ".*exists and is not empty.*")
        warnings.filterwarnings("ignore", ".*special characters in metric name.*")  # HR@10 is HR10 in MLflow
        # Lightning 2.6 calls a tree helper of PyTorch by a name that newer releases deprecate.
        warnings.filterwarnings("ignore", ".*LeafSpec.*")
        # DeepSpeed 0.19 likewise, and it hooks the backward pass of modules that read no gradients.
        warnings.filterwarnings("ignore", ".*torch.distributed.* is deprecated", FutureWarning)
        yield
