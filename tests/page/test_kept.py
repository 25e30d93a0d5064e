"""Answers are made once for all who ask at a time, kept for some seconds, and bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from inferspan_collector.page import kept
from inferspan_collector.page.asking import Question, Refused
from inferspan_collector.page.kept import ANSWERS_MAX, BUSY, FAILED, KEPT_NS, UNDER_WAY_MAX, Answer
from inferspan_collector.telemetry import CONTAINED, Telemetry
from inferspan_collector.testing import ManualClock
from waiting import wait_until

WAIT = 20.0
Q = Question("/one")


@contextmanager
def answers(
    ask: Callable[[Question], Any], clock: ManualClock, telemetry: Telemetry | None = None
) -> Iterator[kept.Answers]:
    found = kept.Answers(ask, clock.now_ns, telemetry or Telemetry())
    try:
        yield found
    finally:
        found.close()


def test_an_answer_is_kept_for_a_while_and_then_asked_for_anew() -> None:
    clock, asked = ManualClock(), []

    def ask(question: Question) -> int:
        asked.append(question)
        return len(asked)

    with answers(ask, clock) as found:
        first = found.wanted([Q], WAIT)[Q]
        assert first == Answer(1, clock.now_ns())
        clock.advance(KEPT_NS / 1e9 - 1)
        assert found.wanted([Q], WAIT)[Q] == first
        clock.advance(1)
        assert found.wanted([Q], WAIT)[Q] == Answer(2, clock.now_ns())
        # A clock that was set back does not keep an answer for ever.
        clock.advance(-3600)
        assert found.wanted([Q], WAIT)[Q] == Answer(3, clock.now_ns())


def test_who_asks_meanwhile_waits_for_the_same_answer() -> None:
    go, asked = threading.Event(), []

    def ask(question: Question) -> str:
        asked.append(question)
        assert go.wait(WAIT)
        return "done"

    with answers(ask, ManualClock()) as found:
        assert found.wanted([Q], 0)[Q] is None
        assert found.wanted([Q, Q], 0)[Q] is None
        go.set()
        answer = found.wanted([Q], WAIT)[Q]
        assert isinstance(answer, Answer)
        assert answer.body == "done"
        assert asked == [Q]


def test_one_that_takes_long_does_not_keep_the_others() -> None:
    go, other = threading.Event(), Question("/other")

    def ask(question: Question) -> str:
        assert question is other or go.wait(WAIT)
        return question.path

    with answers(ask, ManualClock()) as found:
        wait_until(lambda: found.wanted([Q, other], 0.05)[other], WAIT)
        assert found.wanted([Q, other], 0)[Q] is None
        go.set()


def test_too_many_under_way_are_refused_with_a_remedy() -> None:
    go = threading.Event()

    def ask(question: Question) -> str:
        assert go.wait(WAIT)
        return question.path

    many = [Question(f"/{i}") for i in range(UNDER_WAY_MAX + 1)]
    with answers(ask, ManualClock()) as found:
        told = found.wanted(many, 0)
        assert told[many[-1]] == BUSY
        assert BUSY.remedy
        assert [told[question] for question in many[:-1]] == [None] * UNDER_WAY_MAX
        go.set()
        assert found.wanted(many[:1], WAIT)[many[0]] is not None


def test_only_so_many_are_kept() -> None:
    asked: list[Question] = []
    with answers(lambda q: asked.append(q) or q.path, ManualClock()) as found:  # type: ignore[func-returns-value]
        for i in range(ANSWERS_MAX + 5):
            found.wanted([Question(f"/{i}")], WAIT)
        before = len(asked)
        found.wanted([Question(f"/{ANSWERS_MAX + 4}")], WAIT)
        assert len(asked) == before
        found.wanted([Question("/0")], WAIT)
        assert len(asked) == before + 1


def test_a_refusal_is_handed_on_and_a_failure_is_contained_and_counted() -> None:
    telemetry, refused = Telemetry(), Refused("Bad parameter", "no")

    def ask(question: Question) -> Refused:
        if question is Q:
            raise RuntimeError("the disk is gone")
        return refused

    with answers(ask, ManualClock(), telemetry) as found:
        other = Question("/other")
        assert found.wanted([Q, other], WAIT) == {Q: FAILED, other: refused}
    assert telemetry.get(CONTAINED, where="page") == 1
