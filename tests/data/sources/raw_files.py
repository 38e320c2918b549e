"""Raw files as others write, pack and spoil them, and what is said of those that cannot be read."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from plmrs.errors import UserError

SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "crlf": lambda data: data.replace(b"\n", b"\r\n"),
    "byte-order mark": lambda data: b"\xef\xbb\xbf" + data,
    "no last line end": lambda data: data.rstrip(b"\n"),
    "empty lines": lambda data: data.replace(b"\n", b"\n\n"),
}
"""Other ways to write one and the same text file."""


def zip_of(path: Path, files: Mapping[str, str | bytes]) -> bytes:
    """Write a zip of files by their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.read_bytes()


def complaint(read: Callable[[], object]) -> str:
    """What is said of something that cannot be read: one line, and a remedy."""
    with pytest.raises(UserError) as caught:
        read()
    assert "\n" not in caught.value.message + caught.value.remedy
    assert caught.value.remedy
    return caught.value.message
