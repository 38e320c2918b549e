"""plmrs preinfer: the frozen PLM once over all items, into the data set's cache; what is done is not done again."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from plmrs.cache.create import cache_path, create_cache, new_manifest, remove_partial
from plmrs.cache.integrity import cache_differences, done_units
from plmrs.cache.store import Cache, find_cache, list_caches, open_cache
from plmrs.config import DeviceOptions, PreinferConfig, PreinferOptions
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.devices import Devices, resolve_devices
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, Precision, find_plm
from plmrs.preinfer.workers import Job, run_here, run_workers
from plmrs.report import Cell, Progress, Table
from plmrs.workspace import Workspace, lock

DEFAULT_PLM = "facebook/opt-125m"


@dataclass(frozen=True)
class Work:
    """What one command computed.

    Attributes:
        items: Items encoded now.
        tokens: Tokens that ran for them.
        seconds: From the loaded PLM to the last unit written.
        n_cut: Texts of the whole data set that are longer than what is read of them.
    """

    items: int
    tokens: int
    seconds: float
    n_cut: int


def preinfer(config: PreinferConfig, progress: Progress) -> list[Table]:
    """Make or complete the cache of a data set and a PLM, and tell what it took.

    Raises:
        UserError: as for `make_cache`; no such data set is prepared.
    """
    workspace = config.workspace.open()
    dataset = open_dataset(workspace, config.data.dataset)
    if config.data.dataset is None:
        progress.say(f"Data set {dataset.name}, the one prepared last.")
    plm = config.plm
    cache, work = _make(workspace, dataset, plm.plm_name, plm.tokenized_len, config.compute, config.device, progress)
    return [_table(cache, work)]


def make_cache(
    workspace: Workspace,
    dataset: Dataset,
    plm_name: str | None,
    tokenized_len: int,
    compute: PreinferOptions,
    device: DeviceOptions,
    progress: Progress,
) -> Cache:
    """Make or complete a cache of pooled final states; one that is complete is given at once.

    Args:
        workspace: Where it is kept.
        dataset: Whose items are encoded.
        plm_name: Hub name, folder or alias; None for the PLM cached last for this data set, else `DEFAULT_PLM`.
        tokenized_len: Tokens kept of a text.
        compute: Batch size and precision.
        device: Where to compute; several devices share the units of work.
        progress: Is told which PLM is taken, which caches do not fit and why, whether texts are tokenised anew, and
            how far the work is.

    Raises:
        UserError: there is no such PLM or device, the PLM's files are damaged, memory or disk do not suffice, or
            another process makes the same cache. Finished units are kept.
    """
    return _make(workspace, dataset, plm_name, tokenized_len, compute, device, progress)[0]


def _make(
    workspace: Workspace,
    dataset: Dataset,
    plm_name: str | None,
    tokenized_len: int,
    compute: PreinferOptions,
    device: DeviceOptions,
    progress: Progress,
) -> tuple[Cache, Work | None]:
    known = list_caches(workspace, dataset.name)
    if plm_name is None:
        plm_name = known[0].plm if known else DEFAULT_PLM
        why = f"the one cached last for {dataset.name}" if known else "the default"
        progress.say(f"PLM {plm_name}, {why}.")
    devices = resolve_devices(device)
    wanted = None if compute.precision == "auto" else compute.precision
    found = find_cache(workspace, dataset, plm_name, tokenized_len, wanted)
    if found is not None:
        progress.say(f"The cache {found.path} is complete; nothing is left to do.")
        return found, None
    plm = find_plm(plm_name, progress)
    for cache in known:
        differences = cache_differences(cache, dataset, plm) if cache.plm == plm.name else []
        if differences:
            progress.say(f"Not used is {cache.path}: {'; '.join(differences)}. A new cache is made beside it.")
    precision = _precision(compute, devices)
    manifest = new_manifest(dataset, plm, tokenized_len, precision)
    path = cache_path(workspace, plm, manifest)
    with lock(path, f"encoding {dataset.name} with {plm.name}"):
        cache = open_cache(path) if path.exists() else create_cache(path, manifest)
        remove_partial(path)
        try:
            return cache, _fill(cache, dataset, plm, precision, compute.batch_size, devices, progress)
        except BaseException:
            if not done_units(path):  # There is nothing to go on from.
                shutil.rmtree(path, ignore_errors=True)
            raise


def _precision(compute: PreinferOptions, devices: Devices) -> Precision:
    import torch

    from plmrs.plm.load import resolve_precision

    place = torch.device("cpu") if devices.accelerator == "cpu" else torch.device("cuda", devices.ids[0])
    return resolve_precision(compute.precision, place)


def _fill(
    cache: Cache,
    dataset: Dataset,
    plm: Plm,
    precision: Precision,
    batch_size: int | None,
    devices: Devices,
    progress: Progress,
) -> Work | None:
    """Encode the units that are missing."""
    import torch

    from plmrs.plm.tokenizer import plm_tokens

    units = cache.units_missing()
    if not units:  # Another process made it while this one waited to begin.
        return None
    items = sum(rows.stop - rows.start for rows in map(cache.rows, units))
    _check_room(cache, items)
    n_cut = plm_tokens(dataset, plm, int(cache.manifest["tokenized_len"]), progress).n_cut
    shared = len(devices.ids) > 1
    threads = max(1, torch.get_num_threads() // len(devices.ids)) if shared and devices.accelerator == "cpu" else None
    # A copy of the data set has read nothing yet that would be sent to each worker.
    job = Job(cache, plm, replace(dataset), precision, batch_size, devices.accelerator, threads)
    where = f"{devices.accelerator} {' '.join(map(str, devices.ids))}"
    progress.say(f"PLM {plm.name} (licence: {plm.licence or 'not named'}), {_name(precision)}, on {where}.")
    if items < dataset.n_items:
        progress.say(f"{cache.n_units - len(units)} of {cache.n_units} units were done before.")
    tokens = 0
    start = time.perf_counter()
    with progress.track("Encoding", dataset.n_items, "items", done=dataset.n_items - items) as advance:

        def moves(new_items: int, new_tokens: int) -> None:
            nonlocal tokens
            tokens += new_tokens
            advance(new_items, f"{tokens / (time.perf_counter() - start):,.0f} tokens/s")

        run = run_workers if shared else run_here
        seconds = run(job, devices.ids, units, moves)
    return Work(items, tokens, seconds, n_cut)


def _check_room(cache: Cache, items: int) -> None:
    needed = cache.n_bytes * items // cache.n_items
    free = shutil.disk_usage(cache.path).free
    if needed > free:
        raise UserError(
            f"The cache {cache.path} needs {needed / 1e6:,.0f} MB more, {free / 1e6:,.0f} MB are free there.",
            "Free space, or name another place with --root.",
        )


def _name(precision: Precision) -> str:
    return {"32": "fp32", "bf16": "bf16"}[precision]


def _table(cache: Cache, work: Work | None) -> Table:
    counts = cache.counts()
    manifest = cache.manifest
    rows: list[Sequence[Cell]] = [
        ("PLM", cache.plm),
        ("Licence", manifest["plm_licence"] or "not named"),
        ("Boundary", f"{manifest['boundary']}: {', '.join(cache.poolings)}"),
        ("Width", cache.hidden_size),
        ("Precision", _name(manifest["precision"])),
        ("Items", cache.n_items),
        ("Texts encoded", counts["texts"]),
        ("Tokens", counts["tokens"]),
        ("Bytes", cache.n_bytes),
    ]
    if work is not None:
        cut = f"{work.n_cut:,} of {cache.n_items:,} ({100 * work.n_cut / cache.n_items:.1f} %)"
        rows += [
            ("Texts cut", f"{cut} to {manifest['tokenized_len']} tokens"),
            ("Seconds", f"{work.seconds:.1f}"),
            ("Items/s", round(work.items / work.seconds)),
            ("Tokens/s", round(work.tokens / work.seconds)),
        ]
    notes = [f"It lies at {cache.path}."]
    if counts["texts"] < cache.n_items:
        notes.append("Texts of a unit that are the same tokens are encoded once.")
    if work is not None and work.items < cache.n_items:
        notes.append(f"Seconds and speeds are those of the {work.items:,} items encoded now.")
    return Table(f"Item vectors of {cache.dataset}", ("", "value"), rows, notes)
