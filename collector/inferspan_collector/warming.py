"""Compiled code of all stages, ready before the first request: each stage runs once, on nothing.

A machine compiles it at the first start and keeps it on disk; later it is loaded.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Final

from inferspan_collector import decode
from inferspan_collector.store import warming

_DECODERS: Final = "from inferspan_collector import decode; decode.warm()"
_warm_store = functools.cache(warming.warm)


def usable_cores() -> int:
    """Cores that this process may run on: a cpuset or `taskset` leaves it fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def warm() -> None:
    """Make everything ready. The first time on a machine some twenty seconds on two cores, a few
    more on one, and many where they are busy; one second later.

    A process of its own compiles the decoders, two thirds of the work, while the store's code is
    compiled here: Numba compiles one function at a time in a process. Should it fail, they are
    compiled here after all.
    """
    if decode.is_compiled() or usable_cores() < 2 or not sys.executable:
        _warm_store()
    else:
        with subprocess.Popen(
            [sys.executable, "-P", "-c", _DECODERS],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ):
            _warm_store()
    decode.warm()
