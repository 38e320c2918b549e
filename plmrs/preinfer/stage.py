"""A stage: from token ids or states at one boundary to states at the next, a unit of work at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plmrs.cache.dtypes import as_torch
from plmrs.cache.manifest import HIDDEN
from plmrs.cache.store import Cache
from plmrs.data.dataset import Dataset
from plmrs.data.tokens import Tokens, reopen_tokens
from plmrs.plm.checkpoint import Plm, Precision
from plmrs.preinfer.plan import Group

Moves = Callable[[int, int], None]
"""Called with the texts and tokens of every batch."""
AT_ONCE = 4
"""Batches at once on the CPU at most: cores with a batch each wait less than cores that share one."""


@dataclass(frozen=True)
class Stage:
    """What every worker of a stage does alike.

    Attributes:
        sink: The cache that is filled.
        source: The cache of the boundary that the group starts from; None to read token ids.
        group: The blocks that run.
        plm: What they are of.
        dataset: Whose texts.
        precision: Of weights and states.
        batch_size: Texts at work at once; None for a budget of tokens.
        most_tokens: Padded tokens at work at once at most; None for no other limit.
        accelerator: Kind of device.
        threads: Threads of a process on the CPU; None leaves PyTorch's choice.
    """

    sink: Cache
    source: Cache | None
    group: Group
    plm: Plm
    dataset: Dataset
    precision: Precision
    batch_size: int | None
    most_tokens: int | None
    accelerator: Literal["cpu", "gpu"]
    threads: int | None = None


@dataclass(frozen=True)
class Computed:
    """What a unit came to.

    Attributes:
        pooled: An array a pooling [texts, H] float32, where the sink keeps pooled states.
        hidden: The states of real tokens [tokens, H] float32, where it keeps them.
    """

    pooled: dict[str, NDArray[np.float32]]
    hidden: NDArray[np.float32] | None


class Worker:
    """Runs a stage's blocks on one device; reading and writing may go on in other threads.

    On the CPU several batches run at once, of which each has its share of the cores.
    """

    def __init__(self, stage: Stage, device: int) -> None:
        import torch

        from plmrs.plm.pieces import load_piece, state_dtype
        from plmrs.plm.precision import DTYPES
        from plmrs.plm.run import Runner

        if stage.threads is not None:
            torch.set_num_threads(stage.threads)
        self.stage = stage
        self._texts = stage.sink.texts
        self._layout = stage.sink.layout
        self._tokens: Tokens | None = None
        if stage.source is None:
            of = stage.dataset, stage.plm.folder_name, stage.plm.tokenizer_identity
            self._tokens = reopen_tokens(*of, int(stage.sink.manifest["tokenized_len"]))
        place = torch.device("cpu") if stage.accelerator == "cpu" else torch.device("cuda", device)
        dtype, group = DTYPES[stage.precision], stage.group
        piece = load_piece(stage.plm, group.first, group.stop, dtype, place, embeddings=group.from_ids)
        # What comes out of the embeddings is in the precision of their weights, whatever the blocks make of it.
        self._dtype = dtype if group.first == 0 else state_dtype(stage.plm, dtype)
        self._runner = Runner(stage.plm, piece, place)

    def read(self, unit: int) -> NDArray[Any]:
        """A unit's token ids [tokens] or states [tokens, H], its texts one after the other.

        Raises:
            UserError: states are damaged or missing.
        """
        if self._tokens is None:
            assert self.stage.source is not None
            return self.stage.source.read_unit_hidden(unit)
        ids = self._tokens.take(self._texts.rows[self._of(unit)]).ids
        self._runner.check_vocabulary(ids)
        return ids

    def compute(self, unit: int, inputs: NDArray[Any], moves: Moves) -> Computed:
        """Run a unit.

        Raises:
            UserError: a batch does not fit in memory.
        """
        import torch

        from plmrs.plm.pooling import pool
        from plmrs.plm.run import batches, packed

        lengths, sink = self._texts.length[self._of(unit)], self.stage.sink
        states = as_torch(inputs)
        states = states.long() if self._tokens is not None else states.to(self._dtype)
        pooled = {name: np.empty((len(lengths), sink.hidden_size), np.float32) for name in sink.poolings}
        hidden = np.empty((len(inputs), sink.hidden_size), np.float32) if HIDDEN in sink.arrays else None
        bounds = np.concatenate([[0], np.cumsum(lengths)])

        def run(batch: slice) -> tuple[int, int]:
            real = slice(int(bounds[batch.start]), int(bounds[batch.stop]))
            found, mask = self._runner.run(states[real], lengths[batch])
            for name, vectors in (pool(found, mask) if pooled else {}).items():
                pooled[name][batch] = vectors.cpu().numpy()
            if hidden is not None:
                hidden[real] = packed(found, mask).float().cpu().numpy()
            return batch.stop - batch.start, real.stop - real.start

        batch_size, most_tokens, at_once = self._share(len(inputs))
        cut = batches(lengths, batch_size, most_tokens)
        if at_once == 1:
            for batch in cut:
                moves(*run(batch))
            return Computed(pooled, hidden)
        threads = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(at_once, "batch", torch.set_num_threads, (threads // at_once,)) as executor:
                for moved in executor.map(run, cut):
                    moves(*moved)
        finally:
            torch.set_num_threads(threads)  # What is set in one thread, those begun later have too.
        return Computed(pooled, hidden)

    def write(self, unit: int, computed: Computed) -> None:
        """Store what a unit came to, its mark last.

        Raises:
            UserError: a state does not fit the cache's dtype, or the disk is full.
        """
        self.stage.sink.write_unit(unit, computed.pooled, computed.hidden)

    def _share(self, tokens: int) -> tuple[int | None, int | None, int]:
        """How a unit of so many tokens is cut: texts and padded tokens of a batch at most, and batches at once.

        On the CPU batches are as many as keep every core at work until the last one, and what they are does not depend
        on the number of cores, nor, unless it is too small for one, on memory: rounding is the same everywhere.
        """
        import torch

        from plmrs.plm.run import CPU_TOKENS, TOKENS_A_BATCH

        stage, longest = self.stage, int(self._texts.length[0])
        if stage.accelerator == "gpu":
            return stage.batch_size, stage.most_tokens, 1
        if stage.batch_size is None:
            size, at_work = None, TOKENS_A_BATCH
            each = -(-tokens // (AT_ONCE * -(-tokens // (AT_ONCE * CPU_TOKENS))))
        else:
            size, at_work = -(-stage.batch_size // AT_ONCE), stage.batch_size * longest
            each = size * longest
        at_work = min(at_work, stage.most_tokens or at_work)
        each = max(longest, min(each, at_work))
        return size, each, max(1, min(AT_ONCE, torch.get_num_threads(), at_work // each))

    def _of(self, unit: int) -> slice:
        """The texts of a unit."""
        first, stop = self._layout.bounds[unit : unit + 2]
        return slice(int(first), int(stop))
