"""What is damaged in a cache, and what it was made from: what checking and repairing it have in common."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

from plmrs.cache.integrity import Damage, cache_differences, verify
from plmrs.cache.store import Cache
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.errors import UserError
from plmrs.inspect.plm import without_flag
from plmrs.plm.checkpoint import Plm, find_same
from plmrs.report import Progress
from plmrs.workspace import Workspace


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
    return "; ".join(f"{numbered(units)} ({arrays}): {reason}" for (arrays, reason), units in alike.items())


def numbered(units: Iterable[int]) -> str:
    """Ascending numbers of units: `unit 3`, or `units 1, 4–6`."""
    runs = [[unit for _, unit in run] for _, run in groupby(enumerate(units), lambda pair: pair[1] - pair[0])]
    told = [f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"unit{'s' if len(told) > 1 or '–' in told[0] else ''} {', '.join(told)}"
