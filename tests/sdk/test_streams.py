"""Generators keep their semantics: context, send, throw, close, cancellation, garbage."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

predict = inferspan.predict(model="m", operation="generate")


def echo(seen: list[object]) -> Generator[str, str, str]:
    """Yields `ready`, then what it is sent or thrown, until told to `stop`."""
    answer: str = "ready"
    try:
        while answer != "stop":
            try:
                answer = yield answer
            except KeyError as error:
                seen.append(error)
                answer = f"caught {error}"
        return "the end"
    finally:
        seen.append("closed")


async def async_echo(seen: list[object]) -> AsyncGenerator[str, str]:
    answer: str = "ready"
    try:
        while answer != "stop":
            try:
                answer = yield answer
            except KeyError as error:
                seen.append(error)
                answer = f"caught {error}"
            await asyncio.sleep(0)
    finally:
        seen.append("closed")


def outside() -> bool:
    return trace.get_current_span() is trace.INVALID_SPAN


def test_send_throw_and_return_reach_the_body(spans: CapturedSpans) -> None:
    seen: list[object] = []
    error = KeyError("k")
    stream = predict(echo)(seen)
    assert list(spans) == []
    assert next(stream) == "ready"
    assert stream.send("a") == "a"
    assert stream.throw(error) == "caught 'k'"
    assert error.__context__ is None
    with pytest.raises(StopIteration) as stop:
        stream.send("stop")
    assert stop.value.value == "the end"
    assert seen == [error, "closed"]
    (span,) = spans
    attributes = span.attributes or {}
    assert span.status.status_code is StatusCode.UNSET
    assert attributes[semconv.STREAM_CHUNKS] == 3
    assert attributes[semconv.STREAM_COMPLETED] is True
    assert attributes[semconv.STREAM_FIRST_CHUNK_DURATION] > 0  # type: ignore[operator]


def test_asend_athrow_and_aclose_reach_the_body(spans: CapturedSpans) -> None:
    seen: list[object] = []
    error = KeyError("k")

    async def main() -> None:
        stream = predict(async_echo)(seen)
        assert await anext(stream) == "ready"
        assert await stream.asend("a") == "a"
        assert await stream.athrow(error) == "caught 'k'"
        assert outside()
        await stream.aclose()

    asyncio.run(main())
    assert seen == [error, "closed"]
    (span,) = spans
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})[semconv.STREAM_COMPLETED] is False


def test_no_span_leaks_to_the_consumer_and_children_stay_children(spans: CapturedSpans) -> None:
    @predict
    def tokens() -> Iterator[int]:
        for i in range(3):
            assert inferspan.current_prediction() is not None
            with inferspan.stage("step"):
                yield i
                assert not outside()

    for _ in tokens():
        assert outside()
        assert inferspan.current_prediction() is None
    assert outside()
    (prediction,) = spans.predictions
    assert {s.parent.span_id for s in spans.stages if s.parent} == {prediction.context.span_id}
    assert len(spans.stages) == 3


def test_no_span_leaks_from_an_async_generator(spans: CapturedSpans) -> None:
    @predict
    async def tokens() -> AsyncGenerator[int, None]:
        for i in range(3):
            with inferspan.stage("step"):
                yield i
                await asyncio.sleep(0)

    async def main() -> None:
        async for _ in tokens():
            assert outside()
        assert outside()

    asyncio.run(main())
    (prediction,) = spans.predictions
    assert {s.parent.span_id for s in spans.stages if s.parent} == {prediction.context.span_id}


@pytest.mark.parametrize("leave", ["break", "close", "collect"])
def test_an_abandoned_stream_ends_its_span(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture, leave: str
) -> None:
    seen: list[object] = []
    stream = predict(echo)(seen)
    next(stream)
    if leave == "close":
        stream.close()
    del stream
    gc.collect()
    assert seen == ["closed"]
    (span,) = spans
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})[semconv.STREAM_COMPLETED] is False
    assert outside()
    assert caplog.records == []


def test_an_async_stream_closed_in_another_task(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []

    async def main() -> None:
        stream = predict(async_echo)(seen)
        await anext(stream)
        await asyncio.create_task(stream.aclose())
        assert outside()

    asyncio.run(main())
    assert seen == ["closed"]
    assert len(spans) == 1
    assert caplog.records == []


def test_a_timeout_inside_an_async_stream_still_works(spans: CapturedSpans) -> None:
    @predict
    async def tokens() -> AsyncGenerator[int, None]:
        yield 1
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    async def main() -> list[int]:
        return [token async for token in tokens()]

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert (spans[0].attributes or {})[semconv.ERROR_TYPE] == "TimeoutError"


def test_errors_of_the_body_are_the_bodys(spans: CapturedSpans) -> None:
    error = ValueError("secret")

    @predict
    def tokens() -> Iterator[int]:
        yield 1
        raise error

    stream = tokens()
    assert next(stream) == 1
    with pytest.raises(ValueError, match="secret") as caught:
        next(stream)
    assert caught.value is error
    assert error.__context__ is None
    (span,) = spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert (span.attributes or {})[semconv.STREAM_CHUNKS] == 1


def test_errors_while_closing_are_the_bodys(spans: CapturedSpans) -> None:
    @predict
    def tokens() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("cleanup")

    stream = tokens()
    next(stream)
    with pytest.raises(ValueError, match="cleanup"):
        stream.close()  # type: ignore[attr-defined]
    assert spans[0].status.status_code is StatusCode.ERROR


def test_an_unused_stream_makes_no_span(spans: CapturedSpans) -> None:
    stream = predict(echo)([])
    stream.close()
    assert list(spans) == []


def test_what_a_generator_returns_is_its_answer(spans: CapturedSpans) -> None:
    @inferspan.predict(model="m", task="binary_classification")
    def tokens() -> Generator[int, None, str]:
        yield 1
        return "fraud"

    assert list(tokens()) == [1]
    assert (spans[0].attributes or {})[semconv.OUTPUT_CLASS] == "fraud"


@pytest.mark.parametrize("read", [list, lambda s: [next(s), *s]])
def test_the_same_items_as_without_us(
    spans: CapturedSpans, read: Callable[[Iterator[int]], list[int]]
) -> None:
    def tokens(n: int) -> Iterator[int]:
        yield from range(n)

    assert read(predict(tokens)(4)) == read(tokens(4))


class Clock:
    """What `time.perf_counter` says, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


FIRST, *BETWEEN = [0.5, 0.25, 0.125, 8.0, 0.25]


def figures(spans: CapturedSpans) -> dict[str, object]:
    (span,) = spans.predictions
    found = dict(span.attributes or {})
    return {name: found[name] for name in sorted(found) if name.startswith("inferspan.stream.")}


EXPECTED = {
    semconv.STREAM_CHUNKS: 5,
    semconv.STREAM_COMPLETED: True,
    semconv.STREAM_FIRST_CHUNK_DURATION: 0.5,
    semconv.STREAM_INTERVAL_P50: 0.25,
    semconv.STREAM_INTERVAL_P99: 8.0,
    semconv.STREAM_INTERVAL_MAX: 8.0,
}


def test_intervals_leave_out_the_consumers_time(spans: CapturedSpans, clock: Clock) -> None:
    @predict
    def tokens() -> Iterator[int]:
        for took in (FIRST, *BETWEEN):
            clock.now += took
            yield 1
        clock.now += 1000

    for _ in tokens():
        clock.now += 60
    assert figures(spans) == EXPECTED


def test_intervals_of_an_async_stream(spans: CapturedSpans, clock: Clock) -> None:
    @predict
    async def tokens() -> AsyncGenerator[int, None]:
        for took in (FIRST, *BETWEEN):
            await asyncio.sleep(0)
            clock.now += took
            yield 1
        clock.now += 1000

    async def main() -> None:
        async for _ in tokens():
            clock.now += 60
            await asyncio.sleep(0)

    asyncio.run(main())
    assert figures(spans) == EXPECTED


@pytest.mark.parametrize("count", [0, 1])
def test_one_item_has_no_interval(spans: CapturedSpans, clock: Clock, count: int) -> None:
    assert sum(predict(lambda: (1 for _ in range(count)))()) == count
    expected = {semconv.STREAM_CHUNKS: count, semconv.STREAM_COMPLETED: True}
    if count:
        expected[semconv.STREAM_FIRST_CHUNK_DURATION] = 0.0
    assert figures(spans) == expected


def test_a_long_stream_has_figures_near_the_truth(spans: CapturedSpans, clock: Clock) -> None:
    @predict
    def tokens() -> Iterator[None]:
        yield
        for item in range(1, 2001):
            clock.now += item / 1000
            yield

    for _ in tokens():
        pass
    found = figures(spans)
    assert found[semconv.STREAM_INTERVAL_P50] == pytest.approx(1.0, rel=0.0101)
    assert found[semconv.STREAM_INTERVAL_P99] == pytest.approx(1.98, rel=0.0101)
    assert found[semconv.STREAM_INTERVAL_MAX] == pytest.approx(2.0)


def test_generation_has_the_names_of_the_genai_conventions(
    spans: CapturedSpans, clock: Clock
) -> None:
    def tokens() -> Iterator[int]:
        clock.now += 0.5
        yield 1

    list(inferspan.predict(model="llm", task="generation", operation="generate")(tokens)())
    list(inferspan.predict(model="m", operation="generate")(tokens)())
    generation, other = [dict(span.attributes or {}) for span in spans]
    assert generation[semconv.GEN_AI_OPERATION_NAME] == "generate_content"
    assert generation[semconv.GEN_AI_REQUEST_MODEL] == "llm"
    assert generation[semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] == 0.5
    assert [name for name in other if name.startswith("gen_ai.")] == []


def test_a_generation_that_does_not_stream(spans: CapturedSpans) -> None:
    inferspan.predict(model="llm", task="generation")(lambda: "text")()
    attributes = spans[0].attributes or {}
    assert attributes[semconv.GEN_AI_REQUEST_MODEL] == "llm"
    assert semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK not in attributes
