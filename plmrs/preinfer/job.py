"""A job: the stages that lead to the cache that is asked for, and their running one after the other.

Between groups of blocks that do not fit in memory together the states lie on disk, in caches of their own that keep all
the computation gives. So the result is the same, bit by bit, whether a PLM runs whole or in pieces.
"""

from __future__ import annotations

import shutil
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from plmrs.cache.create import cache_path, create_cache, new_manifest, remove_partial
from plmrs.cache.dtypes import Dtype
from plmrs.cache.integrity import cache_differences
from plmrs.cache.layout import Layout, new_layout
from plmrs.cache.lineage import deepest_start, lineage
from plmrs.cache.store import Cache, list_caches, open_cache
from plmrs.cache.texts import Texts, text_table
from plmrs.config import PreinferOptions
from plmrs.data.dataset import Dataset
from plmrs.data.tokens import Tokens
from plmrs.devices import Devices
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, Precision
from plmrs.preinfer.memory import device_memory
from plmrs.preinfer.nodes import Node, wait_for
from plmrs.preinfer.plan import Group, groups, sizes
from plmrs.preinfer.stage import Moves, Stage
from plmrs.preinfer.workers import run_here, run_workers
from plmrs.report import Progress
from plmrs.workspace import PARTIAL, Workspace, lock

INTERMEDIATE = "intermediate"
"""A file in a cache that is removed once the next one is complete."""
GONE = f"{PARTIAL}gone"
"""The end of the name of a cache that is being removed."""


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


@dataclass(frozen=True)
class Work:
    """What one command computed: whole PLM runs of items and tokens, and the seconds that computing took."""

    items: float
    tokens: float
    seconds: float


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
    place = torch.device("cpu") if devices.accelerator == "cpu" else torch.device("cuda", devices.ids[0])
    precision = resolve_precision(compute.precision, place)
    made_of = dataset, plm, texts, tokenized_len, precision

    exact = exact_dtype(plm, precision)
    start = deepest_start(workspace, *made_of, stop)
    source = lineage(start, precision)
    if start is not None and start.dtype not in {exact, "float32"}:
        source = start.fingerprint  # T5 keeps more between its blocks than its precision says.
    wanted = new_manifest(*made_of, stop, compute.dtype, compute.keep_tokens)
    if source is not None and cache_path(workspace, plm, wanted).exists():
        start, source = None, None  # What was begun from the texts is not begun anew from less exact states.
    memory = int(compute.max_memory) if compute.max_memory is not None else device_memory(devices)
    begin = None if start is None else start.blocks
    found = groups(plm, begin, stop, sizes(plm, precision, layout.most_tokens), memory)
    manifests = [new_manifest(*made_of, group.stop, exact, source=source) for group in found[:-1]]
    manifests.append(new_manifest(*made_of, stop, compute.dtype, compute.keep_tokens, source))
    return Job(
        workspace, dataset, plm, tokens, texts, layout, precision, found, manifests, start, memory, compute, devices,
        node,
    )  # fmt: skip


def exact_dtype(plm: Plm, precision: Precision) -> Dtype:
    """The dtype of the states between the PLM's blocks."""
    import torch

    from plmrs.plm.pieces import state_dtype
    from plmrs.plm.precision import DTYPES

    names: dict[torch.dtype, Dtype] = {
        torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16",
    }  # fmt: skip
    return names[state_dtype(plm, DTYPES[precision])]


def run_job(job: Job, progress: Progress) -> Work:
    """Run the stages, each from where it stands.

    Raises:
        UserError: the PLM's files are damaged, memory or disk do not suffice, every worker failed, or another process
            makes the same cache. Finished units are kept.
    """
    where = f"{job.devices.accelerator} {' '.join(map(str, job.devices.ids))}"
    progress.say(
        f"PLM {job.plm.name} (licence: {job.plm.licence or 'not named'}), precision {job.precision}, on {where}."
    )
    if job.start is not None:
        progress.say(f"Starts from the states behind block {job.start.blocks}, {job.start.place}.")
    if len(job.groups) > 1:
        progress.say(f"{len(job.groups)} groups of blocks, one after the other in memory.")
    weights = [_weight(group) for group in job.groups]
    share = [weight / sum(weights) for weight in weights]
    before = sum(part * _tokens_done(job, manifest) for part, manifest in zip(share, job.manifests, strict=True))
    items = _Items(job.dataset.n_items, job.texts.n_tokens, before)
    start, tokens, seconds, source = time.perf_counter(), 0.0, 0.0, job.start
    with progress.track("Encoding", job.dataset.n_items, "items", items.whole) as advance:
        for group, part, manifest in zip(job.groups, share, job.manifests, strict=True):

            def moves(n_texts: int, n_tokens: int, part: float = part) -> None:
                nonlocal tokens
                tokens += part * n_tokens
                advance(items.add(part * n_tokens), f"{tokens / (time.perf_counter() - start):,.0f} tokens/s")

            source, took = _run_stage(job, group, manifest, source, moves, progress)
            seconds += took
        if job.node.n > 1:
            wait_for(lambda: len(job.wanted.units_missing()), "units", progress)
            advance(job.dataset.n_items - items.whole)  # The other machines' share.
    if not job.compute.keep_intermediate and job.node.rank == 0:
        tidy(job.workspace, job.wanted)
    return Work(tokens * job.dataset.n_items / job.texts.n_tokens, tokens, max(seconds, 1e-9))


class _Items:
    """Whole items out of tokens, as a bar counts them."""

    def __init__(self, n_items: int, n_tokens: int, tokens: float) -> None:
        self._n_items, self._n_tokens, self._tokens = n_items, n_tokens, tokens
        self.whole = self._count()

    def add(self, tokens: float) -> int:
        """Count computed tokens, of which there may be a fraction; the items that are whole by them."""
        self._tokens += tokens
        before, self.whole = self.whole, self._count()
        return self.whole - before

    def _count(self) -> int:
        return min(self._n_items, round(self._tokens * self._n_items / self._n_tokens))


def _tokens_done(job: Job, manifest: dict[str, Any]) -> int:
    """Tokens of the units that are done in a cache before the job begins."""
    path = cache_path(job.workspace, job.plm, manifest)
    missing = open_cache(path).units_missing() if path.exists() else range(job.layout.n_units)
    return job.texts.n_tokens - int(np.diff(job.layout.tokens)[list(missing)].sum())


def _weight(group: Group) -> float:
    """What a group takes, in blocks; embeddings alone are a small part of one."""
    return max(group.stop - group.first, 0.05)


def _run_stage(
    job: Job, group: Group, manifest: dict[str, Any], source: Cache | None, moves: Moves, progress: Progress
) -> tuple[Cache, float]:
    """Fill one cache, or this machine's share of it: the cache, and the seconds it took."""
    path = cache_path(job.workspace, job.plm, manifest)
    with _locked(job, path), _locked(job, source.path) if _leads_on(source) else nullcontext():
        cache = _opened(job, path, manifest)
        missing = cache.units_missing()
        units = job.node.own(missing)
        seconds = 0.0
        if units:
            if len(missing) < cache.n_units:
                progress.say(f"{cache.n_units - len(missing)} of {cache.n_units} units were done before.")
            stage = Stage(
                cache, source, group, job.plm, job.dataset, job.precision, job.compute.batch_size,
                job.devices.accelerator, _threads(job.devices),
            )  # fmt: skip
            run = run_workers if len(job.devices.ids) > 1 else run_here
            try:
                _check_room(cache, len(missing))
                seconds = run(stage, job.devices.ids, units, moves, progress)
            except BaseException:
                if job.node.n == 1 and len(cache.units_missing()) == cache.n_units:
                    _remove(cache)  # There is nothing to go on from.
                raise
        if _leads_on(source) and cache.is_complete:
            _remove(source)
    return cache, seconds


def _locked(job: Job, path: Path) -> AbstractContextManager[None]:
    """Keep other processes from a cache, but for those of the other machines of this job."""
    doing = f"encoding {job.dataset.name} with {job.plm.name}"
    return lock(path if job.node.n == 1 else path.with_name(f"{path.name}.node{job.node.rank}"), doing)


def _threads(devices: Devices) -> int | None:
    """Threads of each process, where several share the CPU."""
    if devices.accelerator == "gpu" or len(devices.ids) == 1:
        return None
    import torch

    return max(1, torch.get_num_threads() // len(devices.ids))


def _opened(job: Job, path: Path, manifest: dict[str, Any]) -> Cache:
    """The cache to be filled, made if it is not there."""
    keep = manifest is job.manifests[-1] or job.compute.keep_intermediate
    if job.node.n == 1:
        remove_partial(path)
    if not path.exists():
        made = path.with_name(f"{path.name}{PARTIAL}{job.node.rank}")
        create_cache(made, manifest, job.texts)
        if not keep:
            (made / INTERMEDIATE).touch()
        try:
            made.rename(path)
        except OSError:
            shutil.rmtree(made)
            if not path.exists():
                raise
            # Another machine was faster.
    cache = open_cache(path)
    if keep:
        (path / INTERMEDIATE).unlink(missing_ok=True)
    return cache


def _leads_on(cache: Cache | None) -> TypeGuard[Cache]:
    """Whether a cache is there only until the next one is complete, be it that an earlier command was to remove it."""
    return cache is not None and (cache.path / INTERMEDIATE).exists()


def _remove(cache: Cache) -> None:
    """Remove a cache so that at no time half of one lies in its place."""
    gone = cache.path.with_name(f"{cache.path.name}{GONE}")
    shutil.rmtree(gone, ignore_errors=True)  # A killed command may have left it.
    with suppress(FileNotFoundError):
        cache.path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def tidy(workspace: Workspace, made: Cache) -> None:
    """Remove what led to a complete cache, as a killed command or one with groups of other sizes left it."""
    for cache in list_caches(workspace, made.dataset):
        same = all(cache.manifest[key] == made.manifest[key] for key in ("plm_identity", "text_table", "precision"))
        if same and cache.blocks < made.blocks and _leads_on(cache):
            # One that is held by another process leads to another cache as well.
            with suppress(UserError), lock(cache.path, ""):
                _remove(cache)
    for gone in made.path.parent.glob(f"*{GONE}"):
        shutil.rmtree(gone, ignore_errors=True)


def _check_room(cache: Cache, units: int) -> None:
    needed = cache.n_bytes * units // cache.n_units
    free = shutil.disk_usage(cache.path).free
    if needed > free:
        raise UserError(
            f"The cache {cache.path} needs {needed / 1e6:,.0f} MB more, {free / 1e6:,.0f} MB are free there.",
            "Free space, or name another place with --root.",
        )
