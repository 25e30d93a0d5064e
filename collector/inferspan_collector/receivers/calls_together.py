"""Calls that come together are read as one: who comes first waits a little for the others.

What a request costs by itself, however many spans it holds, is as much as a hundred spans cost; in
threads it costs turns at the interpreter, too. Whatever is not ordinary is read by itself, so that
each sender hears of its own faults alone, and keeps no other from being read with its neighbours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from inferspan_collector.gathering import QUIET_SECONDS
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.read_as_one import ONE_BY_ONE_SECONDS, Kept, pays

_Key = TypeVar("_Key")
_Answer = TypeVar("_Answer")


class _Group(Generic[_Answer]):
    def __init__(self, now: float) -> None:
        self.bodies: list[bytes] = []
        self.size = 0
        self.began = self.newest = now
        self.full = threading.Event()
        self.answers: list[Future[_Answer | None]] = []


class CallsTogether(Generic[_Key, _Answer]):
    """Gathers the calls of one gRPC port that come within moments. Thread-safe.

    Args:
        budget: what the bodies hold until they are read.
        read: begins to store several bodies as one, and ends the future of each with its answer,
            or as it would end by itself. Returns what is stored; it leaves alone the futures of
            others, which are to be read one by one.
        bytes_max: of the bodies of one group.
        seconds: how long the first waits at most.
        clock: seconds of any monotonic clock.
    """

    def __init__(
        self,
        budget: Budget,
        read: Callable[[_Key, Sequence[bytes], Sequence[Future[_Answer | None]]], Kept | None],
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
        self._one_by_one_until: dict[_Key, float] = {}

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
        if now < self._one_by_one_until.get(key, 0.0) or len(body) >= self._most:
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
            answer: Future[_Answer | None] = Future()
            group.answers.append(answer)
            group.size += len(body)
            group.newest = now
        if first:
            self._wait(key, group)
            self._store(key, group)
        return answer

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
        sizes = [len(body) for body in bodies]
        kept = None
        try:
            if len(bodies) > 1:
                kept = self._read(key, bodies, group.answers)
                if not pays(sizes, kept):
                    self._one_by_one_until[key] = self._clock() + ONE_BY_ONE_SECONDS
        finally:
            self._budget.give(group.size, len(bodies))
            stored = () if kept is None else kept.places
            for place, answer in enumerate(group.answers):
                if place not in stored:
                    answer.set_result(None)
