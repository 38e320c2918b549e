"""T5's encoder: the first block holds a bias by the distance of two tokens, which every block adds to its attention."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from plmrs.plm.families.names import cache_argument, moved

BLOCKS = "encoder.block."
NORM = "encoder.final_layer_norm."
DROPOUTS = ("dropout_rate",)
DECODER = False

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
        # The stack drops out of what it is given and of what it gives by one module; given states had it already.
        model.encoder.dropout = nn.Identity()
    if not norm:
        model.encoder.final_layer_norm = nn.Identity()
    return model


def stored_name(name: str, first: int) -> str:
    """What the checkpoint calls a tensor of a piece from block `first` on."""
    if name == "encoder.embed_tokens.weight":
        return "shared.weight"
    # The first block of any piece reckons the bias for the others, with the weights of the PLM's own first block.
    return name if "relative_attention_bias" in name else moved(name, BLOCKS, first)


def first_position(config: Any, prefix: int) -> None:
    """The position of a text's first token behind a prefix: it has none, as only distances count."""


@contextmanager
def prefixed(model: Any, cache: Any) -> Iterator[None]:
    """Give a cache to the blocks, while the model runs: an encoder's stack throws away the one it is given.

    Keys of the cache count as tokens before the text, in the bias by distance.
    """
    import torch

    def give(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs[cache_argument(block)] = cache
        if "cache_position" in kwargs:  # Before transformers 5.3 the stack told blocks where the text begins.
            states = args[0] if args else kwargs["hidden_states"]
            n_cached = cache.get_seq_length()
            kwargs["cache_position"] = torch.arange(n_cached, n_cached + states.shape[1], device=states.device)
        return args, kwargs

    with ExitStack() as hooks:
        for block in model.encoder.block:
            hooks.callback(block.register_forward_pre_hook(give, with_kwargs=True).remove)
        yield
