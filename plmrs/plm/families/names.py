"""Names of a block's tensors: a piece counts its blocks from 0, the checkpoint from the PLM's first."""


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
