"""Whether a cache can be believed: each unit is as it was written, and some texts are what the PLM gives."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from plmrs.cache.integrity import Damage, cache_differences, verify
from plmrs.cache.store import Cache
from plmrs.config import InspectOptions
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.errors import UserError
from plmrs.inspect.machine import this_machine
from plmrs.inspect.plm import without_flag
from plmrs.inspect.recompute import compare_sample
from plmrs.plm.checkpoint import Plm, find_same
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
            f"{_count(damages)} of {cache.n_units} units of the cache {cache.place} are damaged: {listed(damages)}.",
            again if cache.url is None else "Copy it there again.",
        )
    sizes, done = cache.counts(), cache.n_units - len(cache.units_missing())
    read = f"{done} of {cache.n_units} units are as they were written, {sizes['texts']:,.0f} texts of"
    return f"Sound: {read} {sizes['tokens']:,.0f} tokens. {_sampled(cache, workspace, options, progress)}"


def read_all(cache: Cache, progress: Progress) -> list[Damage]:
    """What is damaged among the finished units.

    Raises:
        UserError: the tables beside them are damaged, which nothing can mend.
    """
    _ = cache.texts  # Damaged tables are found where no unit is finished, too.
    with progress.track("Verifying", cache.n_units - len(cache.units_missing()), "units") as advance:
        return verify(cache, advance)


def made_from(cache: Cache, workspace: Workspace) -> tuple[Dataset, Plm]:
    """The data set and the PLM of a cache, as they were when it was made.

    Raises:
        UserError: one of them is gone or has changed since.
    """
    dataset = open_dataset(workspace, cache.dataset)
    try:
        plm = find_same(cache.plm, str(cache.manifest["plm_identity"]))
    except UserError as error:
        raise without_flag(error) from error
    differences = cache_differences(cache, dataset, plm)
    if differences:
        told = "; ".join(differences)
        raise UserError(f"{told[0].upper()}{told[1:]}.")
    return dataset, plm


def listed(damages: Sequence[Damage]) -> str:
    """Damages, those alike together: `units 1, 4–6 (mean, last): its chunk is missing`."""
    reasons: dict[tuple[int, str], list[str]] = defaultdict(list)
    for damage in damages:
        reasons[damage.unit, damage.reason].append(damage.array)
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for (unit, reason), arrays in reasons.items():
        alike[", ".join(arrays), reason].append(unit)
    return "; ".join(f"{_units(units)} ({arrays}): {reason}" for (arrays, reason), units in alike.items())


def _units(units: Iterable[int]) -> str:
    """Ascending units: `unit 3`, or `units 1, 4–6`."""
    runs = [[unit for _, unit in run] for _, run in groupby(enumerate(units), lambda pair: pair[1] - pair[0])]
    told = [f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"unit{'s' if len(told) > 1 or '–' in told[0] else ''} {', '.join(told)}"


def _count(damages: Sequence[Damage]) -> int:
    return len({damage.unit for damage in damages})


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
            f" {found.most:.1%}: {_units(units.tolist())}.",
            f"Remove {cache.place} and run `plmrs preinfer` again: what else was changed cannot be known.",
        )
    return f"{len(wrong)} texts recomputed differ by {found.off.max():.2%} at most, as rounding does."
