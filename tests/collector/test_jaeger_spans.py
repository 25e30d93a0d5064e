"""What an evaluation becomes: one span beside the prediction it judges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from records import START_NS

from inferspan import semconv
from inferspan_collector.publish.jaeger_names import Names
from inferspan_collector.publish.jaeger_spans import evaluation_spans
from inferspan_collector.store.cells import Evaluation
from servers.recording import attributes

EVALUATION = Evaluation(
    sequence=1,
    span_id=0x1234,
    trace_id=f"{7:032x}",
    prediction_span_id=f"{9:016x}",
    prediction_end=START_NS + 5_000_000,
    environment="prod",
    service="fraud-api",
    model="fraud",
    version="7",
    variant=None,
    prediction_id="order-1",
    index=0,
    target="default",
    label_id="label-1",
    revision=0,
    label_time=START_NS + 60_000_000_000,
    label_delay_ns=60_000_000_000,
    outcome="incorrect",
    predicted="fraud",
    expected="legit",
    error=None,
)


def span_of(evaluation: Evaluation, **settings: Any) -> Span:
    request = evaluation_spans([evaluation], Names(), settings.get("status", "error"))
    return request.resource_spans[0].scope_spans[0].spans[0]


def test_a_wrong_prediction_gives_the_whole_span() -> None:
    request = evaluation_spans([EVALUATION], Names(), "error")

    (resource,) = request.resource_spans
    assert attributes(resource.resource.attributes) == {
        semconv.SERVICE_NAME: "fraud-api-quality",
        semconv.DEPLOYMENT_ENVIRONMENT_NAME: "prod",
    }
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.schema_url) == (semconv.SCOPE_PROCESSOR, semconv.SCHEMA_URL)
    (span,) = scope.spans
    assert span.name == "evaluate fraud"
    assert span.kind == Span.SPAN_KIND_SERVER
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (f"{7:032x}", f"{9:016x}")
    assert span.span_id.hex() == f"{0x1234:016x}"
    assert [(link.trace_id, link.span_id) for link in span.links] == [
        (span.trace_id, span.parent_span_id)
    ]
    assert span.end_time_unix_nano == EVALUATION.prediction_end
    assert span.start_time_unix_nano == EVALUATION.prediction_end - 1_000
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert span.status.message == "predicted fraud, expected legit"
    assert attributes(span.attributes) == {
        semconv.MODEL_NAME: "fraud",
        semconv.MODEL_VERSION: "7",
        semconv.PREDICTION_ID: "order-1",
        semconv.PREDICTION_INDEX: 0,
        semconv.TARGET_NAME: "default",
        semconv.EVALUATION_OUTCOME: "incorrect",
        semconv.EVALUATION_PREDICTED: "fraud",
        semconv.EVALUATION_EXPECTED: "legit",
        semconv.LABEL_ID: "label-1",
        semconv.LABEL_REVISION: 0,
        semconv.LABEL_TIME_UNIX_NANO: EVALUATION.label_time,
        semconv.LABEL_DELAY: 60.0,
    }
    (event,) = span.events
    assert (event.name, event.time_unix_nano) == (
        semconv.EVENT_EVALUATION_RESULT,
        EVALUATION.prediction_end,
    )
    assert attributes(event.attributes) == {
        semconv.GEN_AI_EVALUATION_NAME: "default",
        semconv.GEN_AI_EVALUATION_SCORE_LABEL: "incorrect",
        semconv.GEN_AI_EVALUATION_SCORE_VALUE: 0.0,
    }


@pytest.mark.parametrize(
    ("outcome", "setting", "code"),
    [
        ("incorrect", "error", Status.STATUS_CODE_ERROR),
        ("incorrect", "unset", Status.STATUS_CODE_UNSET),
        ("correct", "error", Status.STATUS_CODE_UNSET),
        ("retracted", "error", Status.STATUS_CODE_UNSET),
    ],
)
def test_only_a_wrong_prediction_is_an_error_and_only_if_wanted(
    outcome: str, setting: str, code: int
) -> None:
    assert span_of(replace(EVALUATION, outcome=outcome), status=setting).status.code == code


def test_a_retraction_has_no_score() -> None:
    (event,) = span_of(replace(EVALUATION, outcome="retracted")).events

    assert semconv.GEN_AI_EVALUATION_SCORE_VALUE not in attributes(event.attributes)


def test_names_are_safe_and_originals_stay_readable() -> None:
    evaluation = replace(EVALUATION, service="fraud api/eu", model="fraud v2+", error=-0.5)
    request = evaluation_spans([evaluation], Names(), "error")

    (resource,) = request.resource_spans
    span = resource.scope_spans[0].spans[0]
    assert attributes(resource.resource.attributes)[semconv.SERVICE_NAME] == "fraud_api_eu-quality"
    assert span.name == "evaluate fraud_v2_"
    assert attributes(span.attributes)[semconv.MODEL_NAME] == "fraud v2+"
    assert attributes(span.attributes)[semconv.EVALUATION_ERROR] == -0.5


def test_a_prediction_without_a_trace_gets_one_of_its_own() -> None:
    evaluation = replace(EVALUATION, trace_id="0" * 32)

    span, again = span_of(evaluation), span_of(evaluation)

    assert any(span.trace_id)
    assert len(span.trace_id) == 16
    assert span.trace_id == again.trace_id
    assert (span.parent_span_id, list(span.links)) == (b"", [])


@pytest.mark.parametrize(("kept", "beside"), [(None, True), (60, True), (59, False)])
def test_a_label_later_than_traces_are_kept_has_a_trace_of_its_own(
    kept: int | None, beside: bool
) -> None:
    kept_ns = None if kept is None else kept * 1_000_000_000
    request = evaluation_spans([EVALUATION], Names(), "error", kept_ns)
    (span,) = request.resource_spans[0].scope_spans[0].spans
    prediction = (EVALUATION.trace_id, EVALUATION.prediction_span_id)
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in span.links] == [prediction]
    if beside:
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == prediction
        assert span.end_time_unix_nano == EVALUATION.prediction_end
    else:
        assert any(span.trace_id)
        assert (span.trace_id.hex() == EVALUATION.trace_id, span.parent_span_id) == (False, b"")
        assert span.end_time_unix_nano == EVALUATION.label_time
        assert span.end_time_unix_nano - span.start_time_unix_nano == 1_000


def test_services_and_environments_are_resources_of_their_own() -> None:
    others = [
        replace(EVALUATION, span_id=2, environment="test"),
        replace(EVALUATION, span_id=3, service=None),
        replace(EVALUATION, span_id=4),
    ]
    request = evaluation_spans([EVALUATION, *others], Names(), "error")

    assert [
        (
            attributes(resource.resource.attributes)[semconv.SERVICE_NAME],
            [span.span_id[-1] for span in resource.scope_spans[0].spans],
        )
        for resource in request.resource_spans
    ] == [
        ("fraud-api-quality", [0x34, 4]),
        ("fraud-api-quality", [2]),
        ("unknown_service-quality", [3]),
    ]


@pytest.mark.parametrize("ended", [0, 1, 999, 1000, 1001, 5_000])
def test_a_prediction_of_the_first_microsecond_has_a_span_too(ended: int) -> None:
    span = span_of(replace(EVALUATION, prediction_end=ended))
    assert span.start_time_unix_nano >= 1
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_000
    assert span.end_time_unix_nano == max(ended, 1_001)
