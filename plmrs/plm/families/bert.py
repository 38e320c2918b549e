"""BERT: an encoder whose embeddings and blocks each end in a norm of their own, so that none follows the last block."""

from collections.abc import Callable
from typing import Any

from plmrs.plm.families.names import moved

BLOCKS = "encoder.layer."
NORM = None
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
DECODER = False


def sizes(size: Callable[[str], int]) -> tuple[int, int, int]:
    """Width, blocks and the longest text, by what `size` reads from config.json."""
    return size("hidden_size"), size("num_hidden_layers"), size("max_position_embeddings")


def build(config: Any, embeddings: bool, norm: bool) -> Any:
    """A model of the configuration's blocks, its weights on the meta device, without the pooler."""
    from transformers import BertModel

    return encoder(BertModel, config, embeddings)


def encoder(model_class: Any, config: Any, embeddings: bool) -> Any:
    """A model of BERT's shape, as `build` gives it."""
    import torch

    from plmrs.plm.families.standins import GivenStates

    with torch.device("meta"):
        model = model_class(config, add_pooling_layer=False)
    if embeddings:
        # No checkpoint holds these two, so they are made here: positions from 0, and all tokens of the first type.
        positions = torch.arange(config.max_position_embeddings).unsqueeze(0)
        model.embeddings.position_ids = positions
        model.embeddings.token_type_ids = torch.zeros_like(positions)
    else:
        model.embeddings = GivenStates()
    return model


def stored_name(name: str, first: int) -> str:
    """What the checkpoint calls a tensor of a piece from block `first` on."""
    return moved(name, BLOCKS, first)


def first_position(config: Any, prefix: int) -> int:
    """The position of a text's first token behind a prefix: as without one."""
    return 0
