"""The doubles we ship: the same ids and times in every run, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
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


def test_captures_that_overlap_end_in_any_order() -> None:
    first, second, third = capture_spans(), capture_spans(), capture_spans()
    caught = [capture.__enter__() for capture in (first, second, third)]
    for ending, expected in ((second, [0, 0, 1]), (third, [1, 0, 1]), (first, [1, 0, 1])):
        ending.__exit__(None, None, None)
        score(1.0)
        inferspan.label("id", 1.0, model="m")
        assert [len(spans.predictions) for spans in caught] == expected
    assert [len(spans.predictions) + len(spans.stages) for spans in caught] == [2, 0, 2]


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


# --- asking for one ------------------------------------------------------------------------------


def test_the_one_prediction_and_the_one_label(spans: CapturedSpans) -> None:
    score(1.0)
    inferspan.predict(model="other", task="regression")(lambda: 2.0)()
    inferspan.label("a", 1, model="m")
    inferspan.label("a", 2, model="other")
    assert spans.prediction("m") is spans.predictions[0]
    assert spans.prediction(model="other") is spans.predictions[1]
    assert spans.label("other") is spans.labels[1]
    spans.clear()
    score(1.0)
    inferspan.label("a", 1, model="m")
    assert spans.prediction() is spans.predictions[0]
    assert spans.label() is spans.labels[0]


@pytest.mark.parametrize(
    ("calls", "model", "said"),
    [
        (0, None, "0 predictions, not one, among <0 spans>"),
        (2, None, "2 predictions, not one, among <4 spans:"),
        (1, "other", "0 predictions of 'other', not one, among <2 spans:"),
    ],
    ids=["none", "two", "another-model"],
)
def test_what_is_not_one_says_what_there_is(
    spans: CapturedSpans, calls: int, model: str | None, said: str
) -> None:
    for _ in range(calls):
        score(1.0)
    with pytest.raises(AssertionError) as failed:
        spans.prediction(model)
    assert str(failed.value).startswith(said)


def test_spans_say_what_they_are_about(spans: CapturedSpans) -> None:
    @inferspan.predict(model="fraud", task="binary_classification", prediction_id="key")
    def classify(key: str) -> object:
        return ("legit", 0.25) if key else object()

    @inferspan.predict(model="broken", task="regression")
    def broken() -> float:
        raise ValueError("secret")

    score(1.0)
    classify("k-1")
    with pytest.raises(ValueError, match="secret"):
        broken()
    inferspan.label("k-1", "legit", model="fraud", target="chargeback")
    assert len(spans.labels) == 1
    assert repr(spans).splitlines() == [
        "<5 spans:",
        "  s m",
        f"  predict m id='{1:032x}' value=1.0",
        "  predict fraud id='k-1' class='legit' score=0.25",
        f"  predict broken id='{2:032x}' error='ValueError'",
        "  label fraud id='k-1' target='chargeback' label='legit'>",
    ]


def test_many_spans_are_shown_in_part(spans: CapturedSpans) -> None:
    for _ in range(15):
        score(1.0)
    shown_lines = repr(spans).splitlines()
    assert len(shown_lines) == 22
    assert shown_lines[-1] == "  and 10 more>"


# --- the plugin ----------------------------------------------------------------------------------

USERS_TEST = """
import inferspan

@inferspan.predict(model="m", task="regression")
def score():
    return 1.0

def test_mine(captured_spans):
    score()
    assert captured_spans.prediction("m").name == "predict m"

def test_fails(captured_spans):
    score()
    assert len(captured_spans) == 7
"""


@pytest.mark.parametrize(
    ("conftest", "options"),
    [("", ("-p", "inferspan.testing")), ("from inferspan.testing import captured_spans\n", ())],
    ids=["plugin", "conftest"],
)
def test_the_fixture_where_users_have_it(
    tmp_path: Path, conftest: str, options: tuple[str, ...]
) -> None:
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_mine.py").write_text(USERS_TEST)
    # As in an environment of its own: a plugin of ours warns where it is not configured.
    plain = ("-W", "error", "-p", "no:randomly", "-p", "no:asyncio", "-p", "no:cacheprovider")
    command = (sys.executable, "-m", "pytest", *plain, *options)
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "1 failed, 1 passed" in ran.stdout
    # What was caught stands beside the failed assertion.
    assert "value=1.0" in ran.stdout


def test_pytest_does_not_load_us_unasked(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import sys\n\ndef test_mine():\n    assert 'inferspan' not in sys.modules\n"
    )
    command = (sys.executable, "-m", "pytest", "-q")
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout


def test_under_an_unsampled_parent_spans_are_captured_all_the_same() -> None:
    parent = trace.NonRecordingSpan(trace.SpanContext(7, 5, False, trace.TraceFlags(0)))
    score = inferspan.predict(model="m", task="regression")(lambda: 1.0)
    with capture_spans() as spans, trace.use_span(parent):
        score()
    assert len(spans.predictions) == 1
