"""The C library's allocator, told that we use again what we free.

By default glibc gives large blocks back to the operating system when they are freed, and the kernel
clears each page anew when they are needed again: for a collector, whose requests and columns are a
few hundred kilobytes each and live for milliseconds, that is half of what receiving costs.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

MMAP_THRESHOLD_BYTES: Final = 32 * 1024 * 1024
"""Smaller blocks are cut from a heap, which is kept; glibc allows no more than this."""
TRIM_THRESHOLD_BYTES: Final = 128 * 1024 * 1024
"""What the heap may hold free before some of it is given back."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> bool:
    """Tell glibc; for a whole process, so only a program that is one calls it.

    Returns:
        Whether it took it: elsewhere (macOS, musl) nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        and mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
    )
