"""Caches that only lead to another one, and their removal once that is complete."""

import shutil
from contextlib import suppress
from typing import TypeGuard

from plmrs.cache.find import list_caches
from plmrs.cache.store import Cache
from plmrs.errors import UserError
from plmrs.workspace import PARTIAL, Workspace, lock

INTERMEDIATE = "intermediate"
"""A file in a cache that is removed once the next one is complete."""
GONE = f"{PARTIAL}gone"
"""The end of the name of a cache that is being removed."""


def leads_on(cache: Cache | None) -> TypeGuard[Cache]:
    """Whether a cache is there only until the next one is complete, be it that an earlier command was to remove it."""
    return cache is not None and (cache.path / INTERMEDIATE).exists()


def remove(cache: Cache) -> None:
    """Remove a cache so that at no time half of one lies in its place."""
    gone = cache.path.with_name(f"{cache.path.name}{GONE}")
    shutil.rmtree(gone, ignore_errors=True)  # A killed command may have left it.
    with suppress(FileNotFoundError):
        cache.path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def tidy(workspace: Workspace, made: Cache) -> None:
    """Remove what led to a complete cache, as a killed command or one with groups of other sizes left it."""
    for cache in list_caches(workspace, made.dataset):
        same = all(cache.manifest[key] == made.manifest[key] for key in ("plm_identity", "text_table", "precision"))
        if same and cache.blocks < made.blocks and leads_on(cache):
            # One that is held by another process leads to another cache as well.
            with suppress(UserError), lock(cache.path, ""):
                remove(cache)
    for gone in made.path.parent.glob(f"*{GONE}"):
        shutil.rmtree(gone, ignore_errors=True)
