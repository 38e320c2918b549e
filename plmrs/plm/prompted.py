"""A piece of a PLM with a prompt: Hugging Face's own forward pass, given a cache, positions and a mask.

Keys and values of a prompt are what a cache of earlier tokens would hold. The prefix and the suffix both lie before the
text there: only the mask tells who sees them, as blocks add no positions to cached keys.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from plmrs.plm.checkpoint import family
from plmrs.plm.families.names import cache_argument
from plmrs.plm.pieces import Piece
from plmrs.plm.prompts import Prompt


class PromptCache(DynamicCache):  # type: ignore[misc]  # transformers is untyped here.
    """The keys and values of a prompt, with which a text's own are joined but not kept.

    What a block computes is thus the same when checkpointing computes it again.

    Args:
        keys_values: Of each block. [blocks, 2, heads, rows, head_dim]
        n_texts: Texts of the batch; all have the same prompt.
    """

    def __init__(self, keys_values: Tensor, n_texts: int) -> None:
        super().__init__()
        for block, (keys, values) in enumerate(keys_values.unsqueeze(2).expand(-1, -1, n_texts, -1, -1, -1)):
            super().update(keys, values, block)  # [texts, heads, rows, head_dim] each

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *others: Any, **named: Any
    ) -> tuple[Tensor, Tensor]:
        """The prompt's keys and values with the text's behind. [texts, heads, rows + tokens, head_dim] each"""
        kept = self.layers[layer_idx]
        return torch.cat([kept.keys, key_states], dim=-2), torch.cat([kept.values, value_states], dim=-2)


def run_prompted(piece: Piece, prompt: Prompt, inputs: Tensor, lengths: Tensor, keys_values: Tensor | None) -> Tensor:
    """The states behind a piece, with a prompt in its blocks.

    Args:
        piece: Which piece.
        prompt: The prompt's sizes.
        inputs: What the piece reads, the learned inputs behind each text's own. [texts, tokens, …]
        lengths: Tokens of each text, without what is behind. [texts] int64
        keys_values: The prompt's, of the piece's blocks. [blocks, 2, heads, pre + post, head_dim]

    Returns:
        States. [texts, tokens, H]
    """
    model, config = piece.model, piece.model.config
    module = family(config.model_type)
    n_texts, n_columns = inputs.shape[:2]
    given: dict[str, Any] = {}
    first = module.first_position(config, prompt.pre)
    if first is not None:
        column = torch.arange(n_columns, device=inputs.device)
        # The suffix lies between a text and the inputs behind it.
        given["position_ids"] = first + column + prompt.post * (column >= lengths.unsqueeze(1))
    cache = None
    if keys_values is not None and len(keys_values):
        cache = PromptCache(keys_values, n_texts)
    else:  # The embeddings alone are a piece without blocks.
        prompt = replace(prompt, pre=0, post=0)
    mask: Any = prompt_mask(prompt, lengths, n_columns, module.DECODER)
    window = getattr(config, "sliding_window", None)
    if window is not None:
        windowed = prompt_mask(prompt, lengths, n_columns, module.DECODER, window)
        # Qwen's blocks differ in it, Mistral's do not.
        by_kind = {"full_attention": mask, "sliding_attention": windowed}
        mask = by_kind if hasattr(model, "has_sliding_layers") else windowed
    prefixed = getattr(module, "prefixed", None)
    if cache is None:
        states: Tensor = piece(inputs, mask, **given)
    elif prefixed is None:
        states = piece(inputs, mask, **{cache_argument(model): cache}, **given)
    else:
        with prefixed(model, cache):
            states = piece(inputs, mask, **given)
    return states


def prompt_mask(prompt: Prompt, lengths: Tensor, n_columns: int, decoder: bool, window: int | None = None) -> Tensor:
    """What is added to the attention: 0 where a token sees a key, the lowest number where it does not.

    With a prefix p, a suffix s and a last query q, a decoder's text of 2 tokens in a batch of 4 columns sees (1):

        keys       p s 1 2 q -
        token 1    1 0 1 0 0 0
        token 2    1 0 1 1 0 0
        query q    1 1 1 1 1 0
        padding    1 0 1 1 1 1

    Args:
        prompt: Its sizes.
        lengths: Tokens of each text. [texts] int64
        n_columns: Tokens of the longest text and the inputs behind it.
        decoder: Whether a token sees only those before it.
        window: The tokens that it sees at most, itself included; a prompt is seen from everywhere.

    Returns:
        For a decoder [texts, 1, columns, pre + post + columns], for an encoder [texts, 1, 1, pre + columns] float32.
    """
    column = torch.arange(n_columns, device=lengths.device)
    end = lengths[:, None]  # [texts, 1]
    if decoder:
        behind = column[:, None] - column  # [columns, columns]
        seen = (behind >= 0) & (behind < (window or n_columns))
        seen = seen.expand(len(lengths), -1, -1)
        last_query = (column >= end) & (column < end + prompt.query)  # [texts, columns]
        suffix = last_query.unsqueeze(2).expand(-1, -1, prompt.post)
        seen = torch.cat([suffix, seen], dim=2)  # [texts, columns, post + columns]
    else:
        seen = (column < end).unsqueeze(1)  # [texts, 1, columns]
    seen = torch.nn.functional.pad(seen, (prompt.pre, 0), value=True).unsqueeze(1)
    return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, torch.finfo(torch.float32).min)
