"""What a run tells while it trains: a progress line, a line an epoch, curves, a row of metrics.csv an epoch."""

import csv
import math
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from plmrs.report import Advance, Progress
from plmrs.train.diagnosis import not_finite
from plmrs.train.module import MONITOR, TrainingModule
from plmrs.train.optimiser import rates_now
from plmrs.train.speed import Speed, process_seconds
from plmrs.workspace import atomic_file

LOG_STEPS = 20
"""Steps between two points of the loss's curve."""
READ_SECONDS = 1.0
"""The loss is read this often if steps are slow. Reading it waits for the device, so it is not read every time."""


class Reporter(pl.Callback):
    """Tells each epoch's loss, validation metrics and speed, and keeps them in metrics.csv.

    Attributes:
        best_metrics: Validation metrics of the best epoch, and its loss.
        first_step: Seconds from the start of the process to the end of the first step; None before.
        seconds: Of all epochs, their validation included.
    """

    def __init__(self, progress: Progress, folder: Path) -> None:
        self.progress = progress
        self.path = folder / "metrics.csv"
        self.best_metrics: dict[str, float] = {}
        self.first_step: float | None = None
        self.seconds = 0.0
        self.rates: dict[str, float] = {}
        self._speed = Speed()
        self._processes = 1
        self._users_a_window = 0.0
        self._told_users = 0
        self._read = 0.0
        self._epoch_seconds = 0.0
        self._epoch_started: float | None = None
        self._advance: Advance | None = None
        self._line = ExitStack()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the progress line of all epochs; one that was begun before goes on without a start of its own."""
        assert isinstance(pl_module, TrainingModule)
        users, epochs = len(pl_module.split.train), trainer.max_epochs or 1
        batches = pl_module.train_dataloader()
        self._processes = trainer.world_size
        self._users_a_window = users / max(1, len(batches.windows))
        self._told_users = users * trainer.current_epoch + users * batches.first // max(1, len(batches))
        line = self.progress.track("Training", users * epochs, "users", self._told_users)
        self._advance = self._line.enter_context(line)
        self._begin(pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note when the epoch began."""
        self._epoch_seconds = 0.0
        self._begin(pl_module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the rates of a step whose loss is to be logged; they change with the step."""
        if batch_idx % LOG_STEPS == 0:
            assert isinstance(pl_module, TrainingModule)
            self.rates = rates_now(trainer.optimizers[0], pl_module.config.optimiser)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the step's speed; now and then read the loss, log it, and move the progress line on.

        Raises:
            UserError: the loss is not a number.
        """
        assert isinstance(pl_module, TrainingModule)
        self._speed.step(batch.windows)
        logged = batch_idx % LOG_STEPS == 0
        if not logged and self.first_step is not None and time.perf_counter() - self._read < READ_SECONDS:
            return
        loss = float(pl_module.step_loss)
        if not math.isfinite(loss):
            raise not_finite(pl_module, batch, batch_idx)
        self._speed.read()
        self._read = time.perf_counter()
        if self.first_step is None:
            self.first_step = process_seconds()
        if logged:
            for logger in trainer.loggers:
                logger.log_metrics({"step_loss": loss, **self.rates}, trainer.global_step)
        best = f", best {MONITOR} {self.best_metrics[MONITOR]:.4f}" if self.best_metrics else ""
        self._move(trainer, pl_module, batch_idx + 1, f"epoch {trainer.current_epoch + 1}, loss {loss:.3f}{best}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the epoch, and write its row."""
        assert isinstance(pl_module, TrainingModule)
        self._speed.read()
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = self._so_far()
        self.seconds += seconds
        self._epoch_started, self._epoch_seconds = None, 0.0
        mark = ""
        if found[MONITOR] > self.best_metrics.get(MONITOR, -1.0):
            self.best_metrics, mark = found, " (best)"
        speed = self.speed()
        self.progress.say(
            f"epoch {trainer.current_epoch + 1}: loss {found['loss']:.4f}, validation HR@10 {found['HR@10']:.4f},"
            f" NDCG@10 {found[MONITOR]:.4f}{mark}; {seconds:.0f} s, {speed['users_per_second']:,.0f} users/s"
        )
        note = f"epoch {trainer.current_epoch + 1}, best {MONITOR} {self.best_metrics[MONITOR]:.4f}"
        self._move(trainer, pl_module, int(trainer.num_training_batches), note)
        if trainer.is_global_zero:
            row = {"epoch": trainer.current_epoch + 1, **found, "seconds": seconds}
            self._write(row | {"targets_per_second": speed["targets_per_second"]})

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End the progress line."""
        self._line.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """End the progress line."""
        self._line.close()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"best_metrics": self.best_metrics, "seconds": self.seconds, "epoch_seconds": self._so_far()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best_metrics, self.seconds = state_dict["best_metrics"], state_dict["seconds"]
        self._epoch_seconds = state_dict["epoch_seconds"]

    def speed(self) -> dict[str, float]:
        """Medians over this process's steps, times the number of processes."""
        windows, targets = (self._processes * median for median in self._speed.medians())
        return {
            "users_per_second": windows * self._users_a_window,
            "windows_per_second": windows,
            "targets_per_second": targets,
        }

    def _begin(self, module: pl.LightningModule) -> None:
        self._epoch_started = self._read = time.perf_counter()
        self._speed.begin(module.device)

    def _so_far(self) -> float:
        """Seconds of the epoch until now."""
        now = time.perf_counter()
        return self._epoch_seconds + (0.0 if self._epoch_started is None else now - self._epoch_started)

    def _move(self, trainer: pl.Trainer, module: TrainingModule, batches: int, note: str = "") -> None:
        """Move the line on to so many batches of the epoch."""
        assert self._advance is not None
        users = len(module.split.train)
        done = users * trainer.current_epoch + users * batches // int(trainer.num_training_batches)
        self._advance(done - self._told_users, note)
        self._told_users = done

    def _write(self, row: dict[str, float]) -> None:
        # Rows of epochs that a killed run repeats after its last checkpoint are replaced.
        rows: list[dict[str, Any]] = []
        if self.path.is_file():
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = [old for old in csv.DictReader(file) if int(old["epoch"]) < row["epoch"]]
        with atomic_file(self.path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerows([*rows, row])
