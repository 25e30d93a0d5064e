"""Named places where the process kills itself when a test asks for it: `kill -9`, exactly there.

Off unless `inferspan serve` is started with two variables, so that neither a stray one nor a
copied one ends a collector that serves:

    INFERSPAN_FAILPOINTS=armed
    INFERSPAN_FAILPOINT=after-commit:3        at the third time that `after-commit` is reached
    INFERSPAN_FAILPOINT=before-commit:1:5     5 ms after the first time, amid what follows

Off, `reach` is one comparison.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import threading
from collections.abc import Mapping
from typing import Final, Literal, get_args

Name = Literal[
    "journal-written",
    "journal-synced",
    "before-begin",
    "after-append",
    "before-commit",
    "after-commit",
    "between-answers",
    "set-aside",
    "compaction",
    "retention",
    "outbox-delete",
]
"""Every failpoint; a test holds that each stands in one place, and none without a name here.

- `journal-written`: requests stand in the journal's file, which is not synced.
- `journal-synced`: they are on disk, and no sender was told so.
- `before-begin`: requests were taken from the queue, and nothing of them is in the store.
- `after-append`: their rows stand in the open transaction; nothing is counted.
- `before-commit`: everything is done but the commit itself.
- `after-commit`: the transaction is on disk; no sender knows of it, and nothing is counted.
- `between-answers`: one sender of the group was answered, the others were not.
- `set-aside`: rows that cannot be stored are in a file of their own; the store does not know yet.
- `compaction`: the counters are added up in an open transaction.
- `retention`: old rows were erased in an open transaction.
- `outbox-delete`: spans were delivered to Jaeger, and are still in the outbox.
"""

SWITCH: Final = "INFERSPAN_FAILPOINTS"
POINT: Final = "INFERSPAN_FAILPOINT"
ARMED: Final = "armed"
NAMES: Final[tuple[Name, ...]] = get_args(Name)

_FORM: Final = re.compile(r"([a-z-]+):([1-9][0-9]{0,8})(?::([0-9]{1,6}))?")
_logger = logging.getLogger(__name__)


class UnknownFailpoint(ValueError):
    """A failpoint that is not one: a test with it would pass by killing nobody."""


class _Failpoint:
    """The one place where this process is to die."""

    def __init__(self, name: str, count: int, delay_milliseconds: int) -> None:
        self._name = name
        self._count = count
        self._delay_seconds = delay_milliseconds / 1e3
        self._reached = itertools.count(1)

    def reached(self, name: str) -> None:
        if name != self._name or next(self._reached) != self._count:
            return
        if self._delay_seconds:
            timer = threading.Timer(self._delay_seconds, _die)
            timer.daemon = True
            timer.start()
        else:
            _die()


_armed: _Failpoint | None = None


def reach(name: Name) -> None:
    """Say that this place is reached; the process dies here if that is what was asked for."""
    if _armed is not None:
        _armed.reached(name)


def arm(environment: Mapping[str, str]) -> None:
    """Read what is asked for, once, at the start of `inferspan serve`.

    Raises:
        UnknownFailpoint: both variables are set, and the failpoint is not one.
    """
    global _armed
    point = environment.get(POINT)
    if point is None:
        return
    if environment.get(SWITCH) != ARMED:
        _logger.warning("%s is set and ignored: only tests that also set the switch use it", POINT)
        return
    match = _FORM.fullmatch(point)
    if match is None or match[1] not in NAMES:
        raise UnknownFailpoint(
            f"{POINT}={point!r}: not NAME:COUNT or NAME:COUNT:MILLISECONDS with a NAME among "
            f"{', '.join(NAMES)}"
        )
    _armed = _Failpoint(match[1], int(match[2]), int(match[3] or 0))
    _logger.warning("%s=%s: this collector will kill itself", POINT, point)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
