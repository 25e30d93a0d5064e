"""Intermediate steps are spans of their own, intermediate states events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.context import attach, get_current, set_value
from opentelemetry.trace import StatusCode

import inferspan
from inferspan import providers, semconv
from inferspan.testing import CapturedSpans


def predict(capture: str = "shapes"):
    return inferspan.predict(model="m", task="binary_classification", capture=capture)


@inferspan.stage("decorated")
def decorated(x: int) -> int:
    return x + 1


@inferspan.stage("async")
async def decorated_async(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


@inferspan.stage("stream")
def decorated_stream(x: int) -> Iterator[int]:
    yield x


@predict()
def nested(x: int) -> str:
    with inferspan.stage("features"), inferspan.stage("inner"):
        pass
    return "a"


def test_a_block_is_a_child_span(spans: CapturedSpans) -> None:
    nested(1)
    inner, features, prediction = spans
    assert [s.name for s in spans] == ["inner m", "features m", "predict m"]
    assert dict(features.attributes or {}) == {semconv.STAGE_NAME: "features"}
    assert inner.parent is not None
    assert features.parent is not None
    assert inner.parent.span_id == features.context.span_id
    assert features.parent.span_id == prediction.context.span_id


def test_a_stage_within_a_stage_names_the_span_of_its_prediction(spans: CapturedSpans) -> None:
    nested(1)
    inner, features, prediction = spans
    owner = f"{prediction.context.span_id:016x}"
    assert (inner.attributes or {})[semconv.PREDICTION_SPAN_ID] == owner
    assert semconv.PREDICTION_SPAN_ID not in (features.attributes or {})


def test_a_stage_below_a_span_of_others_names_its_prediction(spans: CapturedSpans) -> None:
    @predict()
    def score(x: int) -> str:
        with (
            providers.prediction_tracer().start_as_current_span("sql"),
            inferspan.stage("features"),
        ):
            pass
        return "a"

    score(1)
    features, prediction = spans.stages[0], spans.predictions[0]
    owner = f"{prediction.context.span_id:016x}"
    assert (features.attributes or {})[semconv.PREDICTION_SPAN_ID] == owner


def test_functions_of_every_kind_are_stages(spans: CapturedSpans) -> None:
    @predict()
    async def score(x: int) -> str:
        assert decorated(x) == 2
        assert await decorated_async(x) == 2
        assert list(decorated_stream(x)) == [1]
        return "a"

    asyncio.run(score(1))
    assert [s.name for s in spans.stages] == ["decorated m", "async m", "stream m"]


def test_a_failing_stage_is_an_error_and_lets_the_error_pass(spans: CapturedSpans) -> None:
    error = ValueError("secret")

    @predict("values")
    def score() -> str:
        with pytest.raises(ValueError, match="secret") as caught, inferspan.stage("features"):
            raise error
        assert caught.value is error
        assert error.__context__ is None
        return "a"

    score()
    stage, prediction = spans
    assert stage.status.status_code is StatusCode.ERROR
    assert stage.status.description == "secret"
    assert (stage.attributes or {})[semconv.ERROR_TYPE] == "ValueError"
    assert prediction.status.status_code is StatusCode.UNSET


def test_messages_stay_home_under_shapes(spans: CapturedSpans) -> None:
    with pytest.raises(ValueError, match="secret"):
        predict()(_failing_stage)()
    assert [s.status.description for s in spans] == [None, None]


def _failing_stage() -> None:
    with inferspan.stage("features"):
        raise ValueError("secret")


def test_outside_of_a_prediction_a_stage_is_named_alone(spans: CapturedSpans) -> None:
    with inferspan.stage("features"):
        inferspan.snapshot("x", [1.0])
    (stage,) = spans
    assert stage.name == "features"
    assert stage.events == ()
    assert inferspan.current_prediction() is None


def test_one_stage_object_may_be_used_again_and_inside_itself(spans: CapturedSpans) -> None:
    stage = inferspan.stage("s")
    with stage, stage:
        pass
    with stage:
        pass
    assert len(spans.stages) == 3
    assert trace.get_current_span() is trace.INVALID_SPAN


async def crossed(then: Callable[[], None]) -> None:
    """Two tasks in blocks of one stage object: the first to enter is the first to leave."""
    stage = inferspan.stage("s")

    async def step(entered: asyncio.Event, leave: asyncio.Event) -> None:
        before = get_current()
        with stage:
            entered.set()
            await leave.wait()
        assert get_current() is before

    first_in, second_in, second_out = asyncio.Event(), asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(step(first_in, second_in))
    await first_in.wait()
    second = asyncio.create_task(step(second_in, second_out))
    await first
    then()
    second_out.set()
    await second


def test_one_stage_object_may_be_shared_by_tasks(spans: CapturedSpans) -> None:
    seen: list[int] = []
    asyncio.run(crossed(lambda: seen.append(len(spans))))
    assert seen == [1]
    assert [span.name for span in spans] == ["s", "s"]
    assert [span.parent for span in spans] == [None, None]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_one_stage_object_may_be_shared_where_nobody_traces() -> None:
    """All blocks have the same span then: none."""
    restore = providers.divert(trace.NoOpTracerProvider(), None)
    try:
        asyncio.run(crossed(lambda: None))
    finally:
        restore()


def test_a_block_may_leave_another_context_current(spans: CapturedSpans) -> None:
    stage = inferspan.stage("s")
    with stage:
        attach(set_value("key", "value"))
    assert [span.name for span in spans] == ["s"]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_stage_has_a_name() -> None:
    for name in ("", None, len):
        with pytest.raises(ValueError, match=r"write stage\('features'\)"):
            inferspan.stage(name)  # type: ignore[arg-type]


def test_a_snapshot_goes_on_the_innermost_span(spans: CapturedSpans) -> None:
    @predict()
    def score() -> str:
        with inferspan.stage("features"):
            inferspan.snapshot("embedding", np.array([1.0, 3.0]))
        inferspan.snapshot("raw", {"a": 1})
        return "a"

    score()
    (embedding,) = spans.stages[0].events
    (raw,) = spans.predictions[0].events
    assert embedding.name == raw.name == semconv.EVENT_SNAPSHOT
    assert embedding.attributes is not None
    assert embedding.attributes[semconv.STATE_NAME] == "embedding"
    assert embedding.attributes[semconv.STATE_MEAN] == 2.0
    assert dict(raw.attributes or {}) == {
        semconv.STATE_NAME: "raw",
        semconv.STATE_SHAPE: "1",
        semconv.STATE_DTYPE: "dict",
    }


@pytest.mark.parametrize(("capture", "events"), [("none", 0), ("shapes", 1), ("values", 1)])
def test_a_snapshot_follows_the_policy(spans: CapturedSpans, capture: str, events: int) -> None:
    @predict(capture)
    def score() -> str:
        inferspan.snapshot("state", np.arange(100.0))
        return "a"

    score()
    found = spans[0].events
    assert len(found) == events
    packed = [(e.attributes or {}).get("inferspan.state." + semconv.TENSOR_DATA) for e in found]
    assert [p for p in packed if p] == ([np.arange(100.0).tobytes()] if capture == "values" else [])


def test_the_reference_inside_a_call(spans: CapturedSpans) -> None:
    refs: list[inferspan.PredictionRef | None] = []

    @inferspan.predict(model="m", version="2", task="binary_classification", prediction_id="key")
    def score(key: str) -> str:
        with inferspan.stage("features"):
            refs.append(inferspan.current_prediction())
        return "a"

    score("k-1")
    (ref,) = refs
    assert ref is not None
    span = spans.predictions[0]
    assert (ref.id, ref.model, ref.version) == ("k-1", "m", "2")
    context = span.context
    assert ref.traceparent == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
    with pytest.raises(AttributeError):
        ref.id = "other"  # type: ignore[misc]
    assert inferspan.current_prediction() is None
