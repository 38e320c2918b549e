"""RoBERTa: BERT's shape; it numbers positions from the padding's id + 1, so its table has rows that no text uses."""

from collections.abc import Callable
from typing import Any

from plmrs.plm.families import bert

BLOCKS, NORM, DROPOUTS, DECODER = bert.BLOCKS, bert.NORM, bert.DROPOUTS, bert.DECODER


def sizes(size: Callable[[str], int]) -> tuple[int, int, int]:
    """Width, blocks and the longest text, by what `size` reads from config.json."""
    width, blocks, rows = bert.sizes(size)
    return width, blocks, rows - size("pad_token_id") - 1


def build(config: Any, embeddings: bool, norm: bool) -> Any:
    """A model of the configuration's blocks, its weights on the meta device, without the pooler."""
    from transformers import RobertaModel

    return bert.encoder(RobertaModel, config, embeddings)


stored_name = bert.stored_name


def first_position(config: Any, prefix: int) -> int:
    """The position of a text's first token behind a prefix: as without one."""
    return int(config.pad_token_id) + 1
