"""What a run that goes on would get wrong if its checkpoint were taken at its word."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint


class Continuing(pl.Callback):
    """Corrects what a checkpoint brings to the callbacks of a run that goes on.

    It holds the patience with which it was written, but not that the training was over; and it holds paths, without
    which the trainer forgets how good the best epoch was, so that in a run that was moved any other would replace it.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let the paths be those of the folder where the run lies now."""
        kept = trainer.checkpoint_callback
        assert isinstance(kept, ModelCheckpoint)
        for state in checkpoint["callbacks"].values():
            if "dirpath" in state:
                state.update(_moved(state, str(state["dirpath"]), str(kept.dirpath)))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End at once if validation got no better for too many epochs before."""
        stopping = trainer.early_stopping_callback
        assert stopping is not None
        stopping.patience = self.patience
        if stopping.wait_count >= self.patience:
            trainer.should_stop = True


def _moved(value: Any, before: str, now: str) -> Any:
    """A value in which all paths below one folder are such below another."""
    if isinstance(value, str):
        return now + value.removeprefix(before) if value.startswith(before) else value
    if isinstance(value, dict):
        return {_moved(key, before, now): _moved(each, before, now) for key, each in value.items()}
    return value
