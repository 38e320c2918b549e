"""A job at work: its stages one after the other, each from where it stands."""

from __future__ import annotations

import shutil
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plmrs.cache.create import cache_path, create_cache, remove_partial
from plmrs.cache.find import open_cache
from plmrs.cache.store import Cache
from plmrs.devices import Devices
from plmrs.errors import UserError
from plmrs.links import check_links
from plmrs.preinfer.intermediate import INTERMEDIATE, leads_on, remove, tidy
from plmrs.preinfer.job import Job
from plmrs.preinfer.nodes import wait_for
from plmrs.preinfer.pipeline import run_here
from plmrs.preinfer.plan import Group
from plmrs.preinfer.stage import Moves, Stage
from plmrs.preinfer.workers import run_workers
from plmrs.report import Progress
from plmrs.workspace import PARTIAL, lock


@dataclass(frozen=True)
class Work:
    """What one command computed: whole PLM runs of items and tokens, and the seconds that computing took."""

    items: float
    tokens: float
    seconds: float


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
    if job.most_tokens is not None:
        progress.say(
            f"At most {job.most_tokens:,} tokens are at work at once, padding counted: the memory does not hold more."
        )
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
    with _locked(job, path), _locked(job, source.path) if leads_on(source) else nullcontext():
        cache = _opened(job, path, manifest)
        missing = cache.units_missing()
        units = job.node.own(missing)
        seconds = 0.0
        if units:
            if len(missing) < cache.n_units:
                progress.say(f"{cache.n_units - len(missing)} of {cache.n_units} units were done before.")
            stage = Stage(
                cache, source, group, job.plm, job.dataset, job.precision, job.compute.batch_size,
                job.most_tokens, job.devices.accelerator, _threads(job.devices),
            )  # fmt: skip
            run = run_workers if len(job.devices.ids) > 1 else run_here
            try:
                _check_room(cache, len(missing))
                seconds = run(stage, job.devices.ids, units, moves, progress)
            except BaseException:
                if job.node.n == 1 and len(cache.units_missing()) == cache.n_units:
                    remove(cache)  # There is nothing to go on from.
                raise
        if leads_on(source) and cache.is_complete:
            remove(source)
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
    check_links(path)
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


def _check_room(cache: Cache, units: int) -> None:
    needed = cache.n_bytes * units // cache.n_units
    free = shutil.disk_usage(cache.path).free
    if needed > free:
        raise UserError(
            f"The cache {cache.path} needs {needed / 1e6:,.0f} MB more, {free / 1e6:,.0f} MB are free there.",
            "Free space, or name another place with --root.",
        )
