"""plmrs preinfer: the frozen blocks of a PLM once over all texts, into a cache; what is done is not done again."""

from collections.abc import Sequence

from plmrs.cache.find import find_cache, list_caches
from plmrs.cache.manifest import n_bytes
from plmrs.cache.store import Cache
from plmrs.config import BoundaryOptions, DeviceOptions, NodeOptions, PreinferConfig, PreinferOptions
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.devices import resolve_devices
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, find_plm
from plmrs.preinfer.intermediate import INTERMEDIATE, leads_on, tidy
from plmrs.preinfer.job import Job, new_job
from plmrs.preinfer.memory import seconds_a_token
from plmrs.preinfer.nodes import this_node
from plmrs.preinfer.run import Work, run_job
from plmrs.report import Cell, Progress, Table
from plmrs.workspace import Workspace

DEFAULT_PLM = "facebook/opt-125m"


def preinfer(config: PreinferConfig, progress: Progress) -> list[Table]:
    """Make or complete the cache of a data set and a PLM, and tell what it took; or tell what it would take.

    Raises:
        UserError: as for `make_cache`; no such data set is prepared.
    """
    workspace = config.workspace.open()
    dataset = open_dataset(workspace, config.data.dataset)
    if config.data.dataset is None:
        progress.say(f"Data set {dataset.name}, the one prepared last.")
    plm = config.plm
    given = config.boundary, config.compute, config.device, config.nodes
    found = _find(workspace, dataset, plm.plm_name, plm.tokenized_len, *given, progress)
    if isinstance(found, Cache):
        return [_table(found, None, None)]
    if config.compute.dry_run:
        return [_plan(found)]
    work = run_job(found, progress)
    return [_table(found.wanted, found, work)]


def make_cache(
    workspace: Workspace,
    dataset: Dataset,
    plm_name: str | None,
    tokenized_len: int,
    compute: PreinferOptions,
    device: DeviceOptions,
    progress: Progress,
    boundary: BoundaryOptions | None = None,
) -> Cache:
    """Make or complete a cache; one that is complete is given at once.

    Args:
        workspace: Where it is kept.
        dataset: Whose items are encoded.
        plm_name: Hub name, folder or alias; None for the PLM cached last for this data set, else `DEFAULT_PLM`.
        tokenized_len: Tokens kept of a text.
        compute: Batch size, precision, dtype and memory.
        device: Where to compute; several devices share the units of work.
        progress: Is told which PLM is taken, which caches do not fit and why, and how far the work is.
        boundary: Where states are stored; None for pooled final states.

    Raises:
        UserError: there is no such PLM or device, the PLM's files are damaged, memory or disk do not suffice, or
            another process makes the same cache. Finished units are kept.
    """
    given = boundary or BoundaryOptions(), compute, device, NodeOptions()
    found = _find(workspace, dataset, plm_name, tokenized_len, *given, progress)
    if isinstance(found, Cache):
        return found
    run_job(found, progress)
    return found.wanted


def chosen_plm(workspace: Workspace, dataset: Dataset, name: str | None, progress: Progress) -> str:
    """The PLM that is named, else the one cached last for a data set, else the default."""
    if name is not None:
        return name
    known = list_caches(workspace, dataset.name)
    name = known[0].plm if known else DEFAULT_PLM
    progress.say(f"PLM {name}, {f'the one cached last for {dataset.name}' if known else 'the default'}.")
    return name


def _find(
    workspace: Workspace,
    dataset: Dataset,
    plm_name: str | None,
    tokenized_len: int,
    boundary: BoundaryOptions,
    compute: PreinferOptions,
    device: DeviceOptions,
    nodes: NodeOptions,
    progress: Progress,
) -> Cache | Job:
    """The cache that is asked for, if it is complete; else the job that makes it."""
    plm_name = chosen_plm(workspace, dataset, plm_name, progress)
    devices, node = resolve_devices(device), this_node(nodes, progress)
    if boundary.plm_last_n_unfreeze == 0 and not compute.keep_tokens:
        # Whether a cache of pooled vectors is complete is known without the PLM, which may lie at the hub.
        wanted = None if compute.precision == "auto" else compute.precision
        found = find_cache(workspace, dataset, plm_name, tokenized_len, wanted, dtype=compute.dtype)
        if found is not None:
            return _done(workspace, found, compute, progress)
    plm = find_plm(plm_name, progress)
    stop = _boundary(plm, boundary.plm_last_n_unfreeze)
    job = new_job(workspace, dataset, plm, tokenized_len, stop, compute, devices, node, progress)
    if job.wanted_exists and job.wanted.is_complete:
        return _done(workspace, job.wanted, compute, progress)
    return job


def _done(workspace: Workspace, cache: Cache, compute: PreinferOptions, progress: Progress) -> Cache:
    """Tell of a cache that it is complete; a command that was killed right after that may have left something."""
    progress.say(f"The cache {cache.place} is complete; nothing is left to do.")
    if not compute.dry_run:
        if leads_on(cache):  # It is asked for by itself now. (A disk for reading only refuses to remove even nothing.)
            (cache.path / INTERMEDIATE).unlink(missing_ok=True)
        if not compute.keep_intermediate:
            tidy(workspace, cache)
    return cache


def _boundary(plm: Plm, last_n: int) -> int:
    """The boundary that lies `last_n` blocks before the end of a PLM.

    Raises:
        UserError: the PLM has fewer blocks, or all of it is to be trained.
    """
    if last_n == -1:
        raise UserError(
            "--plm-last-n-unfreeze -1 trains the whole PLM: nothing is frozen, and nothing can be computed beforehand.",
            f"Give 0 to {plm.n_blocks}: as many blocks at the end are trained.",
        )
    if last_n > plm.n_blocks:
        raise UserError(
            f"--plm-last-n-unfreeze {last_n}: {plm.name} has {plm.n_blocks} blocks.", f"Give 0 to {plm.n_blocks}."
        )
    return plm.n_blocks - last_n


def _plan(job: Job) -> Table:
    """What a job would do, and what it takes."""
    length = max(1, round(job.texts.n_tokens / len(job.texts)))
    seconds = seconds_a_token(job.plm, job.precision, job.devices, length) * job.texts.n_tokens
    shared = len(job.devices.ids) * job.node.n if job.devices.accelerator == "gpu" else job.node.n
    rows: list[Sequence[Cell]] = []
    for group, manifest in zip(job.groups, job.manifests, strict=True):
        rows.append(
            (
                group.name,
                manifest["boundary"],
                f"{group.weights / 2**20:,.0f}",
                f"{n_bytes(manifest) / 2**20:,.0f}",
                _duration((group.stop - group.first) * seconds / shared),
            )
        )
    total = sum(group.stop - group.first for group in job.groups) * seconds / shared
    notes = [
        f"{job.plm.name}: {job.plm.n_blocks} blocks of width {job.plm.hidden_size}, precision {job.precision}; memory"
        f" {job.memory / 2**30:.2f} GiB a process.",
        f"{len(job.texts):,} distinct texts of {job.dataset.n_items:,} items, {job.texts.n_tokens:,} tokens, in"
        f" {job.layout.n_units} units.",
        f"About {_duration(total)} in all, from one block timed here; loading weights and writing come on top.",
        *([f"Starts from {job.start.place}."] if job.start is not None else []),
    ]
    columns = ("blocks", "boundary behind", "weights, MiB", "on disk, MiB", "about")
    return Table(f"Plan for {job.dataset.name}", columns, rows, notes)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _table(cache: Cache, job: Job | None, work: Work | None) -> Table:
    counts, manifest = cache.counts(), cache.manifest
    rows: list[Sequence[Cell]] = [
        ("PLM", cache.plm),
        ("Licence", manifest["plm_licence"] or "not named"),
        ("Boundary", f"{manifest['boundary']}: {', '.join(cache.arrays)}"),
        ("Width", cache.hidden_size),
        ("Precision", f"{manifest['precision']}, stored as {manifest['dtype']}"),
        ("Items", cache.n_items),
        ("Texts encoded", counts["texts"]),
        ("Tokens", counts["tokens"]),
        ("Bytes", cache.n_bytes),
    ]
    notes = [f"It lies at {cache.place}."]
    if job is not None:
        cut = job.tokens.n_cut
        rows.append(
            (
                "Texts cut",
                f"{cut:,} of {cache.n_items:,} ({cut / cache.n_items:.1%}) to {manifest['tokenized_len']} tokens",
            )
        )
    if job is not None and len(job.groups) > 1:
        rows.append(("Groups of blocks", "; ".join(group.name for group in job.groups)))
    if work is not None:
        rows += [
            ("Seconds", f"{work.seconds:.1f}"),
            ("Items/s", round(work.items / work.seconds)),
            ("Tokens/s", round(work.tokens / work.seconds)),
        ]
        if round(work.items) < cache.n_items:
            notes.append(f"Seconds and speeds are those of the {round(work.items):,} items encoded now.")
    if counts["texts"] < cache.n_items:
        notes.append("Items with identical texts share one.")
    return Table(f"Item vectors of {cache.dataset}", ("", "value"), rows, notes)
