"""A cache mended: what is damaged or missing is made again, and nothing else is touched."""

from collections.abc import Iterator
from contextlib import contextmanager

from plmrs.cache.store import Cache
from plmrs.config import InspectOptions
from plmrs.errors import UserError
from plmrs.inspect.damage import listed, made_from, read_all
from plmrs.inspect.machine import this_machine
from plmrs.links import check_links
from plmrs.preinfer.repair import make_units
from plmrs.report import Progress
from plmrs.workspace import Workspace, lock


def repaired(cache: Cache, workspace: Workspace, options: InspectOptions, progress: Progress) -> str:
    """Make the damaged and missing units of a cache again, and say in a line which they were.

    Args:
        cache: The cache, complete or not.
        workspace: Where its data set lies.
        options: Memory for the PLM.
        progress: Is told how far it is.

    Raises:
        UserError: the data set or the PLM is gone or has changed since, the tables of texts are damaged, another
            process makes the cache, or memory or disk do not suffice. What is sound stays as it is.
    """
    if cache.url is not None:
        raise UserError(f"{cache.url} is read only.", "Repair the local cache and copy it there again.")
    with lock(cache.path, f"encoding {cache.dataset} with {cache.plm}"):
        with _said_of(cache):
            damages, missing = read_all(cache, progress), cache.units_missing()
        units = sorted({damage.unit for damage in damages} | set(missing))
        if not units:
            return f"Nothing was to be repaired: all {cache.n_units} units are as they were written."
        with _said_of(cache):
            dataset, plm = made_from(cache, workspace)
        check_links(cache.path)
        devices, memory = this_machine(options)
        make_units(cache, units, workspace, dataset, plm, memory, devices, progress)
    why = [*([listed(damages)] if damages else []), *([f"{len(missing)} were missing"] if missing else [])]
    return f"Made again: {len(units)} of {cache.n_units} units; {'; '.join(why)}."


@contextmanager
def _said_of(cache: Cache) -> Iterator[None]:
    """Says of an error that it keeps a cache from being repaired."""
    try:
        yield
    except UserError as error:
        raise UserError(f"The cache {cache.place} cannot be repaired: {error.message}", error.remedy) from error
