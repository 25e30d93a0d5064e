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
from typing import Final, Generic, TypeVar

from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.read_as_one import ONE_BY_ONE_SECONDS

QUIET_SECONDS: Final = 0.002
"""How long no call came: then nobody is waited for."""

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
        read: begins to store several bodies as one; its future ends with the answer for each, or as
            each would end by itself. None = they are to be read one by one.
        bytes_max: of the bodies of one group.
        seconds: how long the first waits at most.
        clock: seconds of any monotonic clock.
    """

    def __init__(
        self,
        budget: Budget,
        read: Callable[[_Key, Sequence[bytes]], Future[_Answer] | None],
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

    def begin(self, key: _Key, body: bytes) -> Future[_Answer | None]:
        """Have a body stored with those that come within moments; blocks who comes first.

        Args:
            key: only those of one kind are read as one.
            body: of a call.

        Returns:
            Ends with the answer; with None where the body is to be read by itself.

        Raises:
            Overloaded: requests under way hold too much.
        """
        now = self._clock()
        if now < self._one_by_one_until or len(body) >= self._most:
            return _ended(None)
        self._budget.take(len(body))
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
        try:
            stored = self._read(key, bodies) if len(bodies) > 1 else None
        finally:
            self._budget.give(group.size)
        if stored is None:
            if len(bodies) > 1:
                self._one_by_one_until = self._clock() + ONE_BY_ONE_SECONDS
            group.answer.set_result(None)
        else:
            stored.add_done_callback(lambda done: _pass_on(done, group.answer))


def _ended(value: _Answer) -> Future[_Answer]:
    future: Future[_Answer] = Future()
    future.set_result(value)
    return future


def _pass_on(done: Future[_Answer], to: Future[_Answer | None]) -> None:
    if done.cancelled():
        to.cancel()
    elif (error := done.exception()) is not None:
        to.set_exception(error)
    else:
        to.set_result(done.result())
