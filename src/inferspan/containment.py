"""Telemetry errors never reach the caller: the one place where our own errors end.

An error inside inferspan costs a span some of its content, never a call its answer. It is counted
by place and logged at most once a minute per place. What comes from outside passes through: a
KeyboardInterrupt, whatever the user's signal handlers raise, which Python runs between any two
steps of ours, and what another thread raises here to end this one. Other SystemExits and
GeneratorExits end here, too: a value raised them that only we looked at.
"""

from __future__ import annotations

import inspect
import logging
import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from types import CodeType, FrameType, TracebackType
from typing import Any, Final

logger: Final = logging.getLogger("inferspan")

LOG_INTERVAL_S: Final = 60.0
PLACES_MAX: Final = 1024
"""Places and one-time warnings that are remembered; beyond it, they share one."""

_OTHER: Final = "__other__"
_RAISING_NO_EXCEPTIONS: Final = frozenset(("builtins", "asyncio", "pyo3_runtime"))
"""Whose classes that are no `Exception` may come out of a call without a frame of Python."""


def from_outside(error: BaseException) -> bool:
    """Whether an error is none of ours: an interrupt, what a signal handler raised, or what another
    thread did to end this one.

    The one judge of it: whoever keeps an error raises it again where this says so. Looks at the
    frames that the error came through, so ask where it was caught.
    """
    if isinstance(error, KeyboardInterrupt) or _is_injected(error):
        return True
    # Python runs handlers in no other.
    if threading.current_thread() is not threading.main_thread():
        return False
    traceback = error.__traceback__
    while traceback is not None:
        if _handles_a_signal(traceback.tb_frame):
            return True
        traceback = traceback.tb_next
    return False


def _is_injected(error: BaseException) -> bool:
    """Whether another thread raised it here, as limits of time in worker pools do.

    Such a class is no `Exception`, so that nobody keeps it by mistake, and nothing that we or
    OpenTelemetry run raises one of others: what a value's own code raises has a frame of its own.
    """
    home = type(error).__module__
    if isinstance(error, Exception) or home.partition(".")[0] in _RAISING_NO_EXCEPTIONS:
        return False
    traceback = error.__traceback__
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    name = traceback.tb_frame.f_globals.get("__name__", "")
    return name.partition(".")[0] in ("inferspan", "opentelemetry")


def _handles_a_signal(frame: FrameType) -> bool:
    """Whether it was called as handlers are: with a number and the frame that it interrupted.

    What is installed says less, for many handlers replace themselves before they raise; it is
    asked where the handler has deleted what it was called with.
    """
    code = frame.f_code
    starred = bool(code.co_flags & inspect.CO_VARARGS)
    if code.co_argcount < 2 and not starred:
        return False
    held = frame.f_locals
    given = [held.get(name) for name in code.co_varnames[: code.co_argcount]]
    if starred:
        rest = held.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount], ())
        given.extend(rest if type(rest) is tuple else ())
    called = any(
        type(number) is int and interrupted is not None and interrupted is frame.f_back
        for number, interrupted in pairwise(given)
    )
    return called or (any(value is None for value in given) and _is_installed(code))


def _is_installed(code: CodeType) -> bool:
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        if getattr(getattr(handler, "__func__", handler), "__code__", None) is code:
            return True
    return False


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
            say(
                logging.ERROR,
                "inferspan failed at %r (%d so far) and kept it to itself: your call is not "
                "affected, its span may hold less.",
                place,
                count,
                error=error,
            )

    def keep(self, place: str, error: BaseException) -> bool:
        """Report an error that was caught, unless it comes from outside.

        Returns:
            Whether it ends here; raise it again where not.
        """
        try:
            if from_outside(error):
                return False
            self.report(place, error)
        except RecursionError:
            pass  # the user's recursion left no room to judge or log it
        except Exception as failed:  # of a log's filter
            if from_outside(failed):
                raise
        return True

    def contain(self, place: str, error: BaseException) -> None:
        """End an error of ours here: report it, but raise again what comes from outside.

        For an `except` clause on the path of every call, where `with Contained(…)` costs as much
        as what it guards.
        """
        if not self.keep(place, error):
            raise error

    def warn_once(self, key: str, message: str) -> None:
        """Log a warning the first time `key` is seen in this process."""
        with self._lock:
            if key in self._warned or len(self._warned) >= PLACES_MAX:
                return
            self._warned.add(key)
        say(logging.WARNING, "%s", message)

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
        say(logging.WARNING, "%s%s", message, more)

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

    def __reduce__(self) -> str:
        # What is sent by value, such as a class whose methods are traced, finds the one of there.
        return "errors"

    def renew_lock(self) -> None:
        """Replace the lock: in a forked child, a thread that no longer exists may hold it."""
        self._lock = threading.RLock()


def say(level: int, message: str, *values: object, error: BaseException | None = None) -> None:
    """Log a line; what a broken handler or a closed stream raises ends here, too."""
    try:
        logger.log(level, message, *values, exc_info=error)
    except Exception as failed:
        if from_outside(failed):
            raise


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
        return error is not None and errors.keep(self._place, error)
