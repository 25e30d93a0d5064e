"""What one call leaves by the way of most calls, and by that of all others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inferspan import semconv, settings
from inferspan.sampling import RatioSampler
from inferspan.testing import capture_spans

OWN_TO_A_CALL = (
    semconv.RECORD_TRACE_IDS,
    semconv.RECORD_SPAN_IDS,
    semconv.RECORD_IDS,
    semconv.RECORD_DURATIONS,
)


def span_of(usual: bool, call: Callable[[], object]) -> tuple[list[tuple[str, object]], object]:
    """The attributes in their order, and the status, of one call in either way."""
    with pytest.MonkeyPatch.context() as patch, capture_spans() as spans:
        # Whoever wants the record of every call as well leaves the usual way.
        patch.setenv("INFERSPAN_RECORDS", "unsampled" if usual else "all")
        previous = settings.install(None)
        try:
            call()  # the first call of a provider is not yet a usual one
            spans.clear()
            call()
            (span,) = [s for s in spans if semconv.OPERATION_NAME in (s.attributes or {})]
        finally:
            settings.install(previous)
    attributes = dict(span.attributes or {})
    assert attributes.pop(semconv.PREDICTION_ID)
    return list(attributes.items()), span.status.status_code


def record_of(usual: bool, call: Callable[..., object], *arguments: object) -> dict[str, object]:
    """The slim record of one call that is not sampled, in either way, but for ids and times."""
    # Whoever says a ratio of its own leaves the usual way.
    ratio = None if usual else 0.0
    with capture_spans(sampler=RatioSampler(0.0 if usual else 1.0)) as spans:
        traced = call(ratio)
        for _ in range(2):  # the first call of a provider is not yet a usual one
            traced(*arguments)
            (record,) = spans.records
            spans.clear()
    attributes = dict(record.attributes or {})
    for name in OWN_TO_A_CALL:
        attributes.pop(name, None)
    return attributes
