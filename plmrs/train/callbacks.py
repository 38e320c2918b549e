"""What a run tells while it trains: a progress line, a line an epoch, a row of metrics.csv an epoch."""

import csv
import math
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from plmrs.report import Advance, Progress
from plmrs.train.diagnosis import not_finite
from plmrs.train.module import MONITOR, TrainingModule
from plmrs.workspace import atomic_file


class Reporter(pl.Callback):
    """Tells each epoch's loss, validation metrics and speed, and keeps them in metrics.csv.

    Speed is the median over steps, the first of the process excluded: that one pays for warming up.
    """

    def __init__(self, progress: Progress, folder: Path) -> None:
        self.progress = progress
        self.path = folder / "metrics.csv"
        self.best_metrics: dict[str, float] = {}
        self.first_step: float | None = None
        self.seconds = 0.0
        self.targets_per_second: list[float] = []
        self.windows_per_second: list[float] = []
        self._advance: Advance | None = None
        self._line = ExitStack()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note when the epoch began; the first one begins the progress line of them all."""
        self.started = time.perf_counter()
        if self._advance is None:
            assert isinstance(pl_module, TrainingModule)
            targets, epochs = pl_module.targets_an_epoch(), trainer.max_epochs or 1
            line = self.progress.track("Training", targets * epochs, "targets", targets * trainer.current_epoch)
            self._advance = self._line.enter_context(line)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note when the step began."""
        self.step_started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the progress line on and take the step's speed."""
        now = time.perf_counter()
        seconds = now - self.step_started
        self.first_step = self.first_step or now
        targets = int((batch.windows[:, 1:] > 0).sum())
        if trainer.global_step > 1:
            self.targets_per_second.append(targets / seconds)
            self.windows_per_second.append(len(batch.windows) / seconds)
        assert self._advance is not None
        note = ""
        if batch_idx % 20 == 0:  # Reading the loss waits for the device, so it is not read every time.
            loss = float(outputs["loss"])
            if not math.isfinite(loss):
                assert isinstance(pl_module, TrainingModule)
                raise not_finite(pl_module, batch, batch_idx)
            best = f", best {MONITOR} {self.best_metrics[MONITOR]:.4f}" if self.best_metrics else ""
            note = f"epoch {trainer.current_epoch + 1}, loss {loss:.3f}{best}, {self.speed()[0]:,.0f} users/s"
        self._advance(targets, note)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the epoch, and write its row."""
        assert isinstance(pl_module, TrainingModule)
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = time.perf_counter() - self.started
        self.seconds += seconds
        mark = ""
        if found[MONITOR] > self.best_metrics.get(MONITOR, -1.0):
            self.best_metrics, mark = found, " (best)"
        speed = self.speed()[1]
        self.progress.say(
            f"epoch {trainer.current_epoch + 1}: loss {found['loss']:.4f}, validation HR@10 {found['HR@10']:.4f},"
            f" NDCG@10 {found[MONITOR]:.4f}{mark}; {seconds:.0f} s, {speed:,.0f} targets/s"
        )
        if trainer.is_global_zero:
            self._write({"epoch": trainer.current_epoch + 1, **found, "seconds": seconds, "targets_per_second": speed})

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End the progress line."""
        self._line.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """End the progress line."""
        self._line.close()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"best_metrics": self.best_metrics, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best_metrics, self.seconds = state_dict["best_metrics"], state_dict["seconds"]

    def speed(self) -> tuple[float, float]:
        """Median windows and targets a second over this process's steps."""
        if not self.targets_per_second:
            return 0.0, 0.0
        return statistics.median(self.windows_per_second), statistics.median(self.targets_per_second)

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
