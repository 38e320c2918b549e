"""A PLM's size, and how it would run in a given memory, from its configuration alone."""

import numpy as np

from plmrs.cache.dtypes import Dtype
from plmrs.cache.layout import new_layout
from plmrs.cache.lineage import exact_dtype
from plmrs.cache.manifest import boundary_name, n_bytes
from plmrs.config import InspectOptions
from plmrs.errors import UserError
from plmrs.inspect.machine import this_machine
from plmrs.plm.checkpoint import Plm, Precision
from plmrs.plm.pooling import POOLINGS
from plmrs.preinfer.plan import fit_batch, groups, sizes
from plmrs.report import Cell, Table

TEXTS = 100_000
"""Texts that bytes on disk are reckoned for."""
POOLED: Dtype = "float16"
"""What the last cache is stored as, unless `plmrs preinfer` is told otherwise."""


def plm_tables(plm: Plm, options: InspectOptions) -> list[Table]:
    """A PLM's sizes, and the groups of blocks that `plmrs preinfer` would hold one after the other.

    Args:
        plm: The PLM; its weights are not needed.
        options: Memory, precision, and the tokens of a text.

    Raises:
        UserError: its configuration is damaged, it does not read so many tokens, or `--max-memory` does not hold a
            block.
    """
    import torch

    from plmrs.plm.pieces import piece_bytes
    from plmrs.plm.precision import DTYPES, resolve_precision

    if options.tokenized_len > plm.max_tokens:
        raise UserError(f"--tokenized-len {options.tokenized_len}: {plm.name} reads {plm.max_tokens} tokens at most.")
    devices, memory = this_machine(options)
    place = torch.device(devices.names[0])
    precision = resolve_precision(options.precision, place)
    whole = piece_bytes(plm, 0, plm.n_blocks, DTYPES[precision])
    longest = f"{plm.max_tokens:,} tokens" if plm.model_type != "t5" else "without limit"
    facts: list[list[Cell]] = [
        ["family", plm.model_type],
        ["blocks", plm.n_blocks],
        ["width", plm.hidden_size],
        ["longest text", longest],
        ["parameters that run", piece_bytes(plm, 0, plm.n_blocks, torch.float32) // 4],
        ["precision", precision],
        ["weights", f"{whole / 2**30:,.2f} GiB ({whole:,} bytes)"],
        ["licence", plm.licence or "not named"],
    ]
    notes = [f"From {plm.folder / 'config.json'}."]
    try:
        plan = [_plan(plm, precision, memory, options.tokenized_len)]
    except UserError as error:
        if options.max_memory is not None:
            raise
        plan = []
        notes.append(f"{error.message} {error.remedy}")
    return [Table(f"PLM {plm.name}", ["", "value"], facts, notes), *plan]


def without_flag(error: UserError) -> UserError:
    """An error about `--plm NAME`, where the name was not given by that flag."""
    return UserError(error.message.removeprefix("--plm "), error.remedy.replace("--plm ", ""))


def _plan(plm: Plm, precision: Precision, memory: int, tokens: int) -> Table:
    length = np.full(TEXTS, tokens)
    layout = new_layout(length, plm.hidden_size)
    of = fit_batch(plm, None, plm.n_blocks, sizes(plm, precision, length, layout), memory)
    found = groups(plm, None, plm.n_blocks, of, memory)
    units = {"n_units": layout.n_units, "unit_texts": layout.most_texts, "unit_tokens": layout.most_tokens}
    rows: list[list[Cell]] = []
    for group in found:
        final = group.stop == plm.n_blocks
        stored = {
            **units,
            "hidden_size": plm.hidden_size,
            "dtype": POOLED if final else exact_dtype(plm, precision),
            "poolings": POOLINGS if final else (),
            "keeps_tokens": not final,
        }
        where = boundary_name(group.stop, plm.n_blocks)
        rows.append([group.name, where, round(group.weights / 2**20), round(n_bytes(stored) / 2**20)])
    removed = "; those that only lead on are removed again" if len(found) > 1 else ""
    columns = ["blocks", "boundary behind", "weights, MiB", "on disk, MiB"]
    notes = [
        f"With {memory / 2**30:.2f} GiB a process for weights and states; a row is what is held at once.",
        f"On disk: the states of {TEXTS:,} texts of {tokens} tokens{removed}.",
    ]
    return Table("Plan", columns, rows, notes)
