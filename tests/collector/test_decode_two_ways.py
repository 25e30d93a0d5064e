"""Whatever the bytes: the compiled way gives the batch that the protobuf library's way gives."""

from __future__ import annotations

import pytest
from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from otlp_requests import log_requests, trace_requests
from two_ways import WAYS, assert_same, facts

from inferspan import semconv
from inferspan_collector.decode import decode_logs, decode_traces
from inferspan_collector.decode.row_limit import rows_max
from inferspan_collector.testing import NOW_NS, label_span, prediction_span, traces_request

SLOW = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(trace_requests())
def test_traces(request) -> None:
    assert_same(decode_traces, request.SerializeToString(), NOW_NS)


@SLOW
@given(log_requests())
def test_logs(request) -> None:
    assert_same(decode_logs, request.SerializeToString(), NOW_NS)


@SLOW
@given(st.one_of(trace_requests(), log_requests()), st.integers(0, 2**32), st.integers(1, 4))
def test_damaged_requests(request, seed: int, times: int) -> None:
    body = damaged(request.SerializeToString(), seed, times)
    for decode in WAYS:
        assert_same(decode, body, NOW_NS)


@pytest.mark.parametrize("beyond", [-2, -1, 0, 1])
def test_rows_that_a_request_may_not_hold_are_refused_alike(beyond: int) -> None:
    """A batch that claims all rows leaves none to the ordinary predictions behind it."""

    def body(claimed: int) -> bytes:
        batch = prediction_span("job", {semconv.PREDICTION_COUNT: claimed})
        singles = [prediction_span(f"p{number}") for number in range(4)]
        return traces_request([singles[0], batch, *singles[1:]]).SerializeToString()

    # The count takes as many bytes whatever it is, near the limit.
    most = rows_max(len(body(rows_max(0))))
    sent = body(most - 1 + beyond)
    # What is announced may differ: rows that are read by columns are made before they are refused.
    one, other = (
        decode_traces(sent, json=False, received_ns=NOW_NS, compiled=compiled)
        for compiled in (True, False)
    )
    assert facts(one) == facts(other)
    assert len(one.refused) == (3 + beyond if beyond < 1 else 1)


def test_requests_of_more_records_than_are_read_at_once() -> None:
    spans = [
        prediction_span(f"p{number}", {semconv.MODEL_VERSION: number % 97 or "text"})
        if number % 1000 == 999
        else prediction_span(f"p{number}", {semconv.OUTPUT_CLASS: f"class {number % 300}"})
        for number in range(2 * 8192 + 5)
    ]
    assert_same(decode_traces, traces_request(spans).SerializeToString(), NOW_NS)


def test_more_distinct_texts_and_slices_than_there_is_room_for() -> None:
    names = [semconv.MODEL_NAME, semconv.MODEL_VERSION, semconv.MODEL_VARIANT, semconv.ERROR_TYPE]
    names += [semconv.OUTPUT_CLASS, semconv.OUTPUT_POSITIVE_CLASS]
    spans = []
    for number in range(400):
        texts = {name: f"{name} {number}" for name in names}
        slices = {f"{semconv.SLICE_PREFIX}k{(number + key) % 40}": f"{number}" for key in range(8)}
        spans.append(prediction_span(f"p{number}", texts | slices))
    assert_same(decode_traces, traces_request(spans).SerializeToString(), NOW_NS)


@pytest.mark.parametrize("distinct", [1, 2, 30, 31, 32, 200])
@pytest.mark.parametrize("step", [1, 7, -1])
def test_values_in_any_order_shared_by_predictions_and_labels(distinct: int, step: int) -> None:
    """The order of their values does not tell requests apart, however many there are."""
    spans, labels = [], []
    for number in range(211):
        model, text = f"m{number * step % distinct}", f"class {number * step * 3 % distinct}"
        slices = {semconv.SLICE_PREFIX + "c": text} if number % 3 else {}
        spans.append(
            prediction_span(f"p{number}", {semconv.OUTPUT_CLASS: text} | slices, model=model)
        )
        said: dict[str, str] = {semconv.LABEL_CLASS: text}
        if number % 2:
            said = {semconv.LABEL_ACTION: "delete", semconv.MODEL_VERSION: model}
        labels.append(label_span(f"p{number}", said, model=f"m{number * -step % distinct}"))
    request = traces_request(spans)
    request.MergeFrom(traces_request(labels, scope=semconv.SCOPE_LABELS))
    assert_same(decode_traces, request.SerializeToString(), NOW_NS)


def test_senders_that_differ_in_one_place_are_told_apart() -> None:
    """What is known of one sender is not said of another, however alike their requests are."""
    spans = [prediction_span("p1"), prediction_span("p2")]
    for where in ("production", "productiom", "production"):
        for of_resource in (True, False):
            request = traces_request(spans[:1])
            request.MergeFrom(traces_request(spans[1:]))
            if of_resource:
                for in_resource in request.resource_spans:
                    pair = in_resource.resource.attributes.add(
                        key=semconv.DEPLOYMENT_ENVIRONMENT_NAME
                    )
                    pair.value.string_value = where
            else:
                scopes = [each.scope_spans[0] for each in request.resource_spans]
                scopes[0].scope.version = where
                request.resource_spans[0].scope_spans.append(scopes[1])
                del request.resource_spans[1]
            assert_same(decode_traces, request.SerializeToString(), NOW_NS)


@pytest.mark.parametrize("text", ["two\nlines", "\0", "\x85", "k" * 1_025])
@pytest.mark.parametrize("beside", [True, False])
def test_a_failed_call_may_have_any_text_that_is_refused(text: str, beside: bool) -> None:
    names = [semconv.ERROR_TYPE, semconv.MODEL_NAME, semconv.MODEL_VERSION, semconv.MODEL_VARIANT]
    names += [semconv.OUTPUT_CLASS, semconv.TASK_TYPE, semconv.OPERATION_NAME]
    for name in [*names, semconv.OUTPUT_POSITIVE_CLASS, semconv.SLICE_PREFIX + "country"]:
        spans = [prediction_span("bad", {name: text})]
        if beside:
            spans.append(prediction_span("good", {semconv.ERROR_TYPE: "Timeout"}))
        for span in spans:
            span.status.code = Status.STATUS_CODE_ERROR
        assert_same(decode_traces, traces_request(spans).SerializeToString(), NOW_NS)


def test_more_senders_than_are_remembered_are_each_read_as_themselves() -> None:
    sent = {
        f"service {n}": traces_request(
            [prediction_span("p")], resource={semconv.SERVICE_NAME: f"service {n}"}
        ).SerializeToString()
        for n in range(1_100)
    }
    for _ in range(2):
        for service, body in sent.items():
            found = decode_traces(body, json=False, received_ns=NOW_NS)
            assert found.predictions.service.text(0) == service
