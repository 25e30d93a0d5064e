"""Generators: whatever is done to one has the outcome that it has without us."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import inspect
import itertools
import sys
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from sdk.conformance.adapter import Adapter, Captured, Wrap
from sdk.conformance.comparing import caught_from, complaints_of, outcome_of

Script = list[str]


def scripted(script: Script, seen: list[object]) -> Generator[object, object, str]:
    """A body that does what the script says, and notes what is done to it."""
    for index, order in enumerate(script):
        try:
            if order == "return":
                return f"returned {index}"
            if order == "raise":
                raise LookupError(index)
            if order == "stop":
                raise StopIteration(index)
            seen.append((yield index))
        except BaseException as error:
            if "over" in seen:
                raise
            seen.append(type(error))
            if order == "fail":
                raise ValueError(index) from error
            if order == "leave":
                return f"left {index}"
            if order not in ("ignore", "ignore twice"):
                raise
            if order == "ignore twice":
                seen.append((yield "still here"))
    return "the end"


ORDERS = ["yield", "ignore", "ignore twice", "fail", "leave", "return", "raise", "stop"]
ACTS: dict[str, Callable[[Any], object]] = {
    "next": next,
    "send None": lambda made: made.send(None),
    "send": lambda made: made.send("sent"),
    "throw": lambda made: made.throw(KeyError("thrown")),
    "throw class": lambda made: made.throw(KeyError),
    "throw stop": lambda made: made.throw(StopIteration("stop")),
    "throw exit": lambda made: made.throw(GeneratorExit("exit")),
    "throw interrupt": lambda made: made.throw(KeyboardInterrupt("i")),
    "close": lambda made: made.close(),
    "state": inspect.getgeneratorstate,
}


def story(
    function: Callable[[Script, list[object]], Any], script: Script, acts: list[str]
) -> list[object]:
    seen: list[object] = []
    made = function(script, seen)
    told = [outcome_of(ACTS[act], made) for act in acts]
    # From here on it obeys, so that closing what is left complains of nothing.
    seen.append("over")
    told.append(outcome_of(made.close))
    return [told, seen]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    script=st.lists(st.sampled_from(ORDERS), max_size=5),
    acts=st.lists(st.sampled_from(list(ACTS)), max_size=8),
)
def test_whatever_is_done_to_it(
    trace: Wrap, adapter: Adapter, captured: Captured, script: Script, acts: list[str]
) -> None:
    before = len(captured())
    assert story(trace(scripted), script, acts) == story(scripted, script, acts)
    assert adapter.current() is None
    assert len(captured()) - before <= 1


def echo() -> Generator[str, str, str]:
    answer = "ready"
    while answer != "stop":
        answer = yield answer
    return "the end"


def test_it_is_a_generator(trace: Wrap, captured: Captured) -> None:
    mine, bare = trace(echo)(), echo()
    assert inspect.isgenerator(mine)
    assert (mine.__name__, mine.__qualname__) == (bare.__name__, bare.__qualname__)
    assert iter(mine) is mine
    assert not inspect.isawaitable(mine)


def test_yield_from_passes_everything_on(trace: Wrap, captured: Captured) -> None:
    def outer() -> Generator[str, str, str]:
        return (yield from trace(echo)())

    made = outer()
    assert [next(made), made.send("a")] == ["ready", "a"]
    assert outcome_of(made.send, "stop") == ("stopped", "the end")
    assert not captured()[0].failed


def test_a_function_that_hands_out_a_generator(trace: Wrap, captured: Captured) -> None:
    made = trace(lambda: echo())()
    assert inspect.isgenerator(made)
    assert made.__qualname__ == "echo"
    assert next(made) == "ready"
    assert captured() == []
    made.close()
    trace(lambda: echo())()
    gc.collect()
    assert len(captured()) == 2
    assert not any(span.failed for span in captured())


def test_the_consumer_never_sees_the_span(
    trace: Wrap, adapter: Adapter, captured: Captured
) -> None:
    inside: list[int | None] = []

    def tokens() -> Iterator[int]:
        for token in range(3):
            inside.append(adapter.current())
            with adapter.child():
                inside.append(adapter.current())
                yield token
                inside.append(adapter.current())

    for _ in trace(tokens)():
        assert adapter.current() is None
    *children, span = captured()
    assert [child.parent for child in children] == [span.id] * 3
    per_item = [[span.id, child.id, child.id] for child in children]
    assert inside == list(itertools.chain.from_iterable(per_item))


def test_spans_of_the_consumer_are_not_the_bodys(
    trace: Wrap, adapter: Adapter, captured: Captured
) -> None:
    def tokens() -> Iterator[int]:
        yield 1
        with adapter.child():
            pass
        yield 2

    made = trace(tokens)()
    next(made)
    with adapter.child():
        own = adapter.current()
        next(made)
        assert adapter.current() == own
    made.close()
    child, consumers, span = captured()
    assert (child.parent, consumers.parent, span.parent) == (span.id, None, None)


def test_two_streams_at_once_keep_apart(trace: Wrap, adapter: Adapter, captured: Captured) -> None:
    def tokens() -> Iterator[None]:
        for _ in range(3):
            with adapter.child():
                yield

    for _ in zip(trace(tokens)(), trace(tokens)(), strict=True):
        assert adapter.current() is None
    spans = [span for span in captured() if span.parent is None]
    children = [span.parent for span in captured() if span.parent is not None]
    assert [children.count(span.id) for span in spans] == [3, 3]


def leave_by_break(made: Iterator[object]) -> None:
    for _ in made:
        break


def leave_by_close(made: Any) -> None:
    next(made)
    made.close()


def leave_by_error(made: Iterator[object]) -> None:
    with contextlib.suppress(KeyError):
        for _ in made:
            raise KeyError("the consumer's")


def leave_elsewhere(made: Any) -> None:
    contextvars.copy_context().run(next, made)
    contextvars.copy_context().run(made.close)


def leave_in_a_cycle(made: Any) -> None:
    next(made)
    cycle = [made]
    cycle.append(cycle)
    del made, cycle
    gc.collect()


@pytest.mark.parametrize(
    "leave",
    [leave_by_break, leave_by_close, leave_by_error, leave_elsewhere, leave_in_a_cycle],
    ids=lambda f: f.__name__,
)
def test_a_stream_that_is_left_ends_its_span_without_error(
    trace: Wrap, adapter: Adapter, captured: Captured, leave: Callable[[Any], None]
) -> None:
    closed: list[int | None] = []

    def tokens() -> Iterator[int]:
        try:
            yield from range(3)
        finally:
            closed.append(adapter.current())

    assert complaints_of(lambda: leave(trace(tokens)())) == []
    (span,) = captured()
    # Which of a cycle's members the garbage collector closes first, driver or body, is its choice.
    assert closed in ([[None], [span.id]] if leave is leave_in_a_cycle else [[span.id]])
    assert not span.failed
    assert adapter.current() is None


def test_a_stream_that_is_never_begun_has_no_span(trace: Wrap, captured: Captured) -> None:
    made = trace(echo)()
    made.close()
    assert outcome_of(next, made) == ("stopped", None)
    assert complaints_of(lambda: trace(echo)() and None) == []
    assert captured() == []


def test_an_error_of_the_body_is_the_bodys(trace: Wrap, captured: Captured) -> None:
    error = ValueError("secret")

    def tokens() -> Iterator[int]:
        yield 1
        raise error

    made = trace(tokens)()
    next(made)
    assert caught_from(next, made) is error
    assert error.__context__ is None
    (span,) = captured()
    assert span.failed


def test_an_error_thrown_in_comes_out_with_the_same_tail(trace: Wrap, captured: Captured) -> None:
    def tail(made: Any, error: BaseException) -> list[tuple[str, int]]:
        next(made)
        assert caught_from(made.throw, error) is error
        assert error.__context__ is None
        found, traceback = [], error.__traceback__
        while traceback is not None:
            found.append((traceback.tb_frame.f_code.co_name, traceback.tb_lineno))
            traceback = traceback.tb_next
        return found[-2:]

    earlier = caught_from(echo().throw, ValueError("v"))
    assert tail(trace(echo)(), KeyError("k"))[-1] == tail(echo(), KeyError("k"))[-1]
    # One that was raised before keeps the trace of it, and no frame of ours goes in between.
    bare = tail(echo(), earlier)
    assert tail(trace(echo)(), caught_from(echo().throw, ValueError("v"))) == bare


def test_an_exception_that_may_not_be_changed(trace: Wrap, captured: Captured) -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"frozen {name}")

        def with_traceback(self, traceback: object) -> Frozen:  # type: ignore[override]
            raise AttributeError("frozen")

    error = Frozen()
    made = trace(echo)()
    next(made)
    assert caught_from(made.throw, error) is error


def test_items_belong_to_the_consumer_alone(trace: Wrap, captured: Captured) -> None:
    class Item:
        pass

    alive: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        for _ in range(3):
            item = Item()
            alive.append(weakref.ref(item))
            yield item
            del item
            assert alive[-1]() is None

    for item in trace(items)():
        assert alive[-1]() is item
        del item


def test_thousands_of_streams_leave_no_garbage(trace: Wrap, captured: Captured) -> None:
    traced = trace(echo)

    def leave(made: Any) -> None:
        next(made)
        with contextlib.suppress(KeyError):
            made.throw(KeyError("k"))

    gc.collect()
    gc.disable()
    try:
        for _ in range(500):
            leave_by_break(traced())
            leave(traced())
            list(itertools.islice(traced(), 2))
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_generator_expression_and_a_context_manager(trace: Wrap, captured: Captured) -> None:
    assert sum(trace(lambda n: (x for x in range(n)))(4)) == 6

    def managed() -> Iterator[int]:
        with contextlib.suppress(KeyError):
            yield 1

    with contextlib.contextmanager(trace(managed))() as value:
        assert value == 1
        raise KeyError("swallowed")
    assert len(captured()) == 2


def test_running_twice_at_once_fails_as_without_us(trace: Wrap, captured: Captured) -> None:
    def itself(wrap: Callable[..., Any]) -> list[tuple[str, Any]]:
        made: list[Any] = []
        found: list[tuple[str, Any]] = []

        def tokens() -> Iterator[int]:
            found.append(outcome_of(next, made[0]))
            yield 1

        made.append(wrap(tokens)())
        found.append(outcome_of(next, made[0]))
        return found

    assert itself(trace) == itself(lambda function: function)


def test_chains_of_streams_reach_a_third_of_the_depth(decorate: Wrap, captured: Captured) -> None:
    @decorate
    def count(n: int) -> Iterator[int]:
        yield n
        if n:
            yield from count(n - 1)

    depth = (sys.getrecursionlimit() - len(inspect.stack()) - 60) // 3
    assert list(count(depth)) == list(range(depth, -1, -1))
