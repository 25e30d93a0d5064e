"""Language models, of whose calls other instrumentations have spans too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

import inferspan
from inferspan import semconv
from inferspan.providers import tracing
from inferspan.testing import CapturedSpans, capture_spans

GEN_AI = {semconv.GEN_AI_OPERATION_NAME: "chat", semconv.GEN_AI_REQUEST_MODEL: "gpt-4o"}
PHOENIX = {semconv.OPENINFERENCE_SPAN_KIND: "LLM"}
OWN = {
    semconv.GEN_AI_OPERATION_NAME,
    semconv.GEN_AI_REQUEST_MODEL,
    semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK,
}


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture_spans() as caught:
        yield caught


def theirs() -> trace.Tracer:
    """Of another instrumentation, with the provider that predictions go through."""
    provider = tracing()[0]
    assert provider is not None
    return provider.get_tracer("opentelemetry.instrumentation.openai_v2")


def ask(**attributes: Any) -> str:
    """What a client does that others instrument."""
    with theirs().start_as_current_span("chat gpt-4o", attributes=attributes):
        return "once upon a time"


@inferspan.predict(model="teller", task="generation")
def tell(**attributes: Any) -> str:
    return ask(**attributes)


@inferspan.predict(model="words", task="generation")
def words(**attributes: Any) -> Iterator[str]:
    yield from ask(**attributes).split()


@inferspan.predict(model="later", task="generation")
async def tell_later(**attributes: Any) -> str:
    await asyncio.sleep(0)
    return ask(**attributes)


@inferspan.predict(model="words", task="generation")
async def words_later(**attributes: Any) -> AsyncIterator[str]:
    for word in ask(**attributes).split():
        yield word


async def all_words(**attributes: Any) -> list[str]:
    return [word async for word in words_later(**attributes)]


CALLS = {
    "text": tell,
    "stream": lambda **said: list(words(**said)),
    "coroutine": lambda **said: asyncio.run(tell_later(**said)),
    "async stream": lambda **said: asyncio.run(all_words(**said)),
}


def named(span: ReadableSpan) -> object:
    return (span.attributes or {}).get(semconv.PREDICTION_SPAN_ID)


def of_others(spans: CapturedSpans) -> list[ReadableSpan]:
    return [span for span in spans if span not in spans.predictions + spans.stages]


def id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


@pytest.mark.parametrize("said", [GEN_AI, PHOENIX], ids=["gen_ai", "openinference"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_span_within_names_the_prediction_and_alone_has_the_names(
    call: Any, said: dict[str, str], spans: CapturedSpans
) -> None:
    call(**said)
    (inner,) = of_others(spans)
    assert named(inner) == id_of(spans.prediction())
    assert not OWN & set(spans.prediction().attributes or ())


def test_where_nobody_else_tells_of_it_the_names_are_ours(spans: CapturedSpans) -> None:
    tell(db="postgres")
    assert (spans.prediction().attributes or {})[semconv.GEN_AI_REQUEST_MODEL] == "teller"
    spans.clear()
    list(words())
    assert set(spans.prediction().attributes or ()) > OWN


@pytest.mark.parametrize("said", [GEN_AI, PHOENIX], ids=["gen_ai", "openinference"])
def test_a_span_around_names_the_prediction(said: dict[str, str], spans: CapturedSpans) -> None:
    with theirs().start_as_current_span("chat gpt-4o") as span:
        span.set_attributes(said)
        tell()
    _, outer = of_others(spans)
    assert named(outer) == id_of(spans.prediction())
    assert not OWN & set(spans.prediction().attributes or ())


def test_a_span_around_that_is_about_something_else_takes_no_names(spans: CapturedSpans) -> None:
    with theirs().start_as_current_span("POST /tell"):
        tell()
    assert OWN & set(spans.prediction().attributes or ())


def test_what_others_tell_already_is_told_without_the_names(spans: CapturedSpans) -> None:
    """As instrumentations of chains say while they call a model."""
    key = "suppress_language_model_instrumentation"
    token = otel_context.attach(otel_context.set_value(key, True))
    try:
        tell()
    finally:
        otel_context.detach(token)
    assert not OWN & set(spans.prediction().attributes or ())


def test_embedding_names_what_is_within_and_not_what_is_around(spans: CapturedSpans) -> None:
    embed = inferspan.predict(model="embedder", task="embedding")(ask)
    with theirs().start_as_current_span("chat gpt-4o", attributes=GEN_AI):
        embed(**GEN_AI)
    inner, outer = of_others(spans)
    assert (named(inner), named(outer)) == (id_of(spans.prediction()), None)


def test_other_tasks_leave_spans_of_others_alone(spans: CapturedSpans) -> None:
    judge = inferspan.predict(model="judge", task="multiclass_classification")(ask)
    with theirs().start_as_current_span("around"):
        judge(**GEN_AI)
    assert [named(span) for span in of_others(spans)] == [None, None]


def test_calls_at_the_same_time_have_spans_of_their_own(spans: CapturedSpans) -> None:
    async def together() -> None:
        await asyncio.gather(*(tell_later(**GEN_AI) for _ in range(5)))

    asyncio.run(together())
    said = sorted(str(named(span)) for span in of_others(spans))
    assert said == sorted(id_of(span) for span in spans.predictions)
    assert len(set(said)) == 5


def test_what_begins_after_a_call_is_none_of_it(spans: CapturedSpans) -> None:
    left = None

    @inferspan.predict(model="teller", task="generation")
    def leave() -> str:
        nonlocal left
        left = otel_context.get_current()
        return "the end"

    leave()
    assert left is not None
    theirs().start_span("later", context=left, attributes=GEN_AI).end()
    assert [named(span) for span in of_others(spans)] == [None]


def test_stages_of_ours_are_named_by_their_parent(spans: CapturedSpans) -> None:
    @inferspan.predict(model="teller", task="generation")
    def staged() -> str:
        with inferspan.stage("prompt"):
            return "once"

    staged()
    assert named(spans.stages[0]) is None
