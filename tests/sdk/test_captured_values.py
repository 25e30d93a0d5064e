"""Whatever a call gets and gives: attributes that are valid, within limits, and the same again."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.trace import ReadableSpan

import hostile_values as hostile
import inferspan
from inferspan import semconv
from inferspan.testing import capture_spans

SPAN_BYTES_MAX = 16 * 1024
"""Of the attributes of a span without columns: content has 6 KB, and JSON 2 KB twice."""
SHOWN = (semconv.INPUT_VALUE, semconv.OUTPUT_VALUE_JSON)
COLUMNS = (
    semconv.OUTPUT_CLASSES_PREDICTED,
    semconv.OUTPUT_SCORES,
    semconv.OUTPUT_VALUES,
    semconv.OUTPUT_PROBABILITIES,
)


def spans_of(given: object, answer: object, options: dict[str, Any]) -> list[ReadableSpan]:
    """Two calls alike; the ids that are made for them are the only difference."""
    traced = inferspan.predict(model="m", **options)(lambda first, *, second: answer)
    with capture_spans() as spans:
        for _ in range(2):
            assert traced(given, second=[given]) is answer
        return list(spans.predictions)


def told(span: ReadableSpan) -> dict[str, object]:
    attributes = dict(span.attributes or {})
    assert attributes.pop(semconv.PREDICTION_ID)
    return attributes


def size_of(value: object) -> int:
    if isinstance(value, (str, bytes)):
        return len(value.encode() if isinstance(value, str) else value)
    return sum(map(size_of, value)) if isinstance(value, tuple) else 8


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given=hostile.anything,
    answer=hostile.anything,
    policy=st.sampled_from(semconv.CAPTURE_POLICIES),
    task=st.sampled_from([None, *semconv.TASKS]),
)
def test_whatever_a_call_gets_and_gives(
    contained_errors: list[BaseException],
    given: object,
    answer: object,
    policy: str,
    task: str | None,
) -> None:
    first, second = spans_of(given, answer, {"capture": policy, "task": task})
    contained_errors.clear()  # a value that raises when it is looked at costs some content
    attributes = told(first)
    assert repr(attributes) == repr(told(second))
    for name in SHOWN:
        if name in attributes:
            assert policy == "values"
            assert len(str(attributes[name]).encode()) <= semconv.JSON_BYTES_MAX
            json.loads(str(attributes[name]), parse_constant=lambda name: 1 / 0)
    spent = {name: size_of(value) for name, value in attributes.items() if name not in COLUMNS}
    assert sum(spent.values()) <= SPAN_BYTES_MAX, spent
    body = encode_spans([first]).SerializeToString()
    (sent,) = TracesData.FromString(body).resource_spans[0].scope_spans[0].spans
    # What the encoder cannot write it leaves out, and says so in the log only.
    assert {pair.key for pair in sent.attributes} == {*attributes, semconv.PREDICTION_ID}
