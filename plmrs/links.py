"""Symbolic links in what plmrs writes into. A run or cache from elsewhere may hold some that lead anywhere."""

import os
from pathlib import Path

from plmrs.errors import UserError


def check_links(folder: Path) -> None:
    """See, before anything is written into a run or cache, that all of it lies there; the folder may be a link itself.

    Raises:
        UserError: a link in it leads out of it.
    """
    inside = folder.resolve()
    for place, folders, files in os.walk(inside):
        for path in (Path(place, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise UserError(
                    f"{folder / path.relative_to(inside)} is a link out of {folder}, where plmrs would write.",
                    "Put what it leads to in its place; whole folders go to another disk by --root and --runs.",
                )
