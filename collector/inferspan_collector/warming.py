"""Compiled code of all stages, ready before the first request: each stage runs once, on nothing.

A machine compiles it at the first start and keeps it on disk; later it is loaded.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from inferspan_collector import decode

_DECODERS: Final = "import gc; gc.disable(); from inferspan_collector import decode; decode.warm()"


@functools.cache
def begin() -> subprocess.Popen[bytes] | None:
    """Where nothing is compiled yet, let a process of its own compile the decoders, the larger
    part of the work: Numba compiles one function at a time in a process. None where there is
    nothing to do, or no second core to do it on.

    For who still has to import, open and bind before it comes to `warm`, which waits for it. It
    ends with this process.
    """
    if decode.is_compiled() or usable_cores() < 2 or not sys.executable:
        return None
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _DECODERS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(process.kill)  # nothing to it once it was waited for
    return process


def end() -> None:
    """Let go of the process that compiles; for who ends at once."""
    process = begin()
    if process is not None:
        process.kill()


def usable_cores() -> int:
    """Cores that this process may run on: a cpuset or `taskset` leaves it fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def warm() -> None:
    """Make everything ready. The first time on a machine some fifteen seconds on one core, fewer
    on two, and many where they are busy; one second later.

    Should the process for the decoders fail, they are compiled here after all.
    """
    decoders = begin()
    with _no_garbage_sought():
        _warm_store()
        if decoders is not None:
            decoders.wait()
        decode.warm()


@functools.cache
def _warm_store() -> None:
    # Imported late: `begin` needs no database.
    from inferspan_collector.store import warming

    warming.warm()


@contextlib.contextmanager
def _no_garbage_sought() -> Iterator[None]:
    """A compiler makes millions of objects and keeps most: looking through them took a tenth."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
