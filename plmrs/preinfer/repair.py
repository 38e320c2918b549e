"""Some units of a cache made again, from the same texts or states and by the same blocks as before.

The same stages and batches run as when a whole cache is made, so the bytes are the same, unless it was made with a
batch size of its own or on another kind of device: then states differ by rounding. Only these units run, and what lies
between groups of blocks is kept in a folder that is removed at the end.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from plmrs.cache.create import create_cache, new_manifest
from plmrs.cache.dtypes import Dtype
from plmrs.cache.find import list_caches
from plmrs.cache.integrity import drop_units
from plmrs.cache.lineage import exact_dtype, lineage
from plmrs.cache.manifest import HIDDEN, folder_name
from plmrs.cache.store import Cache
from plmrs.cache.texts import text_table
from plmrs.data.dataset import Dataset
from plmrs.devices import Devices
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, Precision
from plmrs.preinfer.pipeline import run_here
from plmrs.preinfer.plan import fit_batch, groups, sizes
from plmrs.preinfer.stage import Stage
from plmrs.report import Progress
from plmrs.workspace import PARTIAL, Workspace

LINEAGE = ("texts_fingerprint", "text_table", "tokenizer_identity", "tokenized_len", "plm_identity", "precision")
"""What caches agree in when one can be made from the other."""


def make_units(
    cache: Cache,
    units: Sequence[int],
    workspace: Workspace,
    dataset: Dataset,
    plm: Plm,
    memory: int,
    devices: Devices,
    progress: Progress,
) -> None:
    """Make units of a cache again; all else in the workspace stays as it is. Hold the cache's lock meanwhile.

    Args:
        cache: The cache; the units' marks are removed once there is nothing more to refuse.
        units: Which of its units, in order.
        workspace: Where the cache is looked for that it was computed from, if it was.
        dataset: Whose texts, as they were.
        plm: Whose states, with the weights it had.
        memory: Bytes for the PLM.
        devices: The first of them computes.
        progress: Is told how far it is.

    Raises:
        UserError: the texts or the cache it was computed from are not what they were, or memory or disk do not suffice.
            Units that were finished are kept.
    """
    precision: Precision = cache.manifest["precision"]
    dtype = exact_dtype(plm, precision)
    start = _start(cache, units, workspace, dtype)
    if start is None:
        _check_texts(cache, dataset, plm, progress)
    begin = None if start is None else start.blocks
    wished = sizes(plm, precision, cache.texts.length, cache.layout)
    of = fit_batch(plm, begin, cache.blocks, wished, memory)
    found = groups(plm, begin, cache.blocks, of, memory)
    n_texts = int(np.diff(cache.layout.bounds)[list(units)].sum())
    source = start
    drop_units(cache, units)
    prefix = f"{cache.path.name}{PARTIAL}repair-"
    for left in cache.path.parent.glob(f"{prefix}*"):  # By one that was killed.
        shutil.rmtree(left)
    with TemporaryDirectory(prefix=prefix, dir=cache.path.parent) as between:
        for group in found:
            sink = cache
            if group is not found[-1]:
                made_of = dataset, plm, cache.texts, int(cache.manifest["tokenized_len"]), precision
                manifest = new_manifest(*made_of, group.stop, dtype, source=cache.manifest["source"])
                sink = create_cache(Path(between) / folder_name(manifest), manifest, cache.texts)
            stage = Stage(sink, source, group, plm, dataset, precision, None, of.batch, devices.accelerator)
            _run(stage, devices, units, n_texts, progress)
            source = sink


def _run(stage: Stage, devices: Devices, units: Sequence[int], n_texts: int, progress: Progress) -> None:
    with progress.track(f"Making again, {stage.group.name}", n_texts, "texts") as advance:

        def moves(texts: int, tokens: int) -> None:
            advance(texts)

        run_here(stage, devices.ids[:1], units, moves, progress)


def _start(cache: Cache, units: Sequence[int], workspace: Workspace, exact: Dtype) -> Cache | None:
    """The cache at the deepest earlier boundary from which these units come out as they were; None for the texts.

    Raises:
        UserError: they depend on a cache that keeps less than is computed, and no sound one is left.
    """
    origin = cache.manifest["source"]
    fitting = [
        other
        for other in list_caches(workspace, cache.dataset)
        if other.blocks < cache.blocks
        and all(other.manifest[key] == cache.manifest[key] for key in LINEAGE)
        and lineage(other, exact) == origin
    ]
    for other in sorted(fitting, key=lambda other: other.blocks, reverse=True):
        if not any(other.damage(unit, HIDDEN) for unit in units):
            return other
    if origin is not None:
        raise UserError(
            f"{cache.place} was computed from the states in the cache {origin}, which is gone or damaged as well.",
            f"Repair that one first, or remove {cache.place} and run `plmrs preinfer` again.",
        )
    return None


def _check_texts(cache: Cache, dataset: Dataset, plm: Plm, progress: Progress) -> None:
    from plmrs.plm.tokenizer import plm_tokens

    tokens = plm_tokens(dataset, plm, int(cache.manifest["tokenized_len"]), progress)
    if text_table(tokens).fingerprint != cache.manifest["text_table"]:
        raise UserError(
            f"{cache.place} cannot be repaired: the tokenizer of {plm.name} cuts the texts otherwise than it did.",
            f"Remove {cache.place} and run `plmrs preinfer` again.",
        )
