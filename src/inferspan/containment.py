"""Telemetry errors never reach the caller: the one place where our own errors end.

An error inside inferspan costs a span some of its content, never a call its answer. It is counted
by place and logged at most once a minute per place. Only KeyboardInterrupt passes through: it comes
from outside. SystemExit and GeneratorExit do not, for what raises them here is a value that only we
looked at.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

logger: Final = logging.getLogger("inferspan")

LOG_INTERVAL_S: Final = 60.0
PLACES_MAX: Final = 1024
"""Places and one-time warnings that are remembered; beyond it, they share one."""

_OTHER: Final = "__other__"


class ErrorLog:
    """Counts contained errors by place, and decides which of them are worth a line in the log.

    Args:
        clock: seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Reentrant: a signal handler or a finalizer may report while its own thread reports.
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self._logged: dict[str, float] = {}
        self._counted_then: dict[str, int] = {}
        """How often a place had been reported when it was logged last."""
        self._warned: set[str] = set()
        self._observers: list[Callable[[BaseException], object]] = []

    def report(self, place: str, error: BaseException) -> None:
        """Count an error of ours; log it unless this place did so within the last minute."""
        with self._lock:
            if place not in self._counts and len(self._counts) >= PLACES_MAX:
                place = _OTHER
            self._counts[place] = count = self._counts.get(place, 0) + 1
            now = self._clock()
            quiet = now - self._logged.get(place, -LOG_INTERVAL_S) < LOG_INTERVAL_S
            if not quiet:
                self._logged[place] = now
            observers = tuple(self._observers)
        for observe in observers:
            observe(error)
        if not quiet:
            logger.error(
                "inferspan failed at %r (%d so far) and kept it to itself: your call is not "
                "affected, its span may hold less.",
                place,
                count,
                exc_info=(type(error), error, error.__traceback__),
            )

    def contain(self, place: str, error: BaseException) -> None:
        """End an error of ours here: report it, but let a KeyboardInterrupt pass.

        For an `except` clause on the path of every call, where `with Contained(…)` costs as much
        as what it guards.
        """
        if isinstance(error, KeyboardInterrupt):
            raise error
        self.report(place, error)

    def warn_once(self, key: str, message: str) -> None:
        """Log a warning the first time `key` is seen in this process."""
        with self._lock:
            if key in self._warned or len(self._warned) >= PLACES_MAX:
                return
            self._warned.add(key)
        logger.warning("%s", message)

    def warn_sometimes(self, place: str, message: str) -> None:
        """Count an event of `place`; log it unless the place did so within the last minute.

        The line after such a silence says how many events fell into it.
        """
        with self._lock:
            if place not in self._counts and len(self._counts) >= PLACES_MAX:
                place = _OTHER
            self._counts[place] = count = self._counts.get(place, 0) + 1
            now = self._clock()
            if now - self._logged.get(place, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
                return
            self._logged[place] = now
            silent = count - self._counted_then.get(place, 0) - 1
            self._counted_then[place] = count
        more = f" ({silent:,} more like it since the last such line)" if silent else ""
        logger.warning("%s%s", message, more)

    def counts(self) -> dict[str, int]:
        """How often each place was reported since the process started."""
        with self._lock:
            return dict(self._counts)

    def observe(self, observer: Callable[[BaseException], object]) -> Callable[[], None]:
        """Show every contained error to `observer`; the answer ends that."""
        with self._lock:
            self._observers.append(observer)

        def stop() -> None:
            with self._lock:
                self._observers.remove(observer)

        return stop

    def renew_lock(self) -> None:
        """Replace the lock: in a forked child, a thread that no longer exists may hold it."""
        self._lock = threading.RLock()


errors: Final = ErrorLog()
"""The process's own."""


class Contained:
    """`with Contained("place"):` ends what goes wrong inside. Holds nothing, so share it freely."""

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None or isinstance(error, KeyboardInterrupt):
            return False
        errors.report(self._place, error)
        return True
