"""Kinds of values that several options have."""

import re
from typing import Annotated

from pydantic import AfterValidator, ByteSize, Field

from plmrs.workspace import PARTIAL


def _holds_a_chunk(value: ByteSize) -> ByteSize:
    if value < 4 * 2**20:
        raise ValueError("is less than 4MiB, the least that a chunk takes")
    return value


FOLDER_NAMES = "Use letters, digits, dots, dashes and underscores, as in my-books."


def is_folder_name(name: str) -> bool:
    """Whether a data set or run can be called so: its folder then lies in the workspace, whatever the file system."""
    # Most take 255 bytes, and a temporary name is longer.
    return bool(re.fullmatch(r"\w[\w.+-]*", name)) and len(name.encode()) <= 200 and PARTIAL not in name


def _names_a_folder(name: str) -> str:
    if not is_folder_name(name):
        raise ValueError(f"cannot be the name of a folder. {FOLDER_NAMES}")
    return name


FolderName = Annotated[str, AfterValidator(_names_a_folder)]
Ids = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
ScoresMemory = Annotated[ByteSize, AfterValidator(_holds_a_chunk)]
Share = Annotated[float, Field(ge=0, lt=1)]
