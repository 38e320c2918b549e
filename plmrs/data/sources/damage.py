"""What is said of tables that cannot be read: one line, which names the file."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from plmrs.data.sources import raw
from plmrs.data.sources.raw import RawFile
from plmrs.errors import UserError


def no_rows(file: RawFile) -> UserError:
    """The error for a table that holds nothing but, at most, its header."""
    return UserError(f"{file} holds no rows.", "Check how it was made.")


@contextmanager
def readable(file: RawFile, path: Path | None = None) -> Iterator[None]:
    """Turn what a reader says about a damaged file into one line.

    Raises:
        UserError: the file cannot be read.
    """
    place = path or file
    try:
        yield
    except pa.ArrowCancelled:  # Ctrl-C
        raise
    except (pa.ArrowException, UnicodeDecodeError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        # A RuntimeError: a zip that is locked, or packed by a method that Python does not know.
        reason = (str(error) or "it ends too early").splitlines()[0].rstrip(".")
        if "straddling" in reason:
            raise UserError(
                f"{place} has a row of more than {raw.BLOCK:,} bytes.", "Shorten it, or check its quotes and line ends."
            ) from None
        if "Empty CSV" in reason or "Empty JSON" in reason:
            if file.open().read(1):
                raise no_rows(file) from None
            raise UserError(f"{place} is empty.", "Check how it was made.") from None
        if "UTF" in reason or isinstance(error, UnicodeDecodeError):
            raise UserError(f"{place} is not UTF-8: {reason}.", "Convert it to UTF-8, as iconv does.") from None
        raise UserError(f"{place} cannot be read: {reason}.", "Mend the file or check how it was made.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).splitlines()[0].rstrip(".")
        remedy = "Check the file and its permissions." if error.errno else "Mend the file or check how it was made."
        raise UserError(f"{place} cannot be read: {reason}.", remedy) from None
