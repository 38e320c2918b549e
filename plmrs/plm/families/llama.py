"""Llama and its kin Mistral, Qwen2 and Qwen3: decoders that turn queries and keys by their position in each block."""

from collections.abc import Callable
from typing import Any

from plmrs.plm.families.names import moved

BLOCKS = "layers."
NORM = "norm."
DROPOUTS = ("attention_dropout",)
DECODER = True


def sizes(size: Callable[[str], int]) -> tuple[int, int, int]:
    """Width, blocks and the longest text it was trained for, by what `size` reads from config.json."""
    return size("hidden_size"), size("num_hidden_layers"), size("max_position_embeddings")


def build(config: Any, embeddings: bool, norm: bool) -> Any:
    """A model of the configuration's blocks, its weights on the meta device."""
    import torch
    from torch import nn
    from transformers import AutoModel

    with torch.device("meta"):
        model = AutoModel.from_config(config)
    # No checkpoint holds the angles, so they are made here.
    model.rotary_emb = type(model.rotary_emb)(config)
    if not embeddings:
        model.embed_tokens = None
    if not norm:
        model.norm = nn.Identity()
    return model


def stored_name(name: str, first: int) -> str:
    """What the checkpoint calls a tensor of a piece from block `first` on."""
    return moved(name, BLOCKS, first)


def first_position(config: Any, prefix: int) -> int:
    """The position of a text's first token behind a prefix."""
    return prefix
