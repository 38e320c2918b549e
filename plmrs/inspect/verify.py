"""Whether a cache can be believed: each unit is as it was written, and some texts are what the PLM gives."""

import numpy as np

from plmrs.cache.store import Cache
from plmrs.config import InspectOptions
from plmrs.errors import UserError
from plmrs.inspect.damage import listed, made_from, numbered, read_all
from plmrs.inspect.machine import this_machine
from plmrs.inspect.recompute import compare_sample
from plmrs.report import Progress
from plmrs.workspace import Workspace


def verified(cache: Cache, workspace: Workspace, options: InspectOptions, progress: Progress) -> str:
    """Read every finished unit of a cache, recompute some texts, and say so in a line.

    Args:
        cache: The cache, complete or not.
        workspace: Where its data set lies.
        options: Memory for the PLM.
        progress: Is told how far it is.

    Raises:
        UserError: units are damaged, each named with the reason, or hold other numbers than the PLM gives; or the
            tables beside them are damaged.
    """
    damages = read_all(cache, progress)
    if damages:
        again = f"`plmrs inspect {cache.place} --repair` makes them again."
        raise UserError(
            f"{len({damage.unit for damage in damages})} of {cache.n_units} units of the cache {cache.place} are"
            f" damaged: {listed(damages)}.",
            again if cache.url is None else "Copy it there again.",
        )
    sizes, done = cache.counts(), cache.n_units - len(cache.units_missing())
    read = f"{done} of {cache.n_units} units are as they were written, {sizes['texts']:,.0f} texts of"
    return f"Sound: {read} {sizes['tokens']:,.0f} tokens. {_sampled(cache, workspace, options, progress)}"


def _sampled(cache: Cache, workspace: Workspace, options: InspectOptions, progress: Progress) -> str:
    """What came of a sample, or why there is none.

    Raises:
        UserError: the PLM gives other numbers.
    """
    if len(cache.units_missing()) == cache.n_units:
        return "There is nothing to recompute yet."
    try:
        dataset, plm = made_from(cache, workspace)
        devices, memory = this_machine(options)
        found = compare_sample(cache, dataset, plm, memory, devices, progress)
    except UserError as error:
        return f"No text was recomputed: {error.message}"
    wrong = ~(found.off <= found.most)  # NaN is wrong as well.
    if wrong.any():
        units = np.unique(np.searchsorted(cache.layout.bounds, found.texts[wrong], side="right") - 1)
        raise UserError(
            f"The cache {cache.place} does not hold what {cache.plm} gives: {int(wrong.sum())} of {len(wrong)}"
            f" recomputed texts differ from what is stored, by up to {found.off.max():.1%} where rounding explains"
            f" {found.most:.1%}: {numbered(units.tolist())}.",
            f"Remove {cache.place} and run `plmrs preinfer` again: what else was changed cannot be known.",
        )
    return f"{len(wrong)} texts recomputed differ by {found.off.max():.2%} at most, as rounding does."
