"""Trio: async generators with its scopes inside, and coroutines, run as they run without us."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
import trio
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans
from sdk.conformance.comparing import complaints_of
from sdk.conformance.scopes import CASES, Body, Reader, told

# Closed from another task, a scope of trio's is beyond repair, with us as without.
ON_TRIO = [(read, body) for read, body in CASES if read.__name__ != "closed_by_another_task"]
SHAPES: dict[str, Callable[..., Any]] = {
    "@predict": inferspan.predict(model="m", task="binary_classification"),
    "@stage": inferspan.stage("step"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("read", "body"), ON_TRIO, ids=lambda f: f.__name__)
def test_scopes_and_nurseries_are_as_without_us(
    spans: CapturedSpans, shape: str, read: Reader, body: Body
) -> None:
    expected = told(read, body, "trio")
    assert told(read, SHAPES[shape](body), "trio") == expected
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert len(spans) == 1


def test_a_stream_that_is_left_is_closed_by_trio_with_the_same_complaint(
    spans: CapturedSpans,
) -> None:
    closed: list[str] = []

    async def tokens() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            closed.append("closed")

    def leave(function: Callable[[], AsyncGenerator[int, None]]) -> list[str]:
        async def main() -> None:
            async for _ in function():
                break

        return complaints_of(lambda: trio.run(main))

    (bare,) = leave(tokens)
    (mine,) = leave(inferspan.predict(model="m", task="binary_classification")(tokens))
    assert "was garbage collected before it had been exhausted" in bare
    # The module is that of the frame that trio sees.
    assert mine.partition("<locals>")[2] == bare.partition("<locals>")[2]
    assert closed == ["closed"] * 2
    (span,) = spans
    assert (span.attributes or {})[semconv.STREAM_COMPLETED] is False


def test_a_cancelled_call_ends_as_an_error(spans: CapturedSpans) -> None:
    @inferspan.predict(model="m", task="binary_classification")
    async def waits() -> str:
        await trio.sleep_forever()
        return "a"

    async def main() -> bool:
        with trio.move_on_after(0) as scope:
            await waits()
        return scope.cancelled_caught

    assert trio.run(main)
    (span,) = spans
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})[semconv.ERROR_TYPE] == "trio.Cancelled"


def test_tasks_of_a_nursery_keep_their_spans_apart(spans: CapturedSpans) -> None:
    @inferspan.predict(model="m", task="binary_classification")
    async def score(name: str) -> str:
        with inferspan.stage("inner"):
            await trio.lowlevel.checkpoint()
        return name

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(score, f"n{number}")

    trio.run(main)
    parents = {span.context.span_id for span in spans.predictions}
    assert {stage.parent.span_id for stage in spans.stages if stage.parent} == parents
    assert len(spans.stages) == 5
