"""A call that is not sampled goes as it goes without us, and leaves its slim record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

import inferspan
from inferspan import semconv, settings
from inferspan.sampling import RatioSampler
from inferspan.settings import Settings
from inferspan.testing import CapturedSpans, capture_spans

from .conformance.comparing import caught_from
from .conformance.test_values import VALUES, raising

OPTIONS: dict[str, Any] = {"model": "m", "task": "binary_classification", "capture": "values"}
SAMPLERS: dict[str, Sampler] = {
    "ours": RatioSampler(0.0),
    "the user's": ALWAYS_OFF,
    "all leave records": ALWAYS_ON,
}


@pytest.fixture(params=SAMPLERS)
def spans(request: pytest.FixtureRequest) -> Iterator[CapturedSpans]:
    """Every call leaves a record; under the last sampler a span, too."""
    told = {settings.KEEP_VARIABLE: ""}
    if SAMPLERS[request.param] is ALWAYS_ON:
        told[settings.RECORDS_VARIABLE] = "all"
    settings.install(Settings.read(told))
    with capture_spans(sampler=SAMPLERS[request.param]) as caught:
        yield caught


def recorded(spans: CapturedSpans) -> int:
    return sum(int(str((each.attributes or {})[semconv.RECORD_COUNT])) for each in spans.records)


@pytest.mark.parametrize("name", VALUES)
def test_whatever_a_call_gets_gives_and_declares(
    spans: CapturedSpans, contained_errors: list[BaseException], name: str
) -> None:
    value = VALUES[name]()
    declared: dict[str, Any] = {
        "prediction_id": lambda *args, **kwargs: value,
        "slices": lambda *args, **kwargs: {"part": value},
        "features": lambda *args, **kwargs: {"size": value},
    }
    for options in ({}, declared):
        traced = inferspan.predict(**OPTIONS, **options)(lambda given, *more, **named: given)
        assert traced(value, [value], named=value) is value
    assert recorded(spans) == 2
    contained_errors.clear()  # a value that raises when it is looked at costs some content


@pytest.mark.parametrize("error", [ValueError, SystemExit, RecursionError])
@pytest.mark.parametrize("option", ["prediction_id", "slices", "features", "output", "redact"])
def test_what_is_declared_and_raises_costs_no_record(
    spans: CapturedSpans,
    contained_errors: list[BaseException],
    option: str,
    error: type[BaseException],
) -> None:
    declared = {"slices": ["country"], "features": ["amount"], option: raising(error)}
    if option in ("slices", "features"):
        declared.pop({"slices": "features", "features": "slices"}[option])

    @inferspan.predict(**OPTIONS, **declared)  # type: ignore[arg-type]
    def score(amount: float, country: str) -> str:
        return "legit"

    assert score(1.0, "NL") == "legit"
    assert recorded(spans) == 1
    contained_errors.clear()


@pytest.mark.parametrize(
    "error", [ValueError("secret"), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()]
)
def test_an_error_leaves_as_it_was_raised(spans: CapturedSpans, error: BaseException) -> None:
    def fails() -> None:
        raise error

    async def fails_later() -> None:
        await asyncio.sleep(0)
        raise error

    def fails_on_the_way() -> Iterator[int]:
        yield 1
        raise error

    traced = inferspan.predict(**OPTIONS)
    for call in (traced(fails), lambda: list(traced(fails_on_the_way)())):
        assert caught_from(call) is error
        assert error.__context__ is None
    driven = traced(fails_later)()
    driven.send(None)
    assert caught_from(driven.send, None) is error
    assert error.__context__ is None
    assert trace.get_current_span() is trace.INVALID_SPAN
    failed = [(each.attributes or {})[semconv.RECORD_ERROR_TYPE_CODES] for each in spans.records]
    assert b"".join(failed) == bytes([1, 1, 1])  # type: ignore[arg-type]


def test_streams_and_coroutines_leave_one_record_each(spans: CapturedSpans) -> None:
    traced = inferspan.predict(**OPTIONS)

    @traced
    def tokens() -> Iterator[int]:
        yield from range(3)

    @traced
    async def tokens_later() -> AsyncIterator[int]:
        for token in range(3):
            await asyncio.sleep(0)
            yield token

    @traced
    async def answers() -> str:
        await asyncio.sleep(0)
        return "legit"

    async def main() -> None:
        assert [token async for token in tokens_later()] == [0, 1, 2]
        async for _ in tokens_later():
            break
        assert await answers() == "legit"

    assert list(tokens()) == [0, 1, 2]
    next(iter(tokens()))
    asyncio.run(main())
    assert recorded(spans) == 5
