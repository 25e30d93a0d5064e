"""Calls that come together are read as one: who comes first waits a little for the others.

What a request costs by itself, however many spans it holds, is as much as a hundred spans cost; in
threads it costs turns at the interpreter, too. Whatever is not ordinary is read by itself, so that
each sender hears of its own faults alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from inferspan_collector.gathering import QUIET_SECONDS
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.read_as_one import ONE_BY_ONE_SECONDS

_Key = TypeVar("_Key")
_Answer = TypeVar("_Answer")


class _Group(Generic[_Answer]):
    def __init__(self, now: float) -> None:
        self.bodies: list[bytes] = []
        self.size = 0
        self.began = self.newest = now
        self.full = threading.Event()
        self.answer: Future[_Answer | None] = Future()


class CallsTogether(Generic[_Key, _Answer]):
    """Thread-safe.

    Args:
        budget: what the bodies hold until they are read.
        read: begins to store several bodies as one, and ends a future with the answer for each, or
            as each would end by itself. False = they are to be read one by one.
        bytes_max: of the bodies of one group.
        seconds: how long the first waits at most.
        clock: seconds of any monotonic clock.
    """

    def __init__(
        self,
        budget: Budget,
        read: Callable[[_Key, Sequence[bytes], Future[_Answer | None]], bool],
        bytes_max: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = budget
        self._read = read
        self._most = bytes_max
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._groups: dict[_Key, _Group[_Answer]] = {}
        self._one_by_one_until = 0.0

    def begin(self, key: _Key, body: bytes) -> Future[_Answer | None] | None:
        """Have a body stored with those that come within moments; blocks who comes first.

        Args:
            key: only those of one kind are read as one.
            body: of a call.

        Returns:
            Ends with the answer. None, or ends with None, where the body is to be read by itself.

        Raises:
            Overloaded: requests under way hold too much.
        """
        now = self._clock()
        if now < self._one_by_one_until or len(body) >= self._most:
            return None
        self._budget.take(len(body), 1)
        with self._lock:
            group = self._groups.get(key)
            if first := group is None or group.size + len(body) > self._most:
                if group is not None:
                    group.full.set()
                group = self._groups[key] = _Group(now)
            assert group is not None
            group.bodies.append(body)
            group.size += len(body)
            group.newest = now
        if first:
            self._wait(key, group)
            self._store(key, group)
        return group.answer

    def _wait(self, key: _Key, group: _Group[_Answer]) -> None:
        while (wait := self._left(group)) > 0 and not group.full.wait(wait):
            pass
        with self._lock:
            if self._groups.get(key) is group:
                del self._groups[key]

    def _left(self, group: _Group[_Answer]) -> float:
        until = min(group.newest + QUIET_SECONDS, group.began + self._seconds)
        return until - self._clock()

    def _store(self, key: _Key, group: _Group[_Answer]) -> None:
        bodies, group.bodies = group.bodies, []
        several = len(bodies) > 1
        try:
            stored = several and self._read(key, bodies, group.answer)
        finally:
            self._budget.give(group.size, len(bodies))
        if not stored:
            if several:
                self._one_by_one_until = self._clock() + ONE_BY_ONE_SECONDS
            group.answer.set_result(None)
