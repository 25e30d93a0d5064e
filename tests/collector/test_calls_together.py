"""Calls that come together: read as one, and each answered for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.calls_together import CallsTogether
from inferspan_collector.receivers.read_as_one import ONE_BY_ONE_SECONDS, Kept
from inferspan_collector.submission import Overloaded
from waiting import wait_until

BODY = b"12345"
MOST = 2 * len(BODY)
"""Two bodies are a group; whoever comes then begins the next one, and nobody waits for it."""


class CountingBudget(Budget):
    """Says how often something was taken of it."""

    taken = 0

    def take(self, count: int, requests: int = 0) -> None:
        super().take(count, requests)
        self.taken += 1


class Calls:
    """Callers in threads of their own, a clock that stands, and what was read."""

    def __init__(self, budget_bytes: int = 1_000) -> None:
        self.now = 0.0
        self.read: list[tuple[str, list[bytes]]] = []
        self.odd: tuple[bytes, ...] = ()
        """Bodies that are to be read by themselves."""
        self._group: list[Future[str | None]] | None = None
        self.budget = CountingBudget(budget_bytes)
        self.together: CallsTogether[str, str] = CallsTogether(
            self.budget, self._read, MOST, 60.0, lambda: self.now
        )
        self.threads = ThreadPoolExecutor(8)

    def _read(
        self, key: str, bodies: Sequence[bytes], answers: Sequence[Future[str | None]]
    ) -> Kept | None:
        self.read.append((key, list(bodies)))
        places = tuple(place for place, body in enumerate(bodies) if body not in self.odd)
        self._group = [answers[place] for place in places]
        nothing = Decoded(PredictionBatch.empty(), LabelBatch.empty())
        return Kept(nothing, Future(), places) if places else None

    def group(self) -> list[Future[str | None]]:
        """The answers of those that were read as one."""
        wait_until(lambda: self._group, 20.0)
        assert self._group is not None
        return self._group

    def tell(self, said: str | Exception) -> None:
        """Answer them."""
        for answer in self.group():
            if isinstance(said, Exception):
                answer.set_exception(said)
            else:
                answer.set_result(said)

    def call(self, key: str = "all", body: bytes = BODY) -> Future[Future[str | None] | None]:
        """A call that has come: what it holds was taken."""
        taken = self.budget.taken
        began = self.threads.submit(self.together.begin, key, body)
        wait_until(lambda: self.budget.taken > taken or began.done(), 20.0)
        return began


@pytest.fixture
def calls() -> Iterator[Calls]:
    begun = Calls()
    yield begun
    begun.now += 1_000
    begun.threads.shutdown()


def answer(call: Future[Future[str | None] | None]) -> str | None:
    together = call.result(20)
    return None if together is None else together.result(20)


def test_a_full_group_is_read_as_one_and_each_is_answered(calls: Calls) -> None:
    first, second, third = calls.call(body=b"aaaaa"), calls.call(body=b"bbbbb"), calls.call()
    calls.tell("done")
    assert (answer(first), answer(second)) == ("done", "done")
    assert calls.read == [("all", [b"aaaaa", b"bbbbb"])]
    calls.now += 1.0
    assert answer(third) is None, "it came alone, and is read as such"
    assert (calls.budget.held, calls.budget.requests) == (0, 0)


def test_senders_with_other_rights_are_never_read_as_one(calls: Calls) -> None:
    some = [calls.call("labels"), calls.call("all")]
    calls.now += 1.0
    assert [answer(each) for each in some] == [None, None]
    assert calls.read == []


def test_where_most_cannot_be_read_as_one_nothing_of_their_kind_is_for_a_while(
    calls: Calls,
) -> None:
    calls.odd = (BODY,)
    first, second, third = calls.call(), calls.call(), calls.call()
    assert (answer(first), answer(second)) == (None, None)
    calls.now += ONE_BY_ONE_SECONDS / 2
    assert answer(third) is None
    assert answer(calls.call()) is None
    assert len(calls.read) == 1
    others = [calls.call("labels", b"aaaaa"), calls.call("labels", b"bbbbb"), calls.call("labels")]
    wait_until(lambda: len(calls.read) == 2, 20.0)
    calls.tell("done")
    assert [answer(each) for each in others[:2]] == ["done", "done"]


def test_one_that_cannot_be_read_as_one_keeps_no_other_from_it(calls: Calls) -> None:
    calls.odd = (b"odd",)
    for number in range(1, 3):
        some = [calls.call(body=body) for body in (b"odd", b"aaaaaaa")]
        calls.now += 1_000
        wait_until(lambda so_far=number: len(calls.read) == so_far, 20.0)
        calls.tell("done")
        assert [answer(each) for each in some] == [None, "done"]
    assert (calls.budget.held, calls.budget.requests) == (0, 0)


def test_each_hears_of_what_kept_the_group_out(calls: Calls) -> None:
    first, second, _ = calls.call(), calls.call(), calls.call()
    calls.tell(Overloaded("the queue is full"))
    for each in (first, second):
        with pytest.raises(Overloaded, match="the queue is full"):
            answer(each)


def test_large_ones_wait_for_nobody(calls: Calls) -> None:
    assert answer(calls.call(body=BODY * 2)) is None
    assert (calls.budget.held, calls.budget.requests) == (0, 0)


def test_what_waits_is_limited_with_all_that_is_under_way() -> None:
    calls = Calls(budget_bytes=len(BODY))
    first = calls.call()
    with pytest.raises(Overloaded):
        calls.together.begin("all", BODY)
    calls.now += 1_000
    assert answer(first) is None
    calls.threads.shutdown()


def test_bodies_are_let_go_once_they_are_read(calls: Calls) -> None:
    first, second, _ = calls.call(), calls.call(), calls.call()
    group = calls.group()
    wait_until(lambda: calls.budget.held == len(BODY), 20.0)
    assert not any(each.done() for each in group)
    calls.tell("done")
    assert (answer(first), answer(second)) == ("done", "done")
