"""Which predictions get full spans: by ratio, by their parent, and by how they ended."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import StatusCode

import inferspan
from inferspan import sampling, semconv, settings
from inferspan.identity import RandomIds
from inferspan.sampling import LEARNT_FROM_MIN, RatioSampler
from inferspan.settings import Settings
from inferspan.testing import CapturedSpans, ManualClock, capture_spans

BINARY = "binary_classification"


def recorded(spans: CapturedSpans) -> int:
    return sum(int(str((each.attributes or {})[semconv.RECORD_COUNT])) for each in spans.records)


def kept(spans: CapturedSpans) -> dict[str, ReadableSpan]:
    return {str((s.attributes or {}).get(semconv.SAMPLING_KEPT)): s for s in spans.predictions}


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_ratio_decides_about_roots(ratio: float) -> None:
    score = inferspan.predict(model="m", task=BINARY)(lambda: "a")
    with capture_spans(sampler=RatioSampler(ratio)) as spans:
        for _ in range(20):
            score()
        assert (len(spans.predictions), recorded(spans)) == (20 * ratio, 20 * (1 - ratio))


def test_the_share_of_full_spans_is_the_ratio_and_nothing_is_lost() -> None:
    score = inferspan.predict(model="m", task=BINARY, sample_ratio=0.25)(lambda: "a")
    with capture_spans() as spans:
        for _ in range(2000):
            score()
        sampled = len(spans.predictions)
        # Seven standard deviations of the binomial on either side.
        assert 365 < sampled < 635
        assert sampled + recorded(spans) == 2000


def test_a_model_may_say_its_own_ratio_against_the_providers() -> None:
    rare = inferspan.predict(model="rare", task=BINARY, sample_ratio=1.0)(lambda: "a")
    busy = inferspan.predict(model="busy", task=BINARY)(lambda: "a")
    with capture_spans(sampler=RatioSampler(0.0)) as spans:
        rare()
        busy()
        assert [span.name for span in spans.predictions] == ["predict rare"]
        assert [record.name for record in spans.records] == ["predictions busy"]


def test_a_models_own_ratio_applies_under_a_sampled_parent_by_the_trace() -> None:
    rare = inferspan.predict(model="rare", task=BINARY, sample_ratio=0.25)(lambda: "a")
    inner: list[bool] = []
    with capture_spans() as spans:
        for _ in range(2000):
            trace_id = RandomIds().generate_trace_id()
            parent = trace.NonRecordingSpan(
                trace.SpanContext(trace_id, 5, False, trace.TraceFlags(1))
            )
            with trace.use_span(parent):
                before = len(spans.predictions)
                rare()
                rare()
                inner.append(len(spans.predictions) - before == 2)
        sampled = len(spans.predictions)
        assert sampled == 2 * sum(inner)  # both calls of a trace, or none
        assert 365 < sampled / 2 < 635
        assert sampled + recorded(spans) == 4000


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(TraceIdRatioBased(0.0))])
def test_a_sampler_of_the_users_own_is_asked(sampler: sampling.Sampler) -> None:
    score = inferspan.predict(model="m", task=BINARY, sample_ratio=1.0)(lambda: "a")
    with capture_spans(sampler=sampler) as spans:
        score()
        assert (len(spans.predictions), recorded(spans)) == (0, 1)


@pytest.mark.parametrize("sampled", [True, False])
def test_a_call_follows_its_parent(sampled: bool) -> None:
    flags = trace.TraceFlags(1 if sampled else 0)
    parent = trace.NonRecordingSpan(trace.SpanContext(77, 5, True, flags))
    inner: list[trace.SpanContext] = []

    @inferspan.predict(model="m", task=BINARY)
    def score() -> str:
        inner.append(trace.get_current_span().get_span_context())
        return "a"

    with capture_spans(sampler=RatioSampler(0.0 if sampled else 1.0)) as spans:
        with trace.use_span(parent):
            score()
        assert (len(spans.predictions), recorded(spans)) == ((1, 0) if sampled else (0, 1))
    assert inner[0].trace_id == 77
    assert inner[0].span_id != 5
    assert inner[0].trace_flags.sampled is sampled


def test_stages_of_an_unsampled_call_are_not_sampled() -> None:
    @inferspan.predict(model="m", task=BINARY)
    def score() -> str:
        with inferspan.stage("features"):
            return "a"

    with capture_spans(sampler=RatioSampler(0.0)) as spans:
        score()
        assert recorded(spans) == 1
        assert spans.stages == []


def test_a_failed_call_is_built_late_with_the_ids_its_stages_had() -> None:
    inner: list[trace.SpanContext] = []

    @inferspan.predict(model="m", task=BINARY, slices=["country"])
    def score(x: NDArray[np.float64], country: str) -> str:
        inner.append(trace.get_current_span().get_span_context())
        raise ValueError("secret")

    with capture_spans(sampler=RatioSampler(0.0)) as spans:
        with pytest.raises(ValueError, match="secret"):
            score(np.ones(2), "NL")
        assert recorded(spans) == 0
        (span,) = spans.predictions
    attributes = span.attributes or {}
    assert span.context is not None
    assert (span.context.trace_id, span.context.span_id) == (inner[0].trace_id, inner[0].span_id)
    assert span.context.trace_flags.sampled
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time > span.start_time
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert attributes[semconv.SAMPLING_KEPT] == "error"
    assert attributes[semconv.ERROR_TYPE] == "ValueError"
    assert attributes[semconv.SLICE_PREFIX + "country"] == "NL"
    assert attributes[semconv.INPUT_SHAPE] == "2"
    (dropped,) = attributes[semconv.CAPTURE_DROPPED]  # type: ignore[union-attr,misc]
    assert "call's end" in str(dropped)


def test_the_record_of_a_call_that_was_built_late_says_that_it_has_a_span() -> None:
    settings.install(Settings.read({settings.RECORDS_VARIABLE: "all"}))

    @inferspan.predict(model="m", task=BINARY)
    def score(fails: bool) -> str:
        if fails:
            raise ValueError("no answer")
        return "a"

    with capture_spans(sampler=RatioSampler(0.0)) as spans:
        score(False)
        with pytest.raises(ValueError, match="no answer"):
            score(True)
        assert len(spans.predictions) == 1
        (record,) = spans.records
    assert (record.attributes or {})[semconv.RECORD_SAMPLED] == b"\x02"


def test_a_call_that_asks_for_it_is_kept() -> None:
    @inferspan.predict(model="m", task=BINARY)
    def score() -> str:
        reference = inferspan.current_prediction()
        assert reference is not None
        reference.keep()
        return "a"

    with capture_spans(sampler=RatioSampler(0.0)) as spans:
        score()
        assert kept(spans).keys() == {"marked"}
        assert (spans.predictions[0].attributes or {})[semconv.OUTPUT_CLASS] == "a"


def test_slow_and_unsure_calls_are_kept_once_it_is_known_what_that_is() -> None:
    settings.install(Settings.read({settings.KEEP_VARIABLE: "slow,low_confidence"}))
    clock = ManualClock()

    @inferspan.predict(model="m", task=BINARY, positive="a")
    def score(seconds: float, confidence: float) -> dict[str, object]:
        clock.advance(seconds)
        return {"label": "a", "score": confidence}

    with capture_spans(sampler=RatioSampler(0.0), clock=clock) as spans:
        for _ in range(LEARNT_FROM_MIN):
            score(0.010, 0.95)
        score(60.0, 0.51)  # nothing is known before the first records are packed
        assert spans.predictions == []
        assert recorded(spans) == LEARNT_FROM_MIN + 1
        score(0.010, 0.95)
        score(60.0, 0.95)
        score(0.010, 0.06)  # as sure as 0.94 of the other class
        score(0.010, 0.55)
        assert [(s.attributes or {})[semconv.SAMPLING_KEPT] for s in spans.predictions] == [
            "slow",
            "low_confidence",
            "low_confidence",
        ]


def test_one_call_in_a_hundred_is_slow_or_unsure_however_long_it_runs() -> None:
    """What was kept counts in what is learnt: else each limit would be below the one before."""
    settings.install(Settings.read({settings.KEEP_VARIABLE: "slow,low_confidence"}))
    clock, drawn = ManualClock(step_ns=0), random.Random(0)

    @inferspan.predict(model="m", task=BINARY, positive="a")
    def score() -> dict[str, object]:
        clock.advance(drawn.expovariate(1.0))
        return {"label": "a", "score": drawn.random()}

    def kept_of(calls: int) -> Counter[object]:
        found: Counter[object] = Counter()
        for _ in range(calls // 1_000):
            for _ in range(1_000):
                score()
            recorded(spans)
            found.update((s.attributes or {})[semconv.SAMPLING_KEPT] for s in spans.predictions)
            spans.clear()
        return found

    with capture_spans(sampler=RatioSampler(0.0), clock=clock) as spans:
        kept_of(20_000)
        found = kept_of(10_000)
    assert 50 < found["slow"] < 150
    assert 50 < found["low_confidence"] < 150


@pytest.mark.parametrize("keep", ["", "slow"])
def test_what_is_not_to_be_kept_leaves_a_record(keep: str) -> None:
    settings.install(Settings.read({settings.KEEP_VARIABLE: keep}))

    @inferspan.predict(model="m", task=BINARY)
    def score() -> str:
        raise ValueError

    with capture_spans(sampler=RatioSampler(0.0)) as spans:
        with pytest.raises(ValueError):  # noqa: PT011  (the model's own)
            score()
        assert (len(spans.predictions), recorded(spans)) == (0, 1)


def test_a_storm_of_errors_does_not_undo_sampling() -> None:
    @inferspan.predict(model="m", task=BINARY)
    def score() -> str:
        raise ValueError

    clock, sampler = ManualClock(step_ns=0), RatioSampler(0.0)
    with capture_spans(sampler=sampler, clock=clock) as spans:
        for _ in range(2):
            for _ in range(2 * sampling.KEPT_PER_SECOND_MAX):
                with pytest.raises(ValueError):  # noqa: PT011  (the model's own)
                    score()
            clock.advance(1)
        assert len(spans.predictions) == 2 * sampling.KEPT_PER_SECOND_MAX
        assert recorded(spans) == sampler.allowance.refused == 2 * sampling.KEPT_PER_SECOND_MAX


def test_under_a_provider_of_the_users_own_nothing_is_built_late() -> None:
    @inferspan.predict(model="m", task=BINARY)
    def score() -> str:
        raise ValueError

    with capture_spans(sampler=ALWAYS_OFF) as spans:
        with pytest.raises(ValueError):  # noqa: PT011  (the model's own)
            score()
        assert (len(spans.predictions), recorded(spans)) == (0, 1)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, "often", float("nan"), True, 10**400])
def test_a_ratio_is_checked_at_the_start(wrong: object) -> None:
    with pytest.raises(ValueError, match="must be a number from 0 to 1"):
        inferspan.predict(model="m", sample_ratio=wrong)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=r"configure\(sample_ratio=…\).*from 0 to 1"):
        Settings.read({}, sample_ratio=wrong)  # type: ignore[arg-type]


def test_settings_come_from_the_environment_and_arguments_win() -> None:
    environ = {
        settings.SAMPLE_RATIO_VARIABLE: "0.25",
        settings.RECORDS_VARIABLE: "all",
        settings.KEEP_VARIABLE: "error, low_confidence",
    }
    told = Settings.read(environ)
    assert (told.sample_ratio, told.records) == (0.25, "all")
    assert told.keep == {"error", "low_confidence"}
    told = Settings.read(environ, sample_ratio=0.5, records="none", keep=[])
    assert (told.sample_ratio, told.records, told.keep) == (0.5, "none", frozenset())
    again = Settings.read(environ, earlier=told)
    assert (again.sample_ratio, again.records, again.keep) == (0.5, "none", frozenset())
    otel = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
    assert Settings.read(otel).sample_ratio == 0.1
    assert Settings.read({**otel, "OTEL_TRACES_SAMPLER_ARG": "often"}).sample_ratio == 1.0
    assert Settings.read({"OTEL_TRACES_SAMPLER": "always_off"}).sample_ratio is None
    with pytest.raises(ValueError, match=r"INFERSPAN_ENDPOINT is .*such as http://127"):
        Settings.read({settings.ENDPOINT_VARIABLE: "http://[::1"})
    with pytest.raises(ValueError, match=r"INFERSPAN_KEEP is 'fast': must be one of error"):
        Settings.read({settings.KEEP_VARIABLE: "fast"})
    with pytest.raises(ValueError, match=r"INFERSPAN_RECORDS is 'some': must be one of unsampled"):
        Settings.read({settings.RECORDS_VARIABLE: "some"})
    classes = {settings.RECORD_CLASSES_VARIABLE: "16"}
    assert Settings.read({}).record_classes == 256
    assert Settings.read(classes).record_classes == 16
    assert Settings.read(classes, record_classes=0).record_classes == 0
    for wrong in ("257", "-1", "1.5", "many"):
        with pytest.raises(ValueError, match=r"INFERSPAN_RECORD_CLASSES is .*whole number from 0"):
            Settings.read({settings.RECORD_CLASSES_VARIABLE: wrong})
    with pytest.raises(ValueError, match=r"configure\(record_classes=…\) is True"):
        Settings.read({}, record_classes=True)


def test_the_ratio_sampler_agrees_with_opentelemetrys() -> None:
    ours, theirs = RatioSampler(0.3), ParentBased(TraceIdRatioBased(0.3))
    for _ in range(500):
        trace_id = RandomIds().generate_trace_id()
        assert (
            ours.should_sample(None, trace_id, "x").decision
            is theirs.should_sample(None, trace_id, "x").decision
        )
    assert ALWAYS_ON.should_sample(None, 1, "x").decision.is_sampled()
