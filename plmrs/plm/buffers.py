"""What the C library does with a large buffer that is freed: keeps it for the next one, or gives it back."""

import ctypes
import platform

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of glibc's malloc.h
_LARGE = 2**20  # bytes


def give_back_large_buffers() -> None:
    """Give buffers of 1 MiB or more back to the system as soon as they are freed, from now on in all of this process.

    Left alone, glibc keeps buffers of up to 32 MiB, and the holes between those that stay make the process several
    times as large as what it uses. Mapping them anew costs up to a fifth of a step. Without glibc nothing is done.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
