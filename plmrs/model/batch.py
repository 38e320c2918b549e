"""What a training step reads."""

from typing import NamedTuple

from torch import Tensor

from plmrs.model.inputs import Texts


class Batch(NamedTuple):
    """Some windows, and what their loss needs besides.

    Attributes:
        windows: Item numbers, 0 behind the last; position t predicts position t + 1. [B, L + 1] int64
        items: The items whose vectors are needed, in ascending order, each once. [U] int64; None for all that the loss
            ranks a target among.
        negatives: Items drawn by chance: for each position [B, L, n], or for the batch [n]; int64. None without.
        texts: The texts of `items`, for the PLM's live blocks; None where there are none.
        step_targets: Targets of all this process's batches that make a step together. [] int64
    """

    windows: Tensor
    items: Tensor | None = None
    negatives: Tensor | None = None
    texts: Texts | None = None
    step_targets: Tensor | None = None
