"""Names: of a block's tensors, which a piece counts from 0 and the checkpoint from the PLM's first; of an argument."""

import inspect
from typing import Any


def moved(name: str, blocks: str, first: int) -> str:
    """The name a tensor of a piece has in the checkpoint.

    In a piece from block 3 on, `layers.0.fc1.weight` is what the checkpoint calls `layers.3.fc1.weight`.

    Args:
        name: Its name in the piece.
        blocks: What the names of all blocks' tensors begin with, as `layers.`.
        first: The piece's first block.
    """
    if not name.startswith(blocks):
        return name
    block, rest = name.removeprefix(blocks).split(".", 1)
    return f"{blocks}{int(block) + first}.{rest}"


def cache_argument(module: Any) -> str:
    """What a model or block calls the keys and values that stand before its input: `cache` from 5.24 on."""
    return "cache" if "cache" in inspect.signature(type(module).forward).parameters else "past_key_values"
