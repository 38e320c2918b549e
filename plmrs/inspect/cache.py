"""A cache's details: what its vectors were made from, and whether it is complete."""

from plmrs.cache.store import Cache
from plmrs.report import Cell, Table

HIDDEN = {"format", "plmrs"}


def cache_tables(cache: Cache) -> list[Table]:
    """What a cache holds and was made from."""
    size = sum(path.stat().st_size for path in cache.path.rglob("*") if path.is_file())
    missing = cache.units_missing()
    rows: list[list[Cell]] = [
        [key.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list) else str(value)]
        for key, value in cache.manifest.items()
        if key not in HIDDEN
    ]
    rows += [
        [
            "state",
            "complete" if cache.is_complete else f"{len(missing)} units missing; plmrs preinfer goes on with them",
        ],
        ["MiB on disk", round(size / 2**20, 1)],
    ]
    return [Table(f"Cache {cache.path.stem}", ["", "value"], rows, [f"It lies in {cache.path}."])]
