"""Files of `torch.save`, which are pickles: plmrs opens them here alone, and runs nothing that they hold."""

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from plmrs.errors import UserError


def unpickled(file: Path, remedy: str, mapped: bool = True) -> Any:
    """What a file holds: tensors on the CPU, numbers, texts, and lists and mappings of these.

    Args:
        file: The file.
        remedy: What to do where it cannot be read.
        mapped: Whether tensors may stay in the file until they are read.

    Raises:
        UserError: it is damaged, or holds anything else, which only code of its own could make.
    """
    try:
        # Files of PyTorch before 1.6 are no zip archives; they can only be read whole.
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped and zipfile.is_zipfile(file))
    except UnpicklingError as error:
        if "nsupported" not in str(error):
            raise _damaged(file, error, remedy) from error
        raise UserError(
            f"{file} holds objects that are no tensors, numbers or text; to read them would run code of the file.",
            "Look at it with `python -m zipfile -l`, or load it yourself if you trust it.",
        ) from error
    except Exception as error:  # PyTorch checks little of what it reads: damage shows as an error of any kind.
        raise _damaged(file, error, remedy) from error


def _damaged(file: Path, error: Exception, remedy: str) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return UserError(f"{file} cannot be read: {reason}.", remedy)
