"""The doubles we ship: the same ids and times in every run, and nothing left behind."""

from __future__ import annotations

from opentelemetry import trace

import inferspan
from inferspan import semconv
from inferspan.testing import (
    START_TIME_NS,
    STEP_NS,
    CapturedSpans,
    ManualClock,
    capture_spans,
    captured_spans,  # noqa: F401  # the fixture, as users import it
)


@inferspan.predict(model="m", task="regression")
def score(x: float) -> float:
    with inferspan.stage("s"):
        return x


def shown(spans: CapturedSpans) -> list[tuple[object, ...]]:
    return [(s.name, s.start_time, s.end_time, s.context.span_id, s.attributes) for s in spans]


def test_two_runs_are_equal() -> None:
    runs = []
    for _ in range(2):
        with capture_spans() as spans:
            score(1.0)
            runs.append(shown(spans))
    assert runs[0] == runs[1]
    assert [row[:4] for row in runs[0]] == [
        ("s m", START_TIME_NS + STEP_NS, START_TIME_NS + 2 * STEP_NS, 2),
        ("predict m", START_TIME_NS, START_TIME_NS + 3 * STEP_NS, 1),
    ]


def test_time_passes_when_told() -> None:
    clock = ManualClock(step_ns=0)
    with capture_spans(clock=clock) as spans:

        @inferspan.predict(model="m", task="regression")
        def slow() -> float:
            clock.advance(1.5)
            return 1.0

        slow()
    (span,) = spans
    assert span.start_time is not None
    assert span.end_time == span.start_time + 1_500_000_000


def test_captures_nest_and_end() -> None:
    provider = trace.get_tracer_provider()
    with capture_spans() as outer:
        with capture_spans() as inner:
            score(1.0)
            inferspan.label("a", 1, model="m")
            assert len(inner.labels) == 1
        score(2.0)
        inferspan.label("b", 1, model="m")
        assert len(outer.labels) == 1
    assert len(inner.predictions) == len(outer.predictions) == 1
    score(3.0)
    assert len(outer.predictions) == 1
    assert trace.get_tracer_provider() is provider


def test_the_fixture(captured_spans: CapturedSpans) -> None:  # noqa: F811
    score(1.0)
    (span,) = captured_spans.predictions
    assert (span.attributes or {})[semconv.OUTPUT_VALUE] == 1.0
    captured_spans.clear()
    assert len(captured_spans) == 0
