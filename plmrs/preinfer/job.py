"""A job: the stages that lead to the cache that is asked for.

Between groups of blocks that do not fit in memory together the states lie on disk, in caches of their own that keep all
the computation gives. So the result is the same, bit by bit, whether a PLM runs whole or in pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plmrs.cache.create import cache_path, new_manifest
from plmrs.cache.find import list_caches, open_cache
from plmrs.cache.integrity import cache_differences
from plmrs.cache.layout import Layout, new_layout
from plmrs.cache.lineage import deepest_start, exact_dtype, lineage
from plmrs.cache.store import Cache
from plmrs.cache.texts import Texts, text_table
from plmrs.config import PreinferOptions
from plmrs.data.dataset import Dataset
from plmrs.data.tokens import Tokens
from plmrs.devices import Devices
from plmrs.plm.checkpoint import Plm, Precision
from plmrs.preinfer.memory import device_memory
from plmrs.preinfer.nodes import Node
from plmrs.preinfer.plan import Group, fit_batch, groups, sizes
from plmrs.report import Progress
from plmrs.workspace import Workspace


@dataclass(frozen=True)
class Job:
    """What is to be computed, and how.

    Attributes:
        workspace: Where caches lie.
        dataset: Whose texts.
        plm: What runs.
        tokens: The texts' token ids.
        texts: The distinct ones.
        layout: Their units of work.
        precision: Of weights and states.
        groups: The blocks that are held at once, in turn.
        manifests: Of the cache that each group fills; the last one's is the one asked for.
        start: The cache that the first group starts from; None to read token ids.
        memory: Bytes a process may take for the PLM.
        most_tokens: Padded tokens at work at once at most, where memory does not hold more; else None.
        compute: The options.
        devices: Where it runs.
        node: Which machine this is.
    """

    workspace: Workspace
    dataset: Dataset
    plm: Plm
    tokens: Tokens
    texts: Texts
    layout: Layout
    precision: Precision
    groups: list[Group]
    manifests: list[dict[str, Any]]
    start: Cache | None
    memory: int
    most_tokens: int | None
    compute: PreinferOptions
    devices: Devices
    node: Node

    @property
    def wanted(self) -> Cache:
        """The cache that is asked for, which must be there by now."""
        return open_cache(cache_path(self.workspace, self.plm, self.manifests[-1]))

    @property
    def wanted_exists(self) -> bool:
        """Whether it was begun."""
        return cache_path(self.workspace, self.plm, self.manifests[-1]).exists()


def new_job(
    workspace: Workspace,
    dataset: Dataset,
    plm: Plm,
    tokenized_len: int,
    stop: int,
    compute: PreinferOptions,
    devices: Devices,
    node: Node,
    progress: Progress,
) -> Job:
    """Plan how to come to boundary `stop`.

    Raises:
        UserError: the texts cannot be tokenised, or the memory does not hold a block.
    """
    import torch

    from plmrs.plm.precision import resolve_precision
    from plmrs.plm.tokenizer import plm_tokens

    for cache in list_caches(workspace, dataset.name):
        differences = cache_differences(cache, dataset, plm) if cache.plm == plm.name else []
        if differences:
            progress.say(f"Not used is {cache.place}: {'; '.join(differences)}. A new cache is made beside it.")
    tokens = plm_tokens(dataset, plm, tokenized_len, progress)
    texts = text_table(tokens)
    layout = new_layout(texts.length, plm.hidden_size)
    place = torch.device(devices.names[0])
    precision = resolve_precision(compute.precision, place)
    made_of = dataset, plm, texts, tokenized_len, precision

    exact = exact_dtype(plm, precision)
    start = deepest_start(workspace, *made_of, exact, stop)
    source = lineage(start, exact)
    wanted = new_manifest(*made_of, stop, compute.dtype, compute.keep_tokens)
    if source is not None and cache_path(workspace, plm, wanted).exists():
        start, source = None, None  # What was begun from the texts is not begun anew from less exact states.
    memory = int(compute.max_memory) if compute.max_memory is not None else device_memory(devices)
    begin = None if start is None else start.blocks
    wished = sizes(plm, precision, texts.length, layout, compute.batch_size)
    of = fit_batch(plm, begin, stop, wished, memory)
    found = groups(plm, begin, stop, of, memory)
    manifests = [new_manifest(*made_of, group.stop, exact, source=source) for group in found[:-1]]
    manifests.append(new_manifest(*made_of, stop, compute.dtype, compute.keep_tokens, source))
    return Job(
        workspace, dataset, plm, tokens, texts, layout, precision, found, manifests, start, memory,
        of.batch if of.batch < wished.batch else None, compute, devices, node,
    )  # fmt: skip
