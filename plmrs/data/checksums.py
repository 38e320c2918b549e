"""Whether the files of a prepared data set are those that were written."""

from pathlib import Path
from typing import Any

from plmrs.data.dataset import HISTORIES, ITEMS, Dataset
from plmrs.errors import UserError
from plmrs.workspace import file_sha256

FILES = (ITEMS, HISTORIES)


def checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of those of a data set's files that are there, by name, as its manifest keeps them."""
    there = [name for name in FILES if (folder / name).is_file()]
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)} for name in there}


def check_files(dataset: Dataset) -> str:
    """Read a data set's files and compare them with its manifest; gives a line that says so.

    Raises:
        UserError: one is gone or not as it was written.
    """
    again = f"Run `plmrs prepare {dataset.name}` again."
    for name in FILES:
        path, kept = dataset.folder / name, dataset.manifest["files"][name]
        if not path.is_file():
            raise UserError(f"{path} does not exist.", again)
        if path.stat().st_size != kept["bytes"] or file_sha256(path) != kept["sha256"]:
            raise UserError(f"{path} is not as it was written: damaged, or changed by hand.", again)
    size = sum(kept["bytes"] for kept in dataset.manifest["files"].values())
    return f"Sound: {' and '.join(FILES)} are as they were written, {size:,} bytes."
