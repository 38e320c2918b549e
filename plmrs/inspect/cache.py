"""A cache's details: what its states were made from, and whether it is complete."""

from plmrs.cache.manifest import FINAL
from plmrs.cache.store import Cache
from plmrs.preinfer.intermediate import INTERMEDIATE
from plmrs.report import Cell, Table


def cache_tables(cache: Cache, *notes: str) -> list[Table]:
    """What a cache holds and was made from; `notes` are further lines below."""
    held = cache.manifest
    states = "the tokens' states" if cache.boundary != FINAL else ", ".join(cache.arrays)
    rows: list[list[Cell]] = [
        ["data set", cache.dataset],
        ["items", cache.n_items],
        ["distinct texts", held["n_texts"]],
        ["tokens", held["n_tokens"]],
        ["tokens kept of a text", held["tokenized_len"]],
        ["language model", cache.plm],
        ["licence", held["plm_licence"] or "not named"],
        ["identity", held["plm_identity"]],
        ["boundary", f"{cache.boundary}: {states}"],
        ["blocks before it", cache.blocks],
        ["width", cache.hidden_size],
        ["precision", held["precision"]],
        ["stored as", cache.dtype],
        ["computed from", "the texts" if held["source"] is None else f"the cache {held['source']}"],
        ["units", cache.n_units],
        ["state", _state(cache)],
        ["MiB on disk", _mebibytes(cache)],
        ["fingerprint", cache.fingerprint],
        ["made by plmrs", held["plmrs"]],
    ]
    return [Table(f"Cache {cache.path.stem}", ["", "value"], rows, [f"It lies in {cache.place}.", *notes])]


def short_state(cache: Cache) -> str:
    """Whether a cache is complete, in a word or two."""
    missing = len(cache.units_missing())
    if missing:
        return f"{100 * (cache.n_units - missing) // cache.n_units} % done"
    return "intermediate" if is_intermediate(cache) else "complete"


def is_intermediate(cache: Cache) -> bool:
    """Whether it only leads to another cache, and is removed once that is complete."""
    return cache.url is None and (cache.path / INTERMEDIATE).exists()


def _state(cache: Cache) -> str:
    missing = len(cache.units_missing())
    left = f"{missing} of {cache.n_units} units missing; plmrs preinfer goes on with them"
    told = left if missing else "complete"
    return f"{told}; intermediate, removed once the next is complete" if is_intermediate(cache) else told


def _mebibytes(cache: Cache) -> str:
    """What its files take, or its states would where it lies in a store."""
    sizes = [path.stat().st_size for path in cache.path.rglob("*") if path.is_file()] if cache.url is None else []
    return f"{(sum(sizes) or cache.n_bytes) / 2**20:,.1f}"
