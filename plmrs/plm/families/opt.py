"""OPT: a decoder with learned positions, counted from the mask.

OPT-350m differs: its blocks end in their norms, none follows the last one, and its word embeddings are narrower than
its states, with a projection on either side. The one behind the last block serves to score words and is left out.
"""

from collections.abc import Callable
from typing import Any

from plmrs.plm.families.names import moved

BLOCKS = "decoder.layers."
NORM = "decoder.final_layer_norm."
DROPOUTS = ("dropout", "attention_dropout")
DECODER = True


def sizes(size: Callable[[str], int]) -> tuple[int, int, int]:
    """Width, blocks and the longest text, by what `size` reads from config.json."""
    return size("hidden_size"), size("num_hidden_layers"), size("max_position_embeddings")


def build(config: Any, embeddings: bool, norm: bool) -> Any:
    """A model of the configuration's blocks, its weights on the meta device, without the projection of its output."""
    import torch
    from transformers import OPTModel

    from plmrs.plm.families.standins import NoPositions

    with torch.device("meta"):
        model = OPTModel(config)
    decoder = model.decoder
    decoder.project_out = None
    if not embeddings:
        decoder.embed_tokens, decoder.project_in, decoder.embed_positions = None, None, NoPositions()
    if not norm:
        decoder.final_layer_norm = None
    return model


def stored_name(name: str, first: int) -> str:
    """What the checkpoint calls a tensor of a piece from block `first` on."""
    return moved(name, BLOCKS, first)


def first_position(config: Any, prefix: int) -> int:
    """The position of a text's first token behind a prefix."""
    return prefix
