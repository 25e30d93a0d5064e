"""How long what waits in the queues waits for more."""

from __future__ import annotations

from concurrent.futures import Future

from inferspan_collector.applying import Request
from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch
from inferspan_collector.config import Limits
from inferspan_collector.queues import Queues

TICK = 0.001


class Clock:
    """Goes on by a tick with each look at it."""

    now = 0.0

    def __call__(self) -> float:
        self.now += TICK
        return self.now


def request() -> Request:
    return Request(Decoded(PredictionBatch.empty(), LabelBatch.empty()), 1, Future())


def test_what_came_while_the_disk_was_busy_has_waited_already() -> None:
    clock = Clock()
    queues = Queues(Limits(group_milliseconds=100), 0, clock, lambda: 0)
    queues.keep(request(), "http")
    clock.now = before = 1.0
    assert len(queues.next_kept() or ()) == 1
    assert clock.now - before < 0.05


def test_what_has_waited_for_others_before_has_waited() -> None:
    clock = Clock()
    queues = Queues(Limits(group_milliseconds=100), 0, clock, lambda: 0)
    clock.now = before = 1.0
    queues.keep(request(), "http", waited=0.08)
    assert len(queues.next_kept() or ()) == 1
    assert 0.02 - TICK <= clock.now - before < 0.05


def test_what_comes_while_nothing_is_written_waits_for_more() -> None:
    clock = Clock()
    queues = Queues(Limits(group_milliseconds=10), 0, clock, lambda: 0)
    queues.keep(request(), "http")
    before = clock.now
    assert len(queues.next_kept() or ()) == 1
    assert clock.now - before >= 0.01 - TICK
