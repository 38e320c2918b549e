"""P-tuning v2: keys and values that are trained and stand beside a text's own in every block of a PLM.

A prefix stands before the text, and all of the text sees it. A decoder can also have a suffix and a last query behind
the text: learned inputs, whose last state is what is pooled as `last`; only they see the suffix, so that what it holds
goes into that one state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from plmrs.config import PromptOptions
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, family

READ_LAST = ("last", "mean_last")
"""The poolings that read the state of the last query."""


@dataclass(frozen=True)
class Prompt:
    """The sizes of a prompt.

    Attributes:
        projection: Whether its keys and values are made of small embeddings by an MLP.
        hidden_size: Inner width of that MLP.
        pre: Keys and values before the text.
        post: Keys and values behind it, for the last query.
        query: Learned inputs behind the text.
    """

    projection: bool
    hidden_size: int
    pre: int
    post: int
    query: int


def resolve_prompt(options: PromptOptions, plm: Plm, pooling: str) -> Prompt | None:
    """The prompt that options ask for, None if they ask for none.

    A decoder that pools `last` has a last query of 1 and a suffix of 10, unless told otherwise; others have neither.

    Raises:
        UserError: the PLM or the pooling cannot have such a prompt.
    """
    if not options.use_prompt:
        return None
    query = options.last_query_len
    if query is None:
        query = int(family(plm.model_type).DECODER and pooling in READ_LAST)
    post = options.post_seq_len
    if post is None:
        post = 10 if query else 0
    prompt = Prompt(options.prompt_projection, options.prompt_hidden_size, options.pre_seq_len, post, query)
    check_prompt(prompt, plm, pooling)
    return prompt


def check_prompt(prompt: Prompt, plm: Plm, pooling: str) -> None:
    """See that a PLM and a pooling can have a prompt.

    Raises:
        UserError: they cannot.
    """
    if (prompt.post or prompt.query) and not family(plm.model_type).DECODER:
        raise UserError(
            f"--post-seq-len and --last-query-len: {plm.name} is an encoder, whose tokens all see each other;"
            " a last query is for decoders.",
            "Set both to 0, or leave them out; --pre-seq-len works with encoders too.",
        )
    if prompt.query and pooling not in READ_LAST:
        raise UserError(
            f"--last-query-len {prompt.query}: --pooling-method {pooling} does not read the state of the last query.",
            "Pool by last or mean_last, or set --last-query-len 0.",
        )
    if prompt.post and not prompt.query:
        raise UserError(
            f"--post-seq-len {prompt.post}: only the last query sees what stands behind the text, and there is none.",
            "Set --last-query-len 1, or --post-seq-len 0.",
        )
    if not prompt.pre and not prompt.query:
        raise UserError("--use-prompt: the prompt is empty.", "Set --pre-seq-len to 1 or more.")


class DeepPrompt(nn.Module):
    """A prompt's parameters, for some blocks of a PLM.

    Args:
        prompt: Its sizes.
        config: The PLM's configuration, as transformers reads it.
        n_blocks: Blocks it acts in.
        width: Of the inputs behind the text: that of the PLM's word embeddings, or of the states it begins with.
    """

    def __init__(self, prompt: Prompt, config: Any, n_blocks: int, width: int) -> None:
        super().__init__()
        # With grouped queries a block has fewer heads of keys than of queries.
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.shape = (n_blocks, 2, heads, head_dim)
        n_rows, n_values = prompt.pre + prompt.post, n_blocks * 2 * heads * head_dim
        self.rows = self.projection = self.query = None
        if n_rows and prompt.projection:
            # Of deviation 1, as in P-tuning: much smaller ones would be lost in the first layer's biases, and the norm
            # behind it would then make all rows the same.
            self.rows = nn.Parameter(torch.randn(n_rows, config.hidden_size))
            last = nn.Linear(prompt.hidden_size, n_values)
            nn.init.normal_(last.weight, std=0.02)
            nn.init.zeros_(last.bias)
            first = nn.Linear(config.hidden_size, prompt.hidden_size)
            self.projection = nn.Sequential(first, nn.GELU(), nn.LayerNorm(prompt.hidden_size), last)
        elif n_rows:
            self.rows = nn.Parameter(0.02 * torch.randn(n_rows, n_values))
        if prompt.query:
            self.query = nn.Parameter(0.02 * torch.randn(prompt.query, width))

    def forward(self) -> tuple[Tensor | None, Tensor | None]:
        """Keys and values [blocks, 2, heads, pre + post, head_dim], and inputs behind the text [query, width]."""
        keys_values = self.rows
        if self.rows is not None:
            made = self.rows if self.projection is None else self.projection(self.rows)
            # [rows, blocks · 2 · heads · head_dim] -> [blocks, 2, heads, rows, head_dim]
            keys_values = made.unflatten(1, self.shape).permute(1, 2, 3, 0, 4)
        # A copy, for a parameter that is sharded is whole only in the forward pass of its own module.
        return keys_values, None if self.query is None else self.query.clone()
