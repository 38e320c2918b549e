"""Checkpoints as files, whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from plmrs.workspace import atomic_file


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place.

    Lightning's own writes it into the system's folder for temporary files. From there it is copied where that is on
    another disk, and a process that is killed while it copies leaves half a checkpoint in the place of a whole one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint in the place of an older one.

        Raises:
            RuntimeError: the disk is full.
        """
        with atomic_file(Path(path)) as temporary:
            torch.save(checkpoint, temporary)
