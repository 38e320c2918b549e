"""T5's encoder: the first block holds a bias by the distance of two tokens, which every block adds to its attention."""

from collections.abc import Callable
from typing import Any

from plmrs.plm.families.names import moved

NO_LIMIT = 1_000_000
"""Tokens of the longest text: distances have no end, so this only tells a mistyped length."""


def sizes(size: Callable[[str], int]) -> tuple[int, int, int]:
    """Width, blocks and the longest text, by what `size` reads from config.json."""
    return size("d_model"), size("num_layers"), NO_LIMIT


def build(config: Any, embeddings: bool, norm: bool) -> Any:
    """A model of the configuration's encoder blocks, its weights on the meta device."""
    import torch
    from torch import nn
    from transformers import T5EncoderModel

    with torch.device("meta"):
        model = T5EncoderModel(config)
    # The word embeddings have two names; the stack reads them by its own.
    model.shared = None
    if not embeddings:
        model.encoder.embed_tokens = None
    if not norm:
        model.encoder.final_layer_norm = nn.Identity()
    return model


def stored_name(name: str, first: int) -> str:
    """What the checkpoint calls a tensor of a piece from block `first` on."""
    if name == "encoder.embed_tokens.weight":
        return "shared.weight"
    # The first block of any piece reckons the bias for the others, with the weights of the PLM's own first block.
    return name if "relative_attention_bias" in name else moved(name, "encoder.block.", first)
