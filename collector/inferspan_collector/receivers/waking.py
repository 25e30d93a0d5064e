"""From the threads that commit to the event loop that answers: woken once for many."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable


class Waker:
    """Runs in an event loop what other threads hand over.

    A transaction ends the requests of many senders one after the other; the loop is woken for the
    first of them, and finds the others when it comes to it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._woken = False

    def call(self, run: Callable[[], None]) -> None:
        """Have the loop run this soon. Thread-safe; once the loop is closed, it is left out."""
        self._calls.append(run)
        # Who sees that the loop is woken has appended before the loop says that it is not.
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._run)

    def _run(self) -> None:
        self._woken = False
        while self._calls:
            self._calls.popleft()()
