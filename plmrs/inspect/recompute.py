"""Some texts of a cache through the PLM once more: checksums tell that numbers are as written, not what they are.

The texts run in a batch of their own, block by block where the PLM is large. So their states differ from those in the
cache by rounding, and what is more than that is told.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plmrs.cache.dtypes import to_float32
from plmrs.cache.layout import Layout
from plmrs.cache.manifest import HIDDEN
from plmrs.cache.store import Cache
from plmrs.data.dataset import Dataset
from plmrs.devices import Devices
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, Precision
from plmrs.preinfer.plan import fit_batch, groups, sizes
from plmrs.report import Progress

SAMPLE = 32
"""Texts that are recomputed."""

COMPUTING = {"32": 1e-3, "bf16": 0.1, "fp16": 0.02}
STORING = {"float32": 0.0, "float16": 1e-3, "bfloat16": 8e-3}
"""How far rounding leads at most, by precision and by dtype, as a share of a text's states."""
INEXACT = 3.0
"""How many times as far it leads where states were rounded to the cache's dtype before the last blocks as well."""


class Compared(NamedTuple):
    """A sample of texts beside what a cache holds of them.

    Attributes:
        texts: Their numbers. [n]
        off: The largest difference of each, as a share of its states' norm. [n]
        most: What rounding explains.
    """

    texts: NDArray[np.int64]
    off: NDArray[np.float64]
    most: float


def compare_sample(
    cache: Cache, dataset: Dataset, plm: Plm, memory: int, devices: Devices, progress: Progress
) -> Compared:
    """Recompute some texts of finished units, other ones each time, and compare them with what is stored.

    Args:
        cache: A sound cache with at least one finished unit.
        dataset: Whose texts it was made of.
        plm: What it was made with.
        memory: Bytes for the PLM.
        devices: The first of them computes.
        progress: Is told how far it is.

    Raises:
        UserError: the PLM's files are damaged, the texts are tokenised otherwise now, or memory does not suffice.
    """
    texts = draw(cache)
    ids = _token_ids(cache, dataset, plm, texts)
    states = _states(cache, plm, ids, memory, devices, progress)
    off = [_off(_arrays(cache, own), stored) for own, stored in zip(states, _stored(cache, texts), strict=True)]
    most = COMPUTING[cache.manifest["precision"]] + STORING[cache.dtype]
    return Compared(texts, np.array(off), most * (1 if cache.manifest["source"] is None else INEXACT))


def draw(cache: Cache) -> NDArray[np.int64]:
    """Texts by chance, of each finished unit at least one while there are no more units than texts. Ascending. [n]"""
    missing = cache.units_missing()
    done = np.setdiff1d(np.arange(cache.n_units), missing)
    random = np.random.default_rng()
    units = done[((np.arange(SAMPLE) + random.random()) * len(done) / SAMPLE).astype(np.int64)]
    first, stop = cache.layout.bounds[units], cache.layout.bounds[units + 1]
    return np.unique(random.integers(first, stop))


def _token_ids(cache: Cache, dataset: Dataset, plm: Plm, texts: NDArray[np.int64]) -> list[list[int]]:
    """The texts as token ids, of the data set's texts and not of the tokens that are kept of them."""
    from plmrs.plm.tokenizer import load_tokenizer, tokenise

    items = (cache.texts.rows[texts] + 1).astype(np.int32)
    ids, _ = tokenise(load_tokenizer(plm), dataset.texts_of(items), int(cache.manifest["tokenized_len"]))
    if [len(row) for row in ids] != cache.texts.length[texts].tolist():
        raise UserError(f"The tokenizer of {plm.name} cuts the texts otherwise than it did.")
    return ids


def _states(
    cache: Cache, plm: Plm, ids: list[list[int]], memory: int, devices: Devices, progress: Progress
) -> list[NDArray[np.float32]]:
    """The states of each text at the cache's boundary. [tokens, H] each"""
    import torch

    from plmrs.plm.pieces import load_piece
    from plmrs.plm.precision import DTYPES
    from plmrs.plm.run import Runner, batches, packed

    precision: Precision = cache.manifest["precision"]
    place = torch.device(devices.names[0])
    lengths = np.array([len(row) for row in ids])
    ends = np.cumsum(lengths)
    flat = np.concatenate(ids).astype(np.int32)
    states = torch.from_numpy(flat).long()
    as_one = Layout(np.array([0, len(ids)]), np.array([0, len(flat)]))
    of = fit_batch(plm, None, cache.blocks, sizes(plm, precision, lengths, as_one), memory)
    found = groups(plm, None, cache.blocks, of, memory)
    with progress.track(f"Recomputing {len(ids)} texts", len(found), "groups of blocks") as advance:
        for group in found:
            piece = load_piece(plm, group.first, group.stop, DTYPES[precision], place, embeddings=group.from_ids)
            runner = Runner(plm, piece, place)
            if group.from_ids:
                runner.check_vocabulary(flat)
            parts = []
            for batch in batches(lengths, most_tokens=of.batch):
                real = slice(int(ends[batch.start] - lengths[batch.start]), int(ends[batch.stop - 1]))
                parts.append(packed(*runner.run(states[real], lengths[batch])).cpu())
            states = torch.cat(parts)
            advance()
            del piece, runner  # Before the next one is loaded.
    return np.split(states.float().numpy(), ends[:-1])


def _arrays(cache: Cache, states: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What a cache keeps of a text's states [tokens, H]: by array, rows of H."""
    import torch

    from plmrs.plm.pooling import pool

    pooled = pool(torch.from_numpy(states)[None], None) if cache.poolings else {}
    found = {name: vector.numpy() for name, vector in pooled.items()}
    return {**found, HIDDEN: states} if HIDDEN in cache.arrays else found


def _stored(cache: Cache, texts: NDArray[np.int64]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """What the cache holds of ascending texts, as `_arrays` gives it."""
    layout, length = cache.layout, cache.texts.length
    units = np.searchsorted(layout.bounds, texts, side="right") - 1
    for unit in np.unique(units).tolist():
        first = int(layout.bounds[unit])
        rows = {name: cache.read_unit(unit, name) for name in cache.arrays}
        for text in texts[units == unit].tolist():
            before = int(length[first:text].sum())
            places = {name: slice(text - first, text - first + 1) for name in rows}
            places[HIDDEN] = slice(before, before + int(length[text]))
            yield {name: to_float32(values[places[name]]) for name, values in rows.items()}


def _off(computed: Mapping[str, NDArray[np.float32]], stored: Mapping[str, NDArray[np.float32]]) -> float:
    """The largest difference of a text's rows in any array, as a share of their norm."""
    norms = [(np.linalg.norm(stored[name] - rows), np.linalg.norm(rows)) for name, rows in computed.items()]
    return max(float(difference / norm) if norm else float(difference) for difference, norm in norms)
