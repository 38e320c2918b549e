"""Ctrl-C and SIGTERM: training ends with the step it is in, and what was trained until then is kept."""

import signal
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from plmrs.report import Progress
from plmrs.train.module import TrainingModule

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop(pl.Callback):
    """Writes a checkpoint at the end of the step in which a signal comes, and ends the training.

    A signal while the epoch's last step or its validation runs ends it behind the epoch's own checkpoint; a second one
    ends it at once. One process that is told tells the others.

    Raises:
        KeyboardInterrupt: it was told to.
    """

    def __init__(self, progress: Progress, checkpoint: Path) -> None:
        self.progress = progress
        self.checkpoint = checkpoint
        self._told = False
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen, instead of the trainer, which would stop in the middle of a step."""
        if threading.current_thread() is threading.main_thread():
            # What a shell script starts in the background ignores Ctrl-C, and is to.
            heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._tell) for number in heard}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End between two epochs."""
        if self._any_told(trainer):
            self.progress.say(f"Kept: the epochs up to {trainer.current_epoch}.")
            raise KeyboardInterrupt

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End within an epoch, but not between batches that make a step together."""
        steps = batch_idx + 1
        if steps % trainer.accumulate_grad_batches or steps == trainer.num_training_batches:
            return
        if self._any_told(trainer):
            assert isinstance(pl_module, TrainingModule)
            pl_module.note_begun(steps)
            trainer.save_checkpoint(self.checkpoint)
            self.progress.say(f"Kept: epoch {trainer.current_epoch + 1} up to batch {steps}.")
            raise KeyboardInterrupt

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen no more."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Listen no more."""
        self._restore()

    def _any_told(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size == 1:
            return self._told
        return bool(trainer.strategy.reduce_boolean_decision(self._told, all=False))

    def _tell(self, number: int, frame: FrameType | None) -> None:
        if self._told:
            raise KeyboardInterrupt
        self._told = True
        with suppress(RuntimeError):  # the signal may have come while another line was being written
            self.progress.warn("Stopping after this step. Ctrl-C again stops at once, and keeps finished epochs only.")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
