"""GPT-2 and DistilGPT2: decoders with learned positions; queries, keys and values of a block are one matrix."""

from collections.abc import Callable
from typing import Any

from plmrs.plm.families.names import moved

BLOCKS = "h."
NORM = "ln_f."
DROPOUTS = ("embd_pdrop", "resid_pdrop", "attn_pdrop")
DECODER = True


def sizes(size: Callable[[str], int]) -> tuple[int, int, int]:
    """Width, blocks and the longest text, by what `size` reads from config.json."""
    return size("n_embd"), size("n_layer"), size("n_positions")


def build(config: Any, embeddings: bool, norm: bool) -> Any:
    """A model of the configuration's blocks, its weights on the meta device."""
    import torch
    from torch import nn
    from transformers import GPT2Model

    from plmrs.plm.families.standins import NoPositions

    if config.scale_attn_by_inverse_layer_idx:
        # It asks a block for its number in the whole PLM, which a piece does not know.
        raise ValueError("scale_attn_by_inverse_layer_idx is not supported.")
    with torch.device("meta"):
        model = GPT2Model(config)
    for block in model.h:
        if "bias" in block.attn._buffers:
            block.attn.bias = None  # A causal mask that transformers 5.0 kept for an attention that is not used here.
    if not embeddings:
        # Given states had the dropout behind the embeddings already.
        model.wte, model.wpe, model.drop = None, NoPositions(), nn.Identity()
    if not norm:
        model.ln_f = nn.Identity()
    return model


def stored_name(name: str, first: int) -> str:
    """What the checkpoint calls a tensor of a piece from block `first` on."""
    return moved(name, BLOCKS, first)


def first_position(config: Any, prefix: int) -> int:
    """The position of a text's first token behind a prefix."""
    return prefix
