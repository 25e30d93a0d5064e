"""Compiled code of all stages, ready before the first request: each stage runs once, on nothing.

A machine compiles it at the first start and keeps it on disk; later it is loaded. `WARMERS` is the
one list of what has to be made ready; a stage that compiles code is added there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from inferspan_collector import decode
from inferspan_collector.store import warming

WARMERS: Final[tuple[Callable[[], None], ...]] = (decode.warm, functools.cache(warming.warm))


def warm() -> None:
    """Make everything ready. The first time on a machine some twenty seconds, more where
    it is busy; one second later.
    """
    for warmer in WARMERS:
        warmer()
