"""What a device took is said once it is known, as a stage of its prediction, and never awaited."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import inferspan
from inferspan import device_times, semconv
from inferspan.device_times import WAITING_MAX, Interval, later, settle
from inferspan.predictions import current_call
from inferspan.testing import CapturedSpans, capture_spans


class Mark:
    """A place in what a device does; it passes when the test says so."""

    def __init__(self, at_ms: float, passed: bool = False) -> None:
        self.at_ms = at_ms
        self.passed = passed

    def query(self) -> bool:
        return self.passed

    def elapsed_time(self, end: Mark) -> float:
        assert self.passed or end.passed, "who asks earlier waits"
        return end.at_ms - self.at_ms


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture_spans() as caught:
        yield caught
    for interval in device_times._waiting.intervals:
        assert isinstance(interval.ended, Mark)
        interval.ended.passed = True
    settle()


@inferspan.predict(model="digits", task="regression")
def answer(ended: Mark) -> float:
    call = current_call()
    assert call is not None
    context = call.span.get_span_context()
    later(Interval(context, "digits", call.start_ns, Mark(1.0, ended.passed), ended))
    return 1.0


def test_what_was_passed_is_a_stage_of_its_prediction(spans: CapturedSpans) -> None:
    answer(Mark(3.5, passed=True))
    (stage,) = spans.stages
    assert stage.parent is not None
    assert stage.parent.span_id == spans.prediction().context.span_id
    attributes = dict(stage.attributes or {})
    assert attributes[semconv.STAGE_NAME] == device_times.STAGE
    assert attributes[semconv.PHASE_COMPUTE_DURATION] == pytest.approx(0.0025)
    assert (stage.end_time or 0) - (stage.start_time or 0) == 2_500_000


def test_what_runs_is_read_at_a_later_call_or_a_flush(spans: CapturedSpans) -> None:
    slow, next_one = Mark(9.0), Mark(11.0)
    answer(slow)
    answer(next_one)
    assert spans.stages == []
    slow.passed = True
    inferspan.flush(timeout=0.1)
    assert len(spans.stages) == 1
    next_one.passed = True
    answer(Mark(2.0, passed=True))
    assert len(spans.stages) == 3


def test_what_cannot_be_asked_is_let_go(
    spans: CapturedSpans, contained_errors: list[BaseException]
) -> None:
    class Lost(Mark):
        def query(self) -> bool:
            raise RuntimeError("the device is gone")

    answer(Lost(2.0))
    answer(Mark(3.0, passed=True))
    assert len(spans.stages) == 1
    assert {type(error) for error in contained_errors} == {RuntimeError}
    contained_errors.clear()


def test_a_device_that_is_far_behind_costs_no_memory(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(WAITING_MAX + 3):
        answer(Mark(2.0))
    assert len(device_times._waiting.intervals) == WAITING_MAX
    assert "calls behind" in caplog.text
