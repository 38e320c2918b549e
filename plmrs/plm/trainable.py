"""A PLM that trains: its frozen blocks, those that train, a prompt in them, and from their last states a vector a text.

Frozen blocks and blocks that train are pieces of their own, so that only the former run without gradients and without
dropout. Texts are batched by their real tokens, as in `plm/run.py`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from plmrs.errors import UserError
from plmrs.plm.buffers import give_back_large_buffers
from plmrs.plm.checkpoint import Plm, family
from plmrs.plm.mean_last import MeanLast
from plmrs.plm.pieces import Piece, load_piece
from plmrs.plm.pooling import pool
from plmrs.plm.prompts import DeepPrompt, Prompt, check_prompt
from plmrs.plm.run import CPU_TOKENS, batches

Pooling = Literal["mean", "last", "mean_last", "cls"]


class TrainablePlm(nn.Module):
    """The last blocks of a PLM, a prompt in them, and a pooling, as `load_trainable` makes them.

    Attributes:
        width: Of the vectors it gives, H.
        frozen: The blocks that do not train, the embeddings with them; None where there are none.
        trained: The blocks that do; None where all are frozen.
        prompt: The parameters of the prompt; None without one.
        mean_last: The MLP of that pooling; None for another.
    """

    def __init__(
        self, plm: Plm, frozen: Piece | None, trained: Piece | None, pooling: Pooling, prompt: Prompt | None
    ) -> None:
        super().__init__()
        self.plm = plm
        self.width = plm.hidden_size
        self.pooling = pooling
        self.family = family(plm.model_type)
        self.frozen = frozen
        self.trained = trained
        self.prompt_sizes = prompt
        self.prompt = None if prompt is None else self._deep_prompt(prompt)
        self.mean_last = MeanLast(self.width) if pooling == "mean_last" else None

    def train(self, mode: bool = True) -> TrainablePlm:
        """Training mode for what trains; what is frozen stays without dropout."""
        super().train(mode)
        if self.frozen is not None:
            self.frozen.eval()
        return self

    def forward(self, inputs: Tensor, lengths: NDArray[np.integer[Any]]) -> Tensor:
        """A vector a text.

        Args:
            inputs: Token ids [tokens] int64, or states [tokens, H] of any float type, one text after the other.
            lengths: Tokens of each text, at least one. [texts]

        Returns:
            Vectors in the order of the texts. [texts, H] float32

        Raises:
            UserError: a text and the prompt have more tokens than the PLM has positions.
        """
        keys_values, query = (None, None) if self.prompt is None else self.prompt()
        self._check_positions(inputs, int(lengths.max()))
        inputs = inputs.to(self.device)
        longest_first = np.argsort(-lengths, kind="stable")
        starts = np.cumsum(lengths) - lengths
        vectors = []
        most_tokens = CPU_TOKENS if inputs.device.type == "cpu" else None
        for batch in batches(lengths[longest_first], most_tokens=most_tokens):
            texts = longest_first[batch]
            vectors.append(self._vectors(inputs, starts[texts], lengths[texts], keys_values, query))
        back = np.empty_like(longest_first)
        back[longest_first] = np.arange(len(back))
        return torch.cat(vectors)[torch.as_tensor(back, device=self.device)]

    def layer_of(self, name: str) -> int | None:
        """The PLM's block, counted from its first, that a parameter belongs to: its learning rate goes by it.

        Args:
            name: As `named_parameters` has it. The embeddings count as block 0, the final norm as the last block.

        Returns:
            None for what is not the PLM's own.
        """
        part, _, rest = name.partition(".model.")
        if part not in ("frozen", "trained"):
            return None
        blocks, norm = self.family.BLOCKS, self.family.NORM
        stored: str = self.family.stored_name(rest, getattr(self, part).first)
        if norm is not None and stored.startswith(norm):
            return self.plm.n_blocks - 1
        return int(stored.removeprefix(blocks).split(".")[0]) if stored.startswith(blocks) else 0

    def blocks(self) -> list[nn.Module]:
        """The blocks that train, in their order."""
        return [] if self.trained is None else self._blocks_of(self.trained)

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return next(self.parameters()).device

    def pieces(self) -> list[Piece]:
        """What it runs, in its order: one piece or two."""
        return [piece for piece in (self.frozen, self.trained) if piece is not None]

    def checkpoint_blocks(self) -> None:
        """Compute blocks once more in the backward pass instead of keeping what they compute, where gradients flow.

        On the CPU the process then also gives large buffers back: otherwise most of what is saved stays with it.
        """
        if self.device.type == "cpu":
            give_back_large_buffers()
        for piece in self.pieces():
            for block in self._blocks_of(piece) if piece is self.trained or self.prompt is not None else []:
                # Not transformers' own way: it asks a piece for word embeddings, and throws a prompt away.
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)

    def _blocks_of(self, piece: Piece) -> list[nn.Module]:
        return list(piece.model.get_submodule(self.family.BLOCKS.rstrip(".")))

    def _deep_prompt(self, prompt: Prompt) -> DeepPrompt:
        first = self.pieces()[0]
        width = self.plm.hidden_size
        if prompt.query and first.embeddings:
            width = first.model.get_input_embeddings().embedding_dim  # Narrower than the states in OPT-350m.
        return DeepPrompt(prompt, first.model.config, self.plm.n_blocks - first.first, width)

    def _check_positions(self, inputs: Tensor, longest: int) -> None:
        prompt = self.prompt_sizes
        if prompt is None or not self.family.DECODER or inputs.is_floating_point():
            return
        needed = prompt.pre + longest + prompt.post + prompt.query
        if needed > self.plm.max_tokens:
            raise UserError(
                f"{self.plm.name} has {self.plm.max_tokens} positions; a text of {longest} tokens and the prompt need"
                f" {needed}.",
                "Lower --tokenized-len or --pre-seq-len.",
            )

    def _vectors(
        self,
        inputs: Tensor,
        starts: NDArray[np.integer[Any]],
        lengths: NDArray[np.integer[Any]],
        keys_values: Tensor | None,
        query: Tensor | None,
    ) -> Tensor:
        """The vectors of a batch, that of the texts that begin at `starts`. [texts, H]"""
        n_behind = 0 if query is None else len(query)
        n_tokens = torch.as_tensor(lengths, device=inputs.device, dtype=torch.int64)[:, None]  # [texts, 1]
        start = torch.as_tensor(starts, device=inputs.device)[:, None]
        column = torch.arange(int(lengths.max()) + n_behind, device=inputs.device)
        real = column < n_tokens  # [texts, columns]
        mask = None if int(lengths.min()) == len(column) else real.long()
        states = inputs[(start + column).where(real, 0)]  # [texts, columns, …]
        if mask is not None:
            # Nothing sees what stands at padding, but RoBERTa counts positions by the id.
            padding = 0.0 if states.is_floating_point() else self.pieces()[0].padding
            states = states.masked_fill(~real if states.dim() == 2 else ~real.unsqueeze(2), padding)
        if query is not None:
            if not states.is_floating_point():
                states = self.pieces()[0].model.get_input_embeddings()(states)
            behind = (column - n_tokens).clamp(0, n_behind - 1)
            is_query = ~real & (column < n_tokens + n_behind)
            states = torch.where(is_query.unsqueeze(2), query[behind], states)
        if states.is_floating_point():
            states = states.float()
        for piece in self.pieces():
            states = self._states(piece, states, mask, n_tokens.squeeze(1), keys_values)
        pooled = pool(states, mask)
        if query is not None:
            pooled["last"] = pool(states, (column < n_tokens + n_behind).long())["last"]
        return pooled[self.pooling] if self.mean_last is None else self.mean_last(pooled["mean"], pooled["last"])

    def _states(
        self, piece: Piece, states: Tensor, mask: Tensor | None, lengths: Tensor, keys_values: Tensor | None
    ) -> Tensor:
        """The states behind a piece. [texts, columns, H]"""
        if self.prompt_sizes is None:
            with torch.set_grad_enabled(torch.is_grad_enabled() and piece is self.trained):
                behind: Tensor = piece(states, mask)
            return behind
        from plmrs.plm.prompted import run_prompted  # Needs transformers, which takes a second to import.

        if keys_values is not None:
            before = self.pieces()[0].first
            keys_values = keys_values[piece.first - before : piece.stop - before]
        return run_prompted(piece, self.prompt_sizes, states, lengths, keys_values)


def load_trainable(
    plm: Plm,
    start: int | None,
    trained: int,
    pooling: Pooling,
    prompt: Prompt | None = None,
    dropout: float = 0.0,
    checkpointing: bool = False,
    device: torch.device | None = None,
) -> TrainablePlm:
    """A PLM whose last blocks train, reading no weights before `start`; all in float32.

    Args:
        plm: Which PLM.
        start: The blocks that a cache's states have behind them; None to begin with token ids.
        trained: The last blocks that train, the final norm with them; 0 for none, -1 for the whole PLM with its
            embeddings. As many as the PLM has leaves the embeddings frozen.
        pooling: From the states of a text's tokens to its vector.
        prompt: The prompt that acts in all blocks behind `start`, trained or not.
        dropout: The rate of every dropout in what trains.
        checkpointing: Whether blocks are computed once more in the backward pass, instead of keeping what they compute.
        device: Where it runs. Default: the CPU.

    Raises:
        UserError: the PLM or the pooling cannot have such a prompt, or the weight files are damaged.
    """
    device = device or torch.device("cpu")
    boundary = 0 if trained == -1 else plm.n_blocks - trained
    first, ids = start or 0, start is None
    if not first <= boundary <= plm.n_blocks or first == plm.n_blocks or (trained == -1 and not ids):
        raise ValueError(f"{trained} blocks of {plm.n_blocks} cannot train on the states behind {start}.")
    if prompt is not None:
        check_prompt(prompt, plm, pooling)
    frozen = last = None
    if first < boundary or (ids and trained != -1):
        frozen = load_piece(plm, first, boundary, torch.float32, device, embeddings=ids)
    if trained:
        last = load_piece(plm, boundary, plm.n_blocks, torch.float32, device, trained == -1, dropout)
        for name, parameter in last.named_parameters():
            # T5's blocks share a bias that is the first block's, and frozen with it.
            parameter.requires_grad_(boundary == 0 or "relative_attention_bias" not in name)
    made = TrainablePlm(plm, frozen, last, pooling, prompt).to(device)
    if checkpointing:
        made.checkpoint_blocks()
    return made
